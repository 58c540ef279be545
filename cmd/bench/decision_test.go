//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

const (
	fewBindings  = 1_000
	manyBindings = 1_000_000
)

var benchHome = netip.MustParseAddr("192.0.2.1")

// manyFile is the data file with manyBindings bindings. It takes seconds to
// make, so all benchmarks share it.
var manyFile struct {
	once  sync.Once
	dir   string
	store *bolt.Store
	err   error
}

// manyHit is an engine that has manyFile in its cache.
var manyHit struct {
	once   sync.Once
	engine *engine.Engine
	loads  []*http.Request
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := closeMany(); err != nil {
		fmt.Fprintln(os.Stderr, "end of the benchmarks:", err)
		code = 1
	}
	os.Exit(code)
}

func closeMany() error {
	var errs []error
	if manyHit.engine != nil {
		errs = append(errs, manyHit.engine.Close(context.Background()))
	}
	if manyFile.store != nil {
		errs = append(errs, manyFile.store.Close())
	}
	if manyFile.dir != "" {
		errs = append(errs, os.RemoveAll(manyFile.dir))
	}
	return errors.Join(errs...)
}

func openMany() (*bolt.Store, error) {
	f := &manyFile
	f.once.Do(func() {
		if f.dir, f.err = os.MkdirTemp("", "sentinel-bench-"); f.err == nil {
			f.store, f.err = storeWith(f.dir, manyBindings)
		}
	})
	return f.store, f.err
}

// storeWith makes a file in which n keys are bound to benchHome.
func storeWith(dir string, n int) (*bolt.Store, error) {
	ctx := context.Background()
	bindings, err := makeBindings(ctx, n, benchHome)
	if err != nil {
		return nil, err
	}
	s, err := bolt.Open(filepath.Join(dir, bolt.FileName), bolt.Options{})
	if err != nil {
		return nil, err
	}
	if created, err := s.ImportBindings(ctx, slices.Values(bindings)); err != nil || created != n {
		return nil, errors.Join(err, fmt.Errorf("%d of %d bindings imported", created, n), s.Close())
	}
	return s, nil
}

// newDecider returns an engine over a store of so many bindings, of which so
// many fit into its cache.
func newDecider(s *bolt.Store, cached int) (*engine.Engine, error) {
	keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte(secret)})
	if err != nil {
		return nil, err
	}
	resolver, err := clientip.New(clientip.Options{})
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Options{
		Store: s, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(),
		Logger: slog.New(slog.DiscardHandler), CacheEntries: cached,
	})
}

// randomRequests are requests of keys chosen at random of so many.
func randomRequests(bindings int) ([]*http.Request, error) {
	requests := make([]*http.Request, 1<<16)
	random := rand.New(rand.NewPCG(1, 2)) // the same ones each time
	for i := range requests {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://h"+pathChat, nil)
		if err != nil {
			return nil, err
		}
		r.Header = http.Header{
			"Authorization": {"Bearer " + wire.Key(storedSeries, random.IntN(bindings))}, "Content-Type": {"application/json"},
			"User-Agent": {"OpenAI/JS 6.0"}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip"},
		}
		requests[i] = r
	}
	return requests, nil
}

// decide is all that Sentinel does for a request before it is forwarded, and
// afterwards.
func decide(b *testing.B, e *engine.Engine, x *engine.Exchange, peer clientip.Peer, r *http.Request) {
	d := e.Arrive(x, r, peer, func() {})
	if d.Passes() {
		d = e.Admit(r.Context(), x, r.URL.Path)
	}
	if !d.Passes() || x.Pending() {
		b.Errorf("got %+v, pending %v", d, x.Pending()) // not Fatal: this may be another goroutine
	}
	e.Done(x)
}

// warm has every request decided so often that its binding is in the cache.
func warm(b *testing.B, e *engine.Engine, requests []*http.Request) {
	b.Helper()
	peer, x := e.Peer(benchPeer), new(engine.Exchange)
	for range 3 { // ristretto admits in the background
		for _, r := range requests {
			decide(b, e, x, peer, r)
		}
	}
}

var benchPeer = netip.AddrPortFrom(benchHome, 40000).String()

// manyDecider returns an engine with manyBindings in its cache, and requests of
// their keys.
func manyDecider(b *testing.B) (*engine.Engine, []*http.Request) {
	b.Helper()
	h := &manyHit
	h.once.Do(func() {
		s, err := openMany()
		if err == nil {
			h.engine, err = newDecider(s, 2*manyBindings)
		}
		if err == nil {
			h.loads, err = randomRequests(manyBindings)
		}
		if h.err = err; err == nil {
			warm(b, h.engine, h.loads)
		}
	})
	if h.err != nil {
		b.Fatal(h.err)
	}
	return h.engine, h.loads
}

// fewDecider is the same with fewBindings, for this benchmark alone.
func fewDecider(b *testing.B) (*engine.Engine, []*http.Request) {
	b.Helper()
	s, err := storeWith(b.TempDir(), fewBindings)
	if err != nil {
		b.Fatal(err)
	}
	e, err := newDecider(s, 2*fewBindings)
	if err != nil {
		b.Fatal(errors.Join(err, s.Close()))
	}
	b.Cleanup(func() {
		if err := errors.Join(e.Close(context.Background()), s.Close()); err != nil {
			b.Error(err)
		}
	})
	requests, err := randomRequests(fewBindings)
	if err != nil {
		b.Fatal(err)
	}
	warm(b, e, requests)
	return e, requests
}

// BenchmarkDecisionHit is all that Sentinel adds to a request of a bound key
// before it is forwarded, and after: client IP, extraction, HMAC, cache, rule,
// usage, and being found by a ban.
func BenchmarkDecisionHit(b *testing.B) {
	for _, c := range []struct {
		bindings int
		decider  func(*testing.B) (*engine.Engine, []*http.Request)
	}{{fewBindings, fewDecider}, {manyBindings, manyDecider}} {
		b.Run(fmt.Sprintf("bindings=%d", c.bindings), func(b *testing.B) {
			e, requests := c.decider(b)
			peer, x := e.Peer(benchPeer), new(engine.Exchange)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				decide(b, e, x, peer, requests[i%len(requests)])
			}
		})
	}
}

// BenchmarkDecisionHitParallel is the same on all cores.
func BenchmarkDecisionHitParallel(b *testing.B) {
	e, requests := manyDecider(b)
	peer := e.Peer(benchPeer)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		x := new(engine.Exchange)
		for i := rand.IntN(len(requests)); pb.Next(); i++ {
			decide(b, e, x, peer, requests[i%len(requests)])
		}
	})
}

// BenchmarkDecisionMiss reads each binding from the file.
func BenchmarkDecisionMiss(b *testing.B) {
	s, err := openMany()
	if err != nil {
		b.Fatal(err)
	}
	const cached = 10
	e, err := newDecider(s, cached)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	requests, err := randomRequests(manyBindings)
	if err != nil {
		b.Fatal(err)
	}
	peer, x := e.Peer(benchPeer), new(engine.Exchange)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		decide(b, e, x, peer, requests[i%len(requests)])
	}
}
