package top_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/top"
)

// exact counts as a sketch does, without a bound.
type exact map[int]uint64

func (e exact) top(n int) []int {
	keys := slices.SortedFunc(maps.Keys(e), func(a, b int) int { return cmp.Or(cmp.Compare(e[b], e[a]), cmp.Compare(a, b)) })
	return keys[:min(n, len(keys))]
}

func keysOf(counts []top.Count[int]) []int {
	keys := make([]int, len(counts))
	for i, c := range counts {
		keys[i] = c.Key
	}
	return keys
}

func TestFewKeysAreCountedExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s, want := top.New[int](100), exact{}
	for range 10_000 {
		key, n := random.IntN(100), random.Uint64N(5)
		s.Add(key, n)
		want[key] += n
	}
	got := s.Top(100, cmp.Compare[int])
	if !slices.Equal(keysOf(got), want.top(100)) {
		t.Errorf("got %v", got)
	}
	for _, c := range got {
		if c.N != want[c.Key] || c.Over != 0 {
			t.Errorf("key %d: got %+v, want %d", c.Key, c, want[c.Key])
		}
	}
}

// TestBounds holds sketches of all sizes against exact counts of streams of all
// shapes: the true count is within the bounds, no count is too high by more than
// a fair share, and what occurred more often than that is there.
func TestBounds(t *testing.T) {
	for seed := range uint64(25) {
		random := rand.New(rand.NewPCG(seed, 7))
		capacity := 1 + random.IntN(60)
		zipf := rand.NewZipf(random, 1.01+random.Float64()*2, 1+random.Float64()*20, 1+random.Uint64N(5000))
		s, want := top.New[int](capacity), exact{}
		var total uint64
		for range 20_000 {
			key, n := int(zipf.Uint64()), 1+random.Uint64N(3)
			s.Add(key, n)
			want[key] += n
			total += n
		}
		checkBounds(t, fmt.Sprintf("seed %d, capacity %d", seed, capacity), s, want, total/uint64(capacity))
	}
}

func checkBounds(t *testing.T, name string, s *top.Sketch[int], want exact, share uint64) {
	t.Helper()
	there := map[int]bool{}
	for _, c := range s.Top(s.Len(), cmp.Compare[int]) {
		there[c.Key] = true
		if n := want[c.Key]; n > c.N || n < c.Least() || c.Over > share {
			t.Errorf("%s: key %d occurred %d times, got %+v with a share of %d", name, c.Key, n, c, share)
		}
	}
	for key, n := range want {
		if n > share && !there[key] {
			t.Errorf("%s: key %d occurred %d times, share %d, and is not there", name, key, n, share)
		}
	}
}

// TestAFloodDoesNotHideTheHeavy: a million keys that occur once each, mixed with
// twenty that occur more often.
func TestAFloodDoesNotHideTheHeavy(t *testing.T) {
	const capacity, flood = 4096, 1_000_000
	random := rand.New(rand.NewPCG(3, 4))
	var stream []int
	want := exact{}
	for key := range 20 {
		for range 400 + 50*key {
			stream = append(stream, key)
			want[key]++
		}
	}
	for n := range flood {
		stream = append(stream, 1000+n)
	}
	random.Shuffle(len(stream), func(i, j int) { stream[i], stream[j] = stream[j], stream[i] })
	s := top.New[int](capacity)
	for _, key := range stream {
		s.Add(key, 1)
	}
	if n := s.Len(); n != capacity {
		t.Errorf("%d keys are counted, want %d", n, capacity)
	}
	got := keysOf(s.Top(20, cmp.Compare[int]))
	slices.Sort(got)
	if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("got %v, want the heavy ones", got)
	}
}

// TestMergedAgainstExact: what was stored of one sketch goes on in another.
func TestMergedAgainstExact(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	zipf := rand.NewZipf(random, 1.5, 2, 2000)
	want := exact{}
	var total uint64
	s := top.New[int](50)
	for range 10 {
		next := top.New[int](50)
		for _, c := range s.Top(50, cmp.Compare[int]) {
			next.Merge(c)
		}
		s = next
		for range 2000 {
			key := int(zipf.Uint64())
			s.Add(key, 1)
			want[key]++
			total++
		}
	}
	checkBounds(t, "merged", s, want, total/50)
}

func TestEqualsAreOrderedByKey(t *testing.T) {
	s := top.New[int](10)
	for _, key := range []int{5, 3, 9, 1} {
		s.Add(key, 2)
	}
	s.Add(7, 3)
	s.Add(4, 0)
	if got := keysOf(s.Top(3, cmp.Compare[int])); !slices.Equal(got, []int{7, 1, 3}) {
		t.Errorf("got %v", got)
	}
}

// TestWhatIsCertainComesFirst: after a flood of single ones, one that occurred
// three times is before them, though their N is higher.
func TestWhatIsCertainComesFirst(t *testing.T) {
	s := top.New[int](4)
	for key := range 100 {
		s.Add(key, 1)
	}
	for range 3 {
		s.Add(500, 1)
	}
	s.Add(501, 1)
	got := s.Top(1, cmp.Compare[int])
	if len(got) != 1 || got[0].Key != 500 || got[0].Least() != 3 {
		t.Errorf("got %v", got)
	}
}

func BenchmarkFlood(b *testing.B) {
	s := top.New[uint64](4096)
	random := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		s.Add(random.Uint64(), 1)
	}
}
