package alert

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// reportEvery is how often a node tells the leader what it has seen, and how often
	// that one looks.
	reportEvery = time.Second
	// ownAfter is how long what a node has seen may wait for a leader. After that the
	// node raises alerts itself: to be told of by each node is better than by none.
	ownAfter = time.Minute
	// maxGathered is how many different things wait to be reported.
	maxGathered = 4_096
	// viewAge is how old what is shown may be where the leader is another node.
	viewAge = time.Second
	// readTimeout bounds reading the documents, which are on this node.
	readTimeout = 2 * time.Second
)

// Counts counts for all nodes together.
type Counts interface {
	// Add adds to counts by their names, and returns how many there are of each within
	// the window that ends now. An error means that only each node knows of its own.
	Add(ctx context.Context, window time.Duration, add map[string]uint64) (map[string]uint64, error)
}

// SharedOptions is what NewShared needs.
type SharedOptions struct {
	// Options without Scope. Node is not empty.
	Options
	Leadership store.Leadership
	Mailbox    store.Mailbox
	// CatchUp waits until Documents has all that was written before the call.
	CatchUp func(ctx context.Context) error
	// Counts keeps counts towards thresholds over a change of the leader; nil: the leader
	// counts alone.
	Counts Counts
}

// Shared raises, keeps and delivers the alerts of all nodes of a cluster, each once: the
// leader has a Center, and the others tell it what they have seen, by letters
// (report.go). A node that becomes the leader goes on with the alerts and deliveries as
// they are, as after a restart. What it had not yet heard of is told again by who has seen
// it; counts towards a threshold begin anew, unless there are Counts.
//
// A leader asks whether it still is before each message that it sends, and before each
// write. So one that was frozen sends nothing twice, but what it was just about to send
// when that happened.
//
// That the store fails, each node tells by itself, in a Center of its own in memory: it is
// just then that nobody may be the leader. It also takes what could not be told to a
// leader for ownAfter.
//
// What it shows comes from the documents where another node is the leader, and is about
// two seconds behind it.
type Shared struct {
	opts   SharedOptions
	sealer *sealer
	sender sender
	own    *Center

	mu       sync.Mutex
	settings Settings
	bus      *event.Bus
	leading  *Center // nil: another node is the leader
	gathered map[subject]*gathered
	failing  map[Kind]sighting // what is told of again and again
	told     time.Time         // when that was
	dropped  uint64

	viewing sync.Mutex
	view    *Center
	viewed  time.Time
	stale   bool // a document has changed since

	stop, stopped chan struct{}
	stopping      sync.Once
}

// NewShared starts a node that is not the leader; Lead makes it the one. Close ends it.
func NewShared(ctx context.Context, opts SharedOptions) (*Shared, error) {
	if opts.Leadership == nil || opts.Mailbox == nil || opts.CatchUp == nil || opts.Node == "" {
		return nil, errors.New("alerts of several nodes without leadership, mailbox, catching up or a name")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	sealer, err := newSealer(opts.Key, opts.OldKeys)
	if err != nil {
		return nil, err
	}
	own := opts.Options
	own.Documents = newOwnDocuments(opts.Documents)
	s := &Shared{
		opts: opts, sealer: sealer, sender: opts.sender, settings: opts.Settings,
		gathered: make(map[subject]*gathered), failing: make(map[Kind]sighting),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if s.own, err = New(ctx, own); err != nil {
		return nil, err
	}
	if s.sender == nil {
		s.sender = send.New(send.Options{Now: opts.Now, RootCAs: opts.RootCAs})
	}
	go s.run() //nolint:gosec // G118: it lives until Close, and not as long as the start
	return s, nil
}

// run tells the leader what this node has seen, until Close.
func (s *Shared) run() {
	defer close(s.stopped)
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case <-tick.C:
			s.report(ctx)
			s.publishChanges(ctx)
		case <-s.stop:
			s.report(ctx)
			return
		}
	}
}

// Lead takes care of the alerts of all nodes until ctx is done. It is what
// store.Leadership.Lead calls.
func (s *Shared) Lead(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.lead(ctx); err != nil && ctx.Err() == nil {
			s.opts.Logger.Error("cannot take care of alerts, will try again", "error", err)
			pause(ctx, reportEvery)
		}
	}
}

func (s *Shared) lead(ctx context.Context) error {
	if err := s.opts.CatchUp(ctx); err != nil {
		return err
	}
	opts := s.opts.Options
	opts.Settings, opts.leads = s.Settings(), s.opts.Leadership.IsLeader
	c, err := New(ctx, opts)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.leading = c
	err = c.SetSettings(s.settings) // which may have changed meanwhile
	c.PublishTo(s.bus)
	s.mu.Unlock()
	for ctx.Err() == nil {
		if err := s.collect(ctx, c); err != nil && ctx.Err() == nil {
			s.opts.Logger.Debug("cannot read what other nodes have seen", "error", err)
		}
		pause(ctx, reportEvery)
	}
	s.mu.Lock()
	s.leading = nil
	s.mu.Unlock()
	s.changed()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	// What a leader cannot write that no longer is one, the next one knows or is told.
	if closeErr := c.Close(end); closeErr != nil {
		s.opts.Logger.Debug("left alerts to the next leader", "error", closeErr)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// leader returns the Center of the leader, or nil where that is another node.
func (s *Shared) leader() *Center {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leading
}

// Close tells the leader of what is left, and ends. Lead must have returned.
func (s *Shared) Close(ctx context.Context) error {
	s.stopping.Do(func() { close(s.stop) })
	select {
	case <-s.stopped:
	case <-ctx.Done():
	}
	err := s.own.Close(ctx)
	s.sender.Close()
	return errors.Join(err, ctx.Err())
}

// SetSettings changes the settings. Returns a *FieldError.
func (s *Shared) SetSettings(settings Settings) error {
	if err := s.own.SetSettings(settings); err != nil {
		return err
	}
	s.changed()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = settings
	if s.leading != nil {
		return s.leading.SetSettings(settings)
	}
	return nil
}

// Settings returns the settings in force.
func (s *Shared) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// PublishTo has alerts that open, are acknowledged or close told as events too.
func (s *Shared) PublishTo(bus *event.Bus) {
	s.own.PublishTo(bus)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bus = bus
	if s.leading != nil {
		s.leading.PublishTo(bus)
	}
}
