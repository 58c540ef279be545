package downstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"
)

// Call is one request and its answer. The zero Call is ready, and so is one that
// was closed: it may be used again. Its methods belong to the one goroutine that
// serves the request, but for Cancel and Waits.
type Call struct {
	// The request. Nothing is added to Header; what it says of the length, the
	// host and the connection is left out.
	Method string
	Target string // as it is to stand in the request line
	Host   string
	Header http.Header
	// Body is read by Do, and on from there on another goroutine, which may be at it
	// after Close; nil: there is none. It is not closed.
	Body   io.Reader
	Length int64 // of Body; 0 or less: unknown

	// Inform is told of an informational answer before Do returns, with its header
	// in Answer; nil: nobody is.
	Inform func(status int) error

	// Answer is there once Do has returned: its status, header, length and Close.
	// Its trailers are there at the end of the body. If Header is set before, it is
	// filled, and otherwise made.
	Answer http.Response

	head      []byte  // of the request, and what goes out with it
	headBuf   *[]byte // where that lies; nil: it is given back
	sentWhole func()  // made once

	form       bodyForm // of the answer
	left       int64    // of a body of known length
	chunks     chunks
	ahead      []byte         // of the body, that Read had no room for
	general    *http.Response // that net/http has read
	generalErr error          // of its body, to be told

	sending  atomic.Pointer[sending] // the body of the request; nil: it has none
	gone     atomic.Bool             // the request is out whole, and there is no sending
	headCame atomic.Bool

	mu        sync.Mutex // held by the serving goroutine where it changes what follows, by others where they read it
	conn      *conn      // of the exchange under way; nil: there is none
	cancelled bool
	cancel    func() // more to do on Cancel; nil: nothing
}

// bodyForm is how an answer's body is framed, and who reads it.
type bodyForm int

const (
	noBody      bodyForm = iota
	knownBody            // its length is
	chunkedBody          // RFC 9112 section 7.1
	generalBody          // net/http does
)

// Reset makes the call ready for another request. Nobody may cancel it any more.
func (c *Call) Reset() {
	c.Method, c.Target, c.Host, c.Header, c.Body, c.Length = "", "", "", nil, nil, 0
	c.Answer, c.form, c.left, c.chunks = http.Response{}, noBody, 0, chunks{}
	c.ahead, c.general, c.generalErr = nil, nil, nil
	c.sending.Store(nil)
	c.gone.Store(false)
	c.headCame.Store(false)
	c.cancelled, c.cancel = false, nil
}

// IsUnusual reports whether a request is not for Do, but for an http.Transport.
func IsUnusual(r *http.Request) bool {
	return r.Method == http.MethodConnect || r.Trailer != nil ||
		len(r.Header["Upgrade"]) > 0 || len(r.Header["Expect"]) > 0
}

// isRepeatable reports whether the request may be sent twice.
func (c *Call) isRepeatable() bool {
	if c.Body != nil {
		return false // which has been read
	}
	switch c.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// Cancel ends the call, now or as soon as it begins: the downstream hears of it
// at once, whatever the goroutine that serves the request is doing just then. It
// does not block.
func (c *Call) Cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelled = true
	if c.conn != nil {
		c.conn.close()
	}
	if c.cancel != nil {
		c.cancel()
	}
}

// OnCancel has do called by Cancel, or at once if that was before; nil: nothing
// more. It is for who carries the request in another way.
func (c *Call) OnCancel(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = do
	if c.cancelled && do != nil {
		do()
	}
}

// Waits reports whether the request has gone out whole, and the head of its
// answer has not come.
func (c *Call) Waits() bool {
	if c.headCame.Load() {
		return false
	}
	s := c.sending.Load()
	return c.gone.Load() || s != nil && s.isSent()
}

// attach makes a connection the call's; false: it was cancelled.
func (c *Call) attach(pc *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancelled {
		return false
	}
	c.conn = pc
	return true
}

// detach ends the use of the connection, and reports whether the call was
// cancelled: then that is closed.
func (c *Call) detach() (cancelled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
	return c.cancelled
}

