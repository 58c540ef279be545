package engine_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/exception"
	"github.com/key-ip-sentinel/sentinel/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rotated ends r, and starts another one over the same store with a new secret.
func (r *rig) rotated(change ...func(*setup)) *rig {
	r.t.Helper()
	must(r.t, engine.NoteSecret(r.t.Context(), r.store, engine.Secrets{Current: secret}))
	r.close()
	must(r.t, engine.NoteSecret(r.t.Context(), r.store, engine.Secrets{Current: other, Previous: [][]byte{secret}}))
	return newRig(r.t, append([]func(*setup){func(s *setup) {
		s.reuse, s.keys.Secret, s.keys.Previous = r.store.Store, other, [][]byte{secret}
	}}, change...)...)
}

// has reports whether there is a binding of a hash.
func (r *rig) has(hash store.KeyHash) bool {
	r.t.Helper()
	_, err := r.store.Store.Binding(r.t.Context(), hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		r.t.Fatal(err)
	}
	return err == nil
}

func (r *rig) wantMoved(key string, from store.KeyHash, isMoved bool) {
	r.t.Helper()
	synctest.Wait()
	if r.has(from) == isMoved || r.has(r.hash(key)) != isMoved {
		r.t.Errorf("bound under the hash from before %v, under that of today %v; want it moved: %v", r.has(from), r.has(r.hash(key)), isMoved)
	}
}

func TestKeysOfThePreviousSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA, keyB)
		r.ban(keyB)
		oldA, oldB := r.hash(keyA), r.hash(keyB)
		_, err := r.Except(t.Context(), exceptionOf(oldA, "203.0.113.0/24"))
		must(t, err)
		r = r.rotated()

		wantReason(t, "bound, from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
		wantReason(t, "banned, from home", r.use(atHome, keyB), engine.KeyBanned)
		wantReason(t, "banned, from elsewhere", r.use(elsewhere, keyB), engine.KeyBanned)
		r.wantMoved(keyA, oldA, false)
		wantReason(t, "bound, from home", r.use(atHome, keyA), "")
		r.wantMoved(keyA, oldA, true)
		r.wantMoved(keyB, oldB, false)
		wantReason(t, "moved, from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
		wantReason(t, "moved, by its exception", r.use("203.0.113.5:1", keyA), "")
		wantReason(t, "moved, from home", r.use(atHome, keyA), "")
		if left, counted := r.HashesLeft(); !counted || left.Previous != 1 || left.Total() != 1 {
			t.Errorf("left %+v, %v, want the banned one", left, counted)
		}
		wantReason(t, "a key that is new", r.use(elsewhere, keyC), "")
		b, err := r.store.Store.Binding(t.Context(), r.hash(keyC))
		if err != nil || b.HashedWith != r.keys.HashedWith() {
			t.Errorf("new binding %+v, %v", b, err)
		}
		if got := r.reasons(); got != "ip_not_allowed key_banned key_banned ip_not_allowed" {
			t.Errorf("recorded %s", got)
		}
		u, err := r.store.Usage(t.Context(), r.hash(keyA))
		if err != nil || u.Hits != 4 || len(u.Days) != 1 || u.Days[0].Refused != 2 {
			t.Errorf("usage %+v, %v: want all uses, also those from before the move", u, err)
		}

		r = newRig(t, func(s *setup) { s.reuse, s.keys.Secret = r.store.Store, other })
		wantReason(t, "with the new secret alone, from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
		wantReason(t, "with the new secret alone, from home", r.use(atHome, keyA), "")
		synctest.Wait()
		if left, counted := r.HashesLeft(); !counted || left.Unknown != 1 || !strings.Contains(r.log.String(), "SENTINEL_HMAC_SECRET_PREVIOUS can name") {
			t.Errorf("left %+v, %v: want a warning of the one whose secret is not given", left, counted)
		}
		r.close()
	})
}

func exceptionOf(hash store.KeyHash, prefix string) exception.Exception {
	return exception.Exception{Hash: hash, Prefix: netip.MustParsePrefix(prefix), Until: time.Now().Add(time.Hour)}
}

