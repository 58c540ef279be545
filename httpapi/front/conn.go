package front

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"
)

// phase is what a connection is at.
type phase uint8

const (
	idle  phase = iota // waiting for the first byte of a request
	head               // for the rest of its head
	busy               // with a request, or with handing it over
	ended              // for whoever ended it
)

// state is the phase of a connection, in its last two bits, and how many there were
// before it: who has seen a state twice knows that nothing has happened meanwhile.
type state uint64

func (s state) phase() phase { return phase(s & 3) }

func (s state) next(to phase) state { return (s>>2+1)<<2 | state(to) }

type atomicState struct{ of atomic.Uint64 }

func (a *atomicState) Load() state { return state(a.of.Load()) }

func (a *atomicState) CompareAndSwap(old, next state) bool {
	return a.of.CompareAndSwap(uint64(old), uint64(next))
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// conn is one client's connection.
type conn struct {
	server   *Server
	rest     *handover
	net      net.Conn
	in       *socket.Reader
	cancel   context.CancelFunc
	ctx      context.Context // of all its requests
	blank    *http.Request   // with what all of them have
	target   string          // of the last request; "", which no request has: it is not kept
	url      url.URL         // what that says
	reusable *reusable       // for the next request; nil: others may hold those of the last one
	answer   answer
	post     bool // the last request was one

	state atomicState
	seen  state     // at the server's last look; guarded by its lock
	since time.Time // when it was there first; likewise

	mu       sync.Mutex
	bodyLeft bool          // of the request under way
	wanted   bool          // to watch for the client's going
	watching chan struct{} // closed when that has ended; nil: nobody does

	readLimited, writeLimited atomic.Bool // a deadline was set
}

func newConn(base context.Context, s *Server, nc net.Conn, rest *handover) *conn {
	c := &conn{server: s, net: nc, rest: rest, in: socket.NewReader(nc), since: time.Now()}
	c.ctx, c.cancel = context.WithCancel(base)
	if s.ConnContext != nil {
		c.ctx = s.ConnContext(c.ctx, nc)
	}
	c.answer.conn = c
	return c
}

// become enters the next phase; false: the connection has been ended.
func (c *conn) become(from, to phase) bool {
	now := c.state.Load()
	return now.phase() == from && c.state.CompareAndSwap(now, now.next(to))
}

// endAt ends the connection if it still is in a state. It reports whether it has.
func (c *conn) endAt(s state) bool {
	if !c.state.CompareAndSwap(s, s.next(ended)) {
		return false
	}
	_ = c.net.Close() // whatever is left of it is of no use
	return true
}

// cut ends it, whatever it is at.
func (c *conn) cut() {
	_ = c.net.Close()
	c.cancel()
}

// serve serves requests until the connection ends, or is handed over.
func (c *conn) serve() {
	given := false
	defer func() { c.end(given, recover()) }()
	for {
		r, plain := c.next()
		switch {
		case r != nil:
		case plain:
			return
		default:
			given = c.rest.give(c.net, append([]byte(nil), c.in.Bytes()...))
			return
		}
		if !c.exchange(r) || !c.become(busy, idle) || c.server.closing.Load() {
			return
		}
	}
}

// end ends what a handler has left, and the connection, unless net/http has it now.
func (c *conn) end(given bool, panicked any) {
	if err, ok := panicked.(error); panicked != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
		c.server.logf("http: panic serving %v: %v\n%s", c.net.RemoteAddr(), panicked, debug.Stack())
	}
	c.cancel()
	if !given {
		if panicked != nil {
			_ = c.answer.write() // what the handler has flushed is the client's
		}
		_ = c.net.Close()
	}
	c.mu.Lock()
	watching := c.watching
	c.mu.Unlock()
	if watching != nil {
		<-watching
	}
	c.in.Release()
	c.answer.release()
	c.server.forget(c)
}

