package alert

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// tryFor is how long a delivery is tried.
	tryFor = 24 * time.Hour
	// maxAttempts is how many attempts of a delivery are remembered.
	maxAttempts = 20
	// maxPending is how many deliveries may wait for one channel.
	maxPending = 1_000
	// maxFinished is how many that have ended are kept of one channel.
	maxFinished = 300
)

// DeliveryState is how far a delivery is.
type DeliveryState string

// The states.
const (
	Pending   DeliveryState = "pending"
	Delivered DeliveryState = "delivered"
	Failed    DeliveryState = "failed"  // tried for a day
	Dropped   DeliveryState = "dropped" // too many waited for the channel
)

// Delivery is one transition of an alert on its way to one channel.
type Delivery struct {
	// ID is what the receiver may know the delivery by: the same at every attempt.
	ID      string        `json:"id"`
	Channel string        `json:"channel"`
	AlertID string        `json:"alertId"`
	Kind    Kind          `json:"kind"`
	Event   Event         `json:"event"`
	State   DeliveryState `json:"state"`

	CreatedAt time.Time `json:"createdAt"`
	EndedAt   time.Time `json:"endedAt,omitzero"` // delivered, failed or dropped
	NextAt    time.Time `json:"nextAt,omitzero"`  // of the next attempt, if it is pending
	Tries     int       `json:"tries"`
	Attempts  []Attempt `json:"attempts,omitempty"` // the last 20
}

// Attempt is one try.
type Attempt struct {
	At     time.Time `json:"at"`
	TookMs int64     `json:"tookMs"`
	Status int       `json:"status,omitempty"` // of HTTP or SMTP
	Answer string    `json:"answer,omitempty"` // the beginning of it
	Error  string    `json:"error,omitempty"`  // empty: delivered
	// Together is how many deliveries went in the same message, if several.
	Together int `json:"together,omitempty"`
}

// deliveryRecord is the body of a delivery's document.
type deliveryRecord struct {
	Delivery
	At      time.Time `json:"at"`              // of the transition
	Alert   *Alert    `json:"alert,omitempty"` // as it was then; gone when it is delivered
	Expires time.Time `json:"expires"`
	// Rejected says that the receiver did not want this one; others may pass.
	Rejected bool `json:"rejected,omitempty"`

	sending bool
}

func (d *deliveryRecord) delivery() Delivery {
	out := d.Delivery
	out.Attempts = slices.Clone(d.Attempts)
	return out
}

// remember adds an attempt. An answer that comes again and again is kept once.
func (d *deliveryRecord) remember(a Attempt) {
	if last := len(d.Attempts) - 1; last >= 0 && d.Attempts[last].Answer == a.Answer {
		d.Attempts[last].Answer = ""
	}
	d.Attempts = append(d.Attempts, a)
	d.Attempts = slices.Clone(d.Attempts[max(len(d.Attempts)-maxAttempts, 0):])
}

// deliverLocked makes the delivery of a transition to a channel, unless it is
// there already or the channel is gone.
func (c *Center) deliverLocked(t transition, channel string) *row[deliveryRecord] {
	id := fmt.Sprintf("%s.%d.%s", t.Alert.ID, t.Number, channel)
	if c.receivers[channel] == nil || c.deliveries.rows[id] != nil {
		return nil
	}
	now := c.stamp()
	return c.deliveries.addLocked(id, deliveryRecord{
		Delivery: Delivery{
			ID: id, Channel: channel, AlertID: t.Alert.ID, Kind: t.Alert.Kind, Event: t.Event, State: Pending,
			CreatedAt: now, NextAt: now,
		},
		At: t.At, Alert: t.Alert, Expires: now.Add(tryFor),
	})
}

// offerLocked hands a delivery to the lane of its channel.
func (c *Center) offerLocked(r *row[deliveryRecord]) {
	l := c.lanes[r.value.Channel]
	if l == nil { // deleted meanwhile
		c.orphans = append(c.orphans, r)
		return
	}
	l.addLocked(r)
	l.poke()
}

