package alert

import (
	"net/netip"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// put queues a sighting. It never blocks: what there is no room for is counted.
func (c *Center) put(s sighting) {
	select {
	case c.inputs <- s:
	default:
		c.drop()
	}
}

func (c *Center) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped++
}

// Intercept tells of a record of refused requests, to which so many were added
// since the last call for it. It never blocks.
func (c *Center) Intercept(rec store.Intercept, added uint64) {
	if isRefusal(rec, added) {
		c.put(sawIntercept(rec, added))
	}
}

// isRefusal is false for a request that was let pass, and ended later.
func isRefusal(rec store.Intercept, added uint64) bool {
	return added > 0 && rec.Reason != store.ReasonCut
}

// Bound tells that a first use has bound a key. It never blocks.
func (c *Center) Bound(b store.Binding) { c.put(sawBinding(b, c.stamp())) }

// StoreHealth tells how the last write to the store went: nil is well. It may
// be called on each change or over and over. It never blocks.
func (c *Center) StoreHealth(err error) { c.put(sawHealth(StoreFailing, err, c.stamp())) }

// DownstreamHealth tells whether the downstream answers: nil is well. It may be
// called on each change or over and over. It never blocks.
func (c *Center) DownstreamHealth(err error) { c.put(sawHealth(DownstreamFailing, err, c.stamp())) }

// Lockout tells that wrong passwords have locked an account for an address. The
// name must be that of an account: what is typed as one may be a password. It
// never blocks.
func (c *Center) Lockout(name string, from netip.Addr) { c.put(sawLockout(name, from, c.stamp())) }

// UnknownKey tells that the downstream refused a key that came from an address.
// It never blocks.
func (c *Center) UnknownKey(from netip.Addr) {
	c.put(sawAddress(UnknownKeys, from, c.stamp(), Evidence{}))
}

// FirstUseHeld tells that a first use of a key bound nothing, for one of the
// reasons that package engine names. It never blocks.
func (c *Center) FirstUseHeld(from netip.Addr, hint, why string) {
	c.put(sawAddress(FirstUseHeld, from, c.stamp(), Evidence{Hint: cut(hint, 64), Held: cut(why, 32)}))
}

// ManyBindings tells that so many keys were bound from an address within an
// hour. It never blocks.
func (c *Center) ManyBindings(from netip.Addr, count int) {
	c.put(sawAddress(ManyBindings, from, c.stamp(), Evidence{Bindings: count}))
}

// KeyShared tells that several people seem to use one key. It never blocks.
func (c *Center) KeyShared(s engine.SharedKey) { c.put(sawSharing(s, c.stamp())) }
