package alert

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// perLetter is how much one letter tells of, and lettersAtOnce how many are read.
	perLetter     = 200
	lettersAtOnce = 200
	// reportTimeout bounds one step of a report.
	reportTimeout = 5 * time.Second
	// tellAgain is how often a node tells that something still fails.
	tellAgain = healthSilence / 3
)

// gathered is what a node has seen of a subject and not told of yet.
type gathered struct {
	sighting
	since     time.Time
	uncounted uint64 // part of N that Counts does not have
}

// letter is what a node tells the leader.
type letter struct {
	Node         string            `json:"node"`
	Sightings    []sighting        `json:"sightings,omitempty"`
	Acknowledged []acknowledgement `json:"acknowledged,omitempty"`
	Retry        []string          `json:"retry,omitempty"`    // IDs of deliveries
	Channels     bool              `json:"channels,omitempty"` // they have been changed
}

type acknowledgement struct {
	ID string    `json:"id"`
	By string    `json:"by"`
	At time.Time `json:"at"`
}

func (s *Shared) stamp() time.Time { return store.StoredTime(s.opts.Now()) }

// gather notes what is to be told. It never blocks for long.
func (s *Shared) gather(saw sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saw.Node = s.opts.Node
	s.gatherLocked(gathered{sighting: saw, since: s.stamp(), uncounted: saw.N})
}

func (s *Shared) gatherLocked(g gathered) {
	id := subject{g.Kind, g.Subject.identity()}
	there, ok := s.gathered[id]
	switch {
	case ok && !g.At.Before(there.At):
		there.add(g)
	case ok:
		older := *there
		g.add(older)
		*there = g
	case len(s.gathered) >= maxGathered:
		s.dropped++
	default:
		s.gathered[id] = &g
	}
}

// add adds what is newer.
func (g *gathered) add(newer gathered) {
	g.N += newer.N
	g.uncounted += newer.uncounted
	g.At, g.Fails = newer.At, newer.Fails
	g.Evidence.merge(newer.Evidence)
	g.Total = max(g.Total, newer.Total)
	if newer.since.Before(g.since) {
		g.since = newer.since
	}
}

// Intercept is that of Center.
func (s *Shared) Intercept(rec store.Intercept, added uint64) {
	if isRefusal(rec, added) {
		s.gather(sawIntercept(rec, added))
	}
}

// Bound is that of Center.
func (s *Shared) Bound(b store.Binding) { s.gather(sawBinding(b, s.stamp())) }

// UnknownKey is that of Center.
func (s *Shared) UnknownKey(from netip.Addr) {
	s.gather(sawAddress(UnknownKeys, from, s.stamp(), Evidence{}))
}

// FirstUseHeld is that of Center.
func (s *Shared) FirstUseHeld(from netip.Addr, hint, why string) {
	s.gather(sawAddress(FirstUseHeld, from, s.stamp(), Evidence{Hint: cut(hint, 64), Held: cut(why, 32)}))
}

// ManyBindings is that of Center.
func (s *Shared) ManyBindings(from netip.Addr, count int) {
	s.gather(sawAddress(ManyBindings, from, s.stamp(), Evidence{Bindings: count}))
}

// KeyShared is that of Center.
func (s *Shared) KeyShared(shared engine.SharedKey) { s.gather(sawSharing(shared, s.stamp())) }

// Lockout is that of Center.
func (s *Shared) Lockout(name string, from netip.Addr) { s.gather(sawLockout(name, from, s.stamp())) }

// StoreHealth is that of Center, and each node's own.
func (s *Shared) StoreHealth(err error) { s.own.StoreHealth(err) }

// DownstreamHealth is that of Center.
func (s *Shared) DownstreamHealth(err error) {
	saw := sawHealth(DownstreamFailing, err, s.stamp())
	s.mu.Lock()
	_, failed := s.failing[DownstreamFailing]
	if err != nil {
		s.failing[DownstreamFailing] = saw
	} else {
		delete(s.failing, DownstreamFailing)
	}
	s.mu.Unlock()
	if err != nil || failed {
		s.gather(saw)
	}
}

