package bindcache

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Entry is what a decision needs of a binding. Its rule never changes: a change
// of the binding makes a new entry. What moves is its usage, and what the networks
// stand for that the rule names.
type Entry struct {
	Hash   store.KeyHash
	Banned bool

	all     bool
	ahead   bool // nobody has asked for it yet
	single  netip.Prefix
	several *several // not nil if the rule is neither of these

	seq uint64 // of its stripe, when it was read

	hits    atomic.Uint64             // since the last TakeUsage, where the rule is one address
	refused atomic.Uint64             // since the last TakeUsage
	last    atomic.Pointer[source]    // used last, where the rule is more than one address
	sources atomic.Pointer[addresses] // likewise
	_       [8]byte                   // to two cache lines: with many keys, each line is a wait
}

// several is a rule of several prefixes, or of networks, or one that learns.
type several struct {
	prefixes *ipset.Set
	networks []*network.Set
	rule     store.Rule
}

func (s *several) contains(ip netip.Addr) bool {
	if s.prefixes.Contains(ip) {
		return true
	}
	for _, n := range s.networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// NewEntry returns the entry of a binding, in no cache yet.
func (c *Cache) NewEntry(b store.Binding) (*Entry, error) {
	e := &Entry{Hash: b.Hash, Banned: b.Status == store.StatusBanned}
	switch b.Rule.Kind {
	case store.RuleAll:
		e.all = true
	case store.RuleSingle:
		if len(b.Rule.Prefixes) == 1 {
			e.single = b.Rule.Prefixes[0]
		}
	case store.RuleMultiple, store.RuleLearn:
		set, err := ipset.New(b.Rule.Prefixes)
		if err != nil {
			return nil, fmt.Errorf("read rule of binding %s: %w", b.Hash, err)
		}
		e.several = &several{prefixes: set, rule: b.Rule}
		for _, name := range b.Rule.Networks {
			e.several.networks = append(e.several.networks, c.networks.Set(name))
		}
	}
	return e, nil
}

// renewed returns an entry that somebody asks for at last, of one that was read ahead:
// those in use lie together in memory then, and not scattered among the others, where
// each would be on a page of its own, and a hit would take half as long again.
func (e *Entry) renewed() *Entry {
	return &Entry{Hash: e.Hash, Banned: e.Banned, all: e.all, single: e.single, several: e.several, seq: e.seq}
}

// Covers reports whether the rule lets the key be used from an address. A rule
// that could not be read, and an invalid address, are covered by nothing but
// the rule all.
func (e *Entry) Covers(ip netip.Addr) bool {
	switch {
	case e.all:
		return true
	case e.several != nil:
		return e.several.contains(ip)
	default:
		return e.single.Contains(ip)
	}
}

// Basis returns what Covers rests on: a network that the rule names, if only that
// has the address, or the rule itself.
func (e *Entry) Basis(ip netip.Addr) store.Basis {
	switch {
	case e.all:
		return store.Basis{Kind: store.BasisRule, Name: string(store.RuleAll)}
	case e.several == nil:
		return store.Basis{Kind: store.BasisRule, Name: string(store.RuleSingle)}
	case !e.several.prefixes.Contains(ip):
		for _, n := range e.several.networks {
			if n.Contains(ip) {
				return store.Basis{Kind: store.BasisNetwork, Name: n.Name()}
			}
		}
	}
	return store.Basis{Kind: store.BasisRule, Name: string(e.several.rule.Kind)}
}

// Roams reports whether the rule may let the key be used from several networks.
func (e *Entry) Roams() bool { return e.all || e.several != nil }

// NamesNetworkOf reports whether the rule names a network that has an address.
func (e *Entry) NamesNetworkOf(ip netip.Addr) bool {
	return e.several != nil && slices.ContainsFunc(e.several.networks, func(n *network.Set) bool { return n.Contains(ip) })
}

// Learns reports whether the rule takes another prefix at a time.
func (e *Entry) Learns(now time.Time) bool { return e.several != nil && e.several.rule.Learns(now) }

// Touch notes one allowed use, from an address that the rule covers, and reports
// whether it is the first one from there since the last TakeUsage: the caller then
// sees to it that TakeUsage is called.
func (e *Entry) Touch(ip netip.Addr) (first bool) {
	if e.single.IsSingleIP() {
		return e.hits.Add(1) == 1
	}
	s := e.last.Load()
	if s == nil || s.ip != ip {
		s = e.sourceOf(ip)
	}
	return s.hits.Add(1) == 1 && e.begin(s)
}

// Refuse notes one use that the rule did not allow, and reports whether it is
// the first one since the last TakeUsage, as Touch does.
func (e *Entry) Refuse() (first bool) { return e.refused.Add(1) == 1 }

// sourceOf is apart from Touch, so that only a change of address costs.
//
//go:noinline
func (e *Entry) sourceOf(ip netip.Addr) *source {
	list := e.sources.Load()
	if list == nil {
		list = newAddresses()
		if !e.sources.CompareAndSwap(nil, list) {
			list = e.sources.Load()
		}
	}
	s := list.of(ip)
	e.last.Store(s)
	return s
}

// begin sees to it that the first use of a source is found by TakeUsage.
//
//go:noinline
func (e *Entry) begin(s *source) bool {
	e.sources.Load().keep(s)
	return true
}

// TakeUsage returns what Touch and Refuse have noted since the last call, and
// begins anew. The uses are taken to have been now: asking the clock at each of
// them would cost more than it tells.
func (e *Entry) TakeUsage(now time.Time) store.Touch {
	t := store.Touch{Hash: e.Hash, Hits: e.hits.Swap(0), Refused: e.refused.Swap(0), LastUsed: now}
	switch last := e.last.Load(); {
	case last != nil:
		e.sources.Load().take(&t, last)
	case e.single.IsSingleIP() && t.Hits > 0:
		t.LastIP = e.single.Addr()
	}
	return t
}
