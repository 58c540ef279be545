package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Sizes of the buffers that answers are copied through: an event is short, and
// there may be thousands of streams; a large body wants fewer system calls.
const (
	eventBufferBytes = 2 << 10
	bodyBufferBytes  = 32 << 10
)

// buffers lends them. It is safe for concurrent use.
type buffers struct{ events, bodies sync.Pool }

func (b *buffers) init() {
	b.events.New = func() any { return new([eventBufferBytes]byte) }
	b.bodies.New = func() any { return new([bodyBufferBytes]byte) }
}

func (b *buffers) get(events bool) []byte {
	if events {
		buf, _ := b.events.Get().(*[eventBufferBytes]byte)
		return buf[:]
	}
	buf, _ := b.bodies.Get().(*[bodyBufferBytes]byte)
	return buf[:]
}

func (b *buffers) put(buf []byte) {
	if len(buf) == eventBufferBytes {
		b.events.Put((*[eventBufferBytes]byte)(buf))
		return
	}
	b.bodies.Put((*[bodyBufferBytes]byte)(buf))
}

// copyBody sends the body of an answer to the client, each piece as it comes: what
// has been written is flushed before anything is waited for. What ends the answer
// is flushed by the server, with the last piece.
func (p *Proxy) copyBody(x *exchange, res *http.Response) error {
	if res.ContentLength == 0 || x.request.Method == http.MethodHead {
		return nil
	}
	source, _ := res.Body.(interface{ Ready() bool })
	buf := p.buffers.get(isEvents(res.Header))
	defer p.buffers.put(buf)
	for {
		if source == nil || !source.Ready() {
			if err := flush(x.w); err != nil {
				return err
			}
		}
		n, err := res.Body.Read(buf)
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
