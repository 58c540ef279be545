// Package window counts per key what happened within the last while, in bounded
// memory.
package window

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	// maxMarks is how many moments are kept of a key: as long as no more fall
	// into the window, its count is exact. Of more, two neighbours become one at
	// the time of the later, so that the earlier stays in the window longer than it
	// should, by a few hundredths of it.
	maxMarks = 64
	// samples is how many keys are looked at to make room for a new one.
	samples = 8
)

// Counter counts. With each key it keeps a value of the caller's, which lives
// as long as anything of the key is counted. When there is no room for a new
// key, the one with the lowest count of a few that are picked at random makes
// room: a key is never said to have occurred more often than it did, and one
// that occurs far more often than the others keeps its place. It is not safe for
// concurrent use.
type Counter[K comparable, V any] struct {
	capacity int
	index    map[K]int // of slots
	slots    []*slot[K, V]
	random   *rand.Rand
	evicted  uint64
}

type slot[K comparable, V any] struct {
	key   K
	marks []mark // ascending in time
	value V
}

type mark struct {
	from, at time.Time // of the first and the last that it stands for
	n        uint64
}

// New returns a counter of up to capacity keys, at least one. It takes memory as
// they come.
func New[K comparable, V any](capacity int) *Counter[K, V] {
	return &Counter[K, V]{
		capacity: max(capacity, 1), index: make(map[K]int),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), // #nosec G404 -- nobody gains by guessing it
	}
}

// Add counts n more of a key at a time, which is taken for that of the last one
// if it is before that, and returns how many there were within the window that
// ends with it, those at its very beginning excluded. The value is the key's;
// it may be changed until the next call.
func (c *Counter[K, V]) Add(key K, at time.Time, n uint64, window time.Duration) (uint64, *V) {
	i, ok := c.index[key]
	if !ok {
		i = c.place(key, at, window)
	}
	s := c.slots[i]
	if last := len(s.marks) - 1; last >= 0 && !at.After(s.marks[last].at) {
		s.marks[last].n = sum(s.marks[last].n, n)
		at = s.marks[last].at
	} else {
		s.marks = append(s.marks, mark{from: at, at: at, n: n})
	}
	s.expire(at, window)
	if len(s.marks) > maxMarks {
		s.merge()
	}
	return s.total(), &s.value
}

// Drop forgets a key.
func (c *Counter[K, V]) Drop(key K) {
	if i, ok := c.index[key]; ok {
		c.remove(i)
	}
}

// Trim forgets the keys of which nothing is within the window that ends now.
func (c *Counter[K, V]) Trim(now time.Time, window time.Duration) {
	for i := len(c.slots) - 1; i >= 0; i-- {
		if c.slots[i].expired(now, window) {
			c.remove(i)
		}
	}
	if len(c.slots) == 0 {
		c.index, c.slots = make(map[K]int), nil // or they would stay as large as they ever were
	}
}

// Len returns how many keys are counted.
func (c *Counter[K, V]) Len() int { return len(c.slots) }

// Evicted returns how many keys had to make room for others.
func (c *Counter[K, V]) Evicted() uint64 { return c.evicted }

// place returns the index of a new slot.
func (c *Counter[K, V]) place(key K, now time.Time, window time.Duration) int {
	if len(c.slots) >= c.capacity {
		victim := c.victim(now, window)
		if !c.slots[victim].expired(now, window) {
			c.evicted++
		}
		c.remove(victim)
	}
	c.slots = append(c.slots, &slot[K, V]{key: key})
	c.index[key] = len(c.slots) - 1
	return len(c.slots) - 1
}

// victim returns the index of a slot that can be missed.
func (c *Counter[K, V]) victim(now time.Time, window time.Duration) int {
	best, lowest := 0, uint64(math.MaxUint64)
	for range samples {
		i := c.random.IntN(len(c.slots))
		s := c.slots[i]
		if s.expired(now, window) {
			return i
		}
		if n := s.total(); n < lowest || n == lowest && s.last().Before(c.slots[best].last()) {
			best, lowest = i, n
		}
	}
	return best
}

func (c *Counter[K, V]) remove(i int) {
	last := len(c.slots) - 1
	delete(c.index, c.slots[i].key)
	if i != last {
		c.slots[i] = c.slots[last]
		c.index[c.slots[i].key] = i
	}
	c.slots[last] = nil
	c.slots = c.slots[:last]
}

func (s *slot[K, V]) last() time.Time { return s.marks[len(s.marks)-1].at }

func (s *slot[K, V]) expired(now time.Time, window time.Duration) bool {
	return now.Sub(s.last()) >= window
}

func (s *slot[K, V]) total() uint64 {
	var total uint64
	for _, m := range s.marks {
		total = sum(total, m.n)
	}
	return total
}

// expire lets go of what is before the window.
func (s *slot[K, V]) expire(now time.Time, window time.Duration) {
	n := 0
	for n < len(s.marks)-1 && now.Sub(s.marks[n].at) >= window {
		n++
	}
	if n > 0 {
		s.marks = append(s.marks[:0], s.marks[n:]...)
	}
}

// merge makes one of the two neighbours that together span the least time.
func (s *slot[K, V]) merge() {
	nearest := 1
	for i := 2; i < len(s.marks); i++ {
		if s.span(i) < s.span(nearest) {
			nearest = i
		}
	}
	s.marks[nearest].from = s.marks[nearest-1].from
	s.marks[nearest].n = sum(s.marks[nearest].n, s.marks[nearest-1].n)
	s.marks = append(s.marks[:nearest-1], s.marks[nearest:]...)
}

func (s *slot[K, V]) span(i int) time.Duration { return s.marks[i].at.Sub(s.marks[i-1].from) }

func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