// restoreLanesLocked hands out the deliveries that were there at the start.
func (c *Center) restoreLanesLocked() {
	rows := make([]*row[deliveryRecord], 0, len(c.deliveries.rows))
	for _, r := range c.deliveries.rows {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, compareDeliveries)
	for _, r := range rows {
		l := c.lanes[r.value.Channel]
		switch {
		case l == nil:
			c.orphans = append(c.orphans, r)
		case r.value.State == Pending:
			l.pending = append(l.pending, r)
		default:
			l.finished = append(l.finished, r)
		}
	}
}

// compareDeliveries puts them into the order in which they were made.
func compareDeliveries(a, b *row[deliveryRecord]) int {
	if n := a.value.CreatedAt.Compare(b.value.CreatedAt); n != 0 {
		return n
	}
	return strings.Compare(a.id, b.id)
}

// DeliveryFilter chooses deliveries; its zero fields choose all.
type DeliveryFilter struct {
	Channel string
	AlertID string
	State   DeliveryState
	Limit   int    // 1 to store.MaxPage; 0: store.DefaultPage
	Cursor  string // Next of the page before
}

// DeliveryPage is one page of deliveries, the newest first.
type DeliveryPage struct {
	Deliveries []Delivery `json:"deliveries"`
	Next       string     `json:"next,omitempty"` // Cursor of the next page; empty: this is the last one
}

// Deliveries returns the deliveries that match, the newest first.
func (c *Center) Deliveries(f DeliveryFilter) DeliveryPage {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rows []*row[deliveryRecord]
	for _, r := range c.deliveries.rows {
		d := &r.value
		if (f.Channel == "" || d.Channel == f.Channel) && (f.AlertID == "" || d.AlertID == f.AlertID) &&
			(f.State == "" || d.State == f.State) && (f.Cursor == "" || d.cursor() < f.Cursor) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b *row[deliveryRecord]) int { return compareDeliveries(b, a) })
	page := DeliveryPage{Deliveries: []Delivery{}}
	limit := pageSize(f.Limit)
	for i, r := range rows {
		if i == limit {
			page.Next = rows[i-1].value.cursor()
			break
		}
		page.Deliveries = append(page.Deliveries, r.value.delivery())
	}
	return page
}

// cursor is in the order of compareDeliveries.
func (d *deliveryRecord) cursor() string {
	return fmt.Sprintf("%013d.%s", d.CreatedAt.UnixMilli(), d.ID)
}

func pageSize(limit int) int {
	if limit < 1 {
		return store.DefaultPage
	}
	return min(limit, store.MaxPage)
}

// Retry has a delivery that failed, was dropped or waits tried at once, and for
// another day. Returns store.ErrNotFound, or ErrDone if it has arrived.
func (c *Center) Retry(ctx context.Context, id string) (Delivery, error) {
	r, d, err := c.retry(id)
	if err != nil {
		return Delivery{}, err
	}
	err = c.deliveries.save(ctx, r)
	c.poke(d.Channel)
	return d, err
}

// retry does it in memory.
func (c *Center) retry(id string) (*row[deliveryRecord], Delivery, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.deliveries.rows[id]
	if !ok || c.lanes[r.value.Channel] == nil {
		return nil, Delivery{}, store.ErrNotFound
	}
	d, l := &r.value, c.lanes[r.value.Channel]
	if d.State == Delivered {
		return nil, Delivery{}, ErrDone
	}
	now := c.stamp()
	if d.State != Pending {
		l.finished = slices.DeleteFunc(l.finished, func(f *row[deliveryRecord]) bool { return f == r })
		l.pending = append(l.pending, r)
	}
	d.State, d.EndedAt, d.NextAt, d.Expires, d.Rejected = Pending, time.Time{}, now, now.Add(tryFor), false
	l.notBefore = time.Time{}
	r.touchLocked()
	return r, d.delivery(), nil
}

// poke makes the lane of a channel look at what there is to do.
func (c *Center) poke(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lanes[channel]; l != nil {
		l.poke()
	}
}
