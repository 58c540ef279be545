package bindcache

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// table is a store of bindings that counts its reads.
type table struct {
	mu    sync.Mutex
	rows  map[store.KeyHash]store.Binding
	reads atomic.Int64
	err   error
}

func (t *table) Binding(_ context.Context, hash store.KeyHash) (store.Binding, error) {
	t.reads.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return store.Binding{}, t.err
	}
	b, ok := t.rows[hash]
	if !ok {
		return store.Binding{}, store.ErrNotFound
	}
	return b, nil
}

func (t *table) put(b store.Binding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows == nil {
		t.rows = make(map[store.KeyHash]store.Binding)
	}
	t.rows[b.Hash] = b
}

func hashOf(n uint64) store.KeyHash {
	var h store.KeyHash
	for i := range 4 {
		binary.LittleEndian.PutUint64(h[8*i:], (n+1)*0x9e3779b97f4a7c15+uint64(i))
	}
	return h
}

func bound(n uint64, prefix string) store.Binding {
	return store.Binding{
		Hash: hashOf(n), Status: store.StatusActive,
		Rule: store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}},
	}
}

// unnamed are networks of which none exists.
type unnamed struct{}

func (unnamed) Set(string) *network.Set { return new(network.Set) }

func newCache(t testing.TB, rows *table, entries int) *Cache {
	t.Helper()
	c, err := New(rows, unnamed{}, entries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mustGet(t testing.TB, c *Cache, hash store.KeyHash) *Entry {
	t.Helper()
	e, err := c.Get(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestGetReadsAKeyOnce(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	for range 10 {
		if e := mustGet(t, c, hashOf(1)); e == nil || !e.Covers(netip.MustParseAddr("192.0.2.1")) {
			t.Fatalf("got %v, want an entry that covers its address", e)
		}
		c.entries.Wait()
	}
	if n := rows.reads.Load(); n != 1 {
		t.Errorf("store was read %d times, want 1", n)
	}
}

func TestUnknownKeysAreNotCached(t *testing.T) {
	rows := new(table)
	c := newCache(t, rows, 100)
	if e := mustGet(t, c, hashOf(1)); e != nil {
		t.Fatalf("got %v for an unknown key, want nil", e)
	}
	rows.put(bound(1, "192.0.2.1/32"))
	if e := mustGet(t, c, hashOf(1)); e == nil {
		t.Error("a key that was bound meanwhile is still unknown")
	}
}

func TestStoreErrorsAreReturned(t *testing.T) {
	rows := &table{err: store.ErrUnavailable}
	c := newCache(t, rows, 100)
	if _, err := c.Get(t.Context(), hashOf(1)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want %v", err, store.ErrUnavailable)
	}
}

func TestAFailedChangeIsLookedUpAgain(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	mustGet(t, c, hashOf(1))
	err := c.Change(hashOf(1), func() error {
		rows.put(bound(1, "192.0.2.2/32"))
		return store.ErrUnavailable // the answer was lost, not the change
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v, want %v", err, store.ErrUnavailable)
	}
	if mustGet(t, c, hashOf(1)).Covers(netip.MustParseAddr("192.0.2.1")) {
		t.Error("the rule from before the change is still in force")
	}
}

// A copy that was read before a change and reaches ristretto after it must not
// be believed, and the marks that see to that must not pile up.
func TestAnOutdatedCopyIsNotBelieved(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	old, err := newEntry(rows.rows[hashOf(1)])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Change(hashOf(1), func() error { rows.put(bound(1, "192.0.2.2/32")); return nil }); err != nil {
		t.Fatal(err)
	}
	c.entries.Set(slot(old.Hash), old, 1) // as ristretto's queue would, late
	c.entries.Wait()
	if mustGet(t, c, hashOf(1)).Covers(netip.MustParseAddr("192.0.2.1")) {
		t.Error("an outdated copy was believed")
	}
	c.sweepOnce()
	for i := range c.stripes {
		if n := c.stripes[i].marked.Load(); n != 0 {
			t.Errorf("stripe %d keeps %d marks after the sweep, want 0", i, n)
		}
	}
}

// A ban races with cache fills: no Get that begins after the ban was
// acknowledged may see the key unbanned. A small cache and a reader that evicts
// keep ristretto's queue and admission busy.
func TestABanIsNeverTakenBackByFills(t *testing.T) {
	const (
		keys  = 64
		bans  = 2000
		fills = 1_000_000
	)
	rows := new(table)
	for n := range uint64(4096) {
		rows.put(bound(n, "192.0.2.1/32"))
	}
	c := newCache(t, rows, 256)
	var banned [keys]atomic.Uint64 // odd: an acknowledged ban is in force
	var done atomic.Bool
	var left atomic.Int64
	left.Store(fills)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for i := uint64(g); left.Add(-1) > 0 || !done.Load(); i++ {
				n := i * 31 % 4096
				if i%2 == 0 {
					n = i / 2 % keys
				}
				before := uint64(0)
				if n < keys {
					before = banned[n].Load()
				}
				e, err := c.Get(t.Context(), hashOf(n))
				if err != nil {
					t.Error(err)
					return
				}
				if before%2 == 1 && !e.Banned && banned[n].Load() == before {
					t.Errorf("key %d passed after its ban was acknowledged", n)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for i := uint64(0); i < fills/10 && !done.Load(); i++ {
			if err := c.ReadAhead(t.Context(), hashOf(i%keys)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range uint64(bans) {
		n := i % keys
		for _, status := range []store.Status{store.StatusBanned, store.StatusActive} {
			if status == store.StatusActive {
				banned[n].Add(1) // from here on it may pass
			}
			b := bound(n, "192.0.2.1/32")
			b.Status = status
			if i/keys%2 == 0 {
				mustReplace(t, c, b, func() { rows.put(b) })
			} else if err := c.Change(b.Hash, func() error { rows.put(b); return nil }); err != nil {
				t.Fatal(err)
			}
			if status == store.StatusBanned {
				banned[n].Add(1)
				mustBeBanned(t, c, b.Hash)
			}
		}
		if i%100 == 0 {
			c.sweepOnce()
		}
	}
	done.Store(true)
	wg.Wait()
}

func mustBeBanned(t *testing.T, c *Cache, hash store.KeyHash) {
	t.Helper()
	for range 20 {
		if e := mustGet(t, c, hash); e == nil || !e.Banned {
			t.Fatalf("got %+v after the ban was acknowledged", e)
		}
	}
}

func TestAHitAllocatesNothing(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	mustGet(t, c, hashOf(1))
	c.entries.Wait()
	ctx, ip := t.Context(), netip.MustParseAddr("192.0.2.1")
	hash := hashOf(1)
	if n := testing.AllocsPerRun(1000, func() {
		e, err := c.Get(ctx, hash)
		if err != nil || !e.Covers(ip) {
			t.Fatal("no hit")
		}
		e.Touch(ip)
	}); n != 0 {
		t.Errorf("a hit allocates %v times, want 0", n)
	}
}

func TestTouchesAddUp(t *testing.T) {
	e, err := newEntry(bound(1, "192.0.2.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_700_000_000_123).UTC()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if !e.Touch(a) {
		t.Error("the first touch is not reported as the first")
	}
	if e.Touch(a) {
		t.Error("the second touch is reported as the first")
	}
	if !e.Touch(b) {
		t.Error("the first touch from another address is not reported as the first")
	}
	want := store.Touch{Hash: hashOf(1), LastUsed: at, LastIP: b, Hits: 3, Addresses: []store.AddressHits{{IP: a, Hits: 2}}}
	if got := e.TakeUsage(at); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := e.TakeUsage(at); got.Hits != 0 {
		t.Errorf("got %d hits a second time, want 0", got.Hits)
	}
}

func TestTheOneAddressOfARuleIsTheLastOne(t *testing.T) {
	e, err := newEntry(bound(1, "192.0.2.1/32"))
	if err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr("192.0.2.1")
	e.Touch(ip)
	if got := e.TakeUsage(time.UnixMilli(1)).LastIP; got != ip {
		t.Errorf("got %v, want %v", got, ip)
	}
}

// TestLatePromotion: a reader has found an entry, and comes to promote it only
// after a change of the key has come and its mark has gone.
func TestLatePromotion(t *testing.T) {
	for name, fill := range map[string]func(c *Cache) error{
		"of a key that was asked for": func(c *Cache) error { _, err := c.Get(t.Context(), hashOf(1)); return err },
		"of one that was read ahead":  func(c *Cache) error { return c.ReadAhead(t.Context(), hashOf(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			rows := new(table)
			rows.put(bound(1, "192.0.2.1/32"))
			c := newCache(t, rows, 100)
			if err := fill(c); err != nil {
				t.Fatal(err)
			}
			c.entries.Wait()
			old, ok := c.entries.Get(slot(hashOf(1)))
			if !ok {
				t.Fatal("the key is not in the cache")
			}
			banned := bound(1, "192.0.2.1/32")
			banned.Status = store.StatusBanned
			if err := c.Change(hashOf(1), func() error { rows.put(banned); return nil }); err != nil {
				t.Fatal(err)
			}
			c.sweepOnce()
			c.promote(c.stripe(hashOf(1)), old)
			if e := mustGet(t, c, hashOf(1)); !e.Banned {
				t.Error("a key that was banned is served from before")
			}
		})
	}
}

// TestReadAhead: the first Get reads nothing, and what it returns is what all later ones
// do, apart from what lies among the keys that nobody asks for.
func TestReadAhead(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	for _, n := range []uint64{1, 2} { // there is no second one
		if err := c.ReadAhead(t.Context(), hashOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	c.entries.Wait()
	ahead, ok := c.entries.Get(slot(hashOf(1)))
	if !ok {
		t.Fatal("the key is not in the cache")
	}
	before := rows.reads.Load()
	first := mustGet(t, c, hashOf(1))
	c.entries.Wait()
	if first == ahead || !first.Covers(netip.MustParseAddr("192.0.2.1")) {
		t.Errorf("got %+v", first)
	}
	for range 3 {
		if e := mustGet(t, c, hashOf(1)); e != first {
			t.Error("a later Get returns another entry than the first")
		}
	}
	if n := rows.reads.Load() - before; n != 0 {
		t.Errorf("%d bindings were read", n)
	}
	rows.err = errors.New("medium is broken")
	if err := c.ReadAhead(t.Context(), hashOf(2)); !errors.Is(err, rows.err) {
		t.Errorf("got %v, want that of the store", err)
	}
}

// TestPlacesAreShared has keys push each other out of a table of two places.
func TestPlacesAreShared(t *testing.T) {
	rows := new(table)
	for n := range uint64(50) {
		rows.put(bound(n, "192.0.2.1/32"))
	}
	c := newCache(t, rows, 2)
	for round := range 20 {
		for n := range uint64(50) {
			if e := mustGet(t, c, hashOf(n)); e == nil || e.Hash != hashOf(n) || e.Banned != (round > 0 && n == uint64(round-1)) {
				t.Fatalf("round %d, key %d: got %+v", round, n, e)
			}
		}
		banned := bound(uint64(round), "192.0.2.1/32")
		banned.Status = store.StatusBanned
		for n := range uint64(50) { // the ban of the round before is lifted again
			if n != uint64(round) {
				rows.put(bound(n, "192.0.2.1/32"))
			}
		}
		if round > 0 {
			_ = c.Change(hashOf(uint64(round-1)), func() error { return nil })
		}
		if err := c.Change(hashOf(uint64(round)), func() error { rows.put(banned); return nil }); err != nil {
			t.Fatal(err)
		}
	}
}
