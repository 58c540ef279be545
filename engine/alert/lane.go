package alert

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// firstBackoff and maxBackoff are how long a delivery waits after its first
	// and after many attempts.
	firstBackoff = 5 * time.Second
	maxBackoff   = time.Hour
	// maxPause is how long a channel rests at most that does not answer: new
	// alerts wait no longer than that when it is well again, unless the receiver
	// has asked for more.
	maxPause = 5 * time.Minute
	// togetherFrom is how many deliveries have to wait for a chat or a mailbox
	// to get one message of them all, and maxTogether how many go into one.
	togetherFrom = 4
	maxTogether  = 20
	// maxErrorBytes is how much of an error is kept.
	maxErrorBytes = 512
)

// perMinute is how many messages a channel is sent at most. Vendors allow 20 of
// DingTalk and WeCom, 100 of Feishu, and one a second of Slack; somebody else may
// send by the same bot.
var perMinute = map[send.Type]int{send.DingTalk: 15, send.WeCom: 15, send.Feishu: 60, send.Slack: 40, send.Email: 30}

// lane is the deliveries of one channel, and the goroutine that sends them. The
// center's mu guards its fields.
type lane struct {
	center *Center
	id     string
	wake   chan struct{}
	stop   chan struct{}

	ended     bool
	pending   []*row[deliveryRecord] // in the order in which they were made
	finished  []*row[deliveryRecord]
	failures  int // in a row, of the channel
	notBefore time.Time
	sent      []time.Time // within the last minute
	delivered uint64      // these three since the start
	failed    uint64
	dropped   uint64
	lastError string
	lastSent  time.Time
}

// laneLocked returns the lane of a channel, which it starts if it is new.
func (c *Center) laneLocked(id string) *lane {
	l, ok := c.lanes[id]
	if !ok {
		l = &lane{center: c, id: id, wake: make(chan struct{}, 1), stop: make(chan struct{})}
		c.lanes[id] = l
		if c.closed || c.still {
			l.end()
		} else {
			c.lanesRunning.Go(l.run)
		}
	}
	return l
}

// poke makes the lane look again at what there is to do.
func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default: // it has not yet seen the last one
	}
}

// end makes the goroutine end after the attempt under way. The center is locked.
func (l *lane) end() {
	if !l.ended {
		l.ended = true
		close(l.stop)
	}
}

func (l *lane) run() {
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		batch, target, m, wait := l.next()
		if batch != nil {
			l.attempt(batch, target, m)
			continue
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-timer:
		case <-l.wake:
		case <-l.stop:
			return
		}
	}
}

// next returns what is to be sent now, or how long to wait; 0: until something
// changes.
func (l *lane) next() (batch []*row[deliveryRecord], target send.Target, m send.Message, wait time.Duration) {
	c := l.center
	c.mu.Lock()
	defer c.mu.Unlock()
	r, now := c.receivers[l.id], c.now()
	if r == nil || len(l.pending) == 0 {
		return nil, target, m, 0
	}
	if !r.Enabled || r.fault != nil {
		return nil, target, m, l.giveUpLocked(now)
	}
	if free := l.freeLocked(r.Type, now); free.After(now) {
		return nil, target, m, free.Sub(now)
	}
	batch, first := l.dueLocked(now)
	if len(batch) == 0 {
		return nil, target, m, first.Sub(now)
	}
	// A webhook has no limit, and gets each transition by itself. What has been
	// rejected is sent by itself too: it must not spoil the others.
	if i := slices.IndexFunc(batch, func(d *row[deliveryRecord]) bool { return d.value.Rejected }); i > 0 {
		batch = batch[:i]
	}
	if r.Type == send.Webhook || len(batch) < togetherFrom || batch[0].value.Rejected {
		batch = batch[:1]
	}
	batch = batch[:min(len(batch), maxTogether)]
	for _, d := range batch {
		d.value.sending = true
	}
	if perMinute[r.Type] > 0 {
		l.sent = append(l.sent, now)
	}
	return batch, r.target, c.messageLocked(r, batch), 0
}

// dueLocked returns the deliveries to be sent, or when the next one is due. One
// is not sent before an earlier one of the same alert, which it draws along.
func (l *lane) dueLocked(now time.Time) (due []*row[deliveryRecord], next time.Time) {
	alerts := make(map[string]bool)
	for _, d := range l.pending {
		if d.value.isDue(now) {
			alerts[d.value.AlertID] = true
		} else if next.IsZero() || d.value.NextAt.Before(next) {
			next = d.value.NextAt
		}
	}
	for _, d := range l.pending {
		if d.value.isDue(now) || alerts[d.value.AlertID] && !d.value.Rejected {
			due = append(due, d)
		}
	}
	return due, next
}

// isDue reports whether it is time for an attempt. A time that is further away
// than any backoff comes from a clock that was set back.
func (d *deliveryRecord) isDue(now time.Time) bool {
	wait := d.NextAt.Sub(now)
	return wait <= 0 || wait > maxBackoff
}

// freeLocked returns when the next message may be sent.
func (l *lane) freeLocked(t send.Type, now time.Time) time.Time {
	l.sent = slices.DeleteFunc(l.sent, func(at time.Time) bool { return now.Sub(at).Abs() >= time.Minute })
	free := l.notBefore
	if free.Sub(now) > maxBackoff { // the clock was set back
		free = now
	}
	if n := perMinute[t]; n > 0 && len(l.sent) >= n {
		free = later(free, l.sent[len(l.sent)-n].Add(time.Minute))
	}
	return free
}

