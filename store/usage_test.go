package store_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// TestSortTouches compares it with a stable sort, of hashes that are often the same, or
// begin in the same way.
func TestSortTouches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2_000 {
		list := make([]store.Touch, r.IntN(40))
		for i := range list {
			list[i].Hits = uint64(i)
			list[i].Hash[r.IntN(2)] = byte(r.IntN(4))
			list[i].Hash[31] = byte(r.IntN(3))
		}
		want := slices.Clone(list)
		slices.SortStableFunc(want, func(a, b store.Touch) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
		if store.SortTouches(list); !reflect.DeepEqual(list, want) {
			t.Fatalf("got %v, want %v", list, want)
		}
	}
}
