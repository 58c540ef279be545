package alert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/engine/alert/window"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// maxQueued is how many inputs may wait to be looked at.
	maxQueued = 16_384
	// maxCounted is how many keys, and how many addresses, are counted towards
	// their threshold at a time: a few hundred bytes each.
	maxCounted = 32_768
	// tickEvery is how exactly alerts close, and how often health is looked at.
	tickEvery = time.Second
	// complainEvery bounds how often losses are logged.
	complainEvery = 10 * time.Second
)

// Options is what New needs.
type Options struct {
	// Documents keeps channels (kind "channel"), alerts ("alert") and deliveries
	// ("delivery").
	Documents store.Documents
	// Scope keeps the alerts and deliveries of this process apart from those of
	// others that share Documents, for instance in a cluster: each takes care of
	// its own only, while the channels belong to all. It must be the same after a
	// restart. Empty where no other process writes them.
	Scope  string
	Logger *slog.Logger
	// Now is the clock; nil: time.Now. Waiting goes by the real clock.
	Now func() time.Time
	// Node is the name of this process, as messages show it; empty: none.
	Node string
	// ConsoleURL is what messages link to; empty: nothing.
	ConsoleURL string
	// Key seals the secrets of channels, so that a copy of the documents alone
	// does not give them. It has 32 bytes, from a place that is not in a backup
	// of the store. With another key the channels that are there cannot send
	// until their secrets are entered again.
	Key []byte
	// OldKeys are keys from before, whose channels can send as well.
	OldKeys  [][]byte
	Settings Settings
	// RootCAs are whom certificates of receivers must come from; nil: whom the
	// system trusts.
	RootCAs *x509.CertPool
	// Label, if not nil, returns the label of a key, or nothing. It is called once
	// for each alert of a key, and may ask the store.
	Label func(ctx context.Context, hash store.KeyHash) string

	// leads reports whether this process may still write and send; nil: always.
	leads func(ctx context.Context) bool
	// still has nothing happen by itself: the center is a view of the documents.
	still  bool
	sender sender // nil: a send.Sender
}

// sender is what a lane sends with.
type sender interface {
	Send(ctx context.Context, t send.Target, m send.Message) (send.Answer, error)
	Close()
}

// subject is what at most one open alert is about.
type subject struct {
	kind     Kind
	identity string
}

// Center raises, keeps and delivers alerts. All methods are safe for concurrent
// use.
type Center struct {
	documents store.Documents
	logger    *slog.Logger
	now       func() time.Time
	node      string
	console   string
	sealer    *sealer
	sender    sender
	label     func(ctx context.Context, hash store.KeyHash) string
	leads     func(ctx context.Context) bool
	still     bool

	inputs chan sighting
	wake   chan struct{} // of the keeper

	watchers, lanesRunning sync.WaitGroup
	stopWatching           chan struct{}
	stopKeeping            chan struct{}
	kept                   chan struct{} // closed when the keeper has ended
	life                   context.Context
	endLife                context.CancelFunc
	// editing holds one place: who has it may change channels.
	editing chan struct{}

	startedAt time.Time

	mu         sync.Mutex
	closed     bool
	bus        *event.Bus // nil: nobody listens
	lastID     int64      // milliseconds
	settings   Settings
	alerts     *ledger[alertRecord]
	deliveries *ledger[deliveryRecord]
	open       map[subject]*row[alertRecord]
	openOf     map[Kind]int
	changed    []*row[alertRecord] // with something for the keeper to do at once
	receivers  map[string]*receiver
	lanes      map[string]*lane
	orphans    []*row[deliveryRecord]
	refused    *window.Counter[store.KeyHash, Evidence]
	unknown    *window.Counter[subject, Evidence]
	distinct   map[Kind]*window.Distinct // of those that share a collective alert
	health     map[watched]*health
	dropped    uint64
	toldDrops  uint64
	complained time.Time
	trimmed    time.Time
}

