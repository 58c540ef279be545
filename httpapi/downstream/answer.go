package downstream

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"
)

var errUnasked = errors.New("downstream switched protocols unasked")

// readHead reads the head of the answer, past informational ones, which it
// reports. A plain head is read in place; every other is net/http's to read, so
// that answers are understood as net/http understands them, and then the
// connection is not used again: RFC 9112 section 11.1 tells why.
func (c *Call) readHead(pc *conn) error {
	if c.Answer.Header == nil {
		c.Answer.Header = make(http.Header)
	}
	for {
		n, err := c.readPlainHead(pc.read)
		if err != nil {
			return readError(pc, err)
		}
		if n == 0 {
			return c.readGeneralHead(pc)
		}
		if c.Answer.StatusCode >= http.StatusOK {
			return nil
		}
		if err := c.inform(); err != nil {
			return err
		}
	}
}

func readError(pc *conn, err error) error {
	if errors.Is(err, socket.ErrLimit) {
		return errHeadTooLarge
	}
	if pc.read.Silent && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return fmt.Errorf("downstream closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read answer: %w", broken(err))
}

// inform passes on that an informational answer has come.
func (c *Call) inform() error {
	if c.Answer.StatusCode == http.StatusSwitchingProtocols {
		return errUnasked
	}
	if c.Inform != nil {
		if err := c.Inform(c.Answer.StatusCode); err != nil {
			return err
		}
	}
	clear(c.Answer.Header)
	return nil
}

// readPlainHead reads a head that is plain and fits into the buffer. It returns its
// length; 0: nothing was taken.
func (c *Call) readPlainHead(r *socket.Reader) (int, error) {
	if err := r.Need(1); err != nil {
		return 0, err
	}
	for {
		n, chunked := parseHead(r.Bytes(), c.Method, &c.Answer)
		if n > 0 {
			r.Discard(n)
			c.frame(chunked)
			return n, nil
		}
		if !mayBePlain(r.Bytes()) {
			return 0, nil
		}
		if err := r.Fill(); err != nil {
			return 0, nil // net/http says what that means
		}
	}
}

// frame notes how the body of the answer is framed.
func (c *Call) frame(chunked bool) {
	switch {
	case chunked:
		c.form, c.chunks = chunkedBody, chunks{}
	case c.Answer.ContentLength > 0 && hasBody(c.Method, c.Answer.StatusCode):
		c.form, c.left = knownBody, c.Answer.ContentLength
	default:
		c.form = noBody
	}
}

// readGeneralHead has net/http read the head, and the body.
func (c *Call) readGeneralHead(pc *conn) error {
	r := general(pc.read)
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: c.Method}) //nolint:bodyclose // Call reads it, and there is nothing to close
		if err != nil {
			return readError(pc, err)
		}
		maps.Copy(c.Answer.Header, res.Header)
		c.Answer.StatusCode, c.Answer.ContentLength, c.Answer.Trailer = res.StatusCode, res.ContentLength, res.Trailer
		if res.StatusCode < http.StatusContinue || res.StatusCode >= http.StatusOK {
			c.Answer.Close = true
			c.form, c.general = noBody, res
			if res.Body != http.NoBody {
				c.form = generalBody
			}
			return nil
		}
		if err := c.inform(); err != nil {
			return err
		}
	}
}
