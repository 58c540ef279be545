package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

const (
	pathChat   = "/v1/chat/completions"
	pathPublic = "/api/status"
	atHome     = "192.0.2.1:40000"
	elsewhere  = "198.51.100.7:40000"
	trustedAt  = "10.0.0.1:40000"
)

// Keys of the tests: 48 letters and digits, as New API makes them.
var (
	keyA = strings.Repeat("a1B2", 12)
	keyB = strings.Repeat("c3D4", 12)
	keyC = strings.Repeat("e5F6", 12)
)

var (
	secret    = []byte(strings.Repeat("s", 32))
	errBroken = errors.New("medium is broken")
)

// rig is an engine over a store in memory, whose methods can be made to fail.
type rig struct {
	*engine.Engine
	t     testing.TB
	store *faultyStore
	keys  *credential.Reader
	log   *syncBuffer
}

// setup is what tests change of a rig before it starts.
type setup struct {
	engine.Options
	keys  credential.Options
	ip    clientip.Options
	reuse *memory.Store // of an engine before; nil: an empty one
}

func newRig(t testing.TB, change ...func(*setup)) *rig {
	t.Helper()
	s := setup{
		Options: engine.Options{Policy: engine.DefaultPolicy(), CacheEntries: 1000},
		keys:    credential.Options{Profile: credential.ProfileNewAPI, Secret: secret},
		ip:      clientip.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
	}
	for _, c := range change {
		c(&s)
	}
	if s.reuse == nil {
		s.reuse = memory.New()
	}
	r := &rig{t: t, store: &faultyStore{Store: s.reuse}, log: new(syncBuffer)}
	var err error
	if r.keys, err = credential.New(s.keys); err != nil {
		t.Fatal(err)
	}
	if s.Resolver, err = clientip.New(s.ip); err != nil {
		t.Fatal(err)
	}
	s.Store, s.Credentials = r.store, r.keys
	s.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	if r.Engine, err = engine.New(s.Options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	<-r.ReadAheadDone() // or it would be chance what of a store in use is in the cache
	return r
}

// close is for tests that close early; more than once is no error.
func (r *rig) close() {
	if err := r.Close(context.Background()); err != nil {
		r.t.Errorf("close engine: %v", err)
	}
}

func policy(change func(*engine.Policy)) func(*setup) {
	return func(s *setup) { change(&s.Policy) }
}

var (
	observing  = policy(func(p *engine.Policy) { p.Mode = engine.ModeObserve })
	failOpen   = policy(func(p *engine.Policy) { p.Failsafe = engine.FailsafeOpen })
	onRequest  = policy(func(p *engine.Policy) { p.BindOn = engine.BindOnRequest })
	rejecting  = policy(func(p *engine.Policy) { p.Anonymous = engine.AnonymousReject })
	dashboards = func(s *setup) { s.keys.BindDashboard = true }
)

// limited allows so many requests at once, and one a minute.
func limited(burst int) func(*setup) {
	return func(s *setup) {
		l, err := ratelimit.New(ratelimit.Options{PerMinute: 1, Burst: burst})
		if err != nil {
			panic(err) // the options are constant
		}
		s.Limiter = l
	}
}

// request makes a POST of a path, with headers of "Name: value" lines.
func request(t testing.TB, target string, lines ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://gateway.example"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func bearer(key string) string { return "Authorization: Bearer sk-" + key }

// flight is an exchange of the tests.
type flight struct {
	engine.Exchange
	rig       *rig
	request   *http.Request
	cancelled chan struct{} // closed by the first cancel
	once      sync.Once
}

// send lets a request arrive, and admits it if it may go on.
func (r *rig) send(from string, req *http.Request) (*flight, engine.Decision) {
	f := &flight{rig: r, request: req, cancelled: make(chan struct{})}
	d := r.Arrive(&f.Exchange, req, r.Peer(from), func() { f.once.Do(func() { close(f.cancelled) }) })
	if d.Passes() {
		d = r.Admit(req.Context(), &f.Exchange, req.URL.Path)
	}
	return f, d
}

// open sends a request that must pass.
func (r *rig) open(from string, req *http.Request) *flight {
	r.t.Helper()
	f, d := r.send(from, req)
	if !d.Passes() {
		r.t.Fatalf("request from %s: got %+v, want it to pass", from, d)
	}
	return f
}

func (f *flight) accept(accepted bool) engine.Decision {
	return f.rig.Accept(f.request.Context(), &f.Exchange, accepted)
}

func (f *flight) done() { f.rig.Done(&f.Exchange) }

func (f *flight) wasCancelled() bool {
	select {
	case <-f.cancelled:
		return true
	default:
		return false
	}
}

// serve is a whole exchange with a downstream that accepts keys or not. It
// returns why it was refused.
func (r *rig) serve(from string, req *http.Request, accepted bool) engine.Reason {
	r.t.Helper()
	f, d := r.send(from, req)
	defer f.done()
	if d.Passes() {
		d = f.accept(accepted)
	}
	return d.Refused
}

func (r *rig) use(from, key string) engine.Reason {
	r.t.Helper()
	return r.serve(from, request(r.t, pathChat, bearer(key)), true)
}

// bound binds keys to home by their first use.
func (r *rig) bound(keys ...string) *rig {
	r.t.Helper()
	for _, key := range keys {
		if why := r.use(atHome, key); why != "" {
			r.t.Fatalf("first use: got %s, want it to pass", why)
		}
	}
	return r
}

func (r *rig) hash(key string) store.KeyHash {
	r.t.Helper()
	hash, _, err := r.keys.HashKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	return hash
}

// boundTo returns the prefixes a key is bound to; none if it is not bound.
func (r *rig) boundTo(key string) string {
	r.t.Helper()
	b, err := r.store.Store.Binding(context.Background(), r.hash(key))
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	if err != nil {
		r.t.Fatal(err)
	}
	var texts []string
	for _, p := range b.Rule.Prefixes {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, " ")
}

func (r *rig) ban(key string) {
	r.t.Helper()
	if _, err := r.Ban(context.Background(), r.hash(key)); err != nil {
		r.t.Fatal(err)
	}
}

func single(prefix string) store.Rule {
	return store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}
}

func (r *rig) setRule(key string, rule store.Rule) {
	r.t.Helper()
	if _, err := r.SetRule(context.Background(), r.hash(key), rule); err != nil {
		r.t.Fatal(err)
	}
}

// records closes the engine and returns what it recorded, oldest first.
func (r *rig) records() []store.Intercept {
	r.t.Helper()
	r.close()
	page, err := r.store.ListIntercepts(context.Background(), store.InterceptFilter{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Reverse(page.Records)
	return page.Records
}

// reasons closes the engine and returns the reasons that it recorded, each as
// often as it counted, with a ? where it only observed.
func (r *rig) reasons() string {
	r.t.Helper()
	var all []string
	for _, rec := range r.records() {
		text := string(rec.Reason)
		if rec.Observed {
			text += "?"
		}
		for range rec.Count {
			all = append(all, text)
		}
	}
	return strings.Join(all, " ")
}

// wantCounts holds the counts that are not 0 against those given.
func (r *rig) wantCounts(want map[string]uint64) {
	r.t.Helper()
	got := r.Counts()
	for name, n := range got {
		if n != want[name] {
			r.t.Errorf("count of %s: got %d, want %d", name, n, want[name])
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			r.t.Errorf("nothing is counted as %s", name)
		}
	}
}

func wantReason(t testing.TB, what string, got, want engine.Reason) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got refusal %q, want %q", what, got, want)
	}
}

// faultyStore fails where it is told to. A nil hook does not interfere.
type faultyStore struct {
	*memory.Store
	mu       sync.Mutex
	binding  func(store.KeyHash) error
	bind     func(store.KeyHash) error
	replace  func() error
	addUsage func(store.UsageBatch) error
	noMoves  bool
}

// set changes the hooks while others may call them.
func (s *faultyStore) set(change func(*faultyStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func hook[T any](s *faultyStore, which func() func(T) error, arg T) error {
	s.mu.Lock()
	fault := which()
	s.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(arg)
}

func (s *faultyStore) Binding(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	if err := hook(s, func() func(store.KeyHash) error { return s.binding }, hash); err != nil {
		return store.Binding{}, err
	}
	return s.Store.Binding(ctx, hash)
}

func (s *faultyStore) Bind(ctx context.Context, b store.Binding) (store.Binding, bool, error) {
	if err := hook(s, func() func(store.KeyHash) error { return s.bind }, b.Hash); err != nil {
		return store.Binding{}, false, err
	}
	return s.Store.Bind(ctx, b)
}

func (s *faultyStore) ReplaceBinding(ctx context.Context, b store.Binding) (store.Binding, error) {
	s.mu.Lock()
	fault := s.replace
	s.mu.Unlock()
	if fault != nil {
		if err := fault(); err != nil {
			return store.Binding{}, err
		}
	}
	return s.Store.ReplaceBinding(ctx, b)
}

// setFailingMoves has moves of keys fail, or work again.
func (s *faultyStore) setFailingMoves(fail bool) { s.set(func(s *faultyStore) { s.noMoves = fail }) }

func (s *faultyStore) Rekey(ctx context.Context, r store.Rekeying) (store.Rekeyed, error) {
	s.mu.Lock()
	fail := s.noMoves
	s.mu.Unlock()
	if fail {
		return store.Rekeyed{}, errors.Join(store.ErrUnavailable, errBroken)
	}
	return s.Store.Rekey(ctx, r)
}

func (s *faultyStore) AddUsage(ctx context.Context, batch store.UsageBatch) error {
	if err := hook(s, func() func(store.UsageBatch) error { return s.addUsage }, batch); err != nil {
		return err
	}
	return s.Store.AddUsage(ctx, batch)
}

// failFor is a hook that fails for some keys.
func failFor(hashes ...store.KeyHash) func(store.KeyHash) error {
	return func(hash store.KeyHash) error {
		for _, h := range hashes {
			if h == hash {
				return errors.Join(store.ErrUnavailable, errBroken)
			}
		}
		return nil
	}
}

func failAlways(store.KeyHash) error { return errors.Join(store.ErrUnavailable, errBroken) }

// syncBuffer is a log that tests read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func at(clock time.Time) func(*setup) {
	return func(s *setup) { s.Now = func() time.Time { return clock } }
}
