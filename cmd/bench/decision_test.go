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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

const (
	fewBindings  = 1_000
	manyBindings = 1_000_000
	// shortBindings is how many are enough where only working counts.
	shortBindings = 2_000
)

// many is how many bindings manyFile has.
func many() int {
	if testing.Short() {
		return shortBindings
	}
	return manyBindings
}

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
			f.store, f.err = storeWith(f.dir, many())
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
	if created, err := s.ImportBindings(ctx, bindings); err != nil || created != n {
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
	e, err := engine.New(engine.Options{
		Store: s, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(),
		Logger: slog.New(slog.DiscardHandler), CacheEntries: cached,
	})
	if err == nil {
		<-e.ReadAheadDone()
	}
	return e, err
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
			h.engine, err = newDecider(s, 2*many())
		}
		if h.err = err; err == nil {
			h.keys = randomKeys(many())
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
	e := newFewEngine(b)
	keys := randomKeys(fewBindings)
	warm(b, e, keys)
	return e, keys
}

// newFewEngine returns an engine over fewBindings.
func newFewEngine(b *testing.B) *engine.Engine {
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
	return e
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
			decideAll(b, e, keys)
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

// decideAll is the part of a benchmark that counts.
func decideAll(b *testing.B, e *engine.Engine, keys []string) {
	b.Helper()
	caller := newCaller(e)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		caller.decide(b, keys[i%len(keys)])
	}
}

// changesPerSecond is how many bindings BenchmarkDecisionHitWhileChanging changes, if
// the disk can.
const changesPerSecond = 5_000

// changesSoFar makes each change differ from the one before of the same key.
var changesSoFar atomic.Int64

// BenchmarkDecisionHitWhileChanging is BenchmarkDecisionHit while those very bindings
// are being changed, in what does not make a hit another one: their labels.
func BenchmarkDecisionHitWhileChanging(b *testing.B) {
	e, keys := manyDecider(b)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var changing sync.WaitGroup
	var changed atomic.Int64
	start := time.Now()
	const changers = 64
	for worker := range changers {
		changing.Go(func() {
			for n := worker; ; n += changers {
				due := time.Duration(float64(n) / changesPerSecond * float64(time.Second))
				if pause(ctx, due-time.Since(start)) != nil {
					return
				}
				if err := relabel(e, keys[n%len(keys)]); err != nil {
					b.Error(err)
					return
				}
				changed.Add(1)
			}
		})
	}
	decideAll(b, e, keys)
	rate := float64(changed.Load()) / time.Since(start).Seconds()
	stop()
	changing.Wait()
	b.ReportMetric(rate, "changes/s")
}

func relabel(e *engine.Engine, authorization string) error {
	hash, _, err := e.HashKey(strings.TrimPrefix(authorization, "Bearer "))
	if err != nil {
		return err
	}
	label := strconv.FormatInt(changesSoFar.Add(1), 10)
	_, _, err = e.Edit(context.Background(), hash, engine.BindingEdit{Label: &label})
	return err
}

// benchPrefixes are n different networks, benchHome's own not among them.
func benchPrefixes(n int) []netip.Prefix {
	list := make([]netip.Prefix, n)
	for i := range list {
		list[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28) // #nosec G115 -- its bytes
	}
	return list
}

// BenchmarkDecisionHitLargeRule is BenchmarkDecisionHit with a few keys whose rules
// have 1,000 prefixes each.
func BenchmarkDecisionHitLargeRule(b *testing.B) {
	const prefixes, keys = 1_000, 64
	e := newFewEngine(b)
	rule := store.Rule{Kind: store.RuleMultiple, Prefixes: append(benchPrefixes(prefixes-1), netip.PrefixFrom(benchHome, benchHome.BitLen()))}
	var headers []string
	for i := range keys {
		key := wire.Key(storedSeries, i)
		hash, _, err := e.HashKey(key)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := e.SetRule(context.Background(), hash, rule); err != nil {
			b.Fatal(err)
		}
		headers = append(headers, "Bearer "+key)
	}
	warm(b, e, headers)
	decideAll(b, e, headers)
}

// BenchmarkDecisionHitBlockList is BenchmarkDecisionHit with as many blocked networks
// as there may be.
func BenchmarkDecisionHitBlockList(b *testing.B) {
	e, keys := fewDecider(b)
	blocked := make([]network.Blocked, network.MaxBlocked)
	for i, p := range benchPrefixes(len(blocked)) {
		blocked[i] = network.Blocked{Prefix: p}
	}
	if _, err := e.Block(context.Background(), blocked); err != nil {
		b.Fatal(err)
	}
	decideAll(b, e, keys)
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
	decideAll(b, e, randomKeys(many()))
}
