// Package downstream carries requests to a downstream that speaks plain
// HTTP/1.1. http.Transport gives each connection two goroutines, and each
// request several hops between them; here the goroutine that serves a request
// speaks to the downstream itself. That halves what a request costs, and what a
// stream holds.
//
// What is unusual goes to an http.RoundTripper beside it: upgrades,
// Expect: 100-continue and trailers of a request. Answers are read by
// http.ReadResponse, so that they are understood as net/http understands them.
//
// A connection is used again only when nothing is in doubt: the request went out
// whole, the answer came to its end, nothing came behind it, and neither side
// has spoken of closing.
package downstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options of New. Address and Fallback are required.
type Options struct {
	Address string // host:port
	// Fallback takes the requests that Transport does not.
	Fallback http.RoundTripper
	// Dial opens a connection; nil: as net.Dialer does. It bounds its own time.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ResponseTimeout is how long the head of an answer may take once the request
	// has been sent; 0: for ever.
	ResponseTimeout time.Duration
	MaxIdle         int           // connections that wait for the next request; 0: none
	IdleAge         time.Duration // how long they wait; 0: for ever
}

// Transport is an http.RoundTripper for one downstream. It is safe for
// concurrent use.
type Transport struct {
	opts Options
	idle pool
}

// New returns a transport.
func New(opts Options) (*Transport, error) {
	if opts.Address == "" || opts.Fallback == nil {
		return nil, errors.New("downstream transport without address or fallback")
	}
	if opts.Dial == nil {
		opts.Dial = new(net.Dialer).DialContext
	}
	t := &Transport{opts: opts}
	t.idle.max, t.idle.age = opts.MaxIdle, opts.IdleAge
	return t, nil
}

// CloseIdleConnections closes the connections that wait, and those that come
// back later.
func (t *Transport) CloseIdleConnections() {
	t.idle.close()
	if f, ok := t.opts.Fallback.(interface{ CloseIdleConnections() }); ok {
		f.CloseIdleConnections()
	}
}

// RoundTrip sends a request and returns the answer, whose body must be closed.
// A request whose answer does not begin is sent again on a new connection if it
// may be (RFC 9110 section 9.2.2) and the one it went out on had been used
// before: then the downstream had most likely just closed it.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if isUnusual(req) {
		return t.opts.Fallback.RoundTrip(req)
	}
	if c := t.idle.take(); c != nil {
		res, err := c.exchange(req)
		if err == nil || !c.silent || !isRepeatable(req) || req.Context().Err() != nil {
			return res, err
		}
	}
	c, err := t.open(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	return c.exchange(req)
}

// isUnusual reports whether a request is the fallback's.
func isUnusual(req *http.Request) bool {
	return req.URL.Scheme != "http" || req.Method == http.MethodConnect || req.Trailer != nil ||
		len(req.Header["Upgrade"]) > 0 || len(req.Header["Expect"]) > 0 || len(req.Header["Trailer"]) > 0
}

// isRepeatable reports whether a request may be sent twice.
func isRepeatable(req *http.Request) bool {
	if hasBody(req) {
		return false // which has been read
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // as http.RoundTripper demands
	}
}

func (t *Transport) open(ctx context.Context) (*conn, error) {
	c, err := t.opts.Dial(ctx, "tcp", t.opts.Address)
	if err != nil {
		return nil, err
	}
	return newConn(c, t), nil
}

// pool holds the connections that wait, the one that was used last on top: so
// the others age, and go.
type pool struct {
	max int
	age time.Duration

	mu     sync.Mutex
	conns  []*conn
	closed bool
	reaper *time.Timer
}

// take returns a connection on which the downstream has neither spoken nor
// closed, or nil.
func (p *pool) take() *conn {
	for {
		p.mu.Lock()
		n := len(p.conns)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.conns[n-1]
		p.conns[n-1] = nil
		p.conns = p.conns[:n-1]
		p.mu.Unlock()
		if c.isQuiet() {
			return c
		}
		c.close()
	}
}

// put takes a connection back that is clean.
func (p *pool) put(c *conn) {
	c.since = time.Now()
	p.mu.Lock()
	if p.closed || len(p.conns) >= p.max {
		p.mu.Unlock()
		c.close()
		return
	}
	p.conns = append(p.conns, c)
	if p.reaper == nil && p.age > 0 {
		p.reaper = time.AfterFunc(p.age, p.reap)
	}
	p.mu.Unlock()
}

// reap closes what has waited for too long.
func (p *pool) reap() {
	p.mu.Lock()
	n, now := 0, time.Now()
	for n < len(p.conns) && now.Sub(p.conns[n].since) >= p.age {
		n++
	}
	old := append([]*conn(nil), p.conns[:n]...)
	p.conns = append(p.conns[:0], p.conns[n:]...)
	clear(p.conns[len(p.conns):cap(p.conns)])
	p.reaper = nil
	if len(p.conns) > 0 {
		p.reaper = time.AfterFunc(p.age-now.Sub(p.conns[0].since), p.reap)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	old := p.conns
	p.conns, p.closed = nil, true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}
