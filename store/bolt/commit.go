package bolt

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"go.etcd.io/bbolt"
)

// maxCommit is how many requests one commit takes at most.
const maxCommit = 1_024

// request is one change on its way through the committer.
type request struct {
	ctx   context.Context
	apply func(tx *writeTx) error
	err   error
	done  chan struct{} // closed when err is set
}

// write queues a change and waits until it is durable. An apply that refuses
// changes nothing, keeps its refusal to itself, and returns nil; an error that
// it returns is one of the medium, and fails all that share the transaction.
//
// When ctx ends first, apply may still run: it must use nothing that belongs to
// the caller.
func (s *Store) write(ctx context.Context, apply func(tx *writeTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{ctx: ctx, apply: apply, done: make(chan struct{})}
	s.queueMu.Lock()
	if s.closed {
		s.queueMu.Unlock()
		return errClosed
	}
	s.queue = append(s.queue, r)
	s.queueMu.Unlock()
	s.wakeCommitter()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
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
			batch, closed := s.nextBatch()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			s.serve(batch)
			s.trimNow() // applying it has read pages
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

// serve commits a batch and answers it.
func (s *Store) serve(batch []*request) {
	err := s.commit(batch)
	for _, r := range batch {
		if r.err == nil {
			r.err = err
		}
		close(r.done)
	}
}

// commit applies a batch in one transaction. Only the committer calls it, and
// only the committer replaces s.file, so that it may read it without the lock.
func (s *Store) commit(batch []*request) error {
	if s.file == nil {
		if err := s.reopen(nil); err != nil {
			return err
		}
	}
	over := make(chan struct{})
	s.syncing.Store(&over)
	defer func() {
		s.syncing.Store(nil)
		close(over)
	}()

	id, err := s.file.update(func(tx *writeTx) error { return applyAll(tx, batch) })
	if err == nil {
		s.durable.Store(max(id, s.durable.Load()))
		return nil
	}
	if !isOutOfSpace(err) {
		// What the file holds now is uncertain, or the mapping of it is: start
		// over with what is there. A full disk is no such case, as it fails
		// before anything that counts is written.
		_ = s.reopen(err) // callers are told of err, and the next commit tries again
	}
	return unavailable(err)
}

func applyAll(tx *writeTx, batch []*request) error {
	for _, r := range batch {
		if r.err = r.ctx.Err(); r.err != nil {
			continue // its caller has left
		}
		if err := r.apply(tx); err != nil {
			return err
		}
	}
	return nil
}

// reopen closes the file, if there is one, and opens it again.
func (s *Store) reopen(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.close() // it has failed already
		s.file = nil
	}
	f, err := openFile(s.path, s.opts, 0)
	if err != nil {
		s.down = unavailable(openError(s.path, err))
		return s.down
	}
	s.file, s.down = f, nil
	s.durable.Store(f.lastTx)
	s.opts.Logger.Warn("store opened again after a failure", "path", s.path, "cause", cause)
	return nil
}

// isOutOfSpace reports whether a write, as opposed to an fsync, failed for want
// of space.
func isOutOfSpace(err error) bool {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && pathErr.Op == "write" {
		return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EDQUOT)
	}
	return false
}

// update runs fn in a write transaction and commits it, if fn changed anything.
// It returns the ID of the transaction, or 0 if there was nothing to commit.
func (f *file) update(fn func(tx *writeTx) error) (id int64, err error) {
	f.stuck = true // until bbolt has let go of the transaction
	defer recoverDamage(&err)()
	tx, err := f.db.Begin(true)
	if err != nil {
		f.stuck = false
		return 0, err
	}
	defer func() {
		if tx.DB() != nil {
			_ = tx.Rollback() // fails only if there is nothing to roll back
		}
		f.stuck = false
	}()
	w := &writeTx{tx: tx}
	if err := fn(w); err != nil {
		return 0, err
	}
	if !w.changed {
		return 0, nil
	}
	if err := w.finish(); err != nil {
		return 0, err
	}
	id = int64(tx.ID())
	return id, tx.Commit()
}

// writeTx is a write transaction with what has to be done once at its end.
type writeTx struct {
	tx      *bbolt.Tx
	changed bool
	added   int // bindings made, less those deleted
}

// bucket returns one of the buckets that every file has.
func (w *writeTx) bucket(name string) *bbolt.Bucket { return mustBucket(w.tx, name) }

// put writes one record; any error is one of the medium.
func (w *writeTx) put(bucket string, key, value []byte) error {
	w.changed = true
	return w.bucket(bucket).Put(key, value)
}

// remove deletes one record, if it is there.
func (w *writeTx) remove(bucket string, key []byte) error {
	w.changed = true
	return w.bucket(bucket).Delete(key)
}

// finish brings the number of bindings up to date.
func (w *writeTx) finish() error {
	if w.added == 0 {
		return nil
	}
	n, err := countBindings(w.tx)
	if err != nil {
		return err
	}
	return w.put(bucketMeta, keyBindings, be.AppendUint64(nil, uint64(n+w.added))) // #nosec G115 -- not negative: what is deleted was counted
}

func countBindings(tx *bbolt.Tx) (int, error) {
	v := mustBucket(tx, bucketMeta).Get(keyBindings)
	if len(v) != 8 {
		return 0, damaged("number of bindings has %d bytes", len(v))
	}
	return int(be.Uint64(v)), nil // #nosec G115 -- it was an int when it was written
}

// mustBucket panics if a bucket is missing, which Open would have refused:
// recoverDamage makes it an error.
func mustBucket(tx *bbolt.Tx, name string) *bbolt.Bucket {
	b := tx.Bucket([]byte(name))
	if b == nil {
		panic("bucket " + name + " is missing")
	}
	return b
}
