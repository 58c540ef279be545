package bolt_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// The benchmarks of a large store are meant to be run with
//
//	go test ./store/bolt -run '^$' -bench . -bindings 1000000
var benchBindings = flag.Int("bindings", 100_000, "how many bindings the store of a benchmark has")

// loaded is a file with benchBindings bindings, all of them used; it is made
// for the first benchmark that asks, and removed by TestMain.
var loaded struct {
	once sync.Once
	dir  string
	err  error
}

func loadedPath(b *testing.B) string {
	b.Helper()
	loaded.once.Do(func() {
		if loaded.dir, loaded.err = os.MkdirTemp("", "bolt-bench"); loaded.err == nil {
			loaded.err = load(filepath.Join(loaded.dir, bolt.FileName), *benchBindings)
		}
	})
	if loaded.err != nil {
		b.Fatal(loaded.err)
	}
	return filepath.Join(loaded.dir, bolt.FileName)
}

// load fills a file with bindings in no order, and uses each of them.
func load(path string, n int) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	_, err = s.ImportBindings(context.Background(), func(yield func(store.Binding) bool) {
		for i := 0; i < n && yield(storetest.Binding(i)); i++ {
		}
	})
	if err != nil {
		return err
	}
	const batch = 100_000
	for from := 0; from < n; from += batch {
		if err := s.AddUsage(context.Background(), touches(from, min(from+batch, n))); err != nil {
			return err
		}
	}
	return s.Close()
}

func touches(from, to int) (batch store.UsageBatch) {
	for i := from; i < to; i++ {
		b := storetest.Binding(i)
		batch.Touches = append(batch.Touches, store.Touch{Hash: b.Hash, LastUsed: b.UpdatedAt, LastIP: b.FirstIP, Hits: 3})
	}
	return batch
}

func openLoaded(b *testing.B) *bolt.Store {
	s := openPath(b, loadedPath(b))
	b.Cleanup(func() { mustClose(b, s) })
	return s
}

// BenchmarkBind64 binds new keys from 64 goroutines, in an empty store.
func BenchmarkBind64(b *testing.B) {
	s := openIn(b, b.TempDir())
	defer mustClose(b, s)
	benchBind(b, s, 0)
}

// BenchmarkBind64Loaded does the same in a large one.
func BenchmarkBind64Loaded(b *testing.B) {
	s := openLoaded(b)
	n, err := s.CountBindings(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	benchBind(b, s, n)
}

func benchBind(b *testing.B, s *bolt.Store, from int) {
	const callers = 64
	var next atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				if _, created, err := s.Bind(context.Background(), storetest.Binding(from+i)); err != nil || !created {
					b.Errorf("bind %d: created %v, %v", i, created, err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "binds/s")
}

func BenchmarkBinding(b *testing.B) {
	s := openLoaded(b)
	hashes := make([]store.KeyHash, 10_000)
	for i := range hashes {
		hashes[i] = storetest.Hash(i * (*benchBindings / len(hashes)))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Binding(b.Context(), hashes[i%len(hashes)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	path := loadedPath(b)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		mustClose(b, openPath(b, path))
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}

// BenchmarkAddUsage writes the use of 100,000 keys, while one caller binds new
// keys: how long did it wait at worst?
func BenchmarkAddUsage(b *testing.B) {
	s := openLoaded(b)
	batch := touches(0, min(100_000, *benchBindings))
	next, err := s.CountBindings(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var worst time.Duration
	for b.Loop() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.AddUsage(context.Background(), batch); err != nil {
				b.Errorf("add: %v", err)
			}
		}()
		for running := true; running; next++ {
			began := time.Now()
			if _, _, err := s.Bind(b.Context(), storetest.Binding(next)); err != nil {
				b.Fatal(err)
			}
			worst = max(worst, time.Since(began))
			select {
			case <-done:
				running = false
			default:
			}
		}
	}
	b.ReportMetric(float64(worst.Milliseconds()), "ms-worst-bind")
}
