package replica_test

import (
	"errors"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// TestRekeyPropagates: every node has a moved binding under its new hash, and was told
// of that before it was told that the other one is gone.
func TestRekeyPropagates(t *testing.T) {
	dsn := database(t)
	a, b := join(t, dsn, options()), join(t, dsn, options())
	bind(t, a, 1, 2)
	ban(t, a, 1)
	awaitLevel(t, b)
	was := must(b.Binding(t.Context(), storetest.Hash(1)))(t)
	doc := store.Document{Kind: "exception", ID: "one", Body: []byte(`{}`)}
	r := store.Rekeying{From: was.Hash, To: storetest.Hash(101), Revision: was.Revision, HashedWith: 7, Put: []store.Document{doc}}
	out := must(b.Rekey(t.Context(), r))(t)
	if _, err := a.Rekey(t.Context(), r); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("by the other node as well: %v", err)
	}
	for _, n := range []*node{a, b} {
		awaitLevel(t, n)
		if got := must(n.Binding(t.Context(), r.To))(t); got.Revision != out.Binding.Revision || got.HashedWith != 7 || !isBanned(n, 101) {
			t.Errorf("got %+v, want %+v", got, out.Binding)
		}
		if _, err := n.Binding(t.Context(), was.Hash); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the other hash: %v", err)
		}
		must(n.Document(t.Context(), "exception", "one"))(t)
	}
	order := map[store.ChangeKind]int{}
	changes, _ := a.told()
	for i, c := range changes {
		if c.Hash == r.To || c.Kind == store.ChangeBindingRemoved {
			order[c.Kind] = i
		}
	}
	put, isPut := order[store.ChangeBindingPut]
	removed, isRemoved := order[store.ChangeBindingRemoved]
	if !isPut || !isRemoved || put > removed {
		t.Errorf("told of %+v, want the new hash before the removal", changes)
	}
}
