package downstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readBufferBytes is what a connection holds while an answer comes: most heads
	// fit, and bodies go past it.
	readBufferBytes = 1 << 10
	// MaxHeadBytes is how large the head of an answer may be, with the
	// informational ones before it.
	MaxHeadBytes = 1 << 20
)

// Errors of answers that HTTP does not know.
var (
	errHeadTooLarge = errors.New("head of the answer is larger than 1 MiB")
	errUnasked      = errors.New("downstream switched protocols unasked")
)

// conn is one connection to the downstream, for one request at a time.
type conn struct {
	net  net.Conn
	t    *Transport
	read *bufio.Reader // of conn itself, which counts

	headLeft int64     // bytes that the head may still have; negative: not reading one
	silent   bool      // nothing of an answer has come to this request
	since    time.Time // when it began to wait
	sending  *sending  // the body of the request under way; nil: it has none
	clock    *headClock
}

func newConn(c net.Conn, t *Transport) *conn {
	pc := &conn{net: c, t: t, headLeft: -1}
	pc.read = bufio.NewReaderSize(pc, readBufferBytes)
	return pc
}

func (c *conn) close() { _ = c.net.Close() } // whatever is left of it is of no use

// Read is where the reader of answers gets its bytes.
func (c *conn) Read(buf []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, errHeadTooLarge
	}
	if c.headLeft > 0 && int64(len(buf)) > c.headLeft {
		buf = buf[:c.headLeft]
	}
	n, err := c.net.Read(buf)
	if n > 0 {
		c.silent = false
	}
	if c.headLeft > 0 {
		c.headLeft -= int64(n)
	}
	return n, err
}

// exchange sends a request and reads the head of its answer. The connection is
// the answer's body's from then on.
func (c *conn) exchange(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c.silent, c.sending, c.clock = true, nil, noClock
	if c.t.opts.ResponseTimeout > 0 {
		c.clock = new(headClock)
	}
	// The downstream hears of it at once when nobody waits for its answer any more,
	// whatever the handler is doing just then.
	release := context.AfterFunc(ctx, c.close)
	res, err := c.ask(req)
	if err != nil {
		release()
		c.close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	res.Request = req
	c.own(res, release)
	return res, nil
}

func (c *conn) ask(req *http.Request) (*http.Response, error) {
	if err := c.send(req); err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	if c.sending == nil {
		c.clock.start(c)
	}
	res, err := c.readHead(req)
	if err != nil {
		if bodyErr := c.sending.bodyError(); bodyErr != nil {
			return nil, bodyErr // why there was no answer
		}
		return nil, err
	}
	c.clock.stop(c)
	return res, nil
}

// noClock never bounds anything, and so is everybody's.
var noClock = new(headClock)

// headClock bounds the time from the end of the request to the head of its
// answer.
type headClock struct {
	mu   sync.Mutex
	over bool // the head has come, or never will
}

func (h *headClock) start(c *conn) {
	if c.t.opts.ResponseTimeout <= 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		_ = c.net.SetReadDeadline(time.Now().Add(c.t.opts.ResponseTimeout)) // fails on a closed connection only
	}
}

func (h *headClock) stop(c *conn) {
	if c.t.opts.ResponseTimeout <= 0 {
		return
	}
	h.mu.Lock()
	h.over = true
	_ = c.net.SetReadDeadline(time.Time{}) // as above
	h.mu.Unlock()
}

// readHead reads past informational answers, which it reports.
func (c *conn) readHead(req *http.Request) (*http.Response, error) {
	c.headLeft = MaxHeadBytes
	defer func() { c.headLeft = -1 }()
	for {
		res, err := http.ReadResponse(c.read, req)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) && c.silent:
			return nil, fmt.Errorf("downstream closed the connection: %w", err)
		case err != nil:
			return nil, fmt.Errorf("read answer: %w", err)
		case res.StatusCode == http.StatusSwitchingProtocols:
			return nil, errUnasked
		case res.StatusCode >= http.StatusOK || res.StatusCode < http.StatusContinue:
			return res, nil
		}
		if err := informed(req, res); err != nil {
			return nil, err
		}
	}
}

// informed reports an informational answer as http.Transport does.
func informed(req *http.Request, res *http.Response) error {
	trace := httptrace.ContextClientTrace(req.Context())
	if trace == nil {
		return nil
	}
	if res.StatusCode == http.StatusContinue && trace.Got100Continue != nil {
		trace.Got100Continue()
	}
	if trace.Got1xxResponse != nil {
		return trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header))
	}
	return nil
}

// own makes the connection the answer's: it goes back to the pool, or is closed,
// when the body ends.
func (c *conn) own(res *http.Response, release func() bool) {
	b := &answerBody{c: c, ctx: res.Request.Context(), from: res.Body, release: release, last: res.Close || res.Request.Close}
	res.Body = b
	if res.ContentLength == 0 && len(res.TransferEncoding) == 0 || res.Request.Method == http.MethodHead {
		b.finish(true) // nobody need read it to its end
	}
}

// answerBody is the body of an answer.
type answerBody struct {
	c       *conn
	ctx     context.Context // of the request
	from    io.ReadCloser
	release func() bool // of the context; false: it was cancelled
	last    bool        // the connection is not to be used again
	over    atomic.Bool
}

// Read returns io.EOF only for a whole body.
func (b *answerBody) Read(buf []byte) (int, error) {
	if b.over.Load() {
		if len(buf) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n, err := b.from.Read(buf)
	if err != nil {
		b.finish(errors.Is(err, io.EOF))
		if ctxErr := b.ctx.Err(); ctxErr != nil && !errors.Is(err, io.EOF) {
			err = ctxErr
		}
	}
	return n, err
}

// Close ends the answer, wherever it is.
func (b *answerBody) Close() error {
	b.finish(false)
	return nil
}

// finish ends the exchange as far as the answer goes; whole says whether it has
// come to its end.
func (b *answerBody) finish(whole bool) {
	if b.over.Swap(true) {
		return
	}
	uncancelled, c := b.release(), b.c
	if !whole || !uncancelled || b.last || c.read.Buffered() > 0 {
		c.close()
		return
	}
	c.sending.answerEnded(c)
}
