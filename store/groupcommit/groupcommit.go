// Package groupcommit has changes that are asked for at the same time share a commit:
// what comes while one is under way waits, and is all done by the next.
package groupcommit

import (
	"context"
	"sync"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Request is a change on its way through a Queue.
type Request[C any] struct {
	Ctx    context.Context // of who asks, who may have left
	Change C
	Err    error // what has become of it, as far as it differs from the others

	done chan struct{} // closed when Err is set
}

// Answer tells who asks what has become of the request: Err if that is set, or else err.
func (r *Request[C]) Answer(err error) {
	if r.Err == nil {
		r.Err = err
	}
	close(r.done)
}

// Queue is what is to be committed. It is safe for concurrent use.
type Queue[C any] struct {
	wake  chan struct{} // tells the committer to look at the queue
	ended chan struct{}

	mu      sync.Mutex
	waiting []*Request[C]
	closed  bool
}

// New returns an empty Queue. Serve is to be called once, and Close in the end.
func New[C any]() *Queue[C] {
	return &Queue[C]{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Ask waits until a change is committed or refused, and returns the error that it was
// answered with. When ctx ends first, the change may still be made: it must use nothing
// that belongs to the caller. Returns store.ErrClosed.
func (q *Queue[C]) Ask(ctx context.Context, change C) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &Request[C]{Ctx: ctx, Change: change, done: make(chan struct{})}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return store.ErrClosed
	}
	q.waiting = append(q.waiting, r)
	q.mu.Unlock()
	q.wakeCommitter()
	select {
	case <-r.done:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *Queue[C]) wakeCommitter() {
	select {
	case q.wake <- struct{}{}:
	default: // it has not yet seen the last call
	}
}

// Serve has commit answer every request, in the order in which they came, until the queue
// is closed and empty. together says how many of those that wait it is given at once, at
// least one.
func (q *Queue[C]) Serve(together func(waiting []*Request[C]) int, commit func(batch []*Request[C])) {
	defer close(q.ended)
	for range q.wake {
		for {
			batch, closed := q.next(together)
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			commit(batch)
		}
	}
}

func (q *Queue[C]) next(together func(waiting []*Request[C]) int) (batch []*Request[C], closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil, q.closed
	}
	n := together(q.waiting)
	batch, q.waiting = q.waiting[:n:n], q.waiting[n:]
	if len(q.waiting) == 0 {
		q.waiting = nil // or its answered requests would be kept alive
	}
	return batch, q.closed
}

// Len returns how many requests wait for the commit under way to be over.
func (q *Queue[C]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Close has the queue take no more requests, and reports whether it did until now. Those
// that it has are still served: Ended tells when they are.
func (q *Queue[C]) Close() bool {
	q.mu.Lock()
	already := q.closed
	q.closed = true
	q.mu.Unlock()
	if !already {
		q.wakeCommitter()
	}
	return !already
}

// IsClosed reports whether Close was called.
func (q *Queue[C]) IsClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// Ended is closed when Serve has returned.
func (q *Queue[C]) Ended() <-chan struct{} { return q.ended }
