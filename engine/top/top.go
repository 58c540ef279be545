// Package top finds the keys that occur most often in a stream, in bounded
// memory.
//
// It is the algorithm Space-Saving (Metwally, Agrawal, El Abbadi: Efficient
// Computation of Frequent and Top-k Elements in Data Streams, 2005): so many
// keys are counted, and a new one takes the place of the one with the lowest
// count, and goes on from that count. Of N counted in all, a key that occurred
// more than N/capacity times is always among them, and no count is too high by
// more than that.
package top

import (
	"cmp"
	"container/heap"
	"slices"
)

// Count is how often a key occurred: at least N-Over times, and at most N.
type Count[K comparable] struct {
	Key  K
	N    uint64
	Over uint64
}

// Least is how often the key occurred for certain.
func (c Count[K]) Least() uint64 { return c.N - c.Over }

// Sketch counts keys. It is not safe for concurrent use.
type Sketch[K comparable] struct {
	capacity int
	nodes    map[K]*node[K]
	lowest   byCount[K] // a heap
}

type node[K comparable] struct {
	Count[K]
	at int // in the heap
}

// New returns a sketch that counts up to capacity keys at a time, at least one.
// It takes memory as they come.
func New[K comparable](capacity int) *Sketch[K] {
	return &Sketch[K]{capacity: max(capacity, 1), nodes: make(map[K]*node[K])}
}

// Add counts n more of a key.
func (s *Sketch[K]) Add(key K, n uint64) { s.Merge(Count[K]{Key: key, N: n}) }

// Merge adds the count of another sketch.
func (s *Sketch[K]) Merge(c Count[K]) {
	if c.N == 0 {
		return
	}
	e, ok := s.nodes[c.Key]
	switch {
	case ok:
		e.N += c.N
		e.Over += c.Over
		heap.Fix(&s.lowest, e.at)
	case len(s.lowest) < s.capacity:
		e = &node[K]{Count: c}
		s.nodes[c.Key] = e
		heap.Push(&s.lowest, e)
	default:
		e = s.lowest[0]
		delete(s.nodes, e.Key)
		s.nodes[c.Key] = e
		e.Key, e.N, e.Over = c.Key, e.N+c.N, e.N+c.Over
		heap.Fix(&s.lowest, 0)
	}
}

// Len returns how many keys are counted.
func (s *Sketch[K]) Len() int { return len(s.lowest) }

// Top returns the n keys that occurred most often for certain, those first;
// equals in the order that compare gives their keys.
//
// By what is certain rather than by N: after a flood of keys that occur once,
// the N of each of them may be higher than that of a key that occurred a few
// times.
func (s *Sketch[K]) Top(n int, compare func(a, b K) int) []Count[K] {
	all := make([]Count[K], 0, len(s.lowest))
	for _, e := range s.lowest {
		all = append(all, e.Count)
	}
	Sort(all, compare)
	return slices.Clip(all[:min(n, len(all))])
}

// Sort puts counts into the order of Top.
func Sort[K comparable](counts []Count[K], compare func(a, b K) int) {
	slices.SortFunc(counts, func(a, b Count[K]) int {
		return cmp.Or(cmp.Compare(b.Least(), a.Least()), cmp.Compare(b.N, a.N), compare(a.Key, b.Key))
	})
}

// byCount is a heap.Interface with the lowest count first.
type byCount[K comparable] []*node[K]

func (h byCount[K]) Len() int           { return len(h) }
func (h byCount[K]) Less(i, j int) bool { return h[i].N < h[j].N }

func (h byCount[K]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is part of heap.Interface.
func (h *byCount[K]) Push(x any) {
	e := x.(*node[K]) // what heap.Push is given above
	e.at = len(*h)
	*h = append(*h, e)
}

// Pop is part of heap.Interface, and never called: nothing is taken out.
func (h *byCount[K]) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = (*h)[:last]
	return e
}
