package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

// Sizes of the buffers that answers are copied through, other than those that
// package downstream reads, which are written from where they lie: an event is
// short, and there may be thousands of streams; a large body wants fewer system
// calls.
const (
	eventBufferBytes = 2 << 10
	bodyBufferBytes  = 32 << 10
)

var (
	eventBuffers = sync.Pool{New: func() any { return new([eventBufferBytes]byte) }}
	bodyBuffers  = sync.Pool{New: func() any { return new([bodyBufferBytes]byte) }}
)

// copyBody sends the body of an answer to the client, each piece as it comes: what
// has been written is flushed before anything is waited for. What ends the answer
// is flushed by the server, with the last piece.
func copyBody(x *exchange, res *http.Response) error {
	if res.ContentLength == 0 || x.request.Method == http.MethodHead {
		return nil
	}
	call, own := res.Body.(*downstream.Call)
	if !own {
		return copyGeneral(x, res)
	}
	for {
		if !call.Ready() {
			if err := flush(x.w); err != nil {
				return err
			}
		}
		piece, err := call.Next()
		x.moved.Store(true)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := x.w.Write(piece); err != nil {
			return err
		}
	}
}

// copyGeneral copies a body that cannot say whether there is more of it.
func copyGeneral(x *exchange, res *http.Response) error {
	if isEvents(res.Header) {
		buf, _ := eventBuffers.Get().(*[eventBufferBytes]byte)
		defer eventBuffers.Put(buf)
		return copyThrough(x, res.Body, buf[:])
	}
	buf, _ := bodyBuffers.Get().(*[bodyBufferBytes]byte)
	defer bodyBuffers.Put(buf)
	return copyThrough(x, res.Body, buf[:])
}

func copyThrough(x *exchange, body io.Reader, buf []byte) error {
	for {
		if err := flush(x.w); err != nil {
			return err
		}
		n, err := body.Read(buf)
		x.moved.Store(true)
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func isEvents(h http.Header) bool {
	values := h["Content-Type"]
	return len(values) > 0 && strings.HasPrefix(values[0], "text/event-stream")
}

func flush(w http.ResponseWriter) error {
	switch f := w.(type) {
	case interface{ FlushError() error }:
		return f.FlushError()
	case http.Flusher:
		f.Flush()
	}
	return nil
}
