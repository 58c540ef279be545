package ipset

import (
	"net"
	"net/netip"
)

// Reach is how much of a prefix is inside a set.
type Reach int

// How much it can be.
const (
	ReachesNone Reach = iota
	ReachesPart
	ReachesWhole // one prefix of the set covers it; several that do so together are ReachesPart
)

// Reach returns how much of a masked prefix is inside. Unlike Contains, it
// remembers nothing.
func (s *Set) Reach(p netip.Prefix) Reach {
	switch {
	case s == nil || !p.IsValid():
		return ReachesNone
	case s.trie == nil:
		return reachOf(s.single, p)
	}
	// Both fail only for what is no address, which p has been checked for.
	around, _ := s.trie.ContainingNetworks(p.Addr().AsSlice())
	for _, entry := range around {
		n := entry.Network()
		if ones, _ := n.Mask.Size(); ones <= p.Bits() {
			return ReachesWhole
		}
	}
	within, _ := s.trie.CoveredNetworks(net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	if len(within) > 0 {
		return ReachesPart
	}
	return ReachesNone
}

func reachOf(inner, p netip.Prefix) Reach {
	switch {
	case !inner.IsValid() || !inner.Overlaps(p):
		return ReachesNone
	case inner.Bits() <= p.Bits():
		return ReachesWhole
	default:
		return ReachesPart
	}
}
