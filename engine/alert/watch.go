package alert

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/window"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// maxOpen is how many alerts of one kind may be open, one collective alert
	// beside.
	maxOpen = 500
	// remindEvery is how often at most an alert is told of that goes on.
	remindEvery = time.Hour
	// trimEvery is how often counters are looked through for what is over.
	trimEvery = 30 * time.Second
)

// watch decides, until the center closes.
func (c *Center) watch() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		store.GiveWay(n)
		select {
		case s := <-c.inputs:
			c.see(s)
		case <-tick.C:
			c.tick()
		case <-c.stopWatching:
			for {
				select {
				case s := <-c.inputs:
					c.see(s)
				default:
					return
				}
			}
		}
	}
}

// happenedLocked notes what makes an alert by itself.
func (c *Center) happenedLocked(s sighting) {
	if !c.touchLocked(s) {
		c.raiseLocked(s)
	}
}

// touchLocked adds to the open alert of a subject, and reports whether there is
// one.
func (c *Center) touchLocked(s sighting) bool {
	r, ok := c.open[subject{s.Kind, s.Subject.identity()}]
	if ok {
		r.value.add(s.N, s.At, s.Evidence)
		r.touchLocked()
	}
	return ok
}

func (r *alertRecord) add(n uint64, at time.Time, evidence Evidence) {
	r.Count += n
	if at.After(r.LastAt) {
		r.LastAt = at
	}
	r.Evidence.merge(evidence)
}

// raiseLocked opens an alert; if there are too many of its kind, the collective
// one, or adds to it.
func (c *Center) raiseLocked(s sighting) {
	if c.openOf[s.Kind] < maxOpen {
		c.openLocked(s)
		return
	}
	d := c.distinct[s.Kind]
	if d == nil {
		d = &window.Distinct{}
		c.distinct[s.Kind] = d
	}
	d.Add(s.Subject.identity())
	s.Subject = Subject{Collective: true}
	if !c.touchLocked(s) {
		c.openLocked(s)
	}
	// After a restart it counts anew, and never less than before.
	r := c.open[subject{s.Kind, s.Subject.identity()}]
	r.value.Subjects = max(r.value.Subjects, d.Count())
}

func (c *Center) openLocked(s sighting) {
	now := c.stamp()
	id := c.newIDLocked(now)
	value := alertRecord{Alert: Alert{
		ID: id, Kind: s.Kind, Subject: s.Subject, State: Open, Node: cmp.Or(s.Node, c.node),
		OpenedAt: now, LastAt: s.At, Count: s.N, Evidence: s.Evidence,
	}}
	if s.Subject.Collective {
		value.Subjects = max(c.distinct[s.Kind].Count(), 1)
	}
	r := c.alerts.addLocked(id, value)
	c.open[subject{s.Kind, s.Subject.identity()}] = r
	if !s.Subject.Collective {
		c.openOf[s.Kind]++
	}
	c.tellLocked(r, Opened, now)
	c.publishLocked("opened", &r.value.Alert)
}

// newIDLocked returns an ID that is higher than those before: the time, or what
// comes next to it, and something random, so that no two processes come to the
// same.
func (c *Center) newIDLocked(now time.Time) string {
	c.lastID = max(c.lastID+1, now.UnixMilli())
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	return fmt.Sprintf("%013d-%x", c.lastID, random)
}

// tellLocked makes a transition, for the channels that want to hear of it now.
func (c *Center) tellLocked(r *row[alertRecord], event Event, now time.Time) {
	r.value.ToldAt = now
	snapshot := r.value.clone()
	t := transition{Number: r.value.Transitions, Event: event, At: now, Alert: &snapshot}
	for id, receiver := range c.receivers {
		if receiver.wants(r.value.Kind) {
			t.Channels = append(t.Channels, id)
		}
	}
	r.value.Transitions++
	r.value.Waiting = append(r.value.Waiting, t)
	c.changeLocked(r)
}

// changeLocked has a row written at once.
func (c *Center) changeLocked(r *row[alertRecord]) {
	r.touchLocked()
	c.changed = append(c.changed, r)
	c.wakeKeeper()
}

// tick does what time brings.
func (c *Center) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.stamp()
	c.lookAtHealthLocked(now)
	for id, r := range c.open {
		switch {
		case now.Sub(later(r.value.LastAt, c.startedAt)) >= c.settings.quiet(r.value.Kind):
			// Nobody was watching before the start: that was no quiet window.
			c.closeLocked(id, r, now)
		case c.remindsLocked(r, now):
			r.value.Reminders++
			c.tellLocked(r, Reminder, now)
		}
	}
	if now.Sub(c.trimmed) >= trimEvery {
		c.trimmed = now
		c.refused.Trim(now, c.settings.Window)
		c.unknown.Trim(now, c.settings.UnknownKeyWindow)
	}
	if c.dropped > c.toldDrops && now.Sub(c.complained) >= complainEvery {
		c.complained, c.toldDrops = now, c.dropped
		c.logger.Warn("more happens than alerts can keep up with", "dropped", c.dropped)
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func (c *Center) remindsLocked(r *row[alertRecord], now time.Time) bool {
	return !r.value.Kind.isMoment() && r.value.AcknowledgedAt.IsZero() &&
		now.Sub(r.value.ToldAt) >= remindEvery && r.value.LastAt.After(r.value.ToldAt)
}

func (c *Center) closeLocked(id subject, r *row[alertRecord], now time.Time) {
	delete(c.open, id)
	if r.value.Subject.Collective {
		delete(c.distinct, r.value.Kind)
	} else {
		c.openOf[r.value.Kind]--
	}
	r.value.State, r.value.ClosedAt = Closed, now
	c.publishLocked("closed", &r.value.Alert)
	if r.value.Kind.isMoment() {
		c.changeLocked(r)
		return
	}
	c.tellLocked(r, Ended, now)
}
