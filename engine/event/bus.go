package event

import (
	"sync"
	"time"
)

// minBuffer has room for a lagged event with the one that follows it.
const minBuffer = 2

// Bus hands events to subscribers. It is safe for concurrent use, and has no
// goroutine of its own. What nobody has subscribed to is forgotten.
type Bus struct {
	now func() time.Time

	mu          sync.Mutex
	last        uint64 // ID
	subscribers map[*subscriber]struct{}
	closed      bool
}

type subscriber struct {
	events chan Event
	missed uint64 // since the last event that it got
	last   uint64 // ID of the last one missed
}

// NewBus returns a bus without subscribers.
func NewBus(now func() time.Time) *Bus {
	return &Bus{now: now, subscribers: make(map[*subscriber]struct{})}
}

// Publish hands an event to every subscriber that has room for it. It never
// blocks. Data is shared by all of them, and must not be changed afterwards.
func (b *Bus) Publish(typ string, data any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.last++
	if len(b.subscribers) == 0 {
		return
	}
	e := Event{ID: b.last, At: b.stampLocked(), Type: typ, Data: data}
	for s := range b.subscribers {
		if !s.tellMissed(e.At) || !s.offer(e) {
			s.missed, s.last = s.missed+1, e.ID
		}
	}
}

// Skip counts events that are not handed out at all, because so many of them
// tell nobody anything: each subscriber learns their number.
func (b *Bus) Skip(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || n == 0 {
		return
	}
	b.last += n
	for s := range b.subscribers {
		s.missed, s.last = s.missed+n, b.last
		s.tellMissed(b.stampLocked())
	}
}

// IsHeard reports whether there are subscribers.
func (b *Bus) IsHeard() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subscribers) > 0
}

// Subscribe returns the events from now on. Up to buffer of them wait to be
// received; while there is no more room they are dropped, and counted in a
// single event of type TypeLagged that comes before the next one. The channel
// is closed by cancel, which may be called more than once, and by Close.
func (b *Bus) Subscribe(buffer int) (events <-chan Event, cancel func()) {
	s := &subscriber{events: make(chan Event, max(buffer, minBuffer))}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		close(s.events)
		return s.events, func() {}
	}
	b.subscribers[s] = struct{}{}
	return s.events, func() { b.cancel(s) }
}

func (b *Bus) cancel(s *subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.subscribers[s]; ok {
		delete(b.subscribers, s)
		close(s.events)
	}
}

// Close ends every subscription. What is published afterwards is forgotten.
func (b *Bus) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s := range b.subscribers {
		close(s.events)
	}
	clear(b.subscribers)
}

func (b *Bus) stampLocked() time.Time { return b.now().UTC().Truncate(time.Millisecond) }

// tellMissed reports whether the subscriber knows of all that it missed. The
// event that says so has the ID of the last one missed. The bus is locked.
func (s *subscriber) tellMissed(at time.Time) bool {
	if s.missed == 0 {
		return true
	}
	if !s.offer(Event{ID: s.last, At: at, Type: TypeLagged, Data: Lagged{Missed: s.missed}}) {
		return false
	}
	s.missed = 0
	return true
}

func (s *subscriber) offer(e Event) bool {
	select {
	case s.events <- e:
		return true
	default:
		return false
	}
}
