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
	"net/url"
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
	keys   []string
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
	bindings, err := makeBindings(ctx, secret, n, benchHome)
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

// randomKeys are the Authorization headers of keys chosen at random of so many.
func randomKeys(bindings int) []string {
	headers := make([]string, 1<<16)
	random := rand.New(rand.NewPCG(1, 2)) // the same ones each time
	for i := range headers {
		headers[i] = "Bearer " + wire.Key(storedSeries, random.IntN(bindings))
	}
	return headers
}

// caller is one connection on which requests are decided. Their heads are in
// the processor's cache, as net/http has just written them; the bindings are
// not.
type caller struct {
	engine  *engine.Engine
	peer    clientip.Peer
	request *http.Request
	header  []string // the value of Authorization
	x       engine.Exchange
}

func newCaller(e *engine.Engine) *caller {
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: pathChat}, Host: "h"}
	header := []string{""}
	r.Header = http.Header{
		"Authorization": header, "Content-Type": {"application/json"}, "User-Agent": {"OpenAI/JS 6.0"},
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip"},
	}
	return &caller{engine: e, peer: e.Peer(benchPeer), request: r, header: header}
}

// decide is all that Sentinel does for a request before it is forwarded, and
// afterwards.
func (c *caller) decide(b *testing.B, authorization string) {
	c.header[0] = authorization
	d := c.engine.Arrive(&c.x, c.request, c.peer, nil)
	if d.Passes() {
		d = c.engine.Admit(context.Background(), &c.x, pathChat)
	}
	if !d.Passes() || c.x.Pending() {
		b.Errorf("got %+v, pending %v", d, c.x.Pending()) // not Fatal: this may be another goroutine
	}
	c.engine.Done(&c.x)
}

// warm has every key decided so often that its binding is in the cache.
func warm(b *testing.B, e *engine.Engine, keys []string) {
	b.Helper()
	c := newCaller(e)
	for range 3 { // ristretto admits in the background
		for _, key := range keys {
			c.decide(b, key)
		}
	}
}

var benchPeer = netip.AddrPortFrom(benchHome, 40000).String()

// manyDecider returns an engine over manyBindings, and keys that are in its
// cache.
func manyDecider(b *testing.B) (*engine.Engine, []string) {
	b.Helper()
	h := &manyHit
	h.once.Do(func() {
		s, err := openMany()
		if err == nil {
			h.engine, err = newDecider(s, 2*manyBindings)
		}
		if h.err = err; err == nil {
			h.keys = randomKeys(manyBindings)
			warm(b, h.engine, h.keys)
		}
	})
	if h.err != nil {
		b.Fatal(h.err)
	}
	return h.engine, h.keys
}

// fewDecider is the same with fewBindings, for this benchmark alone.
func fewDecider(b *testing.B) (*engine.Engine, []string) {
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
	keys := randomKeys(fewBindings)
	warm(b, e, keys)
	return e, keys
}

// BenchmarkDecisionHit is all that Sentinel adds to a request of a bound key
// before it is forwarded, and after: client IP, extraction, HMAC, cache, rule,
// usage, and being found by a ban.
func BenchmarkDecisionHit(b *testing.B) {
	for _, c := range []struct {
		bindings int
		decider  func(*testing.B) (*engine.Engine, []string)
	}{{fewBindings, fewDecider}, {manyBindings, manyDecider}} {
		b.Run(fmt.Sprintf("bindings=%d", c.bindings), func(b *testing.B) {
			e, keys := c.decider(b)
			caller := newCaller(e)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				caller.decide(b, keys[i%len(keys)])
			}
		})
	}
}

// BenchmarkDecisionHitParallel is the same on all cores.
func BenchmarkDecisionHitParallel(b *testing.B) {
	e, keys := manyDecider(b)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		caller := newCaller(e)
		for i := rand.IntN(len(keys)); pb.Next(); i++ {
			caller.decide(b, keys[i%len(keys)])
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
	keys := randomKeys(manyBindings)
	caller := newCaller(e)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		caller.decide(b, keys[i%len(keys)])
	}
}
