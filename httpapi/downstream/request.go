package downstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
)

const (
	// writeBufferBytes holds the head of a request and most bodies of chats: they
	// go out in one write.
	writeBufferBytes = 8 << 10
	copyBufferBytes  = 32 << 10
)

var (
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(io.Discard, writeBufferBytes) }}
	copies  = sync.Pool{New: func() any { return new([copyBufferBytes]byte) }}
)

// send sends a request; its body, if there is one, on a goroutine of its own,
// since the answer may begin before it ends.
func (c *conn) send(req *http.Request) error {
	w, _ := writers.Get().(*bufio.Writer)
	w.Reset(c.net)
	if err := writeHead(w, req); err != nil {
		closeBody(req)
		return err // w has part of it, and is left to the collector
	}
	if !hasBody(req) {
		err := w.Flush()
		if err == nil {
			w.Reset(io.Discard)
			writers.Put(w)
		}
		return err
	}
	c.sending = new(sending)
	go c.sending.run(c, c.clock, w, req)
	return nil
}

// writeHead writes the request line and the header as they are given: the
// Go-http-client of net/http is not added.
func writeHead(w *bufio.Writer, req *http.Request) error {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	// Threat: a line break in one of these would begin a header, or a request, that
	// nobody has judged. Answer: what HTTP does not allow is not sent.
	target := req.URL.RequestURI()
	if !validTarget(target) || !httpguts.ValidHostHeader(host) || !validToken(req.Method) {
		return fmt.Errorf("%w: request line", errInvalidRequest)
	}
	for _, s := range [...]string{req.Method, " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n"} {
		_, _ = w.WriteString(s) // an error stays, and comes with Flush
	}
	for name, values := range req.Header {
		if err := writeField(w, name, values); err != nil {
			return err
		}
	}
	_, err := w.WriteString(framing(req))
	return err
}

var errInvalidRequest = errors.New("request that HTTP does not allow")

func writeField(w *bufio.Writer, name string, values []string) error {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
		return nil // said by framing, and once
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%w: header name %q", errInvalidRequest, name)
	}
	for _, value := range values {
		if name == "User-Agent" && value == "" {
			continue // how ReverseProxy says that there is none
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("%w: value of header %q", errInvalidRequest, name)
		}
		for _, s := range [...]string{name, ": ", value, "\r\n"} {
			_, _ = w.WriteString(s)
		}
	}
	return nil
}

// framing ends the head, and says how long the body is: RFC 9112 section 6.
func framing(req *http.Request) string {
	closing := ""
	if req.Close {
		closing = "Connection: close\r\n"
	}
	switch {
	case hasBody(req) && req.ContentLength > 0:
		return closing + "Content-Length: " + strconv.FormatInt(req.ContentLength, 10) + "\r\n\r\n"
	case hasBody(req):
		return closing + "Transfer-Encoding: chunked\r\n\r\n"
	case req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch:
		return closing + "Content-Length: 0\r\n\r\n" // RFC 9110 section 8.6
	}
	return closing + "\r\n"
}

func validTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

func validToken(s string) bool {
	for _, r := range s {
		if !httpguts.IsTokenRune(r) {
			return false
		}
	}
	return s != ""
}

// sending is the body of a request on its way. A nil sending is one that has
// been sent.
type sending struct {
	state  atomic.Uint32         // of the bits below
	failed atomic.Pointer[error] // of the body's source
}

// The request and its answer end in any order. Who comes last sees to the
// connection.
const (
	bodySent uint32 = 1 << iota
	bodyFailed
	answerWhole
)

// answerEnded gives the connection back, now or when the body is out.
func (s *sending) answerEnded(c *conn) {
	before := bodySent
	if s != nil {
		before = s.state.Or(answerWhole)
	}
	switch {
	case before&bodySent != 0:
		c.t.idle.put(c)
	case before&bodyFailed != 0:
		c.close()
	}
}

// ended notes the end of the body.
func (s *sending) ended(c *conn, how uint32) {
	switch before := s.state.Or(how); {
	case before&answerWhole == 0:
	case how == bodySent:
		c.t.idle.put(c)
	default:
		c.close()
	}
}

// bodyError returns why the client's body could not be read; nil if it could.
func (s *sending) bodyError() error {
	if s == nil {
		return nil
	}
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// run sends the body. If that cannot be read to its end, the connection is
// closed: what the downstream has got must not look complete. If it cannot be
// written, the downstream may all the same have answered.
func (s *sending) run(c *conn, clock *headClock, w *bufio.Writer, req *http.Request) {
	source := &source{from: req.Body}
	err := sendBody(w, source, req.ContentLength)
	if source.err != nil {
		s.failed.Store(&source.err)
		c.close()
	}
	closeBody(req)
	if err != nil {
		s.ended(c, bodyFailed)
		return
	}
	w.Reset(io.Discard)
	writers.Put(w)
	clock.start(c)
	s.ended(c, bodySent)
}

// source is a body that remembers why it ended before its end.
type source struct {
	from io.Reader
	err  error
}

func (b *source) Read(buf []byte) (int, error) {
	n, err := b.from.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// sendBody sends a body, each piece as it comes. A length of 0 or less is an
// unknown one.
func sendBody(w *bufio.Writer, body *source, length int64) error {
	buf, _ := copies.Get().(*[copyBufferBytes]byte)
	defer copies.Put(buf)
	if length > 0 {
		return sendExactly(w, body, length, buf[:])
	}
	if err := w.Flush(); err != nil { // the head may go ahead of a body of unknown length
		return err
	}
	chunks := httputil.NewChunkedWriter(w)
	for {
		n, readErr := body.Read(buf[:])
		if n > 0 {
			if _, err := chunks.Write(buf[:n]); err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
		if errors.Is(readErr, io.EOF) {
			_, _ = w.WriteString("0\r\n\r\n") // an error stays, and comes with Flush
			return w.Flush()
		}
		if readErr != nil {
			return readErr
		}
	}
}

// sendExactly sends a body of a known length, and not a byte more: what follows
// would be taken for another request.
func sendExactly(w *bufio.Writer, body *source, left int64, buf []byte) error {
	for {
		n, readErr := body.Read(buf)
		if left -= int64(n); left < 0 {
			body.err = errLongBody
			return body.err
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF) && left > 0:
			body.err = io.ErrUnexpectedEOF
			return body.err
		case errors.Is(readErr, io.EOF):
			return nil
		case readErr != nil:
			return readErr
		}
	}
}

var errLongBody = errors.New("body is longer than its Content-Length")
