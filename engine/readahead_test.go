package engine_test

import (
	"testing"
	"testing/synctest"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// restart starts an engine with a cache of so many entries over a store that has
// bindings of the keys. reads returns how often it has read one since.
func restart(t *testing.T, entries int, keys ...string) (r *rig, reads func() int) {
	t.Helper()
	stored := memory.New()
	newRig(t, func(s *setup) { s.reuse = stored }).bound(keys...).close()
	r = newRig(t, func(s *setup) { s.reuse, s.CacheEntries = stored, entries })
	synctest.Wait()
	n := 0
	r.store.set(func(s *faultyStore) {
		s.binding = func(store.KeyHash) error { n++; return nil }
	})
	return r, func() int { return n }
}

func TestBindingsAreReadAheadOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, reads := restart(t, 2, keyA, keyB)
		r.bound(keyA, keyB)
		if n := reads(); n > 0 {
			t.Errorf("%d bindings were read for requests", n)
		}
	})
}

func TestNothingIsReadAheadThatTheCacheHasNoRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, reads := restart(t, 2, keyA, keyB, keyC)
		if err := r.ReadAhead(t.Context()); err != nil || reads() > 0 {
			t.Errorf("%d bindings were read, and then: %v", reads(), err)
		}
		if r.bound(keyA, keyB, keyC); reads() != 3 {
			t.Errorf("%d bindings were read for 3 requests", reads())
		}
	})
}

func TestReadingAheadMayFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := restart(t, 2, keyA, keyB)
		r.store.set(func(s *faultyStore) { s.binding = failFor(r.hash(keyB)) })
		r.ForgetBindings()
		if err := r.ReadAhead(t.Context()); err == nil {
			t.Error("it is said to have been done")
		}
		r.store.set(func(s *faultyStore) { s.binding = nil })
		r.bound(keyA, keyB)
	})
}
