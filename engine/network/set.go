package network

import (
	"net/netip"
	"sync/atomic"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

// Set is what a name stands for now. It stays the same one while the network is
// changed, removed and made anew, so that who has it sees each change at once. A
// name that stands for nothing is a Set that contains nothing.
type Set struct {
	name     string
	prefixes atomic.Pointer[ipset.Set] // nil: it stands for nothing
}

// Name returns the name.
func (s *Set) Name() string { return s.name }

// Contains reports whether the network has an address.
func (s *Set) Contains(addr netip.Addr) bool { return s.prefixes.Load().Contains(addr) }
