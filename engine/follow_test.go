package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/exception"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// twoNodes are two engines that share a store, of which nothing tells the second one what
// the first one changes.
func twoNodes(t *testing.T) (a, b *rig) {
	t.Helper()
	shared := memory.New()
	share := func(s *setup) { s.reuse = shared }
	return newRig(t, share), newRig(t, share)
}

// follows has a rig hear of the binding of a key as it is, or of documents of a kind.
func (r *rig) follows(key string, kinds ...string) {
	r.t.Helper()
	for _, kind := range kinds {
		if err := r.FollowedDocuments()[kind](context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
	if len(kinds) > 0 {
		return
	}
	c := store.Change{Kind: store.ChangeBindingPut, Hash: r.hash(key)}
	var err error
	if c.Binding, err = r.store.Store.Binding(context.Background(), c.Hash); errors.Is(err, store.ErrNotFound) {
		c.Kind = store.ChangeBindingRemoved
	} else if err != nil {
		r.t.Fatal(err)
	}
	r.Follow([]store.Change{c})
}

// TestWhatAnotherNodeChangesIsInForce has each kind of change be made at one node: the
// other one has it on the next request, and has cut what it does not let pass.
func TestWhatAnotherNodeChangesIsInForce(t *testing.T) {
	tests := map[string]struct {
		prepare func(a, b *rig)
		change  func(a *rig)
		kinds   []string      // none: the binding itself
		from    string        // who is judged differently then
		before  engine.Reason // by the second node
		after   engine.Reason
	}{
		"ban": {
			change: func(a *rig) { a.ban(keyA) }, from: atHome, after: engine.KeyBanned,
		},
		"rule": {
			change: func(a *rig) { a.setRule(keyA, single("198.51.100.7/32")) }, from: atHome, after: engine.IPNotAllowed,
		},
		"unbind": {
			change: func(a *rig) {
				if _, err := a.Unbind(context.Background(), a.hash(keyA), 0); err != nil {
					a.t.Fatal(err)
				}
			},
			from: elsewhere, before: engine.IPNotAllowed,
		},
		"network that a rule names loses an address": {
			prepare: func(a, b *rig) {
				a.putNetwork("office", "192.0.2.0/24")
				b.follows("", network.NetworkKind)
				a.setRule(keyA, naming("office"))
				b.follows(keyA)
			},
			change: func(a *rig) { a.putNetwork("office", "203.0.113.0/24") },
			kinds:  []string{network.NetworkKind}, from: atHome, after: engine.IPNotAllowed,
		},
		"network that a rule names is made": {
			prepare: func(a, b *rig) {
				a.putNetwork("office", "203.0.113.0/24")
				b.follows("", network.NetworkKind)
				a.setRule(keyA, naming("office"))
				b.follows(keyA)
			},
			change: func(a *rig) { a.putNetwork("office", "203.0.113.0/24", "198.51.100.0/24") },
			kinds:  []string{network.NetworkKind}, from: elsewhere, before: engine.IPNotAllowed,
		},
		"blocked network": {
			change: func(a *rig) { a.block("192.0.2.0/24") }, kinds: []string{network.BlockedKind}, from: atHome, after: engine.NetworkBlocked,
		},
		"network that is blocked no longer": {
			prepare: func(a, b *rig) {
				a.block("192.0.2.0/24")
				b.follows("", network.BlockedKind)
			},
			change: func(a *rig) {
				if _, err := a.Unblock(context.Background(), prefixList("192.0.2.0/24")); err != nil {
					a.t.Fatal(err)
				}
			},
			kinds: []string{network.BlockedKind}, from: atHome, before: engine.NetworkBlocked,
		},
		"exception": {
			change: func(a *rig) { a.except(keyA, "198.51.100.0/24", time.Now().Add(time.Hour)) },
			kinds:  []string{exception.Kind}, from: elsewhere, before: engine.IPNotAllowed,
		},
		"exception that was ended": {
			prepare: func(a, b *rig) {
				a.except(keyA, "198.51.100.0/24", time.Now().Add(time.Hour))
				b.follows("", exception.Kind)
			},
			change: func(a *rig) {
				x := a.Exceptions().List(exception.Filter{})[0]
				if _, err := a.EndException(context.Background(), x.ID, "account:ada"); err != nil {
					a.t.Fatal(err)
				}
			},
			kinds: []string{exception.Kind}, from: elsewhere, after: engine.IPNotAllowed,
		},
	}
	for name, test := range tests {
		for _, way := range []string{"by the change", "by a new copy"} {
			t.Run(name+" "+way, func(t *testing.T) {
				a, b := twoNodes(t)
				a.bound(keyA)
				if test.prepare != nil {
					test.prepare(a, b)
				}
				var open *flight
				if test.before == "" {
					open = b.open(test.from, request(t, pathChat, bearer(keyA)))
					defer open.done()
				} else {
					wantReason(t, "before the change", b.use(test.from, keyA), test.before)
				}
				test.change(a)
				if test.before == "" {
					wantReason(t, "before the other node has heard of it", b.use(test.from, keyA), "")
				}
				if way == "by the change" {
					b.follows(keyA, test.kinds...)
				} else {
					followAll(t, b)
				}
				wantReason(t, "on the next request", b.use(test.from, keyA), test.after)
				if open != nil && !open.wasCancelled() {
					t.Error("an exchange that is not let pass any more was not cut")
				}
			})
		}
	}
}

// followAll has a rig take over everything, as after a new copy.
func followAll(t *testing.T, r *rig) {
	t.Helper()
	r.FollowAll()
	for kind, reload := range r.FollowedDocuments() {
		if err := reload(t.Context()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := r.FollowStreams(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFollowDoesNotWaitForAWrite has a node be told of a ban while a first use of the key
// of the same stripe waits for the authority.
func TestFollowDoesNotWaitForAWrite(t *testing.T) {
	a, b := twoNodes(t)
	a.bound(keyA)
	waits, goOn := make(chan struct{}), make(chan struct{})
	b.store.set(func(s *faultyStore) {
		s.replace = func() error {
			close(waits)
			<-goOn
			return store.ErrUnavailable
		}
	})
	edited := make(chan error, 1)
	go func() {
		_, err := b.SetRule(context.Background(), b.hash(keyA), single("203.0.113.1/32"))
		edited <- err
	}()
	<-waits
	a.ban(keyA)
	b.follows(keyA) // hangs here if it waits for the write
	close(goOn)
	if err := <-edited; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	wantReason(t, "after the ban", b.use(atHome, keyA), engine.KeyBanned)
}

// standing is an authority as a test wants it.
type standing struct {
	away  atomic.Pointer[error]
	stale atomic.Bool
}

func (s *standing) Away() error {
	if err := s.away.Load(); err != nil {
		return *err
	}
	return nil
}
func (s *standing) IsStale() bool            { return s.stale.Load() }
func (s *standing) Lag() (uint64, time.Time) { return 3, time.Time{} }
func (s *standing) OutboxSize(context.Context) (store.OutboxSize, error) {
	return store.OutboxSize{Batches: 2}, nil
}

func (s *standing) goAway() {
	err := errors.Join(store.ErrUnavailable, errBroken)
	s.away.Store(&err)
}

// TestStaleCopyIsNotGoneBy has a node be cut off for too long: what is in its memory does
// not count any more, nor does what is in its copy.
func TestStaleCopyIsNotGoneBy(t *testing.T) {
	for _, mode := range []engine.Failsafe{engine.FailsafeClosed, engine.FailsafeOpen} {
		authority := new(standing)
		r := newRig(t, func(s *setup) {
			s.Authority = authority
			s.Policy.Failsafe = mode
		}).bound(keyA)
		r.ban(keyA)
		wantReason(t, "a banned key", r.use(atHome, keyA), engine.KeyBanned)
		authority.stale.Store(true)
		want := engine.StoreUnavailable
		if mode == engine.FailsafeOpen {
			want = ""
		}
		wantReason(t, "a known key at a stale node", r.use(atHome, keyA), want)
		wantReason(t, "an unknown key at a stale node", r.use(atHome, keyB), want)
		if c, ok, err := r.Cluster(t.Context()); !ok || err != nil || !c.Stale || c.Behind != 3 || c.Outbox.Batches != 2 {
			t.Errorf("got %+v, %v, %v", c, ok, err)
		}
		authority.stale.Store(false)
		wantReason(t, "a banned key at a node that is level again", r.use(atHome, keyA), engine.KeyBanned)
	}
}

// TestUnknownKeyIsNotForwardedInVain has the authority be away: what could not be bound
// afterwards is not sent to the downstream.
func TestUnknownKeyIsNotForwardedInVain(t *testing.T) {
	authority := new(standing)
	r := newRig(t, func(s *setup) { s.Authority = authority }).bound(keyA)
	authority.goAway()
	wantReason(t, "a known key", r.use(atHome, keyA), "")
	if f, d := r.send(atHome, request(t, pathChat, bearer(keyB))); d.Refused != engine.StoreUnavailable || d.RetryAfter == 0 {
		t.Errorf("an unknown key: got %+v before it is forwarded", d)
		f.done()
	}
	if f, d := r.send(atHome, request(t, pathPublic, bearer(keyB))); !d.Passes() {
		t.Errorf("an unknown key on a path that binds nothing: got %+v", d)
		f.done()
	}
	authority.away.Store(nil)
	wantReason(t, "an unknown key, when the authority is back", r.use(atHome, keyB), "")
}

func TestAHitOfAClusterNodeAllocatesNothing(t *testing.T) {
	r := newRig(t, func(s *setup) { s.Authority = new(standing) }).bound(keyA)
	req := request(t, pathChat, bearer(keyA))
	var x engine.Exchange
	peer, cancel := r.Peer(atHome), func() {}
	ctx := t.Context()
	use := func() {
		if d := r.Arrive(&x, req, peer, cancel); d.Passes() {
			r.Admit(ctx, &x, pathChat)
		}
		r.Done(&x)
	}
	use()
	if n := testing.AllocsPerRun(100, use); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestOfSecretsOneComesFirst has nodes with different secrets be started at once on an
// empty store: those of one secret get past.
func TestOfSecretsOneComesFirst(t *testing.T) {
	shared := memory.New()
	secrets := [][]byte{[]byte("a secret of thirty-two bytes ...1"), []byte("a secret of thirty-two bytes ...2")}
	const nodes = 16
	results := make(chan [2]int, nodes)
	for i := range nodes {
		go func() {
			passed := 0
			if _, err := engine.ClaimSecret(context.Background(), shared, engine.Secrets{Current: secrets[i%2]}); err == nil {
				passed = 1
			} else if !errors.Is(err, engine.ErrOtherSecret) {
				passed = -1
			}
			results <- [2]int{i % 2, passed}
		}()
	}
	var passed [2][]int
	for range nodes {
		r := <-results
		passed[r[0]] = append(passed[r[0]], r[1])
	}
	all := func(list []int, want int) bool {
		return !slices.ContainsFunc(list, func(n int) bool { return n != want })
	}
	if len(passed[0]) == 0 || !all(passed[0], passed[0][0]) || !all(passed[1], 1-passed[0][0]) || passed[0][0] < 0 {
		t.Errorf("of two secrets, got past: %v", passed)
	}
	if isOther, err := engine.NoteSessionSecret(t.Context(), shared, secrets[0]); isOther || err != nil {
		t.Errorf("the first secret of sessions: %v, %v", isOther, err)
	}
	if isOther, err := engine.NoteSessionSecret(t.Context(), shared, secrets[1]); !isOther || err != nil {
		t.Errorf("another secret of sessions: %v, %v", isOther, err)
	}
	if isOther, err := engine.IsOtherSessionSecret(t.Context(), shared, secrets[0]); !isOther || err != nil {
		t.Errorf("the one before: %v, %v", isOther, err)
	}
}

// TestNodesCountForThemselves has two nodes count who was refused most, and each show the
// sum.
func TestNodesCountForThemselves(t *testing.T) {
	shared := memory.New()
	node := func(name string) *rig {
		return newRig(t, func(s *setup) { s.reuse, s.Authority, s.NodeID = shared, new(standing), name })
	}
	a := node("a").bound(keyA)
	for _, r := range []*rig{a, node("b")} {
		wantReason(t, "elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
		r.close() // writes what is only in memory
	}
	c := node("c")
	wantReason(t, "elsewhere", c.use(elsewhere, keyA), engine.IPNotAllowed)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		d, err := c.Dashboard(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if keys := d.TopRefused.Last24Hours.Keys; len(keys) == 1 && keys[0].Count == 3 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("got %+v, want 3 of one key", keys)
		}
	}
}
