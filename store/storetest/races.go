package storetest

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var raceTests = []test{
	{"OneWinnerOfManyBinds", testOneWinner},
	{"NoReplacementIsLost", testNoLostUpdate},
	{"RevisionsAreUnique", testUniqueRevisions},
	{"NoHitIsLost", testNoLostHits},
	{"InterceptIDsAreUnique", testUniqueIDs},
}

// together runs f in n goroutines and waits for them.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func testOneWinner(t *testing.T, s store.Store) {
	const keys, racers = 200, 64
	var mu sync.Mutex
	winners := map[store.KeyHash][]store.Binding{}
	answers := map[store.KeyHash][]store.Binding{}
	together(racers, func(racer int) {
		for k := range keys {
			b := Binding(k)
			b.FirstIP = netip.AddrFrom4([4]byte{192, 0, 2, byte(racer)}) // #nosec G115 -- below 64
			got, created, err := s.Bind(t.Context(), b)
			if err != nil {
				t.Errorf("bind: %v", err)
				return
			}
			mu.Lock()
			if created {
				winners[b.Hash] = append(winners[b.Hash], got)
				want(t, "the winner's own binding", got.FirstIP, b.FirstIP)
			}
			answers[b.Hash] = append(answers[b.Hash], got)
			mu.Unlock()
		}
	})
	for k := range keys {
		hash := Hash(k)
		if len(winners[hash]) != 1 {
			t.Fatalf("key %d: %d winners", k, len(winners[hash]))
		}
		stored := ok(s.Binding(t.Context(), hash))(t)
		want(t, "stored", stored, winners[hash][0])
		for _, answer := range answers[hash] {
			want(t, "answer", answer, stored)
		}
	}
	want(t, "count", ok(s.CountBindings(t.Context()))(t), keys)
}

func testNoLostUpdate(t *testing.T, s store.Store) {
	const writers, each = 8, 25
	b := Binding(1)
	b.Label = "0"
	bound(t, s, b)
	together(writers, func(int) {
		for done := 0; done < each; {
			b, err := s.Binding(t.Context(), Hash(1))
			if err != nil {
				t.Errorf("read: %v", err)
				return
			}
			n, _ := strconv.Atoi(b.Label) // what is no number fails the test below
			b.Label = strconv.Itoa(n + 1)
			switch _, err := s.ReplaceBinding(t.Context(), b); {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("replace: %v", err)
				return
			}
		}
	})
	want(t, "label", ok(s.Binding(t.Context(), Hash(1)))(t).Label, strconv.Itoa(writers*each))
}

// testUniqueRevisions mixes all kinds of changes.
func testUniqueRevisions(t *testing.T, s store.Store) {
	const writers, each = 8, 10
	revisions := make([][]uint64, writers)
	together(writers, func(w int) {
		for i := range each {
			b, created, err := s.Bind(t.Context(), Binding(w*each+i))
			if err != nil || !created {
				t.Errorf("bind: created %v, %v", created, err)
				return
			}
			replaced, err := s.ReplaceBinding(t.Context(), b)
			if err != nil {
				t.Errorf("replace: %v", err)
				return
			}
			removal, err := s.DeleteBinding(t.Context(), b.Hash, replaced.Revision)
			if err != nil {
				t.Errorf("delete: %v", err)
				return
			}
			revisions[w] = append(revisions[w], b.Revision, replaced.Revision, removal)
		}
	})
	all := slices.Concat(revisions...)
	for _, own := range revisions {
		if !slices.IsSorted(own) {
			t.Errorf("revisions of one writer do not rise: %v", own)
		}
	}
	slices.Sort(all)
	want(t, "different revisions", len(slices.Compact(all)), 3*writers*each)
	want(t, "count", ok(s.CountBindings(t.Context()))(t), 0)
}

func testNoLostHits(t *testing.T, s store.Store) {
	const writers, each = 8, 10
	bound(t, s, Binding(1))
	together(writers, func(w int) {
		for i := range each {
			err := s.AddUsage(t.Context(), store.UsageBatch{
				Touches:  []store.Touch{touch(1, w*each+i, 3, "10.0.0.1")},
				Counters: []store.Counter{{Hour: hour, Name: "requests", N: 2}},
			})
			if err != nil {
				t.Errorf("add: %v", err)
			}
		}
	})
	last := touch(1, writers*each-1, 0, "10.0.0.1")
	want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(last, 3*writers*each))
	want(t, "counters", ok(s.Counters(t.Context(), hour, hour.Add(time.Hour)))(t),
		[]store.Counter{{Hour: hour, Name: "requests", N: 2 * writers * each}})
}

func testUniqueIDs(t *testing.T, s store.Store) {
	const writers, each = 8, 5
	got := make([][]uint64, writers)
	together(writers, func(w int) {
		for i := range each {
			recs := []store.Intercept{Intercept(i), Intercept(i + 1)}
			if err := s.PutIntercepts(t.Context(), recs); err != nil {
				t.Errorf("put: %v", err)
			}
			got[w] = append(got[w], recs[0].ID, recs[1].ID)
		}
	})
	all := slices.Concat(got...)
	slices.Sort(all)
	slices.Reverse(all)
	want(t, "IDs", ids(t, s, store.InterceptFilter{Limit: 1_000}), slices.Compact(all))
}
