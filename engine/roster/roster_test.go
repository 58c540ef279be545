package roster_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/roster"
	"github.com/key-ip-sentinel/sentinel/store"
)

// authority keeps what nodes tell.
type authority struct {
	mu    sync.Mutex
	beats map[string]store.NodeState
	at    map[string]time.Time
	away  error
}

func newAuthority() *authority {
	return &authority{beats: map[string]store.NodeState{}, at: map[string]time.Time{}}
}

func (a *authority) Beat(_ context.Context, n store.NodeState) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away == nil {
		a.beats[n.ID], a.at[n.ID] = n, time.Now()
	}
	return a.away
}

func (a *authority) Nodes(context.Context) (list []store.NodeBeat, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range a.beats {
		list = append(list, store.NodeBeat{NodeState: n, Silence: time.Since(a.at[id])})
	}
	return list, a.away
}

func (a *authority) Time(context.Context) (time.Time, error) { return time.Now(), nil }

func (a *authority) setAway(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = err
}

func (a *authority) join(name string) *roster.Roster {
	return roster.Start(roster.Options{
		Authority: a, Logger: slog.New(slog.DiscardHandler),
		Self: func() store.NodeState { return store.NodeState{ID: name + "/1", Name: name} },
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantNodes(t *testing.T, r *roster.Roster, current bool, want ...string) {
	t.Helper()
	list, isCurrent := r.List(t.Context())
	var got []string
	for _, n := range list {
		text := n.Name + " " + string(n.State)
		if n.IsSelf {
			text += " self"
		}
		got = append(got, text)
	}
	if isCurrent != current || !equal(got, want) {
		t.Errorf("got %q, current %t; want %q, %t", got, isCurrent, want, current)
	}
}

func equal(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestNodesKnowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newAuthority()
		b, a := all.join("b"), all.join("a")
		defer a.Close()
		pass(5 * time.Second)
		for _, r := range []*roster.Roster{a, b} {
			if err := r.AllTold(t.Context()); err != nil {
				t.Error(err)
			}
		}
		wantNodes(t, a, true, "a here self", "b here")
		wantNodes(t, b, true, "a here", "b here self")
		b.Close()
		pass(roster.LostAfter - 4*time.Second)
		wantNodes(t, a, true, "a here self", "b here")
		pass(5 * time.Second)
		wantNodes(t, a, true, "a here self", "b lost")
		if err := a.AllTold(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("with a lost node: %v", err)
		}
	})
}

// TestAuthorityAway: what was last heard of the others, which are lost after a while.
func TestAuthorityAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newAuthority()
		a, b := all.join("a"), all.join("b")
		defer a.Close()
		defer b.Close()
		pass(5 * time.Second)
		all.setAway(store.ErrUnavailable)
		wantNodes(t, a, false, "a here self", "b here")
		pass(time.Minute)
		wantNodes(t, a, false, "a here self", "b lost")
		if err := a.AllTold(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("without the authority: %v", err)
		}
		all.setAway(nil)
		pass(5 * time.Second)
		wantNodes(t, a, true, "a here self", "b here")
	})
}

func TestTheOnlyNode(t *testing.T) {
	r := roster.Start(roster.Options{
		Self: func() store.NodeState { return store.NodeState{Name: "only"} }, Logger: slog.New(slog.DiscardHandler),
	})
	defer r.Close()
	wantNodes(t, r, true, "only here self")
	if err := r.AllTold(t.Context()); err != nil {
		t.Error(err)
	}
}
