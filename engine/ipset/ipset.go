// Package ipset answers whether an address is inside a set of prefixes.
package ipset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/yl2chen/cidranger"
)

const (
	memoBits  = 6
	memoSlots = 1 << memoBits
)

// Set is an immutable set of prefixes. It is safe for concurrent use. A nil
// *Set and a set of no prefixes contain nothing.
//
// Most sets are the one prefix of a binding made by a first use: they are
// answered by comparing with it. Sets of several prefixes are kept in the
// path-compressed trie of cidranger, whose cost does not grow with their
// number, but which allocates at every look-up. A rule or a list of trusted
// proxies is asked about the same few addresses again and again, so a small
// memo stands in front of the trie.
//
// The memo needs no lock because the set never changes: a verdict once found
// stays right, so a slot that is overwritten by another goroutine costs a
// look-up in the trie at worst. Somebody who sends from many addresses can
// empty it, and gains only that the trie is asked.
type Set struct {
	single netip.Prefix     // valid if the set is one prefix
	trie   cidranger.Ranger // not nil if there are several
	memo   *memo            // not nil if trie is not
}

type memo [memoSlots]atomic.Pointer[verdict]

type verdict struct {
	addr   netip.Addr
	inside bool
}

// New returns the set of the prefixes, which may overlap and repeat; the slice
// stays the caller's. The error names each prefix that is invalid, IPv4-mapped
// or has host bits set.
func New(prefixes []netip.Prefix) (*Set, error) {
	var faults []error
	for _, p := range prefixes {
		if err := validate(p); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	outer := withoutCovered(prefixes)
	switch len(outer) {
	case 0:
		return &Set{}, nil
	case 1:
		return &Set{single: outer[0]}, nil
	}
	trie := cidranger.NewPCTrieRanger()
	for _, p := range outer {
		ipNet := net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
		if err := trie.Insert(cidranger.NewBasicRangerEntry(ipNet)); err != nil {
			return nil, fmt.Errorf("insert prefix %s: %w", p, err)
		}
	}
	return &Set{trie: trie, memo: new(memo)}, nil
}

func validate(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("invalid prefix")
	case p.Addr().Is4In6():
		return fmt.Errorf("prefix %s is IPv4-mapped, write it as IPv4", p)
	case p != p.Masked():
		return fmt.Errorf("prefix %s has host bits set, meant is %s", p, p.Masked())
	}
	return nil
}

// withoutCovered returns the prefixes that no other one of them covers, sorted.
// The trie is smaller for it.
func withoutCovered(prefixes []netip.Prefix) []netip.Prefix {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, netip.Prefix.Compare)
	// A prefix sorts right after those that cover it and before all that they
	// do not cover, so only the last one kept can cover the next.
	outer := sorted[:0]
	for _, p := range sorted {
		if n := len(outer); n == 0 || !outer[n-1].Overlaps(p) {
			outer = append(outer, p)
		}
	}
	return outer
}

// Contains reports whether addr is inside. An IPv4-mapped address is read as
// the IPv4 address that it stands for; an invalid one, and one with a zone, is
// inside nothing.
func (s *Set) Contains(addr netip.Addr) bool {
	if s == nil || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	if s.trie == nil {
		return s.single.Contains(addr)
	}
	slot := &s.memo[slotOf(addr)]
	if v := slot.Load(); v != nil && v.addr == addr {
		return v.inside
	}
	// The trie takes every address of 4 or 16 bytes. The invalid one has none,
	// is an error, and so is outside.
	inside, err := s.trie.Contains(addr.AsSlice())
	inside = inside && err == nil
	slot.Store(&verdict{addr: addr, inside: inside})
	return inside
}

// slotOf spreads addresses over the memo by multiplying with odd constants and
// taking the top bits, which all bits of the address reach.
func slotOf(addr netip.Addr) uint64 {
	b := addr.As16()
	high, low := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	return (high*0x9e3779b97f4a7c15 ^ low*0xd6e8feb86659fd93) >> (64 - memoBits)
}
