package alert

import (
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// put queues an input. It never blocks: what there is no room for is counted.
func (c *Center) put(apply func()) {
	select {
	case c.inputs <- apply:
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
	if added == 0 || rec.Reason == store.ReasonCut { // a request that was let pass, and ended later
		return
	}
	c.put(func() { c.intercepted(rec, added) })
}

// Bound tells that a first use has bound a key. It never blocks.
func (c *Center) Bound(b store.Binding) {
	now := c.stamp()
	c.put(func() { c.bound(b, now) })
}

// StoreHealth tells how the last write to the store went: nil is well. It may
// be called on each change or over and over. It never blocks.
func (c *Center) StoreHealth(err error) { c.putHealth(StoreFailing, err) }

// DownstreamHealth tells whether the downstream answers: nil is well. It may be
// called on each change or over and over. It never blocks.
func (c *Center) DownstreamHealth(err error) { c.putHealth(DownstreamFailing, err) }

func (c *Center) putHealth(k Kind, err error) {
	now := c.stamp()
	c.put(func() { c.healthIs(k, err, now) })
}

// Lockout tells that wrong passwords have locked an account for an address. The
// name must be that of an account: what is typed as one may be a password. It
// never blocks.
func (c *Center) Lockout(name string, from netip.Addr) {
	now := c.stamp()
	c.put(func() { c.lockedOut(name, from, now) })
}

// UnknownKey tells that the downstream refused a key that came from an address.
// It never blocks.
func (c *Center) UnknownKey(from netip.Addr) {
	now := c.stamp()
	c.put(func() { c.unknownKey(from, now) })
}

// FirstUseHeld tells that a first use of a key bound nothing, for one of the
// reasons that package engine names. It never blocks.
func (c *Center) FirstUseHeld(from netip.Addr, hint, why string) {
	now := c.stamp()
	c.put(func() { c.heldOrMany(FirstUseHeld, from, now, Evidence{Hint: cut(hint, 64), Held: cut(why, 32)}) })
}

// ManyBindings tells that so many keys were bound from an address within an
// hour. It never blocks.
func (c *Center) ManyBindings(from netip.Addr, count int) {
	now := c.stamp()
	c.put(func() { c.heldOrMany(ManyBindings, from, now, Evidence{Bindings: count}) })
}

// KeyShared tells that several people seem to use one key. It never blocks.
func (c *Center) KeyShared(s engine.SharedKey) {
	now := c.stamp()
	networks := slices.Clone(s.Networks[:min(len(s.Networks), maxAddresses)])
	c.put(func() { c.keyShared(s, networks, now) })
}

// intercepted counts by the time of the records, which may come late: what did
// not happen within the window makes no alert because it was written at once.
func (c *Center) intercepted(rec store.Intercept, added uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := store.StoredTime(rec.Last)
	if now := c.stamp(); at.After(now) || rec.Last.IsZero() {
		at = now
	}
	what := Subject{Hash: rec.Hash, Hint: rec.Hint}
	evidence := Evidence{Reason: rec.Reason, Method: cut(rec.Method, 32), Path: cut(rec.Path, 512), Observed: rec.Observed}
	evidence.addAddress(rec.ClientIP, added)
	if c.touchLocked(KeyRefused, what, added, at, evidence) {
		return
	}
	total, seen := c.refused.Add(rec.Hash, at, added, c.settings.Window)
	seen.merge(evidence)
	if total >= uint64(c.settings.ThresholdCount) { // #nosec G115 -- at least 1
		evidence = *seen
		c.refused.Drop(rec.Hash)
		c.raiseLocked(KeyRefused, what, total, at, evidence)
	}
}

func (c *Center) unknownKey(from netip.Addr, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settings.UnknownKeyCount == 0 || !from.IsValid() {
		return
	}
	what := Subject{Network: host(from)}
	var evidence Evidence
	evidence.addAddress(from, 1)
	if c.touchLocked(UnknownKeys, what, 1, at, evidence) {
		return
	}
	id := subject{UnknownKeys, what.identity()}
	total, seen := c.unknown.Add(id, at, 1, c.settings.UnknownKeyWindow)
	seen.merge(evidence)
	if total >= uint64(c.settings.UnknownKeyCount) { // #nosec G115 -- at least 1
		evidence = *seen
		c.unknown.Drop(id)
		c.raiseLocked(UnknownKeys, what, total, at, evidence)
	}
}

func (c *Center) bound(b store.Binding, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := NewBinding
	evidence := Evidence{ArchivedBefore: b.ArchivedBefore}
	switch {
	case !b.ArchivedBefore.IsZero():
		kind = ReturnedBinding
	case !c.settings.NewBindings:
		return
	}
	evidence.addAddress(b.FirstIP, 1)
	c.happenedLocked(kind, Subject{Hash: b.Hash, Hint: b.Hint, Label: b.Label}, at, evidence)
}

func (c *Center) lockedOut(name string, from netip.Addr, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var evidence Evidence
	evidence.addAddress(from, 1)
	c.happenedLocked(LoginLockout, Subject{Account: cut(name, 64)}, at, evidence)
}

func (c *Center) heldOrMany(k Kind, from netip.Addr, at time.Time, evidence Evidence) {
	if !from.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	evidence.addAddress(from, 1)
	c.happenedLocked(k, Subject{Network: host(from)}, at, evidence)
}

func (c *Center) keyShared(s engine.SharedKey, networks []netip.Prefix, now time.Time) {
	at := store.StoredTime(s.At)
	if s.At.IsZero() || at.After(now) {
		at = now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.happenedLocked(KeyShared, Subject{Hash: s.Hash, Hint: cut(s.Hint, 64)}, at, Evidence{Networks: networks, Minutes: s.Minutes})
}

// host is what one host has of addresses: an IPv6 one changes the low 64 bits
// as it likes.
func host(address netip.Addr) netip.Prefix {
	address = address.Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(address, bits).Masked()
}

// cut bounds a text from outside; a character that it cuts through is dropped
// where the text is shown.
func cut(s string, n int) string { return s[:min(n, len(s))] }
