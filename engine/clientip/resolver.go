package clientip

import (
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
)

// Resolver finds client IPs. It is safe for concurrent use, and its settings may
// be replaced while it is used: each request is judged by those of one moment.
type Resolver struct {
	current atomic.Pointer[rules]
}

// New returns a Resolver. The error tells all faults of the options at once.
func New(o Options) (*Resolver, error) {
	r := new(Resolver)
	if err := r.Set(o); err != nil {
		return nil, err
	}
	return r, nil
}

// Set replaces the settings, from the next request on. An error changes nothing,
// and tells all faults of the options at once.
func (r *Resolver) Set(o Options) error {
	next, err := newRules(o)
	if err != nil {
		return err
	}
	r.current.Store(next)
	return nil
}

// Options returns the settings in force, with the header that is read. The slice
// is the caller's.
func (r *Resolver) Options() Options {
	o := r.current.Load().options
	o.Trusted = slices.Clone(o.Trusted)
	return o
}

// Trusts reports whether an address is inside the prefixes of trusted proxies.
func (r *Resolver) Trusts(addr netip.Addr) bool { return r.current.Load().trusted.Contains(addr) }

// Peer is the other end of a connection.
type Peer struct {
	// Addr is the peer address, without a zone and unmapped. It is invalid if
	// the peer has none, such as the other end of a Unix socket.
	Addr netip.Addr
	// Trusted is set if Addr is inside the prefixes of trusted proxies.
	Trusted bool

	by *rules // by which it was read
}

// Peer reads the RemoteAddr of a connection or request. It belongs to the
// connection, and may be kept as long as it IsCurrent. Text that is no address
// gives a Peer without one, for which Resolve returns an error; it never stands
// for an address such as 127.0.0.1.
func (r *Resolver) Peer(remoteAddr string) Peer {
	return r.current.Load().peer(remoteAddr, nil)
}

// IsCurrent reports whether a peer was read by the settings in force. Ask at
// each request: a connection may outlive the trust in its other end.
func (r *Resolver) IsCurrent(p Peer) bool { return p.by == r.current.Load() }

// Resolve returns the client IP of a request with header h from peer p, which
// is of r.Peer, by the settings that p was read by: what replaces them meanwhile
// counts from the next request on. The error is an *Error. It does not allocate
// for an untrusted peer, nor for a trusted one whose header is well formed.
//
// If every hop of X-Forwarded-For is a trusted proxy, the client IP is the
// leftmost one: that host is trusted to say who it speaks for, and named
// nobody, so the request is its own. A health check or a cron job on the proxy
// is such a request.
func (r *Resolver) Resolve(p Peer, h http.Header) (netip.Addr, error) {
	by := p.by
	if by == nil { // made by hand
		by = r.current.Load()
	}
	return by.resolve(p, h, nil)
}
