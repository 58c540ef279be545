package alert

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// saveEvery bounds for how long the count and time of an open alert are only
	// in memory. Then channels are read again too, and what is too old is deleted.
	saveEvery = 30 * time.Second
	// maxClosed is how many closed alerts are kept.
	maxClosed = 2_000
	// labelTimeout is how long the labels of alerts may take to be found.
	labelTimeout = 2 * time.Second
	// tidyTimeout is how long tidying may keep the keeper from alerts.
	tidyTimeout = 2 * writeTimeout
)

// keep writes what changes, and makes deliveries of transitions, until the
// center closes and all is written.
func (c *Center) keep() {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	var complained time.Time
	complain := func(err error) {
		if err != nil && !errors.Is(err, errStoreDown) && !errors.Is(err, errNotLeading) && c.now().Sub(complained) >= complainEvery {
			complained = c.now()
			c.logger.Warn("alerts are kept in memory, the store does not take them", "error", err)
		}
	}
	for {
		select {
		case <-c.wake:
			complain(c.settle(c.life))
		case <-tick.C:
			complain(c.saveRest(c.life))
			complain(c.tidy(c.life))
		case <-c.stopKeeping:
			complain(c.settle(c.life))
			complain(c.saveRest(c.life))
			return
		}
	}
}

// settle writes the alerts that have changed, makes deliveries of their
// transitions, writes those, and hands them to the lanes. It goes on after an
// error: that the store fails must not keep alerts back.
func (c *Center) settle(ctx context.Context) error {
	c.mu.Lock()
	rows := c.changed
	c.changed = nil
	c.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	slices.SortFunc(rows, func(a, b *row[alertRecord]) int { return strings.Compare(a.id, b.id) })
	rows = slices.Compact(rows)
	c.findLabels(ctx, rows)
	numbers := c.transitions(rows)
	errAlerts := c.alerts.saveAll(ctx, rows)
	made := c.makeDeliveries(rows, numbers)
	errDeliveries := c.deliveries.saveAll(ctx, made)
	c.mu.Lock()
	for _, r := range made {
		c.offerLocked(r)
	}
	c.mu.Unlock()
	if errAlerts != nil || errDeliveries != nil {
		return errors.Join(errAlerts, errDeliveries)
	}
	return c.alerts.saveAll(ctx, rows)
}

// transitions returns how many transitions each row has by now: those that come
// while rows are written wait for the next time.
func (c *Center) transitions(rows []*row[alertRecord]) []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	numbers := make([]int, len(rows))
	for i, r := range rows {
		numbers[i] = r.value.Transitions
	}
	return numbers
}

// makeDeliveries makes the deliveries of the transitions below the numbers.
func (c *Center) makeDeliveries(rows []*row[alertRecord], numbers []int) []*row[deliveryRecord] {
	c.mu.Lock()
	defer c.mu.Unlock()
	var made []*row[deliveryRecord]
	for i, r := range rows {
		for len(r.value.Waiting) > 0 && r.value.Waiting[0].Number < numbers[i] {
			t := r.value.Waiting[0]
			r.value.Waiting = r.value.Waiting[1:]
			r.touchLocked()
			for _, channel := range t.Channels {
				if d := c.deliverLocked(t, channel); d != nil {
					made = append(made, d)
				}
			}
		}
	}
	return made
}

// findLabels asks for the labels of keys that an alert has just been opened of.
func (c *Center) findLabels(ctx context.Context, rows []*row[alertRecord]) {
	if c.label == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, labelTimeout)
	defer cancel()
	for _, r := range rows {
		c.mu.Lock()
		hash, wanted := r.value.Subject.Hash, r.value.Subject.Label == "" && len(r.value.Waiting) > 0 && r.value.Waiting[0].Event == Opened
		c.mu.Unlock()
		if !wanted || hash.IsZero() || ctx.Err() != nil {
			continue
		}
		label := cut(c.label(ctx, hash), store.MaxLabelBytes)
		if label == "" {
			continue
		}
		c.mu.Lock()
		r.value.Subject.Label = label
		for _, t := range r.value.Waiting {
			t.Alert.Subject.Label = label
		}
		r.touchLocked()
		c.mu.Unlock()
	}
}

// saveRest writes what else is not in the store.
func (c *Center) saveRest(ctx context.Context) error {
	err := c.alerts.saveAll(ctx, c.alerts.dirty())
	return errors.Join(err, c.deliveries.saveAll(ctx, c.deliveries.dirty()))
}

// tidy reads the channels again, and deletes what is no longer to be kept.
func (c *Center) tidy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	var err error
	select {
	case c.editing <- struct{}{}:
		err = c.reloadChannels(ctx)
		<-c.editing
	default: // somebody edits them right now
	}
	c.mu.Lock()
	orphans := c.orphans
	c.orphans = nil
	before := time.Time{}
	if days := c.settings.RetentionDays; days > 0 {
		before = c.now().AddDate(0, 0, -days)
	}
	c.mu.Unlock()
	if failed := c.deliveries.removeAll(ctx, orphans); failed != nil {
		c.mu.Lock()
		c.orphans = append(c.orphans, orphans...)
		c.mu.Unlock()
		return errors.Join(err, failed)
	}
	_, _, failed := c.purge(ctx, before)
	return errors.Join(err, failed)
}

// Purge deletes the alerts that closed, and the deliveries that ended, before a
// time, and returns how many it was. It happens by itself too, as
// Settings.RetentionDays says; and of what has ended only so much is kept.
func (c *Center) Purge(ctx context.Context, before time.Time) (alerts, deliveries int, err error) {
	return c.purge(ctx, before)
}

func (c *Center) purge(ctx context.Context, before time.Time) (alerts, deliveries int, err error) {
	c.mu.Lock()
	var closed []*row[alertRecord]
	unsettled := make(map[string]bool) // alerts whose transitions may be made into deliveries again
	for _, r := range c.alerts.rows {
		if len(r.value.Waiting) > 0 || r.version != r.saved {
			unsettled[r.id] = true
		} else if r.value.State == Closed {
			closed = append(closed, r)
		}
	}
	slices.SortFunc(closed, func(a, b *row[alertRecord]) int { return b.value.ClosedAt.Compare(a.value.ClosedAt) })
	keep, _ := slices.BinarySearchFunc(closed, before, func(r *row[alertRecord], before time.Time) int {
		if r.value.ClosedAt.Before(before) {
			return 1
		}
		return -1
	})
	closed = closed[min(keep, maxClosed):]
	var done []*row[deliveryRecord]
	for _, l := range c.lanes {
		done = append(done, l.expiredLocked(before, unsettled)...)
	}
	c.mu.Unlock()
	errAlerts := c.alerts.removeAll(ctx, closed)
	errDeliveries := c.deliveries.removeAll(ctx, done)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range closed {
		if r.gone {
			alerts++
		}
	}
	for _, r := range done {
		if r.gone {
			deliveries++
			if l := c.lanes[r.value.Channel]; l != nil {
				l.finished = slices.DeleteFunc(l.finished, func(f *row[deliveryRecord]) bool { return f == r })
			}
		}
	}
	return alerts, deliveries, errors.Join(errAlerts, errDeliveries)
}