// TestOnlyAcceptedRequestsMove: another key of the request is refused.
func TestOnlyAcceptedRequestsMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA, keyB)
		oldA, oldB := r.hash(keyA), r.hash(keyB)
		r.ban(keyB)
		r = r.rotated()
		both := request(t, pathChat, bearer(keyA), "X-Api-Key: sk-"+keyB)
		wantReason(t, "with a banned key", r.serve(atHome, both, true), engine.KeyBanned)
		r.wantMoved(keyA, oldA, false)
		r.wantMoved(keyB, oldB, false)
		r.close()

		r = newRig(t, observing, func(s *setup) {
			s.reuse, s.keys.Secret, s.keys.Previous = r.store.Store, other, [][]byte{secret}
		})
		wantReason(t, "observed", r.use(elsewhere, keyA), "")
		wantReason(t, "with a banned key, observed", r.serve(atHome, both, true), "")
		r.wantMoved(keyA, oldA, false)
		wantReason(t, "let pass", r.use(atHome, keyA), "")
		r.wantMoved(keyA, oldA, true)
		r.close()
	})
}

// TestChangesFindExchangesOfMovedKeys: whichever hash the administrator's act is for.
func TestChangesFindExchangesOfMovedKeys(t *testing.T) {
	for _, when := range []string{"before the move", "after the move"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t).bound(keyA)
				old := r.hash(keyA)
				r = r.rotated(policy(func(p *engine.Policy) { p.Failsafe = engine.FailsafeClosed }))
				if when == "before the move" {
					r.store.setFailingMoves(true)
				}
				f := r.open(atHome, request(t, pathChat, bearer(keyA)))
				wantReason(t, "answer", f.accept(true).Refused, "")
				r.wantMoved(keyA, old, when == "after the move")
				hash, _, err := r.FindKey(t.Context(), "sk-"+keyA)
				must(t, err)
				if isNew := hash == r.hash(keyA); isNew != (when == "after the move") {
					t.Errorf("found under %s", hash)
				}
				_, err = r.Ban(t.Context(), hash)
				must(t, err)
				if _, cut := f.Cut(); !cut || !f.wasCancelled() {
					t.Error("the ban has not cut the exchange")
				}
				f.done()
				recs := r.records()
				if len(recs) != 1 || recs[0].Reason != store.ReasonCut || recs[0].Hash != hash {
					t.Errorf("recorded %+v", recs)
				}
			})
		})
	}
}

func TestArchivedUnderThePreviousSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		old, now := r.hash(keyA), time.Now()
		_, err := r.store.ArchiveBindings(t.Context(), []store.KeyHash{old}, now.Add(time.Hour), now)
		must(t, err)
		r = r.rotated()
		wantReason(t, "first use after it was archived", r.use(elsewhere, keyA), "")
		b, err := r.store.Store.Binding(t.Context(), r.hash(keyA))
		if err != nil || !b.ArchivedBefore.Equal(store.StoredTime(now)) {
			t.Errorf("got %+v, %v, want it marked as one that came back", b, err)
		}
		if _, err := r.store.Archived(t.Context(), old); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("entry under the hash from before: %v", err)
		}
		r.close()
	})
}

func TestRulesThatLearnAreMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		old := r.hash(keyA)
		r.setRule(keyA, store.Rule{Kind: store.RuleLearn, Prefixes: single("192.0.2.1/32").Prefixes, Learn: store.Learn{Limit: 2, Within: time.Hour}})
		r = r.rotated()
		wantReason(t, "not accepted", r.serve(elsewhere, request(t, pathChat, bearer(keyA)), false), "")
		r.wantMoved(keyA, old, false)
		wantReason(t, "learned", r.use(elsewhere, keyA), "")
		r.wantMoved(keyA, old, true)
		if got := r.boundTo(keyA); got != "192.0.2.1/32 198.51.100.7/32" {
			t.Errorf("bound to %s", got)
		}
		wantReason(t, "one too many", r.use("203.0.113.5:1", keyA), engine.IPNotAllowed)
		r.close()
	})
}

// TestLearningWhileMoved: a rule learns under the hash from before, and the key has been
// moved between the look-up and the answer.
func TestLearningWhileMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		r.setRule(keyA, store.Rule{Kind: store.RuleLearn, Prefixes: single("192.0.2.1/32").Prefixes, Learn: store.Learn{Limit: 2, Within: time.Hour}})
		old := r.hash(keyA)
		r = r.rotated()
		f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
		wantReason(t, "from home meanwhile", r.use(atHome, keyA), "")
		r.wantMoved(keyA, old, true)
		wantReason(t, "answer", f.accept(true).Refused, "")
		f.done()
		if got := r.boundTo(keyA); got != "192.0.2.1/32 198.51.100.7/32" {
			t.Errorf("bound to %s", got)
		}
		r.close()
	})
}

