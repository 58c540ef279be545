// Package replica is the store of one node of a cluster: it decides by a copy of its
// own, and has every change made by the authority that the nodes share.
//
// # Reading
//
// Bindings, the archive, documents and settings are read from the copy, without the
// network, whatever becomes of the authority. What is no part of a copy is read from the
// authority: usage, and with it FindBindings, intercepts, counters, audit. While it is
// away, they are what this node has itself.
//
// A copy that has not been level with the authority for MaxStaleness is not believed any
// more: Binding returns store.ErrUnavailable. So a ban is in force everywhere after that
// time at the latest, also on a node that is cut off; and one that comes back after
// longer is level before it serves a key again.
//
// # Writing
//
// The authority decides, above all who binds a key first. What it has done is in the
// copy before the call returns: the record itself with the revision that it has got,
// ahead of the position, where the authority tells it; else the call waits until the
// copy has come that far. A change that the authority has made and that did not get into
// the copy in time is reported as store.ErrUnavailable.
//
// While the authority is away, changes fail with store.ErrUnavailable: the first one
// after AuthorityTimeout, if the authority is frozen, and the others at once, until a
// probe has succeeded: breaker.go.
//
// # Gathering
//
// Usage, counters, intercepts and audit go into the outbox of the node, and from there
// to the authority, each exactly once: outbox.go. The authority knows of them a moment
// later.
//
// # Following
//
// One goroutine follows the feed: follow.go. It is woken by the feed, and by whoever else
// knows of a change and calls Wake, and looks by itself every PollInterval. If the feed does not reach back to where the copy is, or is
// that of another authority, it makes a new copy from a snapshot, while the old one goes
// on serving.
//
// # The node's own changes
//
// OnChange is told what others have changed. A change of the node's own is known by the
// copy having it already when the feed tells it, with the same revision and contents: it
// makes no difference, and is not reported. Where the call waits for the copy instead of
// putting the record into it (settings, the archive, removals of documents), or the feed
// is faster than the answer to the call, the node hears of its own change too, which
// does no harm: to drop a cache entry twice is to drop it.
package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Defaults of Options.
const (
	DefaultAuthorityTimeout = 3 * time.Second
	DefaultProbeInterval    = time.Second
	DefaultPollInterval     = time.Second
	DefaultMaxStaleness     = time.Hour
	DefaultChunk            = 1_000
	DefaultLocalLogAge      = 24 * time.Hour
	DefaultOutboxBatches    = 1_000_000
	DefaultOutboxBytes      = 256 << 20
)

// Local is the store of the node itself.
type Local interface {
	store.Store
	store.Copy
	store.Outbox
}

