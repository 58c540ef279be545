package bindcache

import (
	"context"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// gated is a store whose reads can be held up after they have read.
type gated struct {
	table
	read, goOn chan struct{} // nil: nothing is held up
	once       sync.Once
}

func (g *gated) Binding(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	b, err := g.table.Binding(ctx, hash)
	g.once.Do(func() {
		if g.read != nil {
			close(g.read)
			<-g.goOn
		}
	})
	return b, err
}

func banned(n uint64) store.Binding {
	b := bound(n, "192.0.2.1/32")
	b.Status = store.StatusBanned
	return b
}

// dropsOfOne are the ways in which the binding of key 1 is told to have changed.
var dropsOfOne = map[string]func(c *Cache){
	"of the key": func(c *Cache) { c.Drop(hashOf(1)) },
	"of all":     func(c *Cache) { c.DropAll() },
}

// Threat: a fill has read the binding, another node's ban comes into the store and is
// told of, and then the fill puts what it has read into the cache.
func TestADropReachesAFillUnderWay(t *testing.T) {
	for name, drop := range dropsOfOne {
		t.Run(name, func(t *testing.T) {
			rows := &gated{read: make(chan struct{}), goOn: make(chan struct{})}
			rows.put(bound(1, "192.0.2.1/32"))
			c, err := New(rows, unnamed{}, 100)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			filled := make(chan *Entry, 1)
			go func() {
				e, _ := c.Get(context.Background(), hashOf(1))
				filled <- e
			}()
			<-rows.read
			rows.put(banned(1))
			drop(c) // does not wait for the fill, which holds the stripe lock
			close(rows.goOn)
			if e := <-filled; e == nil || !e.Banned {
				t.Error("the fill under way returned what was there before")
			}
			mustBeBanned(t, c, hashOf(1))
			c.entries.Wait()
			mustBeBanned(t, c, hashOf(1))
		})
	}
}

// A write of this process may take seconds, and what others have changed of any key of
// the same stripe must not wait for it.
func TestADropDoesNotWaitForAWrite(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	mustGet(t, c, hashOf(1))
	err := c.Change(hashOf(1), func() error {
		rows.put(banned(1))
		c.Drop(hashOf(1))
		c.DropAll()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mustBeBanned(t, c, hashOf(1))
}

func TestDropAllForgetsEveryCopy(t *testing.T) {
	const keys = 500
	rows := new(table)
	c := newCache(t, rows, 100) // less than there are keys: some are in ristretto only
	for n := range uint64(keys) {
		rows.put(bound(n, "192.0.2.1/32"))
		mustGet(t, c, hashOf(n))
	}
	c.entries.Wait()
	for n := range uint64(keys) {
		rows.put(banned(n))
	}
	c.DropAll()
	for round := range 2 {
		for n := range uint64(keys) {
			if e := mustGet(t, c, hashOf(n)); !e.Banned {
				t.Fatalf("round %d: key %d has the rule of before", round, n)
			}
		}
		c.entries.Wait()
	}
	before := rows.reads.Load()
	mustGet(t, c, hashOf(keys-1))
	if rows.reads.Load() != before {
		t.Error("what was read after DropAll is not believed")
	}
}

// Fills, drops by others and sweeps go on at once: a Get that begins after a Drop never
// has what was there before.
func TestNoGetAfterADropIsOld(t *testing.T) {
	rows := new(table)
	rows.put(bound(1, "192.0.2.1/32"))
	c := newCache(t, rows, 100)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = c.Get(context.Background(), hashOf(1))
				}
			}
		})
	}
	for round := range 2_000 {
		if round%2 == 0 {
			rows.put(banned(1))
		} else {
			rows.put(bound(1, "192.0.2.1/32"))
		}
		if round%100 == 0 {
			c.DropAll()
		} else {
			c.Drop(hashOf(1))
		}
		if e := mustGet(t, c, hashOf(1)); e.Banned != (round%2 == 0) {
			t.Fatalf("round %d: got banned %v", round, e.Banned)
		}
		if round%50 == 0 {
			c.sweepOnce()
		}
	}
	close(stop)
	readers.Wait()
}
