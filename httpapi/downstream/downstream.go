// Package downstream carries requests to a downstream that speaks plain
// HTTP/1.1. http.Transport gives each connection two goroutines, and each
// request several hops between them, a clone of the header and a context; here
// the goroutine that serves a request speaks to the downstream itself. That
// halves what a request costs, and what a stream holds.
//
// What is unusual (IsUnusual) is for an http.RoundTripper beside it: upgrades,
// Expect: 100-continue and trailers of a request.
//
// A connection is used again only when nothing is in doubt: the request went out
// whole, the answer came to its end, nothing came behind it, and neither side
// has spoken of closing.
package downstream

import (
	"context"
	"errors"
	"net"
	"time"
)

// Options of New. Address is required.
type Options struct {
	Address string // host:port
	// Dial opens a connection; nil: as net.Dialer does. It bounds its own time.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	MaxIdle int           // connections that wait for the next request; 0: none
	IdleAge time.Duration // how long they wait; 0: for ever
}

// Transport keeps connections to one downstream. It is safe for concurrent use.
type Transport struct {
	opts Options
	idle pool
}

// New returns a transport.
func New(opts Options) (*Transport, error) {
	if opts.Address == "" {
		return nil, errors.New("downstream transport without address")
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
func (t *Transport) CloseIdleConnections() { t.idle.close() }

// Do sends the request of c and reads the head of its answer. ctx is of the
// dialling alone: what ends the call is c.Cancel.
//
// A request whose answer does not begin is sent again on a new connection if it
// may be (RFC 9110 section 9.2.2) and the one it went out on had been used
// before: then the downstream had most likely just closed it.
func (t *Transport) Do(ctx context.Context, c *Call) error {
	if pc := t.idle.take(); pc != nil {
		err := c.exchange(pc)
		if err == nil || !pc.read.Silent || !c.isRepeatable() || errors.Is(err, context.Canceled) {
			return err
		}
	}
	pc, err := t.open(ctx, c)
	if err != nil {
		return err
	}
	return c.exchange(pc)
}

func (t *Transport) open(ctx context.Context, c *Call) (*conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.OnCancel(cancel)
	nc, err := t.opts.Dial(ctx, "tcp", t.opts.Address)
	c.OnCancel(nil)
	if err != nil {
		return nil, err
	}
	return newConn(nc, t), nil
}