// take returns what has been gathered, and begins anew.
func (s *Shared) take() []*gathered {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.stamp(); now.Sub(s.told) >= tellAgain {
		s.told = now
		for _, saw := range s.failing {
			saw.At, saw.Node = now, s.opts.Node
			s.gatherLocked(gathered{sighting: saw, since: now})
		}
	}
	list := make([]*gathered, 0, len(s.gathered))
	for _, g := range s.gathered {
		list = append(list, g)
	}
	clear(s.gathered)
	return list
}

// report tells the leader what has been gathered.
func (s *Shared) report(ctx context.Context) {
	list := s.take()
	if len(list) == 0 {
		return
	}
	s.count(ctx, list)
	if c := s.leader(); c != nil {
		for _, g := range list {
			c.see(g.sighting)
		}
		return
	}
	for len(list) > 0 {
		n := min(len(list), perLetter)
		l := letter{Node: s.opts.Node}
		for _, g := range list[:n] {
			l.Sightings = append(l.Sightings, g.sighting)
		}
		if err := s.post(ctx, l); err != nil {
			s.keep(list)
			return
		}
		list = list[n:]
	}
}

// keep keeps what could not be told, or has this node raise alerts of it.
func (s *Shared) keep(list []*gathered) {
	now := s.stamp()
	for _, g := range list {
		if now.Sub(g.since) >= ownAfter {
			g.Node = "" // the center's own
			s.own.see(g.sighting)
			continue
		}
		s.mu.Lock()
		s.gatherLocked(*g)
		s.mu.Unlock()
	}
}

// count asks how often all nodes have seen what there are thresholds of.
func (s *Shared) count(ctx context.Context, list []*gathered) {
	if s.opts.Counts == nil {
		return
	}
	settings := s.Settings()
	for kind, window := range map[Kind]time.Duration{KeyRefused: settings.Window, UnknownKeys: settings.UnknownKeyWindow} {
		add := map[string]uint64{}
		for _, g := range list {
			if g.Kind == kind && g.uncounted > 0 {
				add[string(kind)+":"+g.Subject.identity()] += g.uncounted
			}
		}
		if len(add) == 0 {
			continue
		}
		totals, err := s.opts.Counts.Add(ctx, window, add)
		if err != nil {
			continue // the leader counts what it is told of
		}
		for _, g := range list {
			if g.Kind == kind {
				g.Total, g.uncounted = max(g.Total, totals[string(kind)+":"+g.Subject.identity()]), 0
			}
		}
	}
}

// post sends a letter.
func (s *Shared) post(ctx context.Context, l letter) error {
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	return s.opts.Mailbox.Post(ctx, body)
}

// collect does as the letters of other nodes say.
func (s *Shared) collect(ctx context.Context, c *Center) error {
	for {
		list, err := s.opts.Mailbox.Letters(ctx, lettersAtOnce)
		if err != nil || len(list) == 0 {
			return err
		}
		ids := make([]uint64, len(list))
		var errs []error
		for i, mail := range list {
			ids[i] = mail.ID
			var l letter
			if err := json.Unmarshal(mail.Body, &l); err != nil {
				s.opts.Logger.Warn("unreadable letter of another node left out", "error", err)
				continue
			}
			errs = append(errs, c.obey(ctx, l))
		}
		if err := errors.Join(errs...); err != nil {
			return err // they stay, and all of it can be done twice
		}
		if err := s.opts.Mailbox.RemoveLetters(ctx, ids); err != nil || len(list) < lettersAtOnce {
			return err
		}
	}
}

// obey does what a letter says. What is not there any more is no error.
func (c *Center) obey(ctx context.Context, l letter) error {
	var errs []error
	for _, saw := range l.Sightings {
		saw.Node = l.Node
		c.see(saw)
	}
	for _, a := range l.Acknowledged {
		if r, _, err := c.acknowledge(a.ID, a.By, a.At); err == nil {
			errs = append(errs, c.alerts.save(ctx, r))
		}
	}
	for _, id := range l.Retry {
		if r, d, err := c.retry(id); err == nil {
			errs = append(errs, c.deliveries.save(ctx, r))
			c.poke(d.Channel)
		}
	}
	if l.Channels {
		errs = append(errs, c.ReloadChannels(ctx))
	}
	return errors.Join(errs...)
}
