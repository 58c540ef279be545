package engine

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// backlogKeys bounds how many keys' usage waits while the store takes nothing.
const backlogKeys = 1_000_000

// backlog is what is still to be written. It belongs to one goroutine.
type backlog struct {
	touches  map[store.KeyHash]store.Touch
	counters map[counterID]uint64
}

type counterID struct {
	hour time.Time
	name string
}

func (b *backlog) empty() bool { return len(b.touches) == 0 && len(b.counters) == 0 }

func (b *backlog) addCounter(c store.Counter) {
	if b.counters == nil {
		b.counters = make(map[counterID]uint64)
	}
	b.counters[counterID{c.Hour, c.Name}] += c.N
}

// addTouch returns how many hits could not be kept.
func (b *backlog) addTouch(t store.Touch) (lost uint64) {
	if t.Hits == 0 && t.Refused == 0 {
		return 0
	}
	if b.touches == nil {
		b.touches = make(map[store.KeyHash]store.Touch)
	}
	have, ok := b.touches[t.Hash]
	switch {
	case ok:
		t = mergeTouches(have, t)
	case len(b.touches) >= backlogKeys:
		return t.Hits
	}
	b.touches[t.Hash] = t
	return 0
}

// mergeTouches makes one touch of two of a key. The time is that of the newer
// one with a hit; refusals may so be counted on an earlier day than theirs.
func mergeTouches(a, b store.Touch) store.Touch {
	newer, older := b, a
	if (a.Hits > 0) != (b.Hits > 0) && a.Hits > 0 || (a.Hits > 0) == (b.Hits > 0) && a.LastUsed.After(b.LastUsed) {
		newer, older = a, b
	}
	m := newer
	m.Hits += older.Hits
	m.Refused += older.Refused
	m.Elsewhere += older.Elsewhere
	m.Addresses = nil
	add := func(ip netip.Addr, n uint64) {
		i := slices.IndexFunc(m.Addresses, func(a store.AddressHits) bool { return a.IP == ip })
		switch {
		case n == 0 || ip == m.LastIP: // what the others leave is of LastIP
		case i >= 0:
			m.Addresses[i].Hits += n
		case len(m.Addresses) < store.UsageNetworks:
			m.Addresses = append(m.Addresses, store.AddressHits{IP: ip, Hits: n})
		default:
			m.Elsewhere += n
		}
	}
	for _, a := range newer.Addresses {
		add(a.IP, a.Hits)
	}
	add(older.LastIP, older.FromLast())
	for _, a := range older.Addresses {
		add(a.IP, a.Hits)
	}
	return m
}

// take empties the backlog into a batch, in the order of the hashes.
func (b *backlog) take() store.UsageBatch {
	batch := store.UsageBatch{
		Touches:  make([]store.Touch, 0, len(b.touches)),
		Counters: make([]store.Counter, 0, len(b.counters)),
	}
	for _, t := range b.touches {
		batch.Touches = append(batch.Touches, t)
	}
	slices.SortFunc(batch.Touches, func(a, b store.Touch) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	for id, n := range b.counters {
		batch.Counters = append(batch.Counters, store.Counter{Hour: id.hour, Name: id.name, N: n})
	}
	*b = backlog{}
	return batch
}

// putBack takes in what could not be written, and returns how many hits could
// not be kept.
func (b *backlog) putBack(batch store.UsageBatch) (lost uint64) {
	for _, c := range batch.Counters {
		b.addCounter(c)
	}
	for _, t := range batch.Touches {
		lost += b.addTouch(t)
	}
	return lost
}

// hits returns how many hits are waiting.
func (b *backlog) hits() (n uint64) {
	for _, t := range b.touches {
		n += t.Hits
	}
	return n
}
