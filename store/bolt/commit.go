package bolt

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store/groupcommit"
)

// maxCommit is how many requests one commit takes at most.
const maxCommit = 1_024

// request is one change on its way through the committer.
type request struct {
	apply func(tx *writeTx) error
	alone func() error // in place of apply: what is done between two commits
}

type asked = groupcommit.Request[request]

// write queues a change and waits until it is durable. An apply that refuses
// changes nothing, keeps its refusal to itself, and returns nil; an error that
// it returns is one of the medium, and fails all that share the transaction.
//
// When ctx ends first, apply may still run: it must use nothing that belongs to
// the caller.
func (s *Store) write(ctx context.Context, apply func(tx *writeTx) error) error {
	return s.queue.Ask(ctx, request{apply: apply})
}

// together is how many requests one commit takes.
func together(waiting []*asked) int {
	n := min(len(waiting), maxCommit)
	if i := slices.IndexFunc(waiting[:n], func(r *asked) bool { return r.Change.alone != nil }); i >= 0 {
		n = max(i, 1) // those before it, or it alone
	}
	return n
}

// serve commits a batch and answers it.
func (s *Store) serve(batch []*asked) {
	var err error
	if batch[0].Change.alone != nil {
		err = s.serveAlone(batch[0])
	} else {
		err = s.commit(batch)
	}
	for _, r := range batch {
		r.Answer(err)
	}
	s.trimNow() // applying it has read pages
}

func (s *Store) serveAlone(r *asked) error {
	if err := r.Ctx.Err(); err != nil {
		return err // its caller has left
	}
	if s.file == nil {
		if err := s.reopen(nil); err != nil {
			return err
		}
	}
	return r.Change.alone()
}

// commit applies a batch in one transaction. Only the committer calls it, and
// only the committer replaces s.file, so that it may read it without the lock.
func (s *Store) commit(batch []*asked) error {
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

	var done *writeTx
	id, err := s.file.update(func(tx *writeTx) error {
		done, tx.log = tx, &s.log
		return applyAll(tx, batch, s.live.isRecording)
	})
	if err == nil {
		s.log.add(done.logged)
		if id != 0 {
			moment := s.file.base + id                    // as file.moment has it
			isMuch := s.live.append(moment, done.changes) // before a reader may see them
			s.durable.Store(moment)
			if isMuch {
				go s.catchUp()
			}
		}
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

func applyAll(tx *writeTx, batch []*asked, isRecording func() bool) error {
	for _, r := range batch {
		tx.record = isRecording()
		if r.Err = r.Ctx.Err(); r.Err != nil {
			continue // its caller has left
		}
		if err := r.Change.apply(tx); err != nil {
			return err
		}
	}
	return nil
}

// reopen closes the file, if there is one, and opens it again.
func (s *Store) reopen(cause error) error {
	s.live.forget() // what the file holds now is uncertain
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.file.readers.Wait()
		_ = s.file.close() // it has failed already
		s.file = nil
	}
	f, err := openFile(s.path, s.opts, 0)
	if err != nil {
		s.down = unavailable(openError(s.path, err))
		return s.down
	}
	f.base = s.base
	if err := s.log.load(f); err != nil {
		s.down = errors.Join(unavailable(err), f.close())
		return s.down
	}
	s.file, s.down = f, nil
	s.durable.Store(f.base + f.lastTx)
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
	tx       *bbolt.Tx
	changed  bool
	added    int  // bindings made, less those deleted
	archived int  // entries of the archive made, less those deleted
	isOwn    bool // the store itself has changed what a copy is made of

	record  bool     // whether changes are wanted
	changes []change // of bindings and usage, for the catalog

	log    *touchLog // of the store; nil while the file is being opened or copied
	logged *logged   // what was added to the log and taken from it
}

// note keeps a change for the catalog.
func (w *writeTx) note(c change) {
	if w.record {
		w.changes = append(w.changes, c)
	}
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

// finish brings the numbers of bindings and of archive entries up to date.
func (w *writeTx) finish() error {
	if w.isOwn {
		if err := w.leaveAuthority(); err != nil {
			return err
		}
	}
	return errors.Join(w.addTo(keyBindings, w.added), w.addTo(keyArchived, w.archived))
}

// addTo adds to one of the numbers in meta.
func (w *writeTx) addTo(key []byte, added int) error {
	if added == 0 {
		return nil
	}
	n, err := count(w.tx, key)
	if err != nil {
		return err
	}
	return w.put(bucketMeta, key, be.AppendUint64(nil, uint64(n+added))) // #nosec G115 -- not negative: what is deleted was counted
}

// count returns one of the numbers in meta.
func count(tx *bbolt.Tx, key []byte) (int, error) {
	v := mustBucket(tx, bucketMeta).Get(key)
	if len(v) != 8 {
		return 0, damaged("number of %s has %d bytes", key, len(v))
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
