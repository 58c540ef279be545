package downstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/key-ip-sentinel/sentinel/httpapi/plainhead"
)

const (
	// headBufferBytes holds the head of a request and most bodies of chats: they
	// go out in one write.
	headBufferBytes = 8 << 10
	// maxHeadBufferBytes is how large such a buffer may have grown to be kept.
	maxHeadBufferBytes = 128 << 10
)

// heads lends buffers to write heads to.
var heads = sync.Pool{New: func() any { b := make([]byte, 0, headBufferBytes); return &b }}

// returnHead gives back the buffer of a request that is out: its answer may be long in
// coming.
func (c *Call) returnHead() {
	if c.headBuf != nil && cap(c.head) <= maxHeadBufferBytes {
		*c.headBuf = c.head[:0]
		heads.Put(c.headBuf)
	}
	c.head, c.headBuf = nil, nil
}

// send sends the request. A body that is there goes out with the head, and if that is
// all, the answer is waited for, too; what is not there goes out on a goroutine of its
// own, since the answer may begin before it ends.
func (c *Call) send(pc *conn) error {
	c.headBuf, _ = heads.Get().(*[]byte)
	defer c.returnHead()
	var err error
	if c.head, err = c.appendHead((*c.headBuf)[:0]); err != nil {
		return err
	}
	whole, n := c.Body == nil, 0
	if c.Body != nil && c.Length > 0 {
		if n, whole, err = c.firstPiece(c.head[len(c.head):cap(c.head)]); err != nil {
			return err
		}
		c.head = c.head[:len(c.head)+n]
	}
	out := c.head
	if whole {
		if c.sentWhole == nil {
			c.sentWhole = func() { c.gone.Store(true); c.returnHead() }
		}
		if out = out[pc.read.Ask(out, c.sentWhole):]; len(out) == 0 {
			return nil
		}
	}
	if _, err = pc.net.Write(out); c.Body == nil || whole && err == nil {
		c.gone.Store(true)
		return err
	}
	s := &sending{conn: pc, body: source{from: c.Body}, left: c.Length - int64(n), chunked: c.Length <= 0}
	c.sending.Store(s)
	if err != nil { // the downstream may all the same have answered
		s.state.Store(bodyFailed)
		return nil
	}
	go s.run()
	return nil
}

// firstPiece reads the start of a body of known length: in most cases the whole.
func (c *Call) firstPiece(room []byte) (n int, whole bool, err error) {
	if len(room) == 0 {
		return 0, false, nil
	}
	n, err = c.Body.Read(room)
	left := c.Length - int64(n)
	switch {
	case left < 0:
		return 0, false, errLongBody
	case err == nil:
		return n, false, nil
	case !errors.Is(err, io.EOF):
		return 0, false, err
	case left > 0:
		return 0, false, io.ErrUnexpectedEOF
	}
	return n, true, nil
}

var errInvalidRequest = errors.New("request that HTTP does not allow")

// appendHead appends the request line and the header as they are given: the
// Go-http-client of net/http is not added.
func (c *Call) appendHead(b []byte) ([]byte, error) {
	// Threat: a line break in one of these would begin a header, or a request, that
	// nobody has judged. Answer: what HTTP does not allow is not sent.
	if !validTarget(c.Target) || !httpguts.ValidHostHeader(c.Host) || !plainhead.IsToken(c.Method) {
		return b, fmt.Errorf("%w: request line", errInvalidRequest)
	}
	b = append(b, c.Method...)
	b = append(b, ' ')
	b = append(b, c.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.Host...)
	b = append(b, "\r\n"...)
	for name, values := range c.Header {
		var err error
		if b, err = appendField(b, name, values); err != nil {
			return b, err
		}
	}
	return c.appendFraming(b), nil
}

func appendField(b []byte, name string, values []string) ([]byte, error) {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection":
		return b, nil // said by the framing, and once
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return b, fmt.Errorf("%w: header name %q", errInvalidRequest, name)
	}
	for _, value := range values {
		if !httpguts.ValidHeaderFieldValue(value) {
			return b, fmt.Errorf("%w: value of header %q", errInvalidRequest, name)
		}
		b = append(b, name...)
		b = append(b, ": "...)
		b = append(b, value...)
		b = append(b, "\r\n"...)
	}
	return b, nil
}

// appendFraming ends the head, and says how long the body is: RFC 9112 section 6.
func (c *Call) appendFraming(b []byte) []byte {
	switch {
	case c.Body != nil && c.Length > 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, c.Length, 10)
		b = append(b, "\r\n"...)
	case c.Body != nil:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case c.Method == http.MethodPost || c.Method == http.MethodPut || c.Method == http.MethodPatch:
		b = append(b, "Content-Length: 0\r\n"...) // RFC 9110 section 8.6
	}
	return append(b, "\r\n"...)
}

func validTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}