// New starts a center: it goes on with the alerts and deliveries that
// opts.Documents keeps. Close ends it.
func New(ctx context.Context, opts Options) (*Center, error) {
	if opts.Documents == nil || opts.Logger == nil {
		return nil, errors.New("alerts without documents or logger")
	}
	if err := opts.Settings.Validate(); err != nil {
		return nil, fmt.Errorf("alert settings: %w", err)
	}
	if opts.ConsoleURL != "" {
		if err := checkURL("console URL", opts.ConsoleURL); err != nil {
			return nil, err
		}
	}
	sealer, err := newSealer(opts.Key, opts.OldKeys)
	if err != nil {
		return nil, err
	}
	c := newCenter(opts, sealer)
	if err := c.load(ctx); err != nil {
		c.endLife()
		return nil, err
	}
	c.start()
	return c, nil
}

func newCenter(opts Options, sealer *sealer) *Center {
	c := &Center{
		documents: opts.Documents, logger: opts.Logger, now: opts.Now, node: opts.Node, console: opts.ConsoleURL,
		sealer: sealer, sender: opts.sender, label: opts.Label,
		leads: opts.leads, still: opts.still, settings: opts.Settings,
		inputs: make(chan sighting, maxQueued), wake: make(chan struct{}, 1),
		stopWatching: make(chan struct{}), stopKeeping: make(chan struct{}), kept: make(chan struct{}),
		editing: make(chan struct{}, 1),
		open:    make(map[subject]*row[alertRecord]), openOf: make(map[Kind]int),
		receivers: make(map[string]*receiver), lanes: make(map[string]*lane),
		refused:  window.New[store.KeyHash, Evidence](maxCounted),
		unknown:  window.New[subject, Evidence](maxCounted),
		distinct: make(map[Kind]*window.Distinct),
		health:   make(map[watched]*health),
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.leads == nil {
		c.leads = func(context.Context) bool { return true }
	}
	if c.sender == nil {
		c.sender = send.New(send.Options{Now: c.now, RootCAs: opts.RootCAs})
	}
	suffix := ""
	if opts.Scope != "" {
		suffix = "." + opts.Scope
	}
	gate := &gate{leads: c.leads}
	c.alerts = newLedger[alertRecord](opts.Documents, AlertKind+suffix, c.now, &c.mu, gate)
	c.deliveries = newLedger[deliveryRecord](opts.Documents, DeliveryKind+suffix, c.now, &c.mu, gate)
	c.startedAt = c.stamp()
	c.life, c.endLife = context.WithCancel(context.Background())
	return c
}

// load takes over what was there.
func (c *Center) load(ctx context.Context) error {
	if err := c.alerts.load(ctx, c.logger); err != nil {
		return err
	}
	if err := c.deliveries.load(ctx, c.logger); err != nil {
		return err
	}
	list, err := c.documents.ListDocuments(ctx, ChannelKind)
	if err != nil {
		return fmt.Errorf("read channels: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range list {
		r, err := c.readReceiver(d)
		if err != nil {
			c.logger.Warn("unreadable channel left alone", "id", d.ID, "error", err)
			continue
		}
		c.receivers[d.ID] = r
	}
	if r := envReceiver(c.settings); r != nil {
		c.receivers[EnvChannel] = r
	}
	for id, r := range c.alerts.rows {
		if ms, err := strconv.ParseInt(strings.SplitN(id, "-", 2)[0], 10, 64); err == nil {
			c.lastID = max(c.lastID, ms)
		}
		if r.value.State == Open {
			c.open[subject{r.value.Kind, r.value.Subject.identity()}] = r
			c.openOf[r.value.Kind]++
		}
		if len(r.value.Waiting) > 0 {
			c.changed = append(c.changed, r)
		}
	}
	return nil
}

func (c *Center) start() {
	c.makeLanes()
	c.watchers.Go(c.watch)
	go func() {
		defer close(c.kept)
		c.keep()
	}()
	c.wakeKeeper()
}

func (c *Center) makeLanes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.receivers {
		c.laneLocked(id)
	}
	c.restoreLanesLocked()
}

// Close looks at the inputs that wait, ends the attempts under way, and writes
// everything. If ctx ends first, attempts and writes are broken off: then what
// was being sent is sent again after the next start.
func (c *Center) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	for _, l := range c.lanes {
		l.end()
	}
	c.mu.Unlock()
	release := context.AfterFunc(ctx, c.endLife)
	defer release()
	close(c.stopWatching)
	c.watchers.Wait()
	c.lanesRunning.Wait()
	close(c.stopKeeping)
	<-c.kept
	c.endLife()
	c.sender.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if unsaved := c.unsavedLocked(); unsaved > 0 {
		return fmt.Errorf("alerts: %d records could not be written", unsaved)
	}
	return nil
}

