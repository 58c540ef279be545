package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
)

func TestStoreFailsOnLookUp(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		r := newRig(t).bound(keyA)
		wantReason(t, "into the cache", r.use(atHome, keyA), "")
		r.store.set(func(s *faultyStore) { s.binding = failFor(r.hash(keyC)) })
		f, d := r.send(atHome, request(t, pathChat, bearer(keyC)))
		f.done()
		if d.Refused != engine.StoreUnavailable || d.RetryAfter != 5*time.Second {
			t.Errorf("got %+v", d)
		}
		wantReason(t, "another key", r.use(atHome, keyA), "")
		r.wantCounts(map[string]uint64{"allowed": 3, "bound": 1, "failsafe_closed": 1})
		if log := r.log.String(); !strings.Contains(log, "store does not answer") || !strings.Contains(log, errBroken.Error()) {
			t.Errorf("got log %q", log)
		}
	})
	t.Run("open", func(t *testing.T) {
		r := newRig(t, failOpen)
		r.store.set(func(s *faultyStore) { s.binding = failAlways })
		f := r.open(atHome, request(t, pathChat, bearer(keyC)))
		if f.Pending() {
			t.Error("a key that was not looked up is to be bound")
		}
		wantReason(t, "answer", f.accept(true).Refused, "")
		f.done()
		if got := r.boundTo(keyC); got != "" {
			t.Errorf("bound to %q", got)
		}
		r.wantCounts(map[string]uint64{"allowed": 1, "failsafe_open": 1})
	})
	t.Run("in both, for anonymous requests", func(t *testing.T) {
		r := newRig(t)
		r.store.set(func(s *faultyStore) { s.binding = failAlways })
		wantReason(t, "anonymous", r.serve(atHome, request(t, "/"), true), "")
	})
}

func TestStoreFailsOnBind(t *testing.T) {
	for _, bindOn := range []engine.BindOn{engine.BindOnAccepted, engine.BindOnRequest} {
		for failsafe, want := range map[engine.Failsafe]engine.Reason{engine.FailsafeClosed: engine.StoreUnavailable, engine.FailsafeOpen: ""} {
			t.Run(string(bindOn)+" "+string(failsafe), func(t *testing.T) {
				r := newRig(t, policy(func(p *engine.Policy) { p.BindOn, p.Failsafe = bindOn, failsafe }))
				r.store.set(func(s *faultyStore) { s.bind = failAlways })
				wantReason(t, "first use", r.use(atHome, keyA), want)
				if got := r.boundTo(keyA); got != "" {
					t.Errorf("bound to %q", got)
				}
				r.store.set(func(s *faultyStore) { s.bind = nil })
				wantReason(t, "when the store is back", r.use(elsewhere, keyA), "")
				if got := r.boundTo(keyA); got != "198.51.100.7/32" {
					t.Errorf("bound to %q", got)
				}
			})
		}
	}
}

// TestStoreFailsAfterBind is a store that breaks right after binding a key: what it has
// said of the key is known, and need not be read again.
func TestStoreFailsAfterBind(t *testing.T) {
	r := newRig(t)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	r.store.set(func(s *faultyStore) { s.binding = failAlways })
	if d := f.accept(true); !d.Passes() || !f.Answered() {
		t.Errorf("got %+v, answered %v", d, f.Answered())
	}
	f.done()
	wantReason(t, "from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
}

// TestOneLookUpOfSeveralFails: under open, a key that cannot be looked up must
// not open the door for one that is known to be refused.
func TestOneLookUpOfSeveralFails(t *testing.T) {
	stolen, banned, broken := keyA, keyB, keyC
	orders := map[string]func(known string) []string{
		"known first":  func(known string) []string { return []string{bearer(known), "X-Goog-Api-Key: " + broken} },
		"broken first": func(known string) []string { return []string{bearer(broken), "X-Goog-Api-Key: " + known} },
	}
	for name, header := range orders {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, failOpen).bound(stolen, banned)
			r.ban(banned)
			r.store.set(func(s *faultyStore) { s.binding = failFor(r.hash(broken)) })
			wantReason(t, "banned", r.serve(atHome, request(t, pathChat, header(banned)...), true), engine.KeyBanned)
			wantReason(t, "stolen", r.serve(elsewhere, request(t, pathChat, header(stolen)...), true), engine.IPNotAllowed)
			wantReason(t, "from home", r.serve(atHome, request(t, pathChat, header(stolen)...), true), "")
			// An unknown key beside it is not bound: what was not judged might be refused.
			unknown := strings.Repeat("g7H8", 12)
			f := r.open(elsewhere, request(t, pathChat, header(unknown)...))
			if f.Pending() {
				t.Error("a key is to be bound")
			}
			wantReason(t, "answer", f.accept(true).Refused, "")
			f.done()
			if got := r.boundTo(unknown); got != "" {
				t.Errorf("bound to %q", got)
			}
		})
	}
}

// TestFailsafeCountsRequests: however many keys of a request the store does not
// answer for, it is one request, and what is refused was not let pass.
func TestFailsafeCountsRequests(t *testing.T) {
	r := newRig(t, failOpen).bound(keyA)
	r.store.set(func(s *faultyStore) { s.binding = failFor(r.hash(keyB), r.hash(keyC)) })
	wantReason(t, "two without answer", r.serve(atHome, request(t, pathChat, bearer(keyB), "X-Goog-Api-Key: "+keyC), true), "")
	wantReason(t, "one beside a stolen key", r.serve(elsewhere, request(t, pathChat, bearer(keyB), "X-Goog-Api-Key: "+keyA), true), engine.IPNotAllowed)
	r.wantCounts(map[string]uint64{"allowed": 2, "bound": 1, "failsafe_open": 1, "intercepted": 1})
}

func TestClientGoneWhileLookedUp(t *testing.T) {
	r := newRig(t, failOpen)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, d := r.send(atHome, request(t, pathChat, bearer(keyA)).WithContext(ctx))
	f.done()
	wantReason(t, "gone", d.Refused, engine.StoreUnavailable)
	if log := r.log.String(); strings.Contains(log, "store does not answer") {
		t.Errorf("the store is blamed: %q", log)
	}
}

func TestStoreFailureIsLoggedNowAndThen(t *testing.T) {
	clock := time.Unix(1_700_000_000, 0)
	r := newRig(t, func(s *setup) { s.Now = func() time.Time { return clock } })
	r.store.set(func(s *faultyStore) { s.binding = failAlways })
	for _, step := range []time.Duration{0, 0, 9 * time.Second, time.Second, 0, 11 * time.Second} {
		clock = clock.Add(step)
		wantReason(t, "look-up", r.use(atHome, keyA), engine.StoreUnavailable)
	}
	if n := strings.Count(r.log.String(), "store does not answer"); n != 3 {
		t.Errorf("got %d lines, want 3", n)
	}
}
