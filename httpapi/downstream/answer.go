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
// that answers are understood as net/http understands them.
func (c *Call) readHead(pc *conn) error {
	pc.headLeft = MaxHeadBytes
	defer func() { pc.headLeft = -1 }()
	if c.Answer.Header == nil {
		c.Answer.Header = make(http.Header)
	}
	for {
		if _, err := pc.read.Peek(1); err == nil && c.readPlainHead(pc.read) {
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
	c.Answer.StatusCode, c.Answer.ContentLength, c.Answer.Close = res.StatusCode, res.ContentLength, res.Close
	c.Answer.Trailer = res.Trailer
	c.left, c.from, c.general = 0, nil, nil
	if res.Body != http.NoBody {
		c.from, c.general, c.chunked = res.Body, res, len(res.TransferEncoding) > 0
	}
}

// readPlainHead reads a head that is plain and all in the buffer; false: nothing
// was read.
func (c *Call) readPlainHead(r *bufio.Reader) bool {
	buf, _ := r.Peek(r.Buffered())
	n := parseHead(buf, c.Method, &c.Answer)
	if n == 0 {
		return false
	}
	_, _ = r.Discard(n) // they are in the buffer
	c.from, c.left = nil, max(c.Answer.ContentLength, 0)
	if !hasBody(c.Method, c.Answer.StatusCode) {
		c.left = 0
	}
	return true
}
