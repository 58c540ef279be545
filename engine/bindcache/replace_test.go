package bindcache

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

func mustReplace(t *testing.T, c *Cache, b store.Binding, write func()) {
	t.Helper()
	if err := c.Replace(b.Hash, func() (store.Binding, error) { write(); return b, nil }); err != nil {
		t.Fatal(err)
	}
}

func TestWhatReplacesABindingIsNotRead(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	mustGet(t, c, hashOf(1))
	before := rows.reads.Load()
	for range 3 {
		mustReplace(t, c, banned(1), func() { rows.put(banned(1)) })
		mustBeBanned(t, c, hashOf(1))
		c.entries.Wait()
		c.sweepOnce()
		mustBeBanned(t, c, hashOf(1))
		mustReplace(t, c, bound(1, "192.0.2.1/32"), func() { rows.put(bound(1, "192.0.2.1/32")) })
		if e := mustGet(t, c, hashOf(1)); e.Banned {
			t.Error("still banned")
		}
	}
	if n := rows.reads.Load() - before; n != 0 {
		t.Errorf("the store was read %d times", n)
	}
}

// Threat: while a change of this process is acknowledged late, another node bans the key
// and tells of it; then the change puts what it wrote into the cache.
func TestAReplacementThatWasOvertakenIsNotKept(t *testing.T) {
	for name, drop := range dropsOfOne {
		t.Run(name, func(t *testing.T) {
			rows := new(table)
			c := newCache(t, rows, 100)
			mustReplace(t, c, bound(1, "192.0.2.1/32"), func() {
				rows.put(banned(1))
				drop(c)
			})
			mustBeBanned(t, c, hashOf(1))
			c.entries.Wait()
			c.sweepOnce()
			mustBeBanned(t, c, hashOf(1))
		})
	}
}

func TestAReplacementThatFailsIsLookedUpAgain(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	mustGet(t, c, hashOf(1))
	err := c.Replace(hashOf(1), func() (store.Binding, error) {
		rows.put(banned(1))
		return bound(1, "192.0.2.1/32"), store.ErrUnavailable // the answer was lost, not the change
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v, want %v", err, store.ErrUnavailable)
	}
	mustBeBanned(t, c, hashOf(1))
}

// A rule that cannot be read is no reason to keep the one before it.
func TestAReplacementThatCannotBeReadIsNoOlderOne(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	mustGet(t, c, hashOf(1))
	unreadable := bound(1, "192.0.2.1/32")
	unreadable.Rule = store.Rule{Kind: store.RuleMultiple, Prefixes: make([]netip.Prefix, 1)}
	mustReplace(t, c, unreadable, func() { rows.put(unreadable) })
	if e, err := c.Get(t.Context(), hashOf(1)); err == nil {
		t.Errorf("got %+v, want an error", e)
	}
}
