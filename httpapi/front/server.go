// Package front serves the plain requests of clients, and leaves everything else to
// net/http. A request is plain if its head is read in the same way by everybody
// (package plainhead), its body has a length, and it asks for nothing unusual: no
// upgrade, no Expect, no chunks, no HTTP/1.0. The first request of a connection that
// is not plain takes the connection along: net/http reads it from that request's
// first byte on, as if it had been there from the start.
//
// net/http watches for the client's going with a goroutine, a read and two deadlines
// for each request, and buffers for each connection. Here a request costs a read and a
// write; its client is watched where it lasts; a connection that waits, for a
// request or for the next event of a stream, holds no buffer.
package front

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"
)

// Server is an http.Server that serves plain requests itself. Its handler is the
// same for all, and so are ReadHeaderTimeout, IdleTimeout, BaseContext and ConnContext.
// What it answers with is less of a ResponseWriter than net/http's: it guesses no
// Content-Type and cannot be hijacked.
type Server struct {
	*http.Server

	// Takes reports whether the requests of a path may be served here; nil: none may.
	Takes func(path string) bool

	closing atomic.Bool
	mu      sync.Mutex
	conns   map[*conn]struct{}
	look    *time.Timer // at conns; nil: none is due
}

// Serve accepts connections until Shutdown or Close. As with net/http, connections
// may outlive it: Shutdown waits for them.
func (s *Server) Serve(l net.Listener) error {
	if s.Takes == nil || !socket.Supported {
		return s.Server.Serve(l)
	}
	rest := newHandover(l)
	var accepting sync.WaitGroup
	defer accepting.Wait()
	accepting.Go(func() { rest.fail(s.accept(l, rest)) })
	return s.Server.Serve(rest)
}

// Bounds of how long to wait where accepting fails for want of something.
const (
	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second
)

func (s *Server) accept(l net.Listener, rest *handover) error {
	base := context.Background()
	if s.BaseContext != nil {
		base = s.BaseContext(l)
	}
	delay := minAcceptDelay
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			delay = minAcceptDelay
			s.start(base, nc, rest)
		case isTemporary(err):
			s.logf("http: accept: %v; again in %v", err, delay)
			time.Sleep(delay)
			delay = min(2*delay, maxAcceptDelay)
		default:
			return err
		}
	}
}

// isTemporary says it as net/http does.
func isTemporary(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Temporary() //nolint:staticcheck // there is no other word for "too many open files"
}

func (s *Server) start(base context.Context, nc net.Conn, rest *handover) {
	c := newConn(base, s, nc, rest)
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		c.cut()
		return
	}
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
	if s.look == nil {
		s.look = time.AfterFunc(s.every(), s.lookAtAll)
	}
	s.mu.Unlock()
	go c.serve()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

func (s *Server) logf(format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
	}
}

// waitEvery is how often Shutdown looks.
const waitEvery = 10 * time.Millisecond

// Shutdown ends idle connections, lets the others end their request, and waits for
// that, or for ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closing.Store(true)
	err := s.Server.Shutdown(ctx)
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	for s.endIdle() > 0 {
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
	return err
}

// endIdle ends the connections that wait for a request, and returns how many others
// there are.
func (s *Server) endIdle() (left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		now := c.state.Load()
		if now.phase() != ended && (now.phase() != idle || !c.endAt(now)) {
			left++
		}
	}
	return left
}

// Close ends all connections.
func (s *Server) Close() error {
	s.closing.Store(true)
	err := s.Server.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cut()
	}
	return err
}

// Bounds of how often connections are looked at: a tenth of the limits that they
// have.
const (
	minLook = 5 * time.Millisecond
	maxLook = time.Second
)

func (s *Server) every() time.Duration {
	every := maxLook
	for _, limit := range []time.Duration{s.ReadHeaderTimeout, s.IdleTimeout} {
		if limit > 0 {
			every = max(min(every, limit/10), minLook)
		}
	}
	return every
}

// lookAtAll ends the connections that have waited for too long. One look at all of
// them now and then spares every request its deadlines.
func (s *Server) lookAtAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for c := range s.conns {
		at := c.state.Load()
		if at != c.seen {
			c.seen, c.since = at, now
			continue
		}
		limit := s.ReadHeaderTimeout
		if at.phase() == idle {
			limit = s.IdleTimeout
		}
		if at.phase() != busy && limit > 0 && now.Sub(c.since) >= limit {
			c.endAt(at)
		}
	}
	s.look = nil
	if len(s.conns) > 0 {
		s.look = time.AfterFunc(s.every(), s.lookAtAll)
	}
}
