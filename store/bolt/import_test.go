package bolt_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func TestImportBindings(t *testing.T) {
	const n = 25_000 // more than one transaction
	s := openIn(t, t.TempDir())
	defer mustClose(t, s)
	first, _, err := s.Bind(t.Context(), storetest.Binding(7))
	if err != nil {
		t.Fatal(err)
	}
	byHash := map[store.KeyHash]store.Binding{}
	for i := range n {
		byHash[storetest.Hash(i)] = storetest.Binding(i)
	}
	for _, want := range []int{n - 1, 0} {
		if created, err := s.ImportBindings(t.Context(), maps.Values(byHash)); err != nil || created != want {
			t.Errorf("created %d, %v, want %d", created, err, want)
		}
	}
	list, err := s.ListBindings(t.Context(), store.KeyHash{}, n+1)
	if err != nil || len(list) != n {
		t.Fatalf("%d bindings, %v", len(list), err)
	}
	seen := map[uint64]bool{}
	for _, b := range list {
		seen[b.Revision] = true
		if want := byHash[b.Hash]; b.FirstIP != want.FirstIP {
			t.Errorf("binding %s: %+v", b.Hash, b)
		}
	}
	if len(seen) != n {
		t.Errorf("%d revisions", len(seen))
	}
	if got, err := s.Binding(t.Context(), first.Hash); err != nil || got.Revision != first.Revision {
		t.Errorf("the one that was there: revision %d, %v", got.Revision, err)
	}
}

func TestImportInOrderIsDense(t *testing.T) {
	const n = 20_000
	size := func(sorted bool) int {
		var list []store.Binding
		for i := range n {
			list = append(list, storetest.Binding(i))
		}
		if sorted {
			slices.SortFunc(list, func(a, b store.Binding) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
		}
		dir := t.TempDir()
		s := openIn(t, dir)
		if _, err := s.ImportBindings(t.Context(), slices.Values(list)); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		return len(readFile(t, dir+"/sentinel.db"))
	}
	if sorted, shuffled := size(true), size(false); sorted >= shuffled {
		t.Errorf("%d bytes in order, %d in none", sorted, shuffled)
	}
}

func TestImportStopsAtAnInvalidBinding(t *testing.T) {
	s := openIn(t, t.TempDir())
	defer mustClose(t, s)
	bad := storetest.Binding(2)
	bad.Status = ""
	created, err := s.ImportBindings(t.Context(), slices.Values([]store.Binding{storetest.Binding(1), bad}))
	if !errors.Is(err, store.ErrInvalid) || created != 0 {
		t.Errorf("created %d, %v, want ErrInvalid", created, err)
	}
	if n, err := s.CountBindings(t.Context()); err != nil || n != 0 {
		t.Errorf("count %d, %v", n, err)
	}
}
