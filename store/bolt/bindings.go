package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Binding is part of store.Bindings.
func (s *Store) Binding(ctx context.Context, hash store.KeyHash) (b store.Binding, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		value := mustBucket(tx, bucketBindings).Get(hash[:])
		if value == nil {
			return store.ErrNotFound
		}
		b, err = decodeBinding(hash[:], value)
		return err
	})
	s.noteRead()
	return b, err
}

// Bind is part of store.Bindings. A key that is bound already costs no fsync,
// but waits for the commit under way, in which it may have been bound.
func (s *Store) Bind(ctx context.Context, b store.Binding) (store.Binding, bool, error) {
	row, err := newBindRow(b)
	if err != nil {
		return store.Binding{}, false, err
	}
	var stored store.Binding
	var created bool
	var refusal error
	err = s.write(ctx, func(w *writeTx) (err error) {
		if there := w.bucket(bucketBindings).Get(row.binding.Hash[:]); there != nil {
			if stored, err = decodeBinding(row.binding.Hash[:], there); err != nil {
				refusal = unavailable(err)
			}
			return nil
		}
		created = true
		stored, err = w.bind(row)
		return err
	})
	if err != nil {
		return store.Binding{}, false, err
	}
	if refusal != nil {
		return store.Binding{}, false, refusal
	}
	return stored, created, nil
}

// bindRow is a binding on its way into the store.
type bindRow struct {
	binding store.Binding // as Stored returns it
	value   []byte        // the same, encoded
}

// newBindRow returns the row of a binding, if it may be stored.
func newBindRow(b store.Binding) (bindRow, error) {
	b = b.Stored()
	b.ArchivedBefore = time.Time{} // for bind to say
	value, err := validBinding(b)
	return bindRow{b, value}, err
}

// validBinding returns the encoded form of a binding that may be stored.
func validBinding(b store.Binding) ([]byte, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	return encodeBinding(b)
}

// bind puts a new binding, and returns it as it is stored.
func (w *writeTx) bind(row bindRow) (store.Binding, error) {
	b, value := row.binding, row.value
	if entry := w.bucket(bucketArchive).Get(b.Hash[:]); entry != nil {
		// A damaged entry is not in the way of the key: its time is lost.
		b.ArchivedBefore, _ = archivedAt(entry)
		var err error
		if value, err = encodeBinding(b); err != nil {
			return b, err
		}
	}
	w.added++
	var err error
	b.Revision, err = w.putBinding(b.Hash, value)
	return b, err
}

// putBinding gives a binding the next revision, and puts it.
func (w *writeTx) putBinding(hash store.KeyHash, value []byte) (revision uint64, err error) {
	if revision, err = w.nextRevision(); err != nil {
		return 0, err
	}
	setRevision(value, revision)
	w.note(change{hash: hash, kind: changePut, value: value})
	return revision, w.put(bucketBindings, hash[:], value)
}

func (w *writeTx) nextRevision() (uint64, error) {
	w.changed, w.isOwn = true, true
	return w.bucket(bucketBindings).NextSequence()
}

// checkRevision returns why the binding of a key may not be changed: it is gone,
// or not the one that the caller has read.
func (w *writeTx) checkRevision(hash store.KeyHash, revision uint64) (refusal error) {
	value := w.bucket(bucketBindings).Get(hash[:])
	if value == nil {
		return store.ErrNotFound
	}
	current, err := revisionOf(value)
	if err != nil {
		return unavailable(err)
	}
	if current != revision {
		return store.ErrConflict
	}
	return nil
}

// ReplaceBinding is part of store.Bindings.
func (s *Store) ReplaceBinding(ctx context.Context, b store.Binding) (store.Binding, error) {
	value, err := validBinding(b)
	if err != nil {
		return store.Binding{}, err
	}
	stored := b.Stored()
	var refusal error
	err = s.write(ctx, func(w *writeTx) (err error) {
		if refusal = w.checkRevision(stored.Hash, stored.Revision); refusal != nil {
			return nil
		}
		stored.Revision, err = w.putBinding(stored.Hash, value)
		return err
	})
	if err != nil {
		return store.Binding{}, err
	}
	if refusal != nil {
		return store.Binding{}, refusal
	}
	return stored, nil
}

