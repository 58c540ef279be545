package alert

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Reload has what is shown read anew, which other nodes have changed. It does not wait.
func (s *Shared) Reload(context.Context) error {
	s.changed()
	return nil
}

// ReloadChannels has the channels in force that the store has.
func (s *Shared) ReloadChannels(ctx context.Context) error {
	s.changed()
	if err := s.own.ReloadChannels(ctx); err != nil {
		return err
	}
	if c := s.leader(); c != nil {
		return c.ReloadChannels(ctx)
	}
	return nil
}

// changed has what is shown read anew.
func (s *Shared) changed() {
	s.viewing.Lock()
	defer s.viewing.Unlock()
	s.stale = true
}

// shown returns the center of the leader, or what the documents say of it.
func (s *Shared) shown() *Center {
	if c := s.leader(); c != nil {
		return c
	}
	s.viewing.Lock()
	defer s.viewing.Unlock()
	now := time.Now()
	if s.view != nil && !s.stale && now.Sub(s.viewed) < viewAge {
		return s.view
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	opts := s.opts.Options
	opts.Settings, opts.still, opts.sender = s.Settings(), true, s.sender
	view := newCenter(opts, s.sealer)
	if err := view.load(ctx); err != nil {
		s.opts.Logger.Warn("cannot read alerts", "error", err)
		if s.view != nil {
			return s.view // as it was
		}
	}
	view.makeLanes()
	s.view, s.viewed, s.stale = view, now, false
	return view
}

// publishChanges tells the events of alerts that another node has changed.
func (s *Shared) publishChanges(context.Context) {
	s.viewing.Lock()
	before, stale := s.view, s.stale
	s.viewing.Unlock()
	s.mu.Lock()
	bus, isLeader := s.bus, s.leading != nil
	s.mu.Unlock()
	if bus == nil || isLeader || !stale && before != nil {
		return
	}
	now := s.shown()
	if before == nil || before == now {
		return
	}
	before.mu.Lock()
	was := make(map[string]Alert, len(before.alerts.rows))
	for id, r := range before.alerts.rows {
		was[id] = r.value.Alert
	}
	before.mu.Unlock()
	now.mu.Lock()
	defer now.mu.Unlock()
	now.bus = bus
	for id, r := range now.alerts.rows {
		if change := changeOf(was[id], r.value.Alert); change != "" {
			now.publishLocked(change, &r.value.Alert)
		}
	}
}

// changeOf returns what became of an alert; empty: nothing that is told.
func changeOf(before, now Alert) string {
	switch {
	case now.State == Closed && before.State == Open:
		return "closed"
	case before.ID == "" && now.State == Open:
		return "opened"
	case now.State == Open && !now.AcknowledgedAt.IsZero() && before.AcknowledgedAt.IsZero():
		return "acknowledged"
	}
	return ""
}

// List returns the alerts that match, those that opened last first.
func (s *Shared) List(f Filter) Page {
	page, own := s.shown().List(f), s.own.List(f)
	if len(own.Alerts) == 0 {
		page.Total += own.Total
		return page
	}
	alerts := slices.Concat(page.Alerts, own.Alerts)
	slices.SortFunc(alerts, func(a, b Alert) int { return cmp.Compare(b.ID, a.ID) })
	page.Total += own.Total
	if limit := pageSize(f.Limit); len(alerts) > limit || page.Next != "" || own.Next != "" {
		alerts = alerts[:min(limit, len(alerts))]
		page.Next = alerts[len(alerts)-1].ID
	}
	page.Alerts = alerts
	return page
}

// Get returns one alert. Returns store.ErrNotFound.
func (s *Shared) Get(id string) (Alert, error) {
	a, err := s.shown().Get(id)
	if errors.Is(err, store.ErrNotFound) {
		return s.own.Get(id)
	}
	return a, err
}

// Acknowledge is that of Center. Where another node is the leader, that one is told, and
// does it within seconds.
func (s *Shared) Acknowledge(ctx context.Context, id, by string) (Alert, error) {
	c := s.shown()
	if _, err := c.Get(id); errors.Is(err, store.ErrNotFound) {
		return s.own.Acknowledge(ctx, id, by)
	}
	if !c.still {
		return c.Acknowledge(ctx, id, by)
	}
	at := s.stamp()
	if err := s.post(ctx, letter{Node: s.opts.Node, Acknowledged: []acknowledgement{{id, by, at}}}); err != nil {
		return Alert{}, err
	}
	_, a, err := c.acknowledge(id, by, at)
	return a, err
}

// Deliveries returns the deliveries that match, the newest first.
func (s *Shared) Deliveries(f DeliveryFilter) DeliveryPage {
	page, own := s.shown().Deliveries(f), s.own.Deliveries(f)
	if len(own.Deliveries) == 0 {
		return page
	}
	list := slices.Concat(page.Deliveries, own.Deliveries)
	slices.SortFunc(list, func(a, b Delivery) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	if limit := pageSize(f.Limit); len(list) > limit || page.Next != "" || own.Next != "" {
		list = list[:min(limit, len(list))]
		page.Next = (&deliveryRecord{Delivery: list[len(list)-1]}).cursor()
	}
	page.Deliveries = list
	return page
}

// Retry is that of Center. Where another node is the leader, that one is told, and does
// it within seconds.
func (s *Shared) Retry(ctx context.Context, id string) (Delivery, error) {
	c := s.shown()
	if !c.still {
		d, err := c.Retry(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return s.own.Retry(ctx, id)
		}
		return d, err
	}
	_, d, err := c.retry(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.own.Retry(ctx, id)
	case err == nil:
		err = s.post(ctx, letter{Node: s.opts.Node, Retry: []string{id}})
	}
	if err != nil {
		s.changed() // what was done in memory did not happen
		return Delivery{}, err
	}
	return d, nil
}

// Channels returns all channels in the order of their IDs.
func (s *Shared) Channels() []Channel { return s.shown().Channels() }

// Channel returns one. Returns store.ErrNotFound.
func (s *Shared) Channel(id string) (Channel, error) { return s.shown().Channel(id) }

// CreateChannel is that of Center.
func (s *Shared) CreateChannel(ctx context.Context, id string, in ChannelInput) (Channel, error) {
	ch, err := s.shown().CreateChannel(ctx, id, in)
	return ch, s.channelsChanged(ctx, err)
}

// UpdateChannel is that of Center.
func (s *Shared) UpdateChannel(ctx context.Context, id string, in ChannelInput, revision uint64) (Channel, error) {
	ch, err := s.shown().UpdateChannel(ctx, id, in, revision)
	return ch, s.channelsChanged(ctx, err)
}

// DeleteChannel is that of Center.
func (s *Shared) DeleteChannel(ctx context.Context, id string, revision uint64) error {
	return s.channelsChanged(ctx, s.shown().DeleteChannel(ctx, id, revision))
}

// Reseal is that of Center.
func (s *Shared) Reseal(ctx context.Context) (n int, err error) {
	n, err = s.shown().Reseal(ctx)
	return n, s.channelsChanged(ctx, err)
}

// channelsChanged tells the leader, which would see it by itself within saveEvery: that it
// cannot be told is no fault of the change.
func (s *Shared) channelsChanged(ctx context.Context, err error) error {
	if err == nil && s.leader() == nil {
		if err := s.post(ctx, letter{Node: s.opts.Node, Channels: true}); err != nil {
			s.opts.Logger.Debug("cannot tell the leader that channels have changed", "error", err)
		}
	}
	return err
}

// Test is that of Center, from this node.
func (s *Shared) Test(ctx context.Context, id string) (TestResult, error) {
	return s.shown().Test(ctx, id)
}

// OpenByKind returns how many alerts of each kind are open; all kinds are in it.
func (s *Shared) OpenByKind() map[Kind]int {
	open := s.shown().OpenByKind()
	for kind, n := range s.own.OpenByKind() {
		open[kind] += n
	}
	return open
}

// Stats returns how alerts are doing.
func (s *Shared) Stats() Stats {
	stats, own := s.shown().Stats(), s.own.Stats()
	stats.Open += own.Open
	stats.Pending += own.Pending
	stats.Failed += own.Failed
	stats.Dropped += own.Dropped
	stats.Inputs += own.Inputs
	stats.Unsaved += own.Unsaved
	stats.Uncounted += own.Uncounted
	stats.CountedNow += own.CountedNow
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Inputs += s.dropped
	return stats
}
