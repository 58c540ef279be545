package downstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
)

var errUnasked = errors.New("downstream switched protocols unasked")

// readHead reads the head of the answer, past informational ones, which it
// reports. A plain head is read in place; every other is net/http's to read, so
// that answers are understood as net/http understands them, and then the
// connection is not used again: RFC 9112 section 11.1 tells why.
func (c *Call) readHead(pc *conn) error {
	pc.headLeft = MaxHeadBytes
	defer func() { pc.headLeft = -1 }()
	if c.Answer.Header == nil {
		c.Answer.Header = make(http.Header)
	}
	for {
		if c.readPlainHead(pc.read) {
			return nil
		}
		res, err := http.ReadResponse(pc.read, &http.Request{Method: c.Method}) //nolint:bodyclose // Call.Read reads it, and there is nothing to close
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) && pc.silent:
			return fmt.Errorf("downstream closed the connection: %w", err)
		case err != nil:
			return fmt.Errorf("read answer: %w", err)
		case res.StatusCode == http.StatusSwitchingProtocols:
			return errUnasked
		}
		maps.Copy(c.Answer.Header, res.Header)
		if res.StatusCode >= http.StatusOK || res.StatusCode < http.StatusContinue {
			c.take(res)
			return nil
		}
		if c.Inform != nil {
			if err := c.Inform(res.StatusCode); err != nil {
				return err
			}
		}
		clear(c.Answer.Header)
	}
}

// take makes an answer that net/http has read the call's.
func (c *Call) take(res *http.Response) {
	c.Answer.StatusCode, c.Answer.ContentLength, c.Answer.Trailer = res.StatusCode, res.ContentLength, res.Trailer
	c.Answer.Close = true
	c.form, c.general = noBody, res
	if res.Body != http.NoBody {
		c.form = generalBody
	}
}

// readPlainHead reads a head that is plain and fits into the buffer; false: nothing
// was read.
func (c *Call) readPlainHead(r *bufio.Reader) bool {
	for wanted := 1; ; wanted = r.Buffered() + 1 {
		_, err := r.Peek(wanted)
		buf, _ := r.Peek(r.Buffered())
		n, chunked := parseHead(buf, c.Method, &c.Answer)
		if n == 0 && err == nil && mayBePlain(buf) {
			continue
		}
		if n == 0 {
			return false
		}
		_, _ = r.Discard(n) // they are in the buffer
		switch {
		case chunked:
			c.form, c.chunks = chunkedBody, chunks{}
		case c.Answer.ContentLength > 0 && hasBody(c.Method, c.Answer.StatusCode):
			c.form, c.left = knownBody, c.Answer.ContentLength
		default:
			c.form = noBody
		}
		return true
	}
}
