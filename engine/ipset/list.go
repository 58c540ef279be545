package ipset

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// List is an immutable set of prefixes, for lists of a hundred thousand of which
// single ones come and go: it is made anew in a few milliseconds, where a trie
// takes a hundred times as long, and asking it allocates nothing. It is safe for
// concurrent use. A nil *List contains nothing.
type List struct {
	v4 []span4        // in order, none overlapping another
	v6 []netip.Prefix // likewise
}

// span4 is one IPv4 prefix by its first and last address.
type span4 struct{ first, last uint32 }

// NewList returns the list of the prefixes, which may overlap and repeat: of those
// that lie within each other the outermost counts. The slice stays the caller's.
// The prefixes must be valid and masked, and not IPv4-mapped.
func NewList(prefixes []netip.Prefix) *List {
	l := new(List)
	for _, p := range withoutCovered(prefixes) {
		if !p.Addr().Is4() {
			l.v6 = append(l.v6, p)
			continue
		}
		first := number4(p.Addr())
		l.v4 = append(l.v4, span4{first, first | uint32(1<<(p.Addr().BitLen()-p.Bits())-1)}) // #nosec G115 -- at most 32 ones
	}
	return l
}

func number4(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Find returns the prefix that an address is inside. An IPv4-mapped address is
// read as the IPv4 address that it stands for; an invalid one, and one with a
// zone, is inside none.
func (l *List) Find(addr netip.Addr) (p netip.Prefix, inside bool) {
	if l == nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	if addr = addr.Unmap(); addr.Is4() {
		return l.find4(number4(addr), addr)
	}
	i, found := slices.BinarySearchFunc(l.v6, addr, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	if !found {
		i-- // the last one that begins before it
	}
	if i < 0 || !l.v6[i].Contains(addr) {
		return netip.Prefix{}, false
	}
	return l.v6[i], true
}

func (l *List) find4(n uint32, addr netip.Addr) (netip.Prefix, bool) {
	lo, hi := 0, len(l.v4) // the answer, if there is one, is the last that begins at or before n
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); l.v4[mid].first <= n { // #nosec G115 -- not negative
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 || l.v4[lo-1].last < n {
		return netip.Prefix{}, false
	}
	s := l.v4[lo-1]
	p, err := addr.Prefix(addr.BitLen() - bits.Len32(s.last-s.first))
	return p, err == nil
}

// Contains reports whether an address is inside, as Find does.
func (l *List) Contains(addr netip.Addr) bool {
	_, inside := l.Find(addr)
	return inside
}

// Len returns how many prefixes there are, without those inside others.
func (l *List) Len() int {
	if l == nil {
		return 0
	}
	return len(l.v4) + len(l.v6)
}
