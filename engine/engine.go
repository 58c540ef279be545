package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/engine/exception"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
	"github.com/key-ip-sentinel/sentinel/engine/record"
	"github.com/key-ip-sentinel/sentinel/engine/sharing"
	"github.com/key-ip-sentinel/sentinel/store"
)

// DefaultCacheEntries is how many bindings are kept in memory unless told
// otherwise: some 45 MB, and up to 80 MB while more keys than that are in use.
const DefaultCacheEntries = 150_000

// Options of an Engine. Those from Limiter on may be left out.
type Options struct {
	Store       store.Store
	Resolver    *clientip.Resolver
	Credentials *credential.Reader
	Policy      Policy
	Logger      *slog.Logger

	Limiter      *ratelimit.Limiter // nil: no rate limit
	CacheEntries int                // default DefaultCacheEntries
	Now          func() time.Time   // default time.Now
	Retention    Retention          // default: nothing ever goes
	Watcher      Watcher            // default: nobody
	// OnShut is told of each key that was unbound or banned, once that is durable
	// and before the act is acknowledged. It may write to the store.
	OnShut func(ctx context.Context, hash store.KeyHash)
	// OnMoved is told of each key whose binding has got another hash, once that is
	// durable. It may write to the store.
	OnMoved  func(ctx context.Context, from, to store.KeyHash)
	NodeName string // shown on the dashboard; default "local"
	// NodeID tells the node from all others that share the store; default NodeName.
	NodeID  string
	Version string // shown on the dashboard
	// Authority is what the nodes of a cluster share; nil: this is none of a cluster.
	Authority Authority
	// Leadership says whether this node does what is to be done once for all that share
	// the store; default: store.Alone. See doc.go for what that is.
	Leadership Leadership
	// AllTold returns why what other nodes have counted may not be in the store yet: then
	// nothing is archived, for what they have used may look idle. Default: never.
	AllTold func(ctx context.Context) error
	// Gateways are the addresses that clients seem to have who come through a
	// container's network.
	Gateways []netip.Addr
}

// Leadership says whether this node is the leader. store.Leadership is one.
type Leadership interface {
	// IsLeader asks, and never goes by what was so before.
	IsLeader(ctx context.Context) bool
}

// Engine decides. It is safe for concurrent use.
type Engine struct {
	store       store.Store
	resolver    *clientip.Resolver
	credentials *credential.Reader
	limiter     *ratelimit.Limiter
	logger      *slog.Logger
	now         func() time.Time

	policy     atomic.Pointer[Policy]
	networks   *network.Networks
	blocked    *network.Blocklist
	exceptions *exception.Exceptions
	firstUses  firstUses
	sharing    *sharing.Watch

	cache         *bindcache.Cache
	readAheadDone chan struct{} // closed when the cache has been filled at the start
	flights       *flights
	recorder      *record.Recorder
	usage         *usage
	unnamed       *clientip.UnnamedProxy
	events        *event.Bus
	watcher       Watcher
	onShut        func(ctx context.Context, hash store.KeyHash)     // may be nil
	onMoved       func(ctx context.Context, from, to store.KeyHash) // likewise
	older         olderHashes

	rankings    rankings
	oldRankings map[string]storedRanking // of the goroutine that writes usage
	minutes     minutes
	told        perSecond // intercepts; of the goroutine that records

	retention    atomic.Pointer[Retention]
	housekept    atomic.Pointer[housekept]
	doubtSince   time.Time     // of the clock; only keepHouse uses it
	housekeeping chan struct{} // holds a value while one runs
	replays      chan struct{} // likewise

	leadership Leadership
	allTold    func(ctx context.Context) error

	node        Node
	nodeID      string
	authority   Authority // may be nil
	storeHealth *storeHealth
	downstream  downstream
	dashboard   atomic.Pointer[kept]
	dashboards  singleflight.Group

	storeCry   cry
	ipCry      cry
	blockedCry cry
	heldCry    cry

	idPrefix string // of request IDs: differs from start to start
	ids      atomic.Uint64

	jobs    chan job // for the goroutine that writes usage
	stop    chan struct{}
	stopped sync.WaitGroup
	cancel  context.CancelFunc // of a write under way
	life    context.Context    // done as soon as Close is called
	endLife context.CancelFunc
	closing sync.Once
}