func (c *Center) unsavedLocked() int {
	n := 0
	for _, r := range c.alerts.rows {
		if r.version != r.saved {
			n++
		}
	}
	for _, r := range c.deliveries.rows {
		if r.version != r.saved {
			n++
		}
	}
	return n
}

// SetSettings changes the settings. Alerts that are open stay open. Returns a
// *FieldError.
func (c *Center) SetSettings(s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	c.mu.Lock()
	c.settings = s
	c.mu.Unlock()
	if r := envReceiver(s); r != nil {
		c.setReceiver(r)
	} else {
		c.dropReceiver(EnvChannel)
	}
	return nil
}

// Settings returns the settings in force.
func (c *Center) Settings() Settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings
}

// PublishTo has alerts that open, are acknowledged or close told as events too.
func (c *Center) PublishTo(bus *event.Bus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bus = bus
}

// publishLocked tells what became of an alert.
func (c *Center) publishLocked(change string, a *Alert) {
	if c.bus == nil {
		return
	}
	c.bus.Publish(event.TypeAlert, event.Alert{
		Change: change, ID: a.ID, Kind: string(a.Kind), Hash: a.Subject.Hash, Hint: a.Subject.Hint, Network: a.Subject.Network,
		Account: a.Subject.Account, Collective: a.Subject.Collective, Open: len(c.open),
	})
}

// OpenByKind returns how many alerts of each kind are open; all kinds are in it.
func (c *Center) OpenByKind() map[Kind]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := make(map[Kind]int)
	for _, k := range Kinds() {
		open[k] = 0
	}
	for s := range c.open {
		open[s.kind]++
	}
	return open
}

// Stats is how a Center is doing.
type Stats struct {
	Open       int    `json:"open"`       // alerts
	Pending    int    `json:"pending"`    // deliveries
	Failed     int    `json:"failed"`     // deliveries that are kept
	Dropped    uint64 `json:"dropped"`    // deliveries, since the start, as too many waited
	Inputs     uint64 `json:"inputs"`     // dropped since the start, as too many came at once
	Unsaved    int    `json:"unsaved"`    // alerts and deliveries that the store does not have yet
	Uncounted  uint64 `json:"uncounted"`  // keys and addresses that made room for others before their time
	CountedNow int    `json:"countedNow"` // keys and addresses that are counted towards their threshold
}

// Stats returns how the center is doing.
func (c *Center) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{
		Open: len(c.open), Inputs: c.dropped, Unsaved: c.unsavedLocked(),
		Uncounted:  c.refused.Evicted() + c.unknown.Evicted(),
		CountedNow: c.refused.Len() + c.unknown.Len(),
	}
	for _, l := range c.lanes {
		s.Pending += len(l.pending)
		s.Dropped += l.dropped
		for _, r := range l.finished {
			if r.value.State == Failed {
				s.Failed++
			}
		}
	}
	return s
}

// stamp is the time as it is stored.
func (c *Center) stamp() time.Time { return store.StoredTime(c.now()) }

func (c *Center) wakeKeeper() {
	select {
	case c.wake <- struct{}{}:
	default: // it has not yet seen the last call
	}
}
