package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

func numbered(n int) store.KeyHash { return store.KeyHash{byte(n >> 8), byte(n), 1} }

// preset stores so many bindings, every other one with the label "even".
func (r *rig) preset(n int) (hashes []store.KeyHash) {
	r.t.Helper()
	for i := range n {
		b := store.Binding{Hash: numbered(i), Hint: fmt.Sprintf("sk-%d", i), Status: store.StatusActive, Rule: single("192.0.2.1/32")}
		if i%2 == 0 {
			b.Label = "even"
		}
		if _, err := r.Preset(r.t.Context(), b); err != nil {
			r.t.Fatal(err)
		}
		hashes = append(hashes, b.Hash)
	}
	return hashes
}

func (r *rig) countWhere(f store.BindingFilter) int {
	r.t.Helper()
	page, err := r.store.FindBindings(r.t.Context(), store.BindingQuery{Filter: f, Limit: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	return page.Total
}

func TestBulk(t *testing.T) {
	banned, active := store.StatusBanned, store.StatusActive
	ban := engine.BulkAct{Edit: &engine.BindingEdit{Status: &banned}}
	even := store.BindingFilter{Label: "even"}
	cases := []struct {
		name   string
		target engine.BulkTarget
		act    engine.BulkAct
		want   engine.BulkResult
		told   event.Action // empty: nothing
		left   int          // bindings
		banned int
	}{
		{"by filter", engine.BulkTarget{Filter: even}, ban, engine.BulkResult{Matched: 1300, Changed: 1300}, event.Banned, 2600, 1300},
		{"by keys, one of them twice", engine.BulkTarget{Hashes: []store.KeyHash{numbered(1), numbered(2), numbered(1)}, Filter: even}, ban,
			engine.BulkResult{Matched: 2, Changed: 2}, event.Banned, 2600, 2},
		{"a missing one", engine.BulkTarget{Hashes: []store.KeyHash{numbered(1), numbered(9999)}}, ban,
			engine.BulkResult{Matched: 2, Changed: 1, Missing: 1}, event.Banned, 2600, 1},
		{"no keys", engine.BulkTarget{Hashes: []store.KeyHash{}}, ban, engine.BulkResult{}, "", 2600, 0},
		{"as they are already", engine.BulkTarget{Filter: even}, engine.BulkAct{Edit: &engine.BindingEdit{Status: &active}},
			engine.BulkResult{Matched: 1300, Unchanged: 1300}, "", 2600, 0},
		{"unbind", engine.BulkTarget{Filter: even}, engine.BulkAct{Unbind: true},
			engine.BulkResult{Matched: 1300, Changed: 1300}, event.Unbound, 1300, 0},
		{"all", engine.BulkTarget{}, ban, engine.BulkResult{Matched: 2600, Changed: 2600}, event.Banned, 2600, 2600},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.preset(2600)
			if got, err := r.Bulk(t.Context(), c.target, c.act, true, nil); err != nil || got != c.want {
				t.Errorf("dry run: got %+v, %v, want %+v", got, err, c.want)
			}
			if all, bans := r.countWhere(store.BindingFilter{}), r.countWhere(store.BindingFilter{Status: banned}); all != 2600 || bans != 0 {
				t.Fatalf("a dry run left %d bindings, %d of them banned", all, bans)
			}
			events, cancel := r.Events().Subscribe(8)
			defer cancel()
			if got, err := r.Bulk(t.Context(), c.target, c.act, false, nil); err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
			if all, bans := r.countWhere(store.BindingFilter{}), r.countWhere(store.BindingFilter{Status: banned}); all != c.left || bans != c.banned {
				t.Errorf("left %d bindings, %d of them banned; want %d, %d", all, bans, c.left, c.banned)
			}
			wantTold(t, events, c.told, c.want.Changed)
		})
	}
}

// wantTold wants a single event, of so many bindings; none for no action.
func wantTold(t *testing.T, events <-chan event.Event, action event.Action, n int) {
	t.Helper()
	if action != "" {
		if got := (<-events).Data; got != (event.Binding{Action: action, Count: n}) {
			t.Errorf("told of %+v, want %s of %d", got, action, n)
		}
	}
	if len(events) > 0 {
		t.Errorf("told of %+v as well", <-events)
	}
}

