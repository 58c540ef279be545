package bindcache

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/key-ip-sentinel/sentinel/store"
)

// source counts the uses of a key from one address since the last TakeUsage.
type source struct {
	ip   netip.Addr // the zero Addr: of all addresses that there was no room for
	hits atomic.Uint64
}

// addresses are the sources of a key, as many as a day has networks. Who looks for
// one takes no lock.
type addresses struct {
	list atomic.Pointer[[]*source] // never changed: a new one takes its place

	mu    sync.Mutex // guards changes of list, and what follows
	rest  source     // of all others
	other netip.Addr // the last one of these
}

func newAddresses() *addresses {
	a := new(addresses)
	a.list.Store(new([]*source))
	return a
}

// of returns the source that a use from an address is to be counted with.
func (a *addresses) of(ip netip.Addr) *source {
	if s := a.find(ip); s != nil {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.find(ip)
	switch {
	case s != nil:
		return s
	case len(*a.list.Load()) >= store.UsageNetworks:
		a.other = ip
		return &a.rest
	}
	s = &source{ip: ip}
	a.addLocked(s)
	return s
}

func (a *addresses) find(ip netip.Addr) *source {
	for _, s := range *a.list.Load() {
		if s.ip == ip {
			return s
		}
	}
	return nil
}

func (a *addresses) addLocked(s *source) {
	longer := append(slices.Clip(*a.list.Load()), s)
	a.list.Store(&longer)
}

// keep puts a source back on the list if TakeUsage has taken it off between its
// being found and its first use.
func (a *addresses) keep(s *source) {
	if s == &a.rest {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(*a.list.Load(), s) {
		a.addLocked(s)
	}
}

// take moves what was counted into a touch, and lets go of the sources that were
// not used, but for the last one. Its use may have been before the last take.
func (a *addresses) take(t *store.Touch, last *source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.LastIP = last.ip
	if last == &a.rest {
		t.LastIP = a.other
	}
	t.Elsewhere = a.rest.hits.Swap(0)
	t.Hits += t.Elsewhere
	list := *a.list.Load()
	kept := make([]*source, 0, len(list))
	for _, s := range list {
		n := s.hits.Swap(0)
		t.Hits += n
		if n > 0 && s.ip != t.LastIP {
			t.Addresses = addHits(t.Addresses, s.ip, n)
		}
		if n > 0 || s == last {
			kept = append(kept, s)
		}
	}
	if len(kept) < len(list) {
		a.list.Store(&kept)
	}
}

// addHits adds to the hits of an address, of which there may have been two sources:
// one was taken off the list, and then kept.
func addHits(list []store.AddressHits, ip netip.Addr, n uint64) []store.AddressHits {
	if i := slices.IndexFunc(list, func(a store.AddressHits) bool { return a.IP == ip }); i >= 0 {
		list[i].Hits += n
		return list
	}
	return append(list, store.AddressHits{IP: ip, Hits: n})
}
