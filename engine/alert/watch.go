package alert

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/window"
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
	for {
		select {
		case apply := <-c.inputs:
			apply()
		case <-tick.C:
			c.tick()
		case <-c.stopWatching:
			for {
				select {
				case apply := <-c.inputs:
					apply()
				default:
					return
				}
			}
		}
	}
}

// happenedLocked notes one thing that makes an alert by itself.
func (c *Center) happenedLocked(k Kind, what Subject, at time.Time, evidence Evidence) {
	if !c.touchLocked(k, what, 1, at, evidence) {
		c.raiseLocked(k, what, 1, at, evidence)
	}
}

// touchLocked adds to the open alert of a subject, and reports whether there is
// one.
func (c *Center) touchLocked(k Kind, what Subject, n uint64, at time.Time, evidence Evidence) bool {
	r, ok := c.open[subject{k, what.identity()}]
	if ok {
		r.value.add(n, at, evidence)
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
func (c *Center) raiseLocked(k Kind, what Subject, n uint64, at time.Time, evidence Evidence) {
	if c.openOf[k] < maxOpen {
		c.openLocked(k, what, n, at, evidence)
		return
	}
	all := Subject{Collective: true}
	d := c.distinct[k]
	if d == nil {
		d = &window.Distinct{}
		c.distinct[k] = d
	}
	d.Add(what.identity())
	if !c.touchLocked(k, all, n, at, evidence) {
		c.openLocked(k, all, n, at, evidence)
	}
	// After a restart it counts anew, and never less than before.
	r := c.open[subject{k, all.identity()}]
	r.value.Subjects = max(r.value.Subjects, d.Count())
}

func (c *Center) openLocked(k Kind, what Subject, n uint64, at time.Time, evidence Evidence) {
	now := c.stamp()
	id := c.newIDLocked(now)
	value := alertRecord{Alert: Alert{
		ID: id, Kind: k, Subject: what, State: Open, Node: c.node,
		OpenedAt: now, LastAt: at, Count: n, Evidence: evidence,
	}}
	if what.Collective {
		value.Subjects = max(c.distinct[k].Count(), 1)
	}
	r := c.alerts.addLocked(id, value)
	c.open[subject{k, what.identity()}] = r
	if !what.Collective {
		c.openOf[k]++
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
