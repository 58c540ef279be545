package bindcache

import (
	"net/netip"
	"sync"

	"github.com/key-ip-sentinel/sentinel/store"
)

// addresses are the distinct addresses that a key was allowed from since the
// last TakeUsage, as many as the store keeps.
type addresses struct {
	mu   sync.Mutex
	list []*netip.Addr // each points to what does not change
}

// add puts an address on the list, unless it is there or the list is full. It
// returns a pointer to the address: that on the list, the one given, or a new
// one.
func (a *addresses) add(ip netip.Addr, p *netip.Addr) *netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, there := range a.list {
		if *there == ip {
			return there
		}
	}
	if p == nil {
		p = new(ip) // here, so that nothing is allocated above
	}
	if len(a.list) < store.UsageAddresses {
		a.list = append(a.list, p)
	}
	return p
}

// take empties the list.
func (a *addresses) take() []netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.list) == 0 {
		return nil
	}
	taken := make([]netip.Addr, len(a.list))
	for i, p := range a.list {
		taken[i] = *p
	}
	a.list = nil
	return taken
}
