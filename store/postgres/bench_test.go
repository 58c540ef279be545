package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// durable starts a server that flushes its log, as in production, and returns the
// DSN of an empty database by the loopback address.
func durable(b *testing.B) string {
	b.Helper()
	s := startServer(b, pgtest.Options{Fsync: true})
	if err := s.Create("bench"); err != nil {
		b.Fatal(err)
	}
	return s.TCP("bench")
}

// startServer starts a server that a test may do to what it wants.
func startServer(tb testing.TB, opts pgtest.Options) *pgtest.Server {
	tb.Helper()
	s, err := pgtest.Start(opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// BenchmarkBind binds keys that nobody has bound, from several callers of several
// nodes.
func BenchmarkBind(b *testing.B) {
	for _, c := range []struct{ nodes, callers int }{{1, 1}, {1, 64}, {3, 64}, {1, 512}} {
		b.Run(fmt.Sprintf("nodes=%d/callers=%d", c.nodes, c.callers), func(b *testing.B) {
			dsn := durable(b)
			var nodes []*postgres.Store
			for range c.nodes {
				nodes = append(nodes, openUntilEnd(b, postgres.Options{DSN: dsn}))
			}
			var next atomic.Int64
			b.ResetTimer()
			var wg sync.WaitGroup
			for caller := range c.callers {
				wg.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if _, created, err := nodes[caller%c.nodes].Bind(b.Context(), storetest.Binding(int(n))); err != nil || !created {
							b.Errorf("bind: created %v, %v", created, err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "binds/s")
		})
	}
}

// BenchmarkAddUsage adds what one node gathers in a moment: a thousand keys.
func BenchmarkAddUsage(b *testing.B) {
	const keys = 1_000
	s := openUntilEnd(b, postgres.Options{DSN: durable(b)})
	bindMany(b, s, keys)
	var touches []store.Touch
	for n := range keys {
		bound := storetest.Binding(n)
		touches = append(touches, store.Touch{Hash: bound.Hash, LastUsed: bound.CreatedAt, LastIP: bound.FirstIP, Hits: 3})
	}
	for b.Loop() {
		if err := s.AddUsage(b.Context(), store.UsageBatch{Touches: touches}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*keys)/b.Elapsed().Seconds(), "touches/s")
}

// BenchmarkSnapshot streams everything, and BenchmarkChanges the feed of it.
func BenchmarkSnapshot(b *testing.B) {
	const keys = 50_000
	s := openUntilEnd(b, postgres.Options{DSN: durable(b)})
	bindMany(b, s, keys)
	for b.Loop() {
		if n := len(snapshotOf(b, s).records); n != keys {
			b.Fatalf("%d records, want %d", n, keys)
		}
	}
	b.ReportMetric(float64(b.N*keys)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkChanges(b *testing.B) {
	const keys = 10_000
	s := openUntilEnd(b, postgres.Options{DSN: durable(b)})
	bindMany(b, s, keys)
	for b.Loop() {
		list, err := s.Changes(b.Context(), 0, keys)
		if err != nil || len(list) != keys {
			b.Fatalf("%d changes, %v", len(list), err)
		}
	}
	b.ReportMetric(float64(b.N*keys)/b.Elapsed().Seconds(), "changes/s")
}

// bindMany binds the keys below n, many at a time.
func bindMany(tb testing.TB, s *postgres.Store, n int) {
	tb.Helper()
	const callers = 512
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for k := int(next.Add(1)) - 1; k < n; k = int(next.Add(1)) - 1 {
				if _, _, err := s.Bind(context.Background(), storetest.Binding(k)); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