// giveUpLocked ends the deliveries of a channel that cannot send when their time
// is over, and returns how long to wait for the next one.
func (l *lane) giveUpLocked(now time.Time) time.Duration {
	var next time.Duration
	for _, r := range slices.Clone(l.pending) {
		switch left := r.value.Expires.Sub(now); {
		case left <= 0:
			l.finishLocked(r, Failed, now)
		case next == 0 || left < next:
			next = left
		}
	}
	return next
}

// attempt sends a message, and writes down what became of it.
func (l *lane) attempt(batch []*row[deliveryRecord], target send.Target, m send.Message) {
	c := l.center
	if !c.leads(c.life) {
		<-l.stop // which is about to come: another node sends it
		return
	}
	began := c.now()
	answer, err := c.sender.Send(c.life, target, m)
	if err != nil && c.life.Err() != nil {
		return // broken off by Close: nobody knows, so it is sent again
	}
	c.mu.Lock()
	l.judgeLocked(batch, began, answer, err)
	c.mu.Unlock()
	// Whatever cannot be written now is written by the keeper: this process knows
	// that it has been sent.
	if err := c.deliveries.saveAll(c.life, batch); err != nil && !errors.Is(err, errStoreDown) {
		c.logger.Warn("outcome of a delivery is not written yet", "channel", l.id, "error", err)
	}
}

func (l *lane) attemptOf(batch []*row[deliveryRecord], began time.Time, answer send.Answer, err error) Attempt {
	a := Attempt{At: store.StoredTime(began), TookMs: l.center.now().Sub(began).Milliseconds(), Status: answer.Status, Answer: answer.Text}
	if len(batch) > 1 {
		a.Together = len(batch)
	}
	if err != nil {
		a.Error = cut(err.Error(), maxErrorBytes)
	}
	return a
}

// judgeLocked notes what became of an attempt.
func (l *lane) judgeLocked(batch []*row[deliveryRecord], began time.Time, answer send.Answer, err error) {
	now := l.center.stamp()
	a := l.attemptOf(batch, began, answer, err)
	var failure *send.Error
	rejected := errors.As(err, &failure) && failure.Rejected
	if l.lastError = a.Error; err == nil {
		l.lastSent = now
	}
	for _, r := range batch {
		d := &r.value
		d.sending = false
		d.Tries++
		d.remember(a)
		r.touchLocked()
		switch {
		case d.State != Pending: // somebody has ended it meanwhile
		case err == nil:
			d.Alert = nil
			l.finishLocked(r, Delivered, now)
		case !now.Before(d.Expires):
			l.finishLocked(r, Failed, now)
		default:
			d.Rejected = rejected
			d.NextAt = now.Add(backoff(d.Tries, maxBackoff))
			if d.NextAt.After(d.Expires) {
				d.NextAt = d.Expires // the last one
			}
		}
	}
	switch {
	case err == nil:
		l.restLocked(now)
	case !rejected:
		l.failures++
		pause := backoff(l.failures, maxPause)
		if failure != nil {
			pause = max(pause, failure.RetryAfter)
		}
		l.notBefore = now.Add(pause)
	}
}

// restLocked makes what waits for the receiver to be well again due at once.
func (l *lane) restLocked(now time.Time) {
	l.failures, l.notBefore = 0, time.Time{}
	for _, r := range l.pending {
		if r.value.Tries > 0 && !r.value.Rejected && r.value.NextAt.After(now) {
			r.value.NextAt = now
		}
	}
}

// backoff is how long to wait after so many failures: twice as long each time,
// and up to a quarter more, so that not all come back at once.
func backoff(failures int, limit time.Duration) time.Duration {
	wait := firstBackoff
	for ; failures > 1 && wait < limit; failures-- {
		wait *= 2
	}
	wait += rand.N(wait / 4) // #nosec G404 -- nobody gains by guessing it
	return min(wait, limit)
}

func (l *lane) finishLocked(r *row[deliveryRecord], state DeliveryState, now time.Time) {
	r.value.State, r.value.EndedAt, r.value.NextAt = state, now, time.Time{}
	switch state {
	case Delivered:
		l.delivered++
	case Failed:
		l.failed++
	case Dropped:
		l.dropped++
	}
	r.touchLocked()
	l.pending = slices.DeleteFunc(l.pending, func(p *row[deliveryRecord]) bool { return p == r })
	l.finished = append(l.finished, r)
}

// addLocked takes a delivery in. An older reminder of the same alert that still
// waits says nothing more, and is dropped; and if too many wait, the oldest
// reminder is, or the oldest of all.
func (l *lane) addLocked(r *row[deliveryRecord]) {
	l.pending = append(l.pending, r)
	victim := -1
	if r.value.Event == Reminder {
		victim = slices.IndexFunc(l.pending, func(p *row[deliveryRecord]) bool {
			return p != r && p.value.Event == Reminder && p.value.AlertID == r.value.AlertID && !p.value.sending
		})
	}
	if victim < 0 && len(l.pending) > maxPending {
		victim = slices.IndexFunc(l.pending, func(p *row[deliveryRecord]) bool {
			return p.value.Event == Reminder && !p.value.sending
		})
		if victim < 0 {
			victim = slices.IndexFunc(l.pending, func(p *row[deliveryRecord]) bool { return !p.value.sending })
		}
	}
	if victim >= 0 {
		l.finishLocked(l.pending[victim], Dropped, l.center.stamp())
	}
}

// expiredLocked returns what ended before a time or is too much to keep, but for
// deliveries of alerts that are not settled: those would be made again.
func (l *lane) expiredLocked(before time.Time, unsettled map[string]bool) []*row[deliveryRecord] {
	var out []*row[deliveryRecord]
	for i, r := range l.finished {
		if (i < len(l.finished)-maxFinished || r.value.EndedAt.Before(before)) && !unsettled[r.value.AlertID] {
			out = append(out, r)
		}
	}
	return out
}
