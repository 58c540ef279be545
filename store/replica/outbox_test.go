//go:build unix

package replica_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

var hour = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// use gathers one of everything for a key that is bound.
func use(tb testing.TB, n *node, key int) {
	tb.Helper()
	b := storetest.Binding(key)
	check(tb, n.AddUsage(context.Background(), store.UsageBatch{
		Touches:  []store.Touch{{Hash: b.Hash, LastUsed: b.CreatedAt, LastIP: b.FirstIP, Hits: 1}},
		Counters: []store.Counter{{Hour: hour, Name: "requests", N: 1}},
	}))
	recs := []store.Intercept{storetest.Intercept(key)}
	check(tb, n.PutIntercepts(context.Background(), recs))
	recs[0].Count++
	check(tb, n.PutIntercepts(context.Background(), recs)) // it has grown
	must(n.AppendAudit(context.Background(), storetest.AuditEntry(key)))(tb)
}

// wantUses fails the test unless a store has what so many uses of one key gather.
func wantUses(tb testing.TB, what string, s store.Store, key, uses int) {
	tb.Helper()
	ctx := context.Background()
	usage := must(s.Usage(ctx, storetest.Hash(key)))(tb)
	counters := must(s.Counters(ctx, hour, hour.Add(time.Hour)))(tb)
	records := must(s.ListIntercepts(ctx, store.InterceptFilter{Limit: store.MaxPage}))(tb).Records
	entries := must(s.ListAudit(ctx, store.AuditFilter{Limit: store.MaxPage}))(tb).Entries
	counted := uint64(0)
	if len(counters) > 0 {
		counted = counters[0].N
	}
	if int(usage.Hits) != uses || int(counted) != uses || len(records) != uses || len(entries) != uses {
		tb.Errorf("%s: %d hits, %d counted, %d intercepts, %d audit entries, want %d", what, usage.Hits, counted, len(records), len(entries), uses)
	}
	for _, r := range records {
		if r.Count != storetest.Intercept(key).Count+1 {
			tb.Errorf("%s: count %d of an intercept that has grown", what, r.Count)
		}
	}
}

// TestGatheredWhileAway gathers without a server, and delivers when it is back.
func TestGatheredWhileAway(t *testing.T) {
	s, dsn := ownServer(t)
	dir := t.TempDir()
	n := start(t, dsn, dir, options())
	awaitLevel(t, n)
	bind(t, n, 1)
	s.Kill()
	const uses = 20
	for range uses {
		use(t, n, 1)
	}
	wantUses(t, "at the node, while the authority is away", n, 1, uses)
	mustClose(t, n)
	n = start(t, dsn, dir, options())
	defer mustClose(t, n)
	wantUses(t, "at the node, started anew", n, 1, uses)
	check(t, s.Restart())
	check(t, n.Flush(t.Context()))
	wantUses(t, "at the authority", n.authority.Authority, 1, uses)
	entries := must(n.authority.ListAudit(t.Context(), store.AuditFilter{}))(t).Entries
	if size := must(n.OutboxSize(t.Context()))(t); size != (store.OutboxSize{}) || len(entries) != uses {
		t.Errorf("outbox %+v", size)
	}
}

// TestAnswerLost delivers what has arrived, and was not acknowledged.
func TestAnswerLost(t *testing.T) {
	n := join(t, database(t), options())
	bind(t, n, 1)
	var answers atomic.Int64
	n.authority.onDelivery(func(context.Context) error {
		if answers.Add(1)%2 == 1 {
			return store.ErrUnavailable
		}
		return nil
	})
	const uses = 5
	for range uses {
		use(t, n, 1)
	}
	check(t, n.Flush(t.Context()))
	wantUses(t, "at the authority", n.authority.Authority, 1, uses)
	if answers.Load() < 2*uses {
		t.Errorf("%d deliveries", answers.Load())
	}
}

// TestKilledAfterDelivery goes on with the file as it was at the moment between the
// delivery of a batch and its removal, as after a kill -9.
func TestKilledAfterDelivery(t *testing.T) {
	dsn := database(t)
	n := join(t, dsn, options())
	bind(t, n, 1)
	use(t, n, 1)
	check(t, n.Flush(t.Context()))
	file := filepath.Join(t.TempDir(), bolt.FileName)
	copied := make(chan struct{})
	var once atomic.Bool
	n.authority.onDelivery(func(context.Context) error {
		if once.CompareAndSwap(false, true) {
			copyFile(t, n.local, file)
			close(copied)
		}
		return nil
	})
	use(t, n, 1)
	<-copied
	check(t, n.Flush(t.Context()))
	mustClose(t, n)
	again := start(t, dsn, filepath.Dir(file), options())
	defer mustClose(t, again)
	check(t, again.Flush(t.Context()))
	// What the first one gathered after that moment is not in the file: it is as if the
	// second one had gathered nothing.
	wantUses(t, "at the authority", authorityOf(t, dsn), 1, 2)
}

// authorityOf opens the authority itself.
func authorityOf(t *testing.T, dsn string) store.Store {
	t.Helper()
	a := must(connect(t.Context(), dsn))(t)
	t.Cleanup(func() { check(t, a.Close()) })
	return a
}

// TestOutboxOfAnotherCluster is left out of the new one.
func TestOutboxOfAnotherCluster(t *testing.T) {
	s, dsn := ownServer(t)
	dir := t.TempDir()
	n := start(t, dsn, dir, options())
	awaitLevel(t, n)
	bind(t, n, 1)
	s.Kill()
	use(t, n, 1)
	mustClose(t, n)
	here := database(t)
	n = start(t, here, dir, options())
	defer mustClose(t, n)
	awaitLevel(t, n)
	check(t, n.Flush(t.Context()))
	bind(t, n, 1)
	wantUses(t, "at the other authority", n.authority.Authority, 1, 0)
	use(t, n, 1)
	check(t, n.Flush(t.Context()))
	wantUses(t, "at the other authority", n.authority.Authority, 1, 1)
}
