package alert

import (
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// sighting is something that may be worth an alert, or adds to one.
type sighting struct {
	Kind     Kind      `json:"kind"`
	Subject  Subject   `json:"subject"`
	N        uint64    `json:"n"`  // how often it was seen
	At       time.Time `json:"at"` // the last time
	Evidence Evidence  `json:"evidence"`
	// Total is how often all nodes together have seen it within its window, if that is
	// known.
	Total uint64 `json:"total,omitempty"`
	// Node is who saw it; empty: this one.
	Node string `json:"node,omitempty"`
	// Fails is of StoreFailing and DownstreamFailing: whether it fails, or is well.
	Fails bool `json:"fails,omitempty"`
}

func sawIntercept(rec store.Intercept, added uint64) sighting {
	s := sighting{
		Kind: KeyRefused, Subject: Subject{Hash: rec.Hash, Hint: rec.Hint}, N: added, At: store.StoredTime(rec.Last),
		Evidence: Evidence{Reason: rec.Reason, Method: cut(rec.Method, 32), Path: cut(rec.Path, 512), Observed: rec.Observed},
	}
	if rec.Last.IsZero() {
		s.At = time.Time{}
	}
	s.Evidence.addAddress(rec.ClientIP, added)
	return s
}

func sawBinding(b store.Binding, at time.Time) sighting {
	s := sighting{
		Kind: NewBinding, Subject: Subject{Hash: b.Hash, Hint: b.Hint, Label: b.Label}, N: 1, At: at,
		Evidence: Evidence{ArchivedBefore: b.ArchivedBefore},
	}
	if !b.ArchivedBefore.IsZero() {
		s.Kind = ReturnedBinding
	}
	s.Evidence.addAddress(b.FirstIP, 1)
	return s
}

func sawLockout(name string, from netip.Addr, at time.Time) sighting {
	s := sighting{Kind: LoginLockout, Subject: Subject{Account: cut(name, 64)}, N: 1, At: at}
	s.Evidence.addAddress(from, 1)
	return s
}

// sawAddress is of the kinds that are about an address.
func sawAddress(k Kind, from netip.Addr, at time.Time, evidence Evidence) sighting {
	s := sighting{Kind: k, N: 1, At: at, Evidence: evidence}
	if from.IsValid() {
		s.Subject.Network = host(from)
		s.Evidence.addAddress(from, 1)
	}
	return s
}

func sawSharing(shared engine.SharedKey, now time.Time) sighting {
	s := sighting{Kind: KeyShared, Subject: Subject{Hash: shared.Hash, Hint: cut(shared.Hint, 64)}, N: 1, At: now}
	if !shared.At.IsZero() {
		s.At = store.StoredTime(shared.At)
	}
	s.Evidence.Networks = slices.Clone(shared.Networks[:min(len(shared.Networks), maxAddresses)])
	s.Evidence.Minutes = shared.Minutes
	return s
}

func sawHealth(k Kind, err error, at time.Time) sighting {
	s := sighting{Kind: k, N: 1, At: at, Fails: err != nil}
	if err != nil {
		s.Evidence.Error = cut(err.Error(), 512)
	}
	return s
}

// see decides what comes of a sighting.
func (c *Center) see(s sighting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// It counts by its own time, as it may come late: what did not happen within the
	// window makes no alert because it was written at once.
	if now := c.stamp(); s.At.IsZero() || s.At.After(now) {
		s.At = now
	}
	switch s.Kind {
	case StoreFailing, DownstreamFailing:
		c.healthIsLocked(s)
	case KeyRefused:
		c.countRefusedLocked(s)
	case UnknownKeys:
		c.countUnknownLocked(s)
	case NewBinding:
		if c.settings.NewBindings {
			c.happenedLocked(s)
		}
	case FirstUseHeld, ManyBindings:
		if s.Subject.Network.IsValid() {
			c.happenedLocked(s)
		}
	case ReturnedBinding, LoginLockout, KeyShared:
		c.happenedLocked(s)
	}
}

func (c *Center) countRefusedLocked(s sighting) {
	if c.touchLocked(s) {
		return
	}
	total, seen := c.refused.Add(s.Subject.Hash, s.At, s.N, c.settings.Window)
	seen.merge(s.Evidence)
	if total = max(total, s.Total); total >= uint64(c.settings.ThresholdCount) { // #nosec G115 -- at least 1
		s.N, s.Evidence = total, *seen
		c.refused.Drop(s.Subject.Hash)
		c.raiseLocked(s)
	}
}

func (c *Center) countUnknownLocked(s sighting) {
	if c.settings.UnknownKeyCount == 0 || !s.Subject.Network.IsValid() || c.touchLocked(s) {
		return
	}
	id := subject{UnknownKeys, s.Subject.identity()}
	total, seen := c.unknown.Add(id, s.At, s.N, c.settings.UnknownKeyWindow)
	seen.merge(s.Evidence)
	if total = max(total, s.Total); total >= uint64(c.settings.UnknownKeyCount) { // #nosec G115 -- at least 1
		s.N, s.Evidence = total, *seen
		c.unknown.Drop(id)
		c.raiseLocked(s)
	}
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
