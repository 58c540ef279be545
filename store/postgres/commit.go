package postgres

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store/groupcommit"
)

// maxCommit is how many requests one transaction takes at most.
const maxCommit = 2_048

// request is one change on its way through the committer: a Bind, or another one.
type request struct {
	bind  *bindRow
	apply func(ctx context.Context, w *writeTx) error // in place of bind
}

type asked = groupcommit.Request[request]

// write queues a change and waits until it is durable. An apply that refuses changes
// nothing and returns one of the errors of isRefusal; any other error fails all that
// share the transaction, each of which is then applied again in one of its own.
//
// When ctx ends first, apply may still run: it must use nothing that belongs to the
// caller.
func (s *Store) write(ctx context.Context, apply func(ctx context.Context, w *writeTx) error) error {
	return s.ask(ctx, request{apply: apply})
}

func (s *Store) ask(ctx context.Context, r request) error {
	return s.translate(ctx, s.queue.Ask(ctx, r))
}

// together is how many requests one transaction takes.
func together(waiting []*asked) int { return min(len(waiting), maxCommit) }

// serve commits a batch and answers it. If the server has refused a row, each request
// is committed alone: only the one to blame fails.
func (s *Store) serve(batch []*asked) {
	err := s.commit(batch)
	isShared := err == nil || len(batch) == 1 || !isOfARow(err)
	for _, r := range batch {
		if !isShared {
			err = s.commit([]*asked{r})
		}
		r.Answer(err)
	}
	runtime.Gosched() // those who have been answered may ask again, and come along
}

// commit applies a batch in one transaction. When all who wait for it have left, it
// is given up: a server that does not answer holds nobody up for longer than those.
func (s *Store) commit(batch []*asked) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var waiting atomic.Int64
	waiting.Store(int64(len(batch)))
	for _, r := range batch {
		defer context.AfterFunc(r.Ctx, func() {
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
func bindsOf(batch []*asked) (binds []*bindRow) {
	for _, r := range batch {
		if r.Err = r.Ctx.Err(); r.Err == nil && r.Change.bind != nil {
			binds = append(binds, r.Change.bind)
		}
	}
	return binds
}

// applyAll makes the other changes of a batch.
func (w *writeTx) applyAll(ctx context.Context, batch []*asked) error {
	for _, r := range batch {
		if r.Err != nil || r.Change.bind != nil {
			continue
		}
		if err := r.Change.apply(ctx, w); isRefusal(err) {
			r.Err = err
		} else if err != nil {
			return err
		}
	}
	return nil
}
