package proxy

import (
	"context"
	"sync"
	"time"
)

// firstLook is how soon an exchange is looked at; one that is still there at the
// second look is kept an eye on.
const firstLook = 20 * time.Millisecond

// Bounds of how often the exchanges that last are looked at: a tenth of the
// limits that they have.
const (
	minLook = 5 * time.Millisecond
	maxLook = time.Second
)

// watch looks after the exchanges that last: it ends those on which no byte
// moves, and those whose answer does not begin, and tells them when their client
// has gone. Nearly every exchange is over before its second look, and so costs no
// timer, no context and no look at the clock.
type watch struct {
	idle     time.Duration // without a byte; 0: for ever
	response time.Duration // from the end of the request to the head of its answer; 0: for ever
	every    time.Duration // between looks at those that last

	mu        sync.Mutex
	young     list
	lasting   list
	youngDue  bool // a look at the young ones is due
	lastsDue  bool // likewise
	youngLook *time.Timer
	lastsLook *time.Timer
}

func newWatch(idle, response time.Duration) *watch {
	w := &watch{idle: idle, response: response, every: maxLook}
	for _, limit := range []time.Duration{idle, response} {
		if limit > 0 {
			w.every = max(min(w.every, limit/10), minLook)
		}
	}
	w.youngLook, w.lastsLook = stoppedTimer(w.lookAtYoung), stoppedTimer(w.lookAtLasting)
	return w
}

func stoppedTimer(f func()) *time.Timer {
	t := time.AfterFunc(time.Hour, f)
	t.Stop()
	return t
}

// watched is what a watch knows of an exchange. The fields are guarded by the
// watch's lock.
type watched struct {
	prev, next *exchange
	in         *list     // nil: none
	seen       bool      // once already
	since      time.Time // of the last byte, or a little later
	waits      time.Time // since when it waits for the head of an answer; zero: it does not
	ending     chan struct{}
	unwatch    func() bool // of the client's going; nil: not watched
}

// add begins to watch an exchange.
func (w *watch) add(x *exchange) {
	w.mu.Lock()
	w.young.add(x)
	if !w.youngDue {
		w.youngDue = true
		w.youngLook.Reset(firstLook)
	}
	w.mu.Unlock()
}

// remove ends that. It reports whether nobody will do anything to the exchange
// any more: if not, somebody is about to cancel its call.
func (w *watch) remove(x *exchange) (quiet bool) {
	w.mu.Lock()
	if x.watched.in != nil {
		x.watched.in.remove(x)
	}
	ending, unwatch := x.watched.ending, x.watched.unwatch
	x.watched = watched{}
	w.mu.Unlock()
	if ending != nil {
		<-ending
	}
	return unwatch == nil || unwatch()
}

func (w *watch) lookAtYoung() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for x := w.young.head; x != nil; {
		next := x.watched.next
		if x.watched.seen {
			w.adopt(x, now)
		}
		x.watched.seen = true
		x = next
	}
	if w.youngDue = w.young.head != nil; w.youngDue {
		w.youngLook.Reset(firstLook)
	}
}

// adopt begins to keep an eye on an exchange that lasts.
func (w *watch) adopt(x *exchange, now time.Time) {
	w.young.remove(x)
	w.lasting.add(x)
	x.watched.since = now
	x.moved.Store(false)
	// The downstream hears of the client's going at once, whatever the handler is
	// doing just then.
	x.watched.unwatch = context.AfterFunc(x.request.Context(), x.call.Cancel)
	if w, ok := x.w.(interface{ WatchClient() }); ok {
		w.WatchClient()
	}
	if !w.lastsDue && (w.idle > 0 || w.response > 0) {
		w.lastsDue = true
		w.lastsLook.Reset(w.every)
	}
}

func (w *watch) lookAtLasting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for x := w.lasting.head; x != nil; {
		next := x.watched.next
		if w.isOver(x, now) {
			w.expire(x)
		}
		x = next
	}
	if w.lastsDue = w.lasting.head != nil; w.lastsDue {
		w.lastsLook.Reset(w.every)
	}
}

// isOver reports whether an exchange has had its time.
func (w *watch) isOver(x *exchange, now time.Time) bool {
	if x.moved.Swap(false) {
		x.watched.since = now
	}
	switch {
	case !x.call.Waits():
		x.watched.waits = time.Time{}
	case x.watched.waits.IsZero():
		x.watched.waits = now
	}
	return w.idle > 0 && now.Sub(x.watched.since) >= w.idle ||
		w.response > 0 && !x.watched.waits.IsZero() && now.Sub(x.watched.waits) >= w.response
}

// expire ends an exchange, on a goroutine of its own: that may have to wait for
// net/http, and all others wait for the lock.
func (w *watch) expire(x *exchange) {
	x.watched.in.remove(x)
	x.expired.Store(true)
	ending := make(chan struct{})
	x.watched.ending = ending
	go func() {
		defer close(ending)
		x.cut()
	}()
}

// list is a list of exchanges that are its elements themselves.
type list struct{ head *exchange }

func (l *list) add(x *exchange) {
	x.watched.in, x.watched.prev, x.watched.next = l, nil, l.head
	if l.head != nil {
		l.head.watched.prev = x
	}
	l.head = x
}

func (l *list) remove(x *exchange) {
	if x.watched.prev != nil {
		x.watched.prev.watched.next = x.watched.next
	} else {
		l.head = x.watched.next
	}
	if x.watched.next != nil {
		x.watched.next.watched.prev = x.watched.prev
	}
	x.watched.in, x.watched.prev, x.watched.next = nil, nil, nil
}