// Options for Open. Local and Connect are needed; other zero values mean the defaults.
type Options struct {
	// Local holds the copy. It must be a copy already, or have no bindings and no
	// archive: those of a node that was an authority itself are not thrown away.
	Local Local
	// Connect reaches the authority. It is called until it succeeds, at most every
	// PollInterval, so that a node can start while the authority is away; its context
	// ends when the store is closed.
	Connect func(ctx context.Context) (store.Authority, error)

	AuthorityTimeout time.Duration // how long one call waits for the authority
	ProbeInterval    time.Duration // how often one looks whether it is back
	PollInterval     time.Duration // how often one looks for changes without being told
	MaxStaleness     time.Duration // how long a copy is believed that is not known to be level
	Chunk            int           // how many changes are applied in one transaction

	// Node is the name of the node, such as its host name.
	Node string
	// Outbox is how much waits on disk to be delivered; LocalLogAge is how long this
	// node keeps intercepts, counters and audit of its own, to show them while the
	// authority is away.
	Outbox      store.OutboxLimit
	LocalLogAge time.Duration

	// OwnSettings are names of settings that each node has for itself: they are kept in
	// Local only, under store.NodeSettingPrefix, and can be written while the authority
	// is away. Settings with that prefix are the node's own in any case.
	OwnSettings []string

	// OnChange is told what others have changed, after it is in the copy: changes in
	// the order of the feed, each of which made a difference. OnReplace is called when
	// all of the copy has been replaced: anything may be different. Calls of both do not
	// overlap, hold up the follower, and must not change anything in the store. Nil
	// means nobody.
	OnChange  func(changes []store.Change)
	OnReplace func()
	// OnWritten is told the last revision of each change that this node has had the
	// authority make, for others to be told: see Wake. It must not block. Nil means nobody.
	OnWritten func(revision uint64)
	// Logger hears when the authority goes and comes, and of new copies. Nil means
	// nobody.
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	setDefault(&o.AuthorityTimeout, DefaultAuthorityTimeout)
	setDefault(&o.ProbeInterval, DefaultProbeInterval)
	setDefault(&o.PollInterval, DefaultPollInterval)
	setDefault(&o.MaxStaleness, DefaultMaxStaleness)
	setDefault(&o.Chunk, DefaultChunk)
	setDefault(&o.LocalLogAge, DefaultLocalLogAge)
	setDefault(&o.Outbox.Batches, DefaultOutboxBatches)
	setDefault(&o.Outbox.Bytes, DefaultOutboxBytes)
	if o.OnChange == nil {
		o.OnChange = func([]store.Change) {}
	}
	if o.OnReplace == nil {
		o.OnReplace = func() {}
	}
	if o.OnWritten == nil {
		o.OnWritten = func(uint64) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

// Store is a store.Store for one node.
type Store struct {
	opts  Options
	local Local

	ctx     context.Context // ends with the store
	cancel  context.CancelFunc
	running sync.WaitGroup
	closing sync.Mutex
	wake    chan struct{} // tells the follower to look

	node     string        // what the authority knows the node by
	gathered chan struct{} // tells who delivers to look

	link  link
	state state
}

var _ store.Store = (*Store)(nil)

// ErrNoCopy means that a local store holds what no authority knows, and so must not be
// made a copy.
var ErrNoCopy = errors.New("the local store holds bindings of its own: move them to the authority, or remove the file")

// Open begins to follow. It does not wait for the authority: see AwaitCopy. The store
// closes Local, and the authority, when it is closed, and only if Open returns no error.
// Returns ErrNoCopy, or an error of Local.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.setDefaults()
	s := &Store{opts: opts, local: opts.Local, wake: make(chan struct{}, 1), gathered: make(chan struct{}, 1)}
	s.state.moved = make(chan struct{})
	if err := s.readState(ctx); err != nil {
		return nil, fmt.Errorf("open copy: %w", err)
	}
	var err error
	if s.node, err = s.nodeID(ctx); err != nil {
		return nil, fmt.Errorf("open copy: %w", err)
	}
	s.state.stale.Store(s.state.isOlder(opts.MaxStaleness))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.link.down = errNotConnected
	s.running.Go(s.follow)
	s.running.Go(s.listen)
	s.running.Go(s.deliver)
	s.running.Go(s.watchAge)
	return s, nil
}

// readState reads what the copy was when the node was stopped.
func (s *Store) readState(ctx context.Context) error {
	position, of, err := s.local.CopyPosition(ctx)
	if err != nil {
		return err
	}
	if of == "" {
		bindings, bindingsErr := s.local.CountBindings(ctx)
		archived, archiveErr := s.local.CountArchived(ctx)
		if err := errors.Join(bindingsErr, archiveErr); err != nil {
			return err
		}
		if bindings+archived > 0 {
			return ErrNoCopy
		}
		return nil
	}
	level, err := s.readLevel(ctx)
	if err != nil {
		return err
	}
	if s.state.ahead, err = s.local.CopyAhead(ctx); err != nil {
		return err
	}
	s.state.position, s.state.of = position, of
	s.state.setLevel(level)
	return nil
}

// Close delivers what can be delivered within AuthorityTimeout, ends the following, and
// closes the authority and the copy. Closing again does nothing; everything else returns store.ErrUnavailable from here on.
func (s *Store) Close() error {
	s.closing.Lock() // also a second call returns when all is over
	defer s.closing.Unlock()
	if s.ctx.Err() != nil {
		return nil
	}
	s.flushAtEnd()
	s.link.mu.Lock()
	s.link.closed = true
	s.link.mu.Unlock()
	s.cancel()
	s.running.Wait()
	if a := s.link.authority(); a != nil {
		if err := a.Close(); err != nil { // it keeps nothing that the authority does not have
			s.opts.Logger.Debug("the connection to the authority was not closed in time", "error", err)
		}
	}
	return s.local.Close()
}

// Probe is part of store.Prober: whether this node can keep what it gathers.
func (s *Store) Probe(ctx context.Context) error { return s.local.Probe(ctx) }

// ownSetting returns the name that a setting of the node has in the local store, or
// false for one that the nodes share.
func (s *Store) ownSetting(name string) (local string, isOwn bool) {
	if store.IsNodeSetting(name) {
		return name, true
	}
	if slices.Contains(s.opts.OwnSettings, name) {
		return store.NodeSettingPrefix + name, true
	}
	return "", false
}
