package bolt

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// Giving pages back changes nothing for readers, and really gives them back.
func TestReleasePages(t *testing.T) {
	const bindings = 50_000
	s, err := Open(filepath.Join(t.TempDir(), FileName), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	hashes := make([]store.KeyHash, 0, bindings)
	_, err = s.ImportBindings(t.Context(), func(yield func(store.Binding) bool) {
		for n := range bindings {
			b := storetest.Binding(n)
			hashes = append(hashes, b.Hash)
			if !yield(b) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	readAll := func() {
		for hash := range slices.Values(hashes) {
			if _, err := s.Binding(context.Background(), hash); err != nil {
				t.Fatal(err)
			}
		}
	}
	readAll()
	before := residentFileBytes()
	s.releasePages()
	if after := residentFileBytes(); after > before-(1<<20) {
		t.Errorf("%d bytes were resident before, and %d after pages were given back", before, after)
	}
	readAll()
}