// TestHashesOfKeysAsSent: what the earlier deployment has bound.
func TestHashesOfKeysAsSent(t *testing.T) {
	for name, stored := range map[string]string{"with sk-": "sk-" + keyA, "without": keyA, "with a channel": "sk-" + keyA + "-3"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(stored))
				b := store.Binding{Hash: store.KeyHash(mac.Sum(nil)), Status: store.StatusActive, Rule: single("192.0.2.1/32")}
				_, _, err := r.store.Bind(t.Context(), b)
				must(t, err)
				must(t, engine.NoteHashesAsSent(t.Context(), r.store))
				r.close()
				r = newRig(t, func(s *setup) { s.reuse = r.store.Store })
				sent := request(t, pathChat, "Authorization: Bearer "+stored)
				wantReason(t, "as it was sent, from elsewhere", r.serve(elsewhere, sent, true), engine.IPNotAllowed)
				if name != "with a channel" {
					wantReason(t, "sk- taken away or put before it", r.serve(elsewhere, request(t, pathChat, bearer(keyA)), true), engine.IPNotAllowed)
					wantReason(t, "in another header", r.serve(elsewhere, request(t, "/v1/messages", "X-Api-Key: "+keyA), true), engine.IPNotAllowed)
				}
				r.wantMoved(keyA, b.Hash, false)
				wantReason(t, "as it was sent, from home", r.serve(atHome, sent, true), "")
				r.wantMoved(keyA, b.Hash, true)
				wantReason(t, "otherwise, from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
				r.close()
			})
		})
	}
}

// TestANodeWithTheOldSecretMovesNothing, while others have the new one already: it
// would move everything back.
func TestANodeWithTheOldSecretMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		old := r.hash(keyA)
		r = r.rotated()
		behind := newRig(t, func(s *setup) {
			s.reuse, s.keys.Secret, s.keys.Previous = r.store.Store, secret, [][]byte{other}
		})
		wantReason(t, "to the node that has it", r.use(atHome, keyA), "")
		r.wantMoved(keyA, old, true)
		wantReason(t, "to the one that has not, from elsewhere", behind.use(elsewhere, keyA), engine.IPNotAllowed)
		wantReason(t, "to the one that has not, from home", behind.use(atHome, keyA), "")
		r.wantMoved(keyA, old, true)
		behind.close()
		r.close()
	})
}

// TestMovesAndActsOfAdministratorsAtOnce: in the end each key is banned, under the hash
// of today or the other one, and no key was bound anew.
func TestMovesAndActsOfAdministratorsAtOnce(t *testing.T) {
	r := newRig(t).bound(keyA)
	old := r.hash(keyA)
	r = r.rotated()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				r.use(atHome, keyA)
				if why := r.use(elsewhere, keyA); why == "" {
					t.Error("passed from elsewhere")
				}
			}
		})
	}
	all.Go(func() {
		for {
			hash, _, err := r.FindKey(t.Context(), keyA)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = r.Ban(t.Context(), hash)
			if err == nil {
				return
			}
			if !errors.Is(err, store.ErrNotFound) { // it was moved in between
				t.Error(err)
				return
			}
		}
	})
	all.Wait()
	wantReason(t, "banned", r.use(atHome, keyA), engine.KeyBanned)
	if n, err := r.store.CountBindings(t.Context()); err != nil || n != 1 || r.has(old) == r.has(r.hash(keyA)) {
		t.Errorf("got %d bindings, %v", n, err)
	}
	r.close()
}

func TestSuspicionsMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		r.setRule(keyA, store.Rule{Kind: store.RuleAll})
		r.shares(keyA, 7, atHome, elsewhere)
		r = r.rotated()
		wantReason(t, "from home", r.use(atHome, keyA), "")
		synctest.Wait()
		for range 2 { // also as it is stored
			list, _ := r.Suspicions().List()
			if len(list) != 1 || list[0].Hash != r.hash(keyA) || list[0].Minutes < 5 {
				t.Errorf("got %+v", list)
			}
			r.close()
			r = newRig(t, func(s *setup) { s.reuse, s.keys.Secret = r.store.Store, other })
		}
		r.close()
	})
}

func TestFailingStoreWhileOlderHashesAreTried(t *testing.T) {
	r := newRig(t).bound(keyA)
	old := r.hash(keyA)
	r = r.rotated()
	r.ForgetBindings() // which were read ahead
	r.store.set(func(s *faultyStore) { s.binding = failFor(old) })
	wantReason(t, "bound under the hash that cannot be read", r.use(elsewhere, keyA), engine.StoreUnavailable)
	r.store.set(func(s *faultyStore) { s.binding = nil })
	wantReason(t, "when it can be", r.use(elsewhere, keyA), engine.IPNotAllowed)
	if _, _, err := r.FindKey(t.Context(), ""); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no key: %v", err)
	}
	r.close()
}
