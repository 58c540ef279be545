package postgres

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// maxCommit is how many requests one transaction takes at most.
const maxCommit = 2_048

// request is one change on its way through the committer: a Bind, or another one.
type request struct {
	ctx   context.Context
	bind  *bindRow
	apply func(ctx context.Context, w *writeTx) error // in place of bind
	err   error
	done  chan struct{} // closed when err is set
}

// write queues a change and waits until it is durable. An apply that refuses changes
// nothing and returns one of the errors of isRefusal; any other error fails all that
// share the transaction, each of which is then applied again in one of its own.
//
// When ctx ends first, apply may still run: it must use nothing that belongs to the
// caller.
func (s *Store) write(ctx context.Context, apply func(ctx context.Context, w *writeTx) error) error {
	return s.ask(&request{ctx: ctx, apply: apply, done: make(chan struct{})})
}

// ask queues a request and waits for its end, or that of its context.
func (s *Store) ask(r *request) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	s.queueMu.Lock()
	if s.closed {
		s.queueMu.Unlock()
		return store.ErrClosed
	}
	s.queue = append(s.queue, r)
	s.queueMu.Unlock()
	s.wakeCommitter()
	select {
	case <-r.done:
		return s.translate(r.ctx, r.err)
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

func (s *Store) wakeCommitter() {
	select {
	case s.wake <- struct{}{}:
	default: // it has not yet seen the last call
	}
}

// runCommitter serves the queue until the store is closed and the queue empty.
func (s *Store) runCommitter() {
	defer close(s.stopped)
	for range s.wake {
		for {
			runtime.Gosched() // those who have just been answered may ask again, and come along
			batch, closed := s.nextBatch()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			s.serve(batch)
		}
	}
}

func (s *Store) nextBatch() (batch []*request, closed bool) {
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	n := min(len(s.queue), maxCommit)
	batch, s.queue = s.queue[:n:n], s.queue[n:]
	if len(s.queue) == 0 {
		s.queue = nil // or its answered requests would be kept alive
	}
	return batch, s.closed
}

// serve commits a batch and answers it. If the server has refused a row, each request
// is committed alone: only the one to blame fails.
func (s *Store) serve(batch []*request) {
	err := s.commit(batch)
	isShared := err == nil || len(batch) == 1 || !isOfARow(err)
	for _, r := range batch {
		if !isShared {
			err = s.commit([]*request{r})
		}
		if r.err == nil {
			r.err = err
		}
		close(r.done)
	}
}

// commit applies a batch in one transaction. When all who wait for it have left, it
// is given up: a server that does not answer holds nobody up for longer than those.
func (s *Store) commit(batch []*request) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var waiting atomic.Int64
	waiting.Store(int64(len(batch)))
	for _, r := range batch {
		defer context.AfterFunc(r.ctx, func() {
			if waiting.Add(-1) == 0 {
				cancel()
			}
		})()
	}
	return s.useUntranslated(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		w, err := beginWrite(ctx, conn, bindsOf(batch))
		if err != nil {
			return err
		}
		if err := w.applyAll(ctx, batch); err != nil {
			return err
		}
		return w.finish(ctx)
	})
}

// bindsOf returns the Binds of a batch, less those whose callers have left.
func bindsOf(batch []*request) (binds []*bindRow) {
	for _, r := range batch {
		if r.err = r.ctx.Err(); r.err == nil && r.bind != nil {
			binds = append(binds, r.bind)
		}
	}
	return binds
}

// applyAll makes the other changes of a batch.
func (w *writeTx) applyAll(ctx context.Context, batch []*request) error {
	for _, r := range batch {
		if r.err != nil || r.bind != nil {
			continue
		}
		if err := r.apply(ctx, w); isRefusal(err) {
			r.err = err
		} else if err != nil {
			return err
		}
	}
	return nil
}
