package bolt_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func TestCopy(t *testing.T) {
	storetest.RunCopy(t, func(tb testing.TB) storetest.CopyStore { return openIn(tb, tb.TempDir()) })
}

// copySize is how many bindings the copies of the child have: some chunks of them.
const copySize = 12_000

// labelledCopy yields bindings that have a position as their label.
func labelledCopy(position uint64, each func(n int)) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for n := range copySize {
			each(n)
			b := storetest.Binding(n)
			b.Label, b.Revision = strconv.FormatUint(position, 10), position
			if !yield(store.Change{Revision: position, Kind: store.ChangeBindingPut, Hash: b.Hash, Binding: b}, nil) {
				return
			}
		}
	}
}

// replaceForever makes one copy after the other, and prints how far it is, until it is
// killed.
func replaceForever(path string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	position, _, err := s.CopyPosition(context.Background())
	for ; err == nil; position++ {
		err = s.ReplaceAll(context.Background(), position+1, "here", labelledCopy(position+1, func(n int) {
			if n%500 == 0 {
				fmt.Println(position+1, n)
			}
		}))
	}
	return err
}

// TestKillWhileReplacing ends a process while it makes a new copy: what is there is the
// old one or the new one, as a whole.
func TestKillWhileReplacing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- repeatable on purpose
	path := filepath.Join(t.TempDir(), bolt.FileName)
	highest := uint64(0)
	for range min(*killRounds, 6) {
		killWhileBinding(t, "replace", path, 1+rnd.IntN(60), map[string]bool{})
		s := openPath(t, path)
		position, of, err := s.CopyPosition(t.Context())
		if err != nil || position < highest || (of == "here") != (position > 0) {
			t.Fatalf("position %d of %q, %v, after %d", position, of, err, highest)
		}
		highest = position
		wantOneCopy(t, s, position)
		mustClose(t, s)
	}
	s := openPath(t, path)
	defer mustClose(t, s)
	if err := s.ReplaceAll(t.Context(), highest+1, "here", labelledCopy(highest+1, func(int) {})); err != nil {
		t.Fatal(err)
	}
	wantOneCopy(t, s, highest+1)
}

func wantOneCopy(t *testing.T, s *bolt.Store, position uint64) {
	t.Helper()
	list, err := s.ListBindings(t.Context(), store.KeyHash{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	count, err := s.CountBindings(t.Context())
	if err != nil || count != len(list) || position > 0 && count != copySize {
		t.Errorf("%d bindings, count %d, %v at position %d", len(list), count, err, position)
	}
	for _, b := range list {
		if b.Revision != position || b.Label != strconv.FormatUint(position, 10) {
			t.Fatalf("binding %s of revision %d at position %d", b.Label, b.Revision, position)
		}
	}
	page, err := s.FindBindings(t.Context(), store.BindingQuery{})
	if err != nil || page.Total != len(list) {
		t.Errorf("found %d, %v, of %d", page.Total, err, len(list))
	}
}

func TestOutbox(t *testing.T) {
	storetest.RunOutbox(t, func(tb testing.TB) storetest.OutboxStore { return openIn(tb, tb.TempDir()) })
}
