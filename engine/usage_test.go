package engine_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// TestUsageOfManyKeysIsSpread: that of a few is written once in five seconds, that of
// many in small pieces over these five seconds, and none is older.
func TestUsageOfManyKeysIsSpread(t *testing.T) {
	const many, turn = 4_000, 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		keys := boundMany(r, many)
		time.Sleep(turn)
		synctest.Wait()
		var mu sync.Mutex
		var seen []int
		r.store.set(func(s *faultyStore) {
			s.addUsage = func(batch store.UsageBatch) error {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, len(batch.Touches))
				return nil
			}
		})
		after := func(d time.Duration) (pieces []int) {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			pieces, seen = seen, nil
			return pieces
		}
		r.bound(keys[:100]...)
		if pieces := after(turn); !slices.Equal(pieces, []int{100}) {
			t.Errorf("a few were written in pieces of %v", pieces)
		}
		r.bound(keys...)
		for range 3 {
			if pieces := after(turn / 3); len(pieces) < 3 || len(pieces) > 6 || slices.Max(pieces) > 400 {
				t.Errorf("in a third of the time: pieces of %v", pieces)
			}
		}
		r.store.set(func(s *faultyStore) { s.addUsage = nil })
		for _, key := range []string{keys[0], keys[99], keys[many-1]} {
			want := uint64(2)
			if key != keys[many-1] {
				want++
			}
			if u := r.usageOf(key); u.Hits != want {
				t.Errorf("got %d hits, want %d", u.Hits, want)
			}
		}
	})
}

// TestFailingStoreIsNotPressed: while the store takes no usage, it is tried once in five
// seconds, however many keys there are, and then takes all.
func TestFailingStoreIsNotPressed(t *testing.T) {
	const many, turn = 2_000, 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		keys := boundMany(r, many)
		time.Sleep(turn)
		synctest.Wait()
		var tries atomic.Int64
		r.store.set(func(s *faultyStore) {
			s.addUsage = func(store.UsageBatch) error {
				tries.Add(1)
				return store.ErrUnavailable
			}
		})
		for range 4 {
			r.bound(keys...)
			time.Sleep(turn)
		}
		synctest.Wait()
		if n := tries.Load(); n < 3 || n > 6 {
			t.Errorf("%d tries in four turns", n)
		}
		r.store.set(func(s *faultyStore) { s.addUsage = nil })
		time.Sleep(turn)
		synctest.Wait()
		for _, key := range []string{keys[0], keys[many-1]} {
			if u := r.usageOf(key); u.Hits != 5 {
				t.Errorf("got %d hits, want 5", u.Hits)
			}
		}
	})
}

// boundMany returns keys that are bound by a use.
func boundMany(r *rig, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%048d", i)
	}
	r.bound(keys...)
	return keys
}