// New starts an engine; Close ends it.
func New(opts Options) (*Engine, error) {
	if opts.Store == nil || opts.Resolver == nil || opts.Credentials == nil || opts.Logger == nil {
		return nil, errors.New("engine without store, resolver, credentials or logger")
	}
	if err := opts.Policy.Validate(); err != nil {
		return nil, fmt.Errorf("engine policy: %w", err)
	}
	if err := opts.Retention.Validate(); err != nil {
		return nil, fmt.Errorf("engine retention: %w", err)
	}
	opts = opts.withDefaults()
	ctx := context.Background()
	networks, netErr := network.OpenNetworks(ctx, opts.Store, opts.Now)
	blocked, blockErr := network.OpenBlocklist(ctx, opts.Store, opts.Now)
	exceptions, exceptErr := exception.Open(ctx, opts.Store, opts.Now)
	shared, sharingErr := sharing.Open(ctx, opts.Store)
	if err := errors.Join(netErr, blockErr, exceptErr, sharingErr); err != nil {
		return nil, err
	}
	cache, err := bindcache.New(opts.Store, networks, opts.CacheEntries)
	if err != nil {
		return nil, err
	}
	start := opts.Now()
	e := &Engine{
		store: opts.Store, resolver: opts.Resolver, credentials: opts.Credentials, limiter: opts.Limiter,
		logger: opts.Logger, now: opts.Now,
		networks: networks, blocked: blocked, exceptions: exceptions, sharing: shared,
		cache: cache, flights: newFlights(), usage: new(usage),
		unnamed: new(clientip.UnnamedProxy), events: event.NewBus(opts.Now), watcher: opts.Watcher, onShut: opts.OnShut, onMoved: opts.OnMoved,
		node:   Node{Name: opts.NodeName, Version: opts.Version, Started: store.StoredTime(start)},
		nodeID: opts.NodeID, authority: opts.Authority,
		leadership: opts.Leadership, allTold: opts.AllTold,
		storeHealth: newStoreHealth(start), housekeeping: make(chan struct{}, 1), replays: make(chan struct{}, 1),
		jobs: make(chan job), stop: make(chan struct{}), readAheadDone: make(chan struct{}),
		idPrefix: strings.ToLower(rand.Text()[:8]) + "-",
	}
	e.firstUses.init(opts.Gateways)
	e.policy.Store(&opts.Policy)
	e.retention.Store(&opts.Retention)
	if err := e.openOlder(ctx); err != nil {
		cache.Close()
		return nil, err
	}
	e.recorder, err = record.New(record.Options{
		Writer: opts.Store, Logger: opts.Logger, Now: opts.Now, Written: e.recorded, Dropped: e.notRecorded,
	})
	if err != nil {
		cache.Close()
		return nil, err
	}
	e.start()
	return e, nil
}

func (opts Options) withDefaults() Options {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.CacheEntries == 0 {
		opts.CacheEntries = DefaultCacheEntries
	}
	if opts.Watcher == nil {
		opts.Watcher = nobody{}
	}
	if opts.Leadership == nil {
		opts.Leadership = store.Alone{}
	}
	if opts.AllTold == nil {
		opts.AllTold = func(context.Context) error { return nil }
	}
	if opts.NodeName == "" {
		opts.NodeName = "local"
	}
	if opts.NodeID == "" {
		opts.NodeID = opts.NodeName
	}
	return opts
}

func (e *Engine) start() {
	e.life, e.endLife = context.WithCancel(context.Background())
	writing, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.stopped.Go(func() { e.runWriter(writing) })
	e.stopped.Go(e.runReadAhead)
	e.stopped.Go(e.keepHouse)
	e.stopped.Go(func() { e.every(endEvery, func() { e.endWhatIsOver(writing) }) })
	e.stopped.Go(func() { e.runMover(writing) })
	if e.authority != nil {
		e.stopped.Go(e.runTail)
	}
}

// every does something again and again until the engine is closed.
func (e *Engine) every(interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
			do()
		}
	}
}

// Policy returns what decisions follow now.
func (e *Engine) Policy() Policy { return *e.policy.Load() }

// SetPolicy replaces what decisions follow, from the next request on.
func (e *Engine) SetPolicy(p Policy) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("set policy: %w", err)
	}
	e.policy.Store(&p)
	return nil
}

// Peer reads the address of a connection's other end. It may be kept as long as
// it IsCurrent.
func (e *Engine) Peer(remoteAddr string) clientip.Peer { return e.resolver.Peer(remoteAddr) }

// IsCurrent reports whether a peer was read by the settings in force, which may
// have changed since its connection began.
func (e *Engine) IsCurrent(p clientip.Peer) bool { return e.resolver.IsCurrent(p) }

// CredentialHeaders returns the canonical names of every header that may hold a
// key.
func (e *Engine) CredentialHeaders() []string { return e.credentials.Headers() }

// IsPage reports whether an answer is a web page, which proves nothing of a key.
func (e *Engine) IsPage(answer http.Header) bool { return e.credentials.IsPage(answer) }

// RewriteForwarding makes the header that is about to be sent say the client IP
// that was decided, as clientip.Rewrite does.
func (e *Engine) RewriteForwarding(h http.Header, client netip.Addr, opts clientip.RewriteOptions) {
	e.resolver.Rewrite(h, client, opts)
}

// StripForwarding removes every forwarding header, as clientip.Strip does.
func (e *Engine) StripForwarding(h http.Header) { e.resolver.Strip(h) }

// Close writes what is only in memory, and ends. Exchanges must be done. What
// could not be written is in the error and in the log.
func (e *Engine) Close(ctx context.Context) error {
	var err error
	e.closing.Do(func() {
		e.endLife()
		select {
		case e.housekeeping <- struct{}{}: // one under way has ended, and none begins after it
		case <-ctx.Done():
		}
		close(e.stop)
		release := context.AfterFunc(ctx, e.cancel)
		e.stopped.Wait()
		release()
		e.cancel()
		err = errors.Join(e.recorder.Close(ctx), e.closeUsage(ctx))
		e.cache.Close()
		e.events.Close()
	})
	return err
}
