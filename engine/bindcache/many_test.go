package bindcache

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

func hashes(n int) []store.KeyHash {
	list := make([]store.KeyHash, n)
	for i := range list {
		list[i] = hashOf(uint64(i))
	}
	return list
}

var errBroken = errors.New("medium is broken")

// TestManyKeysAreNotAllKept: after a flood of more keys than the cache is for, the
// table does not hold several times as many entries.
func TestManyKeysAreNotAllKept(t *testing.T) {
	rows := new(table)
	const entries, keys = 1_100, 20_000 // not a power of two
	c := newCache(t, rows, entries)
	for _, hash := range hashes(keys) {
		b := bound(1, "192.0.2.1/32")
		b.Hash = hash
		rows.put(b)
		mustGet(t, c, hash)
	}
	held := 0
	for i := range c.hot {
		for j := range c.hot[i] {
			if c.hot[i][j].Load() != nil {
				held++
			}
		}
	}
	if held < entries || held > 2*entries {
		t.Errorf("the table holds %d entries, want between %d and %d", held, entries, 2*entries)
	}
}

// TestChangeManyHidesWhatItChanges: while the write runs a look-up waits, even
// of a cached key, and then sees what was written; keys of the same stripe that
// are cached and not changed do not wait.
func TestChangeManyHidesWhatItChanges(t *testing.T) {
	rows := new(table)
	changed, bystander := bound(1, "192.0.2.1/32"), bound(2, "192.0.2.1/32")
	copy(bystander.Hash[8:10], changed.Hash[8:10]) // of the same stripe
	rows.put(changed)
	rows.put(bystander)
	c := newCache(t, rows, 100)
	mustGet(t, c, changed.Hash)
	mustGet(t, c, bystander.Hash)
	c.entries.Wait()
	home := netip.MustParseAddr("192.0.2.1")
	looked := make(chan bool, 1)
	err := c.ChangeMany([]store.KeyHash{changed.Hash, hashOf(3)}, func() error {
		go func() { looked <- mustGet(t, c, changed.Hash).Covers(home) }()
		for range 1000 {
			runtime.Gosched() // lets it run into the lock
		}
		if !mustGet(t, c, bystander.Hash).Covers(home) { // would wait for ever
			t.Error("the bystander has another rule")
		}
		rows.put(bound(1, "192.0.2.2/32"))
		return errBroken
	})
	if !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the error of the write", err)
	}
	if <-looked {
		t.Error("a look-up did not wait for the write")
	}
	if mustGet(t, c, changed.Hash).Covers(home) {
		t.Error("the rule from before the change is still in force")
	}
}

// TestChangesOfManyDoNotWaitForEachOther: overlapping changes of many keys and of
// single ones, in any order, all end.
func TestChangesOfManyDoNotWaitForEachOther(t *testing.T) {
	rows := new(table)
	for n := range uint64(400) {
		rows.put(bound(n, "192.0.2.1/32"))
	}
	c := newCache(t, rows, 1000)
	var done sync.WaitGroup
	for g := range uint64(6) {
		done.Go(func() {
			random := rand.New(rand.NewPCG(g, 1))
			for range 20 {
				list := hashes(400)
				random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				nothing := func() error { return nil }
				if err := errors.Join(c.ChangeMany(list[:200], nothing), c.Change(list[0], nothing)); err != nil {
					t.Error(err)
				}
				if _, err := c.Get(t.Context(), list[1]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
}