// DeleteBinding is part of store.Bindings.
func (s *Store) DeleteBinding(ctx context.Context, hash store.KeyHash, revision uint64) (uint64, error) {
	var removal uint64
	var refusal error
	err := s.write(ctx, func(w *writeTx) (err error) {
		if refusal = w.checkRevision(hash, revision); refusal != nil {
			return nil
		}
		if removal, err = w.nextRevision(); err != nil {
			return err
		}
		return w.unbind(hash)
	})
	if err != nil {
		return 0, err
	}
	if refusal != nil {
		return 0, refusal
	}
	return removal, nil
}

// unbind removes a binding with its usage.
func (w *writeTx) unbind(hash store.KeyHash) error {
	if err := w.settleKey(hash); err != nil {
		return err
	}
	w.added--
	w.note(change{hash: hash, kind: changeDelete})
	return errors.Join(
		w.remove(bucketBindings, hash[:]), w.remove(bucketUsage, hash[:]), w.remove(bucketHistory, hash[:]))
}

// rowsPerCheck is how many rows are read between two looks at the context: some 50 µs.
const rowsPerCheck = 256

// goOn is called with each row that is looked at, by its number. It returns the error of
// a context that has ended, and lets requests go first now and then: nobody who uses a
// key is to wait for somebody who searches.
func goOn(ctx context.Context, row int) error {
	if row%rowsPerCheck != 0 {
		return nil
	}
	runtime.Gosched()
	return ctx.Err()
}

// ListBindings is part of store.Bindings.
func (s *Store) ListBindings(ctx context.Context, after store.KeyHash, limit int) ([]store.Binding, error) {
	var list []store.Binding
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		c := mustBucket(tx, bucketBindings).Cursor()
		k, v := c.Seek(after[:])
		if bytes.Equal(k, after[:]) {
			k, v = c.Next()
		}
		for ; k != nil && len(list) < limit; k, v = c.Next() {
			if err := goOn(ctx, len(list)); err != nil {
				return err
			}
			b, err := decodeBinding(k, v)
			if err != nil {
				return err
			}
			list = append(list, b)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// CountBindings is part of store.Bindings.
func (s *Store) CountBindings(ctx context.Context) (n int, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		n, err = count(tx, keyBindings)
		return err
	})
	return n, err
}

// importChunk is how many bindings ImportBindings stores in one transaction.
const importChunk = 10_000

// ImportBindings binds many keys, each as Bind does, in large transactions, and
// returns how many of them had no binding yet. When it returns an error, those
// that it has counted are stored. It is fastest, and the file smallest, if they
// come in the order of their hashes.
func (s *Store) ImportBindings(ctx context.Context, bindings iter.Seq[store.Binding]) (created int, err error) {
	chunk := make([]bindRow, 0, importChunk)
	for b := range bindings {
		row, err := newBindRow(b)
		if err != nil {
			return created, fmt.Errorf("binding %s: %w", b.Hash, err)
		}
		if chunk = append(chunk, row); len(chunk) < importChunk {
			continue
		}
		n, err := s.importRows(ctx, chunk)
		created += n
		if err != nil {
			return created, err
		}
		chunk = make([]bindRow, 0, importChunk)
	}
	n, err := s.importRows(ctx, chunk)
	return created + n, err
}

// importRows stores rows, which are no longer the caller's, in the order of
// their keys: neighbours share pages.
func (s *Store) importRows(ctx context.Context, rows []bindRow) (int, error) {
	slices.SortStableFunc(rows, func(a, b bindRow) int { return bytes.Compare(a.binding.Hash[:], b.binding.Hash[:]) })
	var created int
	err := s.write(ctx, func(w *writeTx) error {
		bucket := w.bucket(bucketBindings)
		if last, _ := bucket.Cursor().Last(); len(rows) > 0 && bytes.Compare(last, rows[0].binding.Hash[:]) < 0 {
			bucket.FillPercent = 0.9 // all of them go behind what is there
		}
		for _, row := range rows {
			if w.bucket(bucketBindings).Get(row.binding.Hash[:]) != nil {
				continue
			}
			created++
			if _, err := w.bind(row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return created, nil
}