// exchange sends the request and reads the head of its answer. The connection is
// the answer's from then on.
func (c *Call) exchange(pc *conn) error {
	if !c.attach(pc) {
		pc.close()
		return context.Canceled
	}
	pc.read.Silent = true
	if err := c.ask(pc); err != nil {
		if c.detach() {
			err = context.Canceled
		}
		pc.read.Release()
		pc.close()
		return err
	}
	c.headCame.Store(true)
	if c.form == noBody {
		c.finish(true) // nobody need read it to its end
	}
	return nil
}

func (c *Call) ask(pc *conn) error {
	pc.read.Limit = MaxHeadBytes
	defer func() { pc.read.Limit = -1 }()
	if err := c.send(pc); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	err := c.readHead(pc)
	if err == nil {
		return nil
	}
	if bodyErr := c.sending.Load().bodyError(); bodyErr != nil {
		return bodyErr // why there was no answer
	}
	return err
}

// Next returns the next bytes of the body of the answer, at least one, which are
// valid until the next call; or an error, which is io.EOF only behind a whole body.
func (c *Call) Next() ([]byte, error) {
	if c.conn == nil {
		return nil, io.EOF
	}
	if piece := c.ahead; len(piece) > 0 {
		c.ahead = nil
		return piece, nil
	}
	piece, err := c.next(c.conn.read)
	if err == nil {
		return piece, nil
	}
	switch c.form {
	case chunkedBody:
		c.Answer.Trailer = c.chunks.trailer
	case generalBody:
		c.Answer.Trailer = c.general.Trailer
	}
	whole := errors.Is(err, io.EOF)
	if cancelled := c.finish(whole); cancelled && !whole {
		return nil, context.Canceled
	}
	return nil, err
}

func (c *Call) next(r *socket.Reader) ([]byte, error) {
	switch {
	case c.form == chunkedBody:
		return c.chunks.piece(r)
	case c.form == generalBody:
		return c.nextGeneral(r)
	case c.left == 0:
		return nil, io.EOF
	}
	if err := r.Need(1); err != nil {
		return nil, broken(err)
	}
	piece := r.Bytes()
	if int64(len(piece)) > c.left {
		piece = piece[:c.left]
	}
	r.Discard(len(piece))
	c.left -= int64(len(piece))
	return piece, nil
}

// nextGeneral reads what net/http reads, into the buffer of r, which is free.
func (c *Call) nextGeneral(r *socket.Reader) ([]byte, error) {
	if err := c.generalErr; err != nil {
		return nil, err
	}
	buf := r.Buffer()
	for {
		n, err := c.general.Body.Read(buf)
		if n > 0 {
			c.generalErr = err
			return buf[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Read reads the body by way of Next.
func (c *Call) Read(buf []byte) (int, error) {
	piece, err := c.Next()
	n := copy(buf, piece)
	c.ahead = piece[n:]
	return n, err
}

// Ready reports whether Next has something without waiting.
func (c *Call) Ready() bool {
	switch {
	case c.conn == nil || len(c.ahead) > 0:
		return true
	case c.form == knownBody:
		return c.left == 0 || len(c.conn.read.Bytes()) > 0
	case c.form == chunkedBody:
		return c.chunks.isReady(c.conn.read)
	}
	return false // who knows
}

// Close ends the call, wherever it is.
func (c *Call) Close() error {
	if c.conn != nil {
		c.finish(false)
	}
	return nil
}

// finish ends the exchange as far as the answer goes; whole says whether it has
// come to its end. It reports whether the call was cancelled.
func (c *Call) finish(whole bool) (cancelled bool) {
	pc := c.conn
	c.ahead = nil
	clean := whole && !c.Answer.Close && len(pc.read.Bytes()) == 0
	pc.read.Release()
	if cancelled = c.detach(); cancelled || !clean {
		pc.close()
		return cancelled
	}
	c.sending.Load().answerEnded(pc)
	return false
}
