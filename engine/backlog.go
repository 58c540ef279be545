package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// backlogKeys bounds how many keys' usage waits while the store takes nothing.
const backlogKeys = 1_000_000

// backlog is what is still to be written. It belongs to one goroutine.
type backlog struct {
	fresh    []store.Touch                 // since the last take; keys may be there more than once
	kept     map[store.KeyHash]store.Touch // once the store has not taken what was taken
	counters map[counterID]uint64
}

type counterID struct {
	hour time.Time
	name string
}

func (b *backlog) empty() bool { return b.len() == 0 && len(b.counters) == 0 }

// len returns how many touches there are.
func (b *backlog) len() int { return len(b.fresh) + len(b.kept) }

// isFailing reports whether the store has not taken what it was given last.
func (b *backlog) isFailing() bool { return len(b.kept) > 0 }

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
	if !b.isFailing() && len(b.fresh) < backlogKeys {
		b.fresh = append(b.fresh, t)
		return 0
	}
	return b.keep(t)
}

// keep adds a touch to those of its key, and returns how many hits could not be kept.
func (b *backlog) keep(t store.Touch) (lost uint64) {
	if b.kept == nil {
		b.kept = make(map[store.KeyHash]store.Touch)
	}
	have, ok := b.kept[t.Hash]
	switch {
	case ok:
		t = mergeTouches(have, t)
	case len(b.kept) >= backlogKeys:
		return t.Hits
	}
	b.kept[t.Hash] = t
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

// take empties the backlog into a batch, in the order of the hashes, each key once. Its
// touches may be given to done afterwards.
func (b *backlog) take() store.UsageBatch {
	batch := store.UsageBatch{Touches: b.fresh, Counters: make([]store.Counter, 0, len(b.counters))}
	for _, t := range b.kept {
		batch.Touches = append(batch.Touches, t)
	}
	store.SortTouches(batch.Touches)
	batch.Touches = mergeSorted(batch.Touches)
	for id, n := range b.counters {
		batch.Counters = append(batch.Counters, store.Counter{Hour: id.hour, Name: id.name, N: n})
	}
	*b = backlog{}
	return batch
}

// mergeSorted makes one touch of those of a key, in place.
func mergeSorted(list []store.Touch) []store.Touch {
	merged := list[:0]
	for _, t := range list {
		if n := len(merged); n > 0 && merged[n-1].Hash == t.Hash {
			merged[n-1] = mergeTouches(merged[n-1], t)
			continue
		}
		merged = append(merged, t)
	}
	return merged
}

// done takes the touches of a batch that is written, to use their memory again.
func (b *backlog) done(touches []store.Touch) {
	if len(b.fresh) > 0 || cap(touches) > 16*usageAtOnce {
		return
	}
	clear(touches) // or what they refer to would be kept alive
	b.fresh = touches[:0]
}

// putBack takes in what could not be written, and returns how many hits could
// not be kept.
func (b *backlog) putBack(batch store.UsageBatch) (lost uint64) {
	for _, c := range batch.Counters {
		b.addCounter(c)
	}
	for _, t := range batch.Touches {
		lost += b.keep(t)
	}
	return lost
}

// hits returns how many hits are waiting.
func (b *backlog) hits() (n uint64) {
	for _, t := range b.fresh {
		n += t.Hits
	}
	for _, t := range b.kept {
		n += t.Hits
	}
	return n
}
