//go:build unix

package replica_test

import (
	"context"
	"iter"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// BenchmarkPropagation bans a key at one node, and measures from before that until both
// other nodes refuse it.
func BenchmarkPropagation(b *testing.B) {
	for _, deaf := range []bool{false, true} {
		b.Run(map[bool]string{false: "notify", true: "polling"}[deaf], func(b *testing.B) {
			dsn := database(b)
			var nodes []*node
			for range 3 {
				opts := options()
				opts.PollInterval = time.Second
				opts.AuthorityTimeout = 10 * time.Second
				nodes = append(nodes, joinDeaf(b, dsn, opts, deaf))
			}
			var took []time.Duration
			for n := 0; b.Loop(); n++ {
				bind(b, nodes[0], n)
				for _, other := range nodes[1:] {
					eventually(b, "bound", func() bool {
						_, err := other.Binding(context.Background(), storetest.Hash(n))
						return err == nil
					})
				}
				began := time.Now()
				ban(b, nodes[0], n)
				for _, other := range nodes[1:] {
					eventually(b, "banned", func() bool { return isBanned(other, n) })
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// BenchmarkCatchUp has a node come back that is 10,000 changes behind.
func BenchmarkCatchUp(b *testing.B) {
	dsn := database(b)
	a := join(b, dsn, options())
	dir := b.TempDir()
	mustClose(b, startLevel(b, dsn, dir))
	next := 0
	for b.Loop() {
		b.StopTimer()
		bindMany(b, a, next, next+10_000)
		next += 10_000
		n := start(b, dsn, dir, options())
		b.StartTimer()
		awaitLevel(b, n)
		b.StopTimer()
		mustClose(b, n)
		b.StartTimer()
	}
}

// bindMany binds keys from many goroutines.
func bindMany(b *testing.B, n *node, first, end int) {
	b.Helper()
	const callers = 256
	done := make(chan error, callers)
	for caller := range callers {
		go func() {
			var err error
			for k := first + caller; k < end && err == nil; k += callers {
				_, _, err = n.Bind(context.Background(), storetest.Binding(k))
			}
			done <- err
		}()
	}
	for range callers {
		check(b, <-done)
	}
}

func startLevel(b *testing.B, dsn, dir string) *node {
	n := start(b, dsn, dir, options())
	awaitLevel(b, n)
	return n
}

// snapshotSize is how many bindings BenchmarkSnapshot copies.
const snapshotSize = 200_000

// BenchmarkSnapshot has a node begin with nothing.
func BenchmarkSnapshot(b *testing.B) {
	dsn := database(b)
	sql(b, dsn, `
INSERT INTO sentinel.bindings (hash, revision, hint, label, note, hint_folded, label_folded, status, rule, prefixes, networks,
    learn_limit, learn_within, first_ip, created_at, updated_at)
SELECT sha256(n::text::bytea), n, 'sk-ab', '', '', 'sk-ab', '', 'active', 'single', ARRAY['10.0.0.1/32']::cidr[], '{}', 0, 0,
    '10.0.0.1', 1700000000000, 1700000000000 FROM generate_series(1, %d) AS n`, snapshotSize)
	sql(b, dsn, `UPDATE sentinel.head SET revision = %[1]d, trimmed = %[1]d, bindings = %[1]d`, snapshotSize)
	for b.Loop() {
		dir := b.TempDir()
		opts := options()
		opts.AuthorityTimeout = 10 * time.Second
		n := start(b, dsn, dir, opts)
		awaitLevel(b, n)
		b.StopTimer()
		if got := must(n.CountBindings(context.Background()))(b); got != snapshotSize {
			b.Fatalf("%d bindings", got)
		}
		mustClose(b, n)
		b.StartTimer()
	}
}

// BenchmarkReplaceAll makes a new copy of as many bindings, without a server.
func BenchmarkReplaceAll(b *testing.B) {
	var all iter.Seq2[store.Change, error] = func(yield func(store.Change, error) bool) {
		for n := range snapshotSize {
			binding := storetest.Binding(n)
			binding.Revision = uint64(n + 1)
			if !yield(store.Change{Revision: binding.Revision, Kind: store.ChangeBindingPut, Hash: binding.Hash, Binding: binding}, nil) {
				return
			}
		}
	}
	s := must(bolt.Open(filepath.Join(b.TempDir(), bolt.FileName), bolt.Options{}))(b)
	defer func() { check(b, s.Close()) }()
	for b.Loop() {
		check(b, s.ReplaceAll(context.Background(), snapshotSize, "here", all))
	}
}