func TestBulkCutsOpenStreams(t *testing.T) {
	r := newRig(t).bound(keyA)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	wantReason(t, "answer", f.accept(true).Refused, "")
	status := store.StatusBanned
	if _, err := r.Bulk(t.Context(), engine.BulkTarget{}, engine.BulkAct{Edit: &engine.BindingEdit{Status: &status}}, false, nil); err != nil {
		t.Fatal(err)
	}
	if d, cut := f.Cut(); !cut || d.Refused != engine.KeyBanned || !f.wasCancelled() {
		t.Errorf("got %+v, cut %v", d, cut)
	}
	f.done()
	wantReason(t, "afterwards", r.use(atHome, keyA), engine.KeyBanned)
}

func TestBulkActsThatAreRefused(t *testing.T) {
	long := strings.Repeat("x", store.MaxLabelBytes+1)
	r := newRig(t).bound(keyA)
	for name, act := range map[string]engine.BulkAct{
		"nothing":  {},
		"both":     {Edit: &engine.BindingEdit{}, Unbind: true},
		"revision": {Edit: &engine.BindingEdit{Revision: 1}},
		"label":    {Edit: &engine.BindingEdit{Label: &long}},
	} {
		if got, err := r.Bulk(t.Context(), engine.BulkTarget{}, act, false, nil); !errors.Is(err, store.ErrInvalid) || got != (engine.BulkResult{}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestBulkTellsItsProgress(t *testing.T) {
	r := newRig(t)
	hashes := r.preset(1000)
	var steps []int
	_, err := r.Bulk(t.Context(), engine.BulkTarget{Hashes: hashes}, engine.BulkAct{Unbind: true}, false, func(done, total int) {
		if total != 1000 || len(steps) > 0 && done <= steps[len(steps)-1] {
			t.Errorf("progress %d of %d after %v", done, total, steps)
		}
		steps = append(steps, done)
	})
	if err != nil || len(steps) != 200 || steps[199] != 1000 {
		t.Errorf("got %d steps, %v, %v", len(steps), steps, err)
	}
}

func TestBulkEndsWithTheStore(t *testing.T) {
	r := newRig(t)
	hashes := r.preset(1000)
	writes := 0
	r.store.set(func(s *faultyStore) {
		s.replace = func() error {
			r.store.mu.Lock()
			defer r.store.mu.Unlock()
			if writes++; writes > 100 {
				return errors.Join(store.ErrUnavailable, errBroken)
			}
			return nil
		}
	})
	label := "seen"
	act := engine.BulkAct{Edit: &engine.BindingEdit{Label: &label}}
	got, err := r.Bulk(t.Context(), engine.BulkTarget{Hashes: hashes}, act, false, nil)
	if !errors.Is(err, store.ErrUnavailable) || got.Changed != 100 || got.Failed < 1 || got.Failed > 128 || !errors.Is(got.FirstError, errBroken) {
		t.Errorf("got %+v, %v", got, err)
	}
	r.store.set(func(s *faultyStore) { s.replace = nil })
	if got, err := r.Bulk(t.Context(), engine.BulkTarget{Hashes: hashes}, act, false, nil); err != nil || got.Changed != 900 || got.Unchanged != 100 {
		t.Errorf("again: got %+v, %v", got, err)
	}
}

// TestBulkGoesOnAfterAConflict: what concerns one binding does not keep the
// others from being changed.
func TestBulkGoesOnAfterAConflict(t *testing.T) {
	r := newRig(t)
	hashes := r.preset(100)
	writes := 0
	r.store.set(func(s *faultyStore) {
		s.replace = func() error {
			r.store.mu.Lock()
			defer r.store.mu.Unlock()
			if writes++; writes <= 3 {
				return errBroken
			}
			return nil
		}
	})
	label := "seen"
	got, err := r.Bulk(t.Context(), engine.BulkTarget{Hashes: hashes}, engine.BulkAct{Edit: &engine.BindingEdit{Label: &label}}, false, nil)
	if err != nil || got.Changed != 97 || got.Failed != 3 || got.FirstError == nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBulkOfADoneContext(t *testing.T) {
	r := newRig(t)
	hashes := r.preset(10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := r.Bulk(ctx, engine.BulkTarget{Hashes: hashes}, engine.BulkAct{Unbind: true}, false, nil); !errors.Is(err, context.Canceled) || got.Changed != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}
