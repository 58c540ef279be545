// Package clientip finds the address that a request is judged by.
//
// The rule is short, and Resolver.Explain shows how it was applied to a request:
//
//  1. The peer address of the TCP connection is the client IP, unless it is
//     inside the prefixes of trusted proxies. Then no header counts: whoever
//     connects directly can write any.
//  2. Of a trusted proxy exactly one header counts, the configured one. It must
//     be there once. X-Forwarded-For is read from the right, skipping trusted
//     proxies, up to the first address that is none; every other header holds
//     one address.
//  3. What is missing, repeated or malformed then is an error (type Error),
//     never a guess and never a default address.
//
// Addresses have one form once they leave this package: without a zone, IPv4
// where they were IPv4-mapped IPv6 and, if so set, IPv4 where they were NAT64.
package clientip

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
)

// DefaultHeader is the header that is read if Options.Header is empty.
const DefaultHeader = "X-Real-IP"

const (
	forwardedFor = "X-Forwarded-For"
	realIP       = "X-Real-Ip"
)

// maxHops bounds how many hops of X-Forwarded-For are walked. Only trusted
// proxies are walked over, so an honest request has a handful.
const maxHops = 100

// Options are the settings of a Resolver.
type Options struct {
	// Trusted are the prefixes of the proxies that are believed. If there are
	// none, the client IP is the peer address always.
	Trusted []netip.Prefix
	// Header is the one header that is read of a trusted proxy, in any case.
	// Empty means DefaultHeader. X-Forwarded-For is read as a list, every other
	// one, such as CF-Connecting-IP, holds one address.
	Header string
	// NAT64 has addresses of 64:ff9b::/96 (RFC 6052) read as the IPv4 address
	// inside, as a peer and in headers.
	NAT64 bool
}

// rules are Options, made ready. They never change.
type rules struct {
	options Options // as given, with a list of its own
	trusted *ipset.Set
	header  string // canonical, as a key of http.Header
	name    string // as configured, for texts
	list    bool   // the header is X-Forwarded-For
	nat64   bool
}

// newRules returns the rules. The error tells all faults of the options at once.
func newRules(o Options) (*rules, error) {
	if o.Header == "" {
		o.Header = DefaultHeader
	}
	trusted, err := ipset.New(o.Trusted)
	if err = errors.Join(err, checkHeader(o.Header), checkNAT64(o)); err != nil {
		return nil, err
	}
	o.Trusted = slices.Clone(o.Trusted)
	header := textproto.CanonicalMIMEHeaderKey(o.Header)
	return &rules{options: o, trusted: trusted, header: header, name: o.Header, list: header == forwardedFor, nat64: o.NAT64}, nil
}

func checkHeader(name string) error {
	valid := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-'
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !valid(r) }) {
		return fmt.Errorf("client IP header %.80q: want letters, digits and -, such as %s", name, DefaultHeader)
	}
	switch strings.ToLower(name) {
	case "forwarded":
		return fmt.Errorf("client IP header %q (RFC 7239) is not supported: have the proxy set %s", name, DefaultHeader)
	case "host", "connection", "authorization", "proxy-authorization", "cookie", "set-cookie", "content-length", "transfer-encoding", "upgrade",
		"x-api-key", "api-key", "x-goog-api-key", "mj-api-secret", "sec-websocket-protocol":
		return fmt.Errorf("client IP header %q holds no address: did you mean %s?", name, DefaultHeader)
	}
	return nil
}

// checkNAT64 refuses trusted prefixes that no address could be inside of.
func checkNAT64(o Options) error {
	var faults []error
	for _, p := range o.Trusted {
		if o.NAT64 && p.Bits() >= store.NAT64.Bits() && store.NAT64.Overlaps(p) {
			faults = append(faults, fmt.Errorf("trusted prefix %s never matches while NAT64 addresses are read as IPv4: write it as IPv4", p))
		}
	}
	return errors.Join(faults...)
}

func (r *rules) peer(remoteAddr string, t *trace) Peer {
	addr, fault := r.parseAddr(remoteAddr)
	if fault != "" {
		t.peerUnreadable(remoteAddr, fault)
		return Peer{by: r}
	}
	p := Peer{Addr: addr, Trusted: r.trusted.Contains(addr), by: r}
	t.peer(remoteAddr, p)
	return p
}

// resolve is what both Resolve and Explain run. A nil trace records nothing.
func (r *rules) resolve(p Peer, h http.Header, t *trace) (netip.Addr, error) {
	if !p.Addr.IsValid() {
		return netip.Addr{}, r.fail(NoPeer, p, "", "")
	}
	if !p.Trusted {
		// Threat: whoever connects directly controls every header. The address
		// of the connection is all that cannot be forged, so h is not looked at.
		return p.Addr, nil
	}
	lines := h[r.header]
	switch {
	case len(lines) == 0:
		t.missing()
		return netip.Addr{}, r.fail(Missing, p, "", "")
	case r.list:
		return r.walk(p, lines, t)
	case len(lines) > 1:
		// Threat: the client sent the header and the proxy added its own rather
		// than overwrite it. Which line is whose depends on the proxy.
		t.repeated(lines)
		return netip.Addr{}, r.fail(Repeated, p, "", "")
	}
	addr, fault := r.parseAddr(lines[0])
	if fault != "" {
		t.unreadable(lines[0], fault)
		return netip.Addr{}, r.fail(Malformed, p, lines[0], fault)
	}
	t.single(lines[0], addr)
	return addr, nil
}

// walk reads X-Forwarded-For from the right. Each proxy appends the address
// that it was reached from, so what stands left of the first address that is
// no trusted proxy was written by somebody who is not trusted, and is not even
// parsed.
func (r *rules) walk(p Peer, lines []string, t *trace) (netip.Addr, error) {
	var (
		leftmost netip.Addr
		hops     int
	)
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var hop string
			rest, hop, more = cutLast(rest)
			if hops++; hops > maxHops {
				t.hopUnreadable(hops, hop, tooManyHops)
				return netip.Addr{}, r.fail(Malformed, p, hop, tooManyHops)
			}
			addr, fault := r.parseAddr(hop)
			if fault != "" {
				t.hopUnreadable(hops, hop, fault)
				return netip.Addr{}, r.fail(Malformed, p, hop, fault)
			}
			if !r.trusted.Contains(addr) {
				t.hopStop(hops, hop, addr)
				return addr, nil
			}
			t.hopSkipped(hops, hop, addr)
			leftmost = addr
		}
	}
	t.allTrusted(leftmost)
	return leftmost, nil
}

// cutLast splits a list at its last comma. more is false if there is none.
func cutLast(list string) (rest, last string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}
