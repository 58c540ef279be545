package account

import (
	"container/list"
	"time"
)

const (
	// window is how long a failure counts.
	window = 15 * time.Minute
	// pairFailures is how many of them lock a pair of account and address.
	pairFailures = 5
	// lockFor is how long it stays locked.
	lockFor = 15 * time.Minute

	// Bounds of what is remembered. A failure costs the one who fails a password
	// hash, of which hashesAtOnce are computed at a time: at 25 ms each that
	// is 72,000 failures in a window, and 14,400 locks, so that these bounds are
	// not reached by guessing.
	maxCounted = 65536
	maxLocked  = 16384
)

// lockout remembers the failures of pairs of account and address, and which of
// them are locked. Pairs are known by a keyed digest, so each takes the same few
// bytes whatever was typed as a name.
//
// Both lists are bounded. Over the bound, the pair that has not failed for the
// longest is forgotten, or the lock that would end first. So a lock is never
// pushed out by failures, only by as many other locks: an attacker would need five
// times 16,384 failures, each with its password hash, to end his own lock, which
// is over by then.
//
// Not safe for concurrent use.
type lockout struct {
	counted queue[[pairFailures]time.Time] // the latest failures, the zero time for none
	locked  queue[time.Time]               // until when
}

func newLockout() *lockout {
	return &lockout{counted: newQueue[[pairFailures]time.Time](maxCounted), locked: newQueue[time.Time](maxLocked)}
}

// rest returns how long a pair is still locked, 0 if it is not.
func (l *lockout) rest(pair uint64, now time.Time) time.Duration {
	until, ok := l.locked.get(pair)
	if !ok {
		return 0
	}
	if rest := until.Sub(now); rest > 0 {
		return rest
	}
	l.locked.remove(pair)
	return 0
}

// failures returns how many failures of a pair count.
func (l *lockout) failures(pair uint64, now time.Time) int {
	times, _ := l.counted.get(pair)
	n := 0
	for _, t := range times {
		if !t.IsZero() && now.Sub(t) < window {
			n++
		}
	}
	return n
}

// fail counts a failure, and reports whether it locked the pair.
func (l *lockout) fail(pair uint64, now time.Time) bool {
	times, _ := l.counted.get(pair)
	copy(times[1:], times[:pairFailures-1])
	times[0] = now
	if oldest := times[pairFailures-1]; oldest.IsZero() || now.Sub(oldest) >= window {
		l.counted.put(pair, times)
		l.counted.dropFront(func(times [pairFailures]time.Time) bool { return now.Sub(times[0]) >= window })
		return false
	}
	l.counted.remove(pair)
	l.locked.put(pair, now.Add(lockFor))
	l.locked.dropFront(func(until time.Time) bool { return !now.Before(until) })
	return true
}

// reset forgets the failures of a pair.
func (l *lockout) reset(pair uint64) { l.counted.remove(pair) }

// queue is a bounded map in the order of the last put.
type queue[V any] struct {
	limit int
	order *list.List // of queued[V]
	byKey map[uint64]*list.Element
}

type queued[V any] struct {
	key   uint64
	value V
}

func newQueue[V any](limit int) queue[V] {
	return queue[V]{limit: limit, order: list.New(), byKey: map[uint64]*list.Element{}}
}

func (q *queue[V]) get(key uint64) (V, bool) {
	if e, ok := q.byKey[key]; ok {
		return e.Value.(queued[V]).value, true
	}
	var none V
	return none, false
}

// put stores a value at the end of the queue, and forgets the first one if that
// makes one too many.
func (q *queue[V]) put(key uint64, value V) {
	if e, ok := q.byKey[key]; ok {
		e.Value = queued[V]{key, value}
		q.order.MoveToBack(e)
		return
	}
	if q.order.Len() >= q.limit {
		q.removeElement(q.order.Front())
	}
	q.byKey[key] = q.order.PushBack(queued[V]{key, value})
}

func (q *queue[V]) remove(key uint64) {
	if e, ok := q.byKey[key]; ok {
		q.removeElement(e)
	}
}

// dropFront forgets from the start of the queue what is over.
func (q *queue[V]) dropFront(over func(V) bool) {
	for e := q.order.Front(); e != nil && over(e.Value.(queued[V]).value); e = q.order.Front() {
		q.removeElement(e)
	}
}

func (q *queue[V]) removeElement(e *list.Element) {
	delete(q.byKey, e.Value.(queued[V]).key)
	q.order.Remove(e)
}
