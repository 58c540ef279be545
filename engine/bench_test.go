package engine_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

var benchSecret = []byte(strings.Repeat("secret for tests only ", 2))

func benchKey(n int) string { return "sk-" + strings.Repeat(fmt.Sprintf("b%07d", n), 6) }

// benchEngine returns an engine over a real file with so many bindings to
// 192.0.2.1, of which so many fit into its cache, and requests of random keys.
func benchEngine(b *testing.B, bindings, cached int) (*engine.Engine, []*http.Request) {
	b.Helper()
	keys, err := credential.New(credential.Options{Profile: "newapi", Secret: benchSecret})
	if err != nil {
		b.Fatal(err)
	}
	s, err := bolt.Open(filepath.Join(b.TempDir(), "bench.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	rule := store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}
	_, err = s.ImportBindings(b.Context(), func(yield func(store.Binding) bool) {
		for n := range bindings {
			hash, hint, err := keys.HashKey(benchKey(n))
			if err != nil {
				b.Error(err)
				return
			}
			now := time.UnixMilli(1_700_000_000_000).UTC()
			if !yield(store.Binding{Hash: hash, Hint: hint, Status: store.StatusActive, Rule: rule, CreatedAt: now, UpdatedAt: now}) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	resolver, err := clientip.New(clientip.Options{})
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine.New(engine.Options{
		Store: s, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), CacheEntries: cached,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	requests := make([]*http.Request, 1<<16)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range requests {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://h/v1/chat/completions", nil)
		if err != nil {
			b.Fatal(err)
		}
		r.Header = http.Header{
			"Authorization": {"Bearer " + benchKey(random.IntN(bindings))}, "Content-Type": {"application/json"},
			"User-Agent": {"OpenAI/JS 6.0"}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip"},
		}
		requests[i] = r
	}
	return e, requests
}

func decide(b *testing.B, e *engine.Engine, x *engine.Exchange, peer clientip.Peer, r *http.Request) {
	d := e.Arrive(x, r, peer, func() {})
	if d.Passes() {
		d = e.Admit(r.Context(), x, r.URL.Path)
	}
	if !d.Passes() || x.Pending() {
		b.Fatalf("got %+v, pending %v", d, x.Pending())
	}
	e.Done(x)
}

// BenchmarkDecisionHit is all that Sentinel adds to a request of a bound key
// before it is forwarded, and after: client IP, extraction, HMAC, cache, rule,
// usage, and being found by a ban.
func BenchmarkDecisionHit(b *testing.B) {
	for _, bindings := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("bindings=%d", bindings), func(b *testing.B) {
			e, requests := benchEngine(b, bindings, 2*bindings)
			peer := e.Peer("192.0.2.1:40000")
			x := new(engine.Exchange)
			for range 3 { // ristretto admits in the background
				for _, r := range requests {
					decide(b, e, x, peer, r)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				decide(b, e, x, peer, requests[i%len(requests)])
			}
		})
	}
}

// BenchmarkDecisionHitParallel is the same on all cores.
func BenchmarkDecisionHitParallel(b *testing.B) {
	e, requests := benchEngine(b, 1_000_000, 2_000_000)
	peer := e.Peer("192.0.2.1:40000")
	x := new(engine.Exchange)
	for range 3 {
		for _, r := range requests {
			decide(b, e, x, peer, r)
		}
	}
	pool := sync.Pool{New: func() any { return new(engine.Exchange) }}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(requests)); pb.Next(); i++ {
			x, _ := pool.Get().(*engine.Exchange)
			decide(b, e, x, peer, requests[i%len(requests)])
			pool.Put(x)
		}
	})
}

// BenchmarkDecisionMiss reads each binding from the file.
func BenchmarkDecisionMiss(b *testing.B) {
	e, requests := benchEngine(b, 1_000_000, 10)
	peer := e.Peer("192.0.2.1:40000")
	x := new(engine.Exchange)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		decide(b, e, x, peer, requests[i%len(requests)])
	}
}
