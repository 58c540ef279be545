package bolt

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

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
	value, err := validBinding(b)
	if err != nil {
		return store.Binding{}, false, err
	}
	stored := b.Stored()
	var created bool
	var refusal error
	err = s.write(ctx, func(w *writeTx) (err error) {
		if there := w.bucket(bucketBindings).Get(stored.Hash[:]); there != nil {
			if stored, err = decodeBinding(stored.Hash[:], there); err != nil {
				refusal = unavailable(err)
			}
			return nil
		}
		created = true
		stored.Revision, err = w.bind(stored.Hash, value)
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

// validBinding returns the encoded form of a binding that may be stored.
func validBinding(b store.Binding) ([]byte, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	return encodeBinding(b)
}

// bind puts a new binding.
func (w *writeTx) bind(hash store.KeyHash, value []byte) (revision uint64, err error) {
	w.added++
	return w.putBinding(hash, value)
}

// putBinding gives a binding the next revision, and puts it.
func (w *writeTx) putBinding(hash store.KeyHash, value []byte) (revision uint64, err error) {
	if revision, err = w.nextRevision(); err != nil {
		return 0, err
	}
	setRevision(value, revision)
	return revision, w.put(bucketBindings, hash[:], value)
}

func (w *writeTx) nextRevision() (uint64, error) {
	w.changed = true
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
		w.added--
		if err := w.remove(bucketBindings, hash[:]); err != nil {
			return err
		}
		return w.remove(bucketUsage, hash[:])
	})
	if err != nil {
		return 0, err
	}
	if refusal != nil {
		return 0, refusal
	}
	return removal, nil
}

// rowsPerCheck is how many rows are read between two looks at the context.
const rowsPerCheck = 1_024

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
			if len(list)%rowsPerCheck == 0 && ctx.Err() != nil {
				return ctx.Err()
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
		n, err = countBindings(tx)
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
	chunk := make([]importRow, 0, importChunk)
	for b := range bindings {
		value, err := validBinding(b)
		if err != nil {
			return created, fmt.Errorf("binding %s: %w", b.Hash, err)
		}
		if chunk = append(chunk, importRow{b.Hash, value}); len(chunk) < importChunk {
			continue
		}
		n, err := s.importRows(ctx, chunk)
		created += n
		if err != nil {
			return created, err
		}
		chunk = make([]importRow, 0, importChunk)
	}
	n, err := s.importRows(ctx, chunk)
	return created + n, err
}

type importRow struct {
	hash  store.KeyHash
	value []byte
}

// importRows stores rows, which are no longer the caller's, in the order of
// their keys: neighbours share pages.
func (s *Store) importRows(ctx context.Context, rows []importRow) (int, error) {
	slices.SortStableFunc(rows, func(a, b importRow) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	var created int
	err := s.write(ctx, func(w *writeTx) error {
		bucket := w.bucket(bucketBindings)
		if last, _ := bucket.Cursor().Last(); len(rows) > 0 && bytes.Compare(last, rows[0].hash[:]) < 0 {
			bucket.FillPercent = 0.9 // all of them go behind what is there
		}
		for _, row := range rows {
			if w.bucket(bucketBindings).Get(row.hash[:]) != nil {
				continue
			}
			created++
			if _, err := w.bind(row.hash, row.value); err != nil {
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
