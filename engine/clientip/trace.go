package clientip

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// maxShownLines bounds how many lines of one header, and how many ignored
// headers, become steps.
const maxShownLines = 20

// trace gathers the steps of one Explain. Its methods do nothing on a nil
// *trace, which is what Resolve passes; their arguments must not allocate.
type trace struct {
	r     *rules
	steps []Step
}

func (t *trace) add(what, value string, believed bool, why string) {
	t.steps = append(t.steps, Step{What: what, Value: shown(value), Believed: believed, Why: why})
}

// read adds a step whose value is an address.
func (t *trace) read(what, value string, addr netip.Addr, why string) {
	t.add(what, value, true, why)
	last := &t.steps[len(t.steps)-1]
	last.Address, last.TrustedBy = addr, t.prefixOf(addr)
}

func (t *trace) peerUnreadable(remoteAddr, fault string) {
	if t == nil {
		return
	}
	t.add("peer", remoteAddr, false, "the connection has no peer address: "+fault)
}

func (t *trace) peer(remoteAddr string, p Peer) {
	if t == nil {
		return
	}
	if p.Trusted {
		t.read("peer", remoteAddr, p.Addr, fmt.Sprintf("%s is a trusted proxy (%s): its %s header is read",
			p.Addr, t.prefixOf(p.Addr), t.r.name))
		return
	}
	t.read("peer", remoteAddr, p.Addr, fmt.Sprintf("%s is no trusted proxy: it is the client IP, and no header counts", p.Addr))
}

func (t *trace) missing() {
	if t == nil {
		return
	}
	t.add("header "+t.r.name, "", false, "it is missing, and there is no second choice")
}

func (t *trace) repeated(lines []string) {
	if t == nil {
		return
	}
	for i, line := range lines[:min(len(lines), maxShownLines)] {
		t.add("header "+t.r.name, line, false,
			fmt.Sprintf("line %d of %d: which of them the proxy wrote cannot be told", i+1, len(lines)))
	}
}

func (t *trace) unreadable(value, fault string) {
	if t == nil {
		return
	}
	t.add("header "+t.r.name, value, false, fault)
}

func (t *trace) single(value string, addr netip.Addr) {
	if t == nil {
		return
	}
	t.read("header "+t.r.name, value, addr, fmt.Sprintf("a trusted proxy says so: %s is the client IP", addr))
}

func (t *trace) hop(n int) string { return fmt.Sprintf("hop %d of %s", n, t.r.name) }

func (t *trace) hopUnreadable(n int, value, fault string) {
	if t == nil {
		return
	}
	t.add(t.hop(n), value, false, fault+"; what stands left of it cannot be believed")
}

func (t *trace) hopSkipped(n int, value string, addr netip.Addr) {
	if t == nil {
		return
	}
	t.read(t.hop(n), value, addr, fmt.Sprintf("%s is a trusted proxy (%s): it is skipped, and the next one to the left is read",
		addr, t.prefixOf(addr)))
}

func (t *trace) hopStop(n int, value string, addr netip.Addr) {
	if t == nil {
		return
	}
	t.read(t.hop(n), value, addr, fmt.Sprintf(
		"%s is the first from the right that is no trusted proxy: it is the client IP, and what stands left of it is its own claim", addr))
}

func (t *trace) allTrusted(leftmost netip.Addr) {
	if t == nil {
		return
	}
	last := &t.steps[len(t.steps)-1]
	last.Why = fmt.Sprintf("%s is a trusted proxy (%s) with nobody left of it: the request is its own, and it is the client IP",
		leftmost, t.prefixOf(leftmost))
}

func (t *trace) ignored(p Peer, h http.Header, names []string) {
	why := "only " + t.r.name + " is read of a trusted proxy"
	if !p.Trusted {
		why = "the peer is no trusted proxy, so anybody may have written it"
	}
	for i, name := range names {
		if i == maxShownLines {
			t.add("headers", "", false, fmt.Sprintf("and %d more forwarding headers", len(names)-i))
			return
		}
		t.add("header "+name, withoutQuery(strings.Join(h[name], ", ")), false, why)
	}
}

// prefixOf returns the first trusted prefix that addr is inside of.
func (t *trace) prefixOf(addr netip.Addr) netip.Prefix {
	for _, p := range t.r.options.Trusted {
		if p.Contains(addr) {
			return p
		}
	}
	return netip.Prefix{}
}
