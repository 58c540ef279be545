package exception_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/exception"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type rig struct {
	*exception.Exceptions
	t     *testing.T
	store *memory.Store
	now   time.Time
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, store: memory.New(), now: start}
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.Exceptions, err = exception.Open(r.t.Context(), r.store, func() time.Time { return r.now }); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) add(key byte, prefix string, last time.Duration) exception.Exception {
	r.t.Helper()
	x, err := r.Add(r.t.Context(), exception.Exception{Hash: store.KeyHash{key}, Prefix: netip.MustParsePrefix(prefix), Until: r.now.Add(last), By: "anna"})
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func (r *rig) allows(key byte, addr string) bool {
	_, ok := r.Allows(store.KeyHash{key}, netip.MustParseAddr(addr))
	return ok
}

func TestAllowsUntilItsEnd(t *testing.T) {
	r := newRig(t)
	if r.allows(1, "192.0.2.1") {
		t.Error("allowed without any exception")
	}
	x := r.add(1, "192.0.2.0/24", time.Hour)
	if id, ok := r.Allows(store.KeyHash{1}, netip.MustParseAddr("192.0.2.1")); !ok || id != x.ID {
		t.Errorf("got %q, %v", id, ok)
	}
	if r.allows(2, "192.0.2.1") || r.allows(1, "198.51.100.1") || r.allows(1, "::1") {
		t.Error("allowed to another key or address")
	}
	r.open()
	if !r.allows(1, "192.0.2.1") {
		t.Error("not allowed after opening again")
	}
	r.now = start.Add(time.Hour - time.Millisecond)
	if keys := r.End(); len(keys) != 0 || !r.allows(1, "192.0.2.1") {
		t.Error("it ended too early")
	}
	r.now = start.Add(time.Hour)
	if r.allows(1, "192.0.2.1") {
		t.Error("allowed at its end")
	}
	if keys := r.End(); len(keys) != 1 || keys[0] != (store.KeyHash{1}) {
		t.Errorf("ended: %v", keys)
	}
	if keys := r.End(); len(keys) != 0 {
		t.Errorf("ended twice: %v", keys)
	}
	if got, err := r.Get(x.ID); err != nil || got.StateAt(r.now) != exception.Ended {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRevoke(t *testing.T) {
	r := newRig(t)
	x, other := r.add(1, "192.0.2.0/24", time.Hour), r.add(1, "198.51.100.0/24", time.Hour)
	ended, err := r.Revoke(t.Context(), x.ID, "bert")
	if err != nil || ended.RevokedBy != "bert" || ended.StateAt(r.now) != exception.Revoked {
		t.Errorf("got %+v, %v", ended, err)
	}
	if r.allows(1, "192.0.2.1") || !r.allows(1, "198.51.100.1") {
		t.Error("the one that was ended must be gone, and no other")
	}
	if _, err := r.Revoke(t.Context(), x.ID, "bert"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("twice: got %v, want ErrConflict", err)
	}
	if _, err := r.Revoke(t.Context(), "none", "bert"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("none: got %v, want ErrNotFound", err)
	}
	if err := r.RevokeOf(t.Context(), store.KeyHash{1}, "bert"); err != nil || r.allows(1, "198.51.100.1") {
		t.Errorf("all of a key: %v", err)
	}
	r.open()
	if got := r.List(exception.Filter{State: exception.Revoked}); len(got) != 2 || got[0].By != "anna" || got[1].ID == got[0].ID {
		t.Errorf("after opening again: %+v (and %s)", got, other.ID)
	}
}

func TestAddRefuses(t *testing.T) {
	r := newRig(t)
	good := exception.Exception{Hash: store.KeyHash{1}, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Until: start.Add(time.Hour)}
	for says, change := range map[string]func(*exception.Exception){
		"hash":          func(x *exception.Exception) { x.Hash = store.KeyHash{} },
		"past":          func(x *exception.Exception) { x.Until = start },
		"rule":          func(x *exception.Exception) { x.Until = start.Add(exception.MaxFor + time.Second) },
		"note":          func(x *exception.Exception) { x.Note = strings.Repeat("x", 2000) },
		"192.0.2.0/24":  func(x *exception.Exception) { x.Prefix = netip.MustParsePrefix("192.0.2.7/24") },
		"invalid":       func(x *exception.Exception) { x.Prefix = netip.Prefix{} },
		"write it as I": func(x *exception.Exception) { x.Prefix = netip.MustParsePrefix("::ffff:192.0.2.0/120") },
	} {
		x := good
		change(&x)
		if _, err := r.Add(t.Context(), x); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want ErrInvalid that says %q", err, says)
		}
	}
	if got := r.List(exception.Filter{}); len(got) != 0 {
		t.Errorf("there are %+v", got)
	}
}

func TestListAndForget(t *testing.T) {
	r := newRig(t)
	late, soon, over := r.add(1, "192.0.2.0/24", 3*time.Hour), r.add(2, "192.0.2.0/24", 2*time.Hour), r.add(1, "198.51.100.0/24", time.Hour)
	r.now = start.Add(90 * time.Minute)
	r.End()
	var ids []string
	for _, x := range r.List(exception.Filter{}) {
		ids = append(ids, x.ID)
	}
	if want := []string{soon.ID, late.ID, over.ID}; strings.Join(ids, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want those that run first, and of these the next to end: %q", ids, want)
	}
	if got := r.List(exception.Filter{Hash: store.KeyHash{1}, State: exception.Running, Text: "192.0"}); len(got) != 1 || got[0].ID != late.ID {
		t.Errorf("filtered: %+v", got)
	}
	r.now = start.Add(30*24*time.Hour + time.Hour)
	if err := r.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get(over.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that ended 30 days ago: got %v, want ErrNotFound", err)
	}
	if _, err := r.Get(late.ID); err != nil {
		t.Errorf("one that ended later: %v", err)
	}
	r.open()
	if got := r.List(exception.Filter{}); len(got) != 2 {
		t.Errorf("after opening again: %+v", got)
	}
}