// next returns the next request. If there is none, it reports whether that is the
// connection's end; if not, what there is of a request is not plain.
func (c *conn) next() (r *http.Request, plain bool) {
	at := idle
	for {
		if c.post { // as net/http does, for old clients
			c.skipLineBreaks()
		}
		if buf := c.in.Bytes(); len(buf) > 0 {
			r, n, more := c.parse(buf)
			if !more {
				if !c.become(at, busy) {
					return nil, true
				}
				c.in.Discard(n)
				return r, false
			}
			if at == idle && !c.become(idle, head) {
				return nil, true
			}
			at = head
		}
		err := c.in.Fill()
		switch {
		case errors.Is(err, socket.ErrFull):
			return nil, !c.become(at, busy)
		case err != nil:
			return nil, true
		case at == idle:
			if !c.become(idle, head) {
				return nil, true
			}
			at = head
		}
	}
}

// maxLineBreaks is how many bytes of line breaks may stand between two requests.
const maxLineBreaks = 4

func (c *conn) skipLineBreaks() {
	buf := c.in.Bytes()
	if len(buf) == 0 {
		return
	}
	n := 0
	for n < min(len(buf), maxLineBreaks) && (buf[n] == '\r' || buf[n] == '\n') {
		n++
	}
	c.in.Discard(n)
	c.post = false
}

// exchange has a request served, and reports whether another one may follow.
func (c *conn) exchange(r *http.Request) bool {
	b, _ := r.Body.(*body)
	c.mu.Lock()
	c.bodyLeft = b != nil
	c.mu.Unlock()
	if b == nil && len(c.in.Bytes()) == 0 {
		c.in.Release()
	}
	c.post = r.Method == http.MethodPost
	w := &c.answer
	w.begin(r, b)
	c.server.Handler.ServeHTTP(w, r)
	w.finish()
	if w.recycle {
		c.reusable.forget()
	} else {
		c.reusable = nil
	}
	c.unwatch()
	c.unlimit()
	if w.failed == nil && w.closes && b.isLeft() {
		c.linger()
	}
	return w.failed == nil && !w.closes && c.ctx.Err() == nil
}

// unlimit takes back the deadlines that a handler has set.
func (c *conn) unlimit() {
	if c.readLimited.Swap(false) {
		_ = c.net.SetReadDeadline(time.Time{}) // only fails where all else does
	}
	if c.writeLimited.Swap(false) {
		_ = c.net.SetWriteDeadline(time.Time{})
	}
}

// lingerTime is how long a client is listened to that has an answer and still sends.
const lingerTime = 500 * time.Millisecond

// linger lets a client that still sends read its answer: were the connection closed
// at once, its system would throw the answer away. RFC 9112 section 9.6.
func (c *conn) linger() {
	if closeWrite(c.net) != nil {
		return
	}
	_ = c.net.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, c.net) // its end is what is waited for
}

// watch has the requests' context cancelled when the client goes, as soon as the
// body of the request has come.
func (c *conn) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
	c.watchNow()
}

// bodyEnded notes that it has come.
func (c *conn) bodyEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodyLeft = false
	if len(c.in.Bytes()) == 0 {
		c.in.Release()
	}
	c.watchNow()
}

// watchNow begins to watch if that is wanted, and nobody reads. The caller holds mu.
func (c *conn) watchNow() {
	if !c.wanted || c.bodyLeft || c.watching != nil {
		return
	}
	done := make(chan struct{})
	c.watching = done
	go func() {
		defer close(done)
		if c.in.AwaitEnd() {
			c.cancel()
		}
	}()
}

// unwatch ends that: the connection's bytes are the next request's.
func (c *conn) unwatch() {
	c.mu.Lock()
	watching := c.watching
	c.watching, c.wanted = nil, false
	c.mu.Unlock()
	if watching != nil {
		_ = c.net.SetReadDeadline(longAgo)
		<-watching
		c.readLimited.Store(true)
	}
}
