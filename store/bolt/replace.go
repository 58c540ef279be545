package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// replaceChunk is how many records of a new copy one transaction gathers: a write of
// somebody else waits for one of them.
const replaceChunk = 10_000

// ReplaceAll is part of store.Copy. The records go into a bucket within
// bucketStaging for each of copiedBuckets, which are then moved to where the old ones
// were. What a kill leaves there, the next call removes.
func (s *Store) ReplaceAll(ctx context.Context, position uint64, of string, all iter.Seq2[store.Change, error]) error {
	if of == "" {
		return fmt.Errorf("%w: no identity of an authority", store.ErrInvalid)
	}
	select {
	case s.replacing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.replacing }()
	if err := s.write(ctx, func(w *writeTx) error { return errors.Join(w.dropStaging(), w.makeStaging()) }); err != nil {
		return err
	}
	err := s.stage(ctx, all)
	if err == nil {
		err = s.settleAll(ctx) // or the next transaction would take the longer
	}
	if err == nil {
		err = s.write(ctx, func(w *writeTx) error {
			s.live.forget() // the next query reads what is there then
			return w.swapStaging(position, of)
		})
	}
	if err != nil {
		_ = s.write(context.WithoutCancel(ctx), (*writeTx).dropStaging) // or the next call does it
	}
	return err
}

// stage gathers all records of a new copy.
func (s *Store) stage(ctx context.Context, all iter.Seq2[store.Change, error]) error {
	chunk := make([]copyRow, 0, replaceChunk)
	for c, err := range all {
		if err != nil {
			return err
		}
		if isForNode(c) {
			continue
		}
		row, err := newCopyRow(c)
		if err == nil && row.value == nil {
			err = fmt.Errorf("%w: change %d of a new copy removes", store.ErrInvalid, c.Revision)
		}
		if err != nil {
			return err
		}
		if chunk = append(chunk, row); len(chunk) < replaceChunk {
			continue
		}
		if err := s.stageRows(ctx, chunk); err != nil {
			return err
		}
		chunk = make([]copyRow, 0, replaceChunk)
	}
	return s.stageRows(ctx, chunk)
}

// stageRows stores rows, which are no longer the caller's, in the order of their keys.
func (s *Store) stageRows(ctx context.Context, rows []copyRow) error {
	slices.SortStableFunc(rows, func(a, b copyRow) int { return bytes.Compare(a.key, b.key) })
	err := s.write(ctx, func(w *writeTx) error {
		w.changed = true
		staging := mustBucket(w.tx, bucketStaging)
		seen := map[byte]*bbolt.Bucket{}
		for _, r := range rows {
			b := seen[r.letter]
			if b == nil {
				b = staging.Bucket([]byte(copiedBuckets[r.letter]))
				if last, _ := b.Cursor().Last(); bytes.Compare(last, r.key) < 0 {
					b.FillPercent = 0.9 // all of them go behind what is there
				}
				seen[r.letter] = b
			}
			if err := b.Put(r.key, r.value); err != nil {
				return err
			}
		}
		return nil
	})
	s.trimNow()
	return err
}

func (w *writeTx) makeStaging() error {
	w.changed = true
	staging, err := w.tx.CreateBucket([]byte(bucketStaging))
	for _, name := range copiedBuckets {
		if err == nil {
			_, err = staging.CreateBucket([]byte(name))
		}
	}
	return err
}

func (w *writeTx) dropStaging() error {
	if w.tx.Bucket([]byte(bucketStaging)) == nil {
		return nil
	}
	w.changed = true
	return w.tx.DeleteBucket([]byte(bucketStaging))
}

// swapStaging puts what was gathered in the place of what is there.
func (w *writeTx) swapStaging(position uint64, of string) error {
	w.changed = true
	for r := range logRanges {
		if _, err := w.settle(byte(r)); err != nil {
			return err
		}
	}
	kept, err := w.keptRows(position, of)
	if err != nil {
		return err
	}
	staging := mustBucket(w.tx, bucketStaging)
	for _, name := range copiedBuckets {
		if err := w.tx.DeleteBucket([]byte(name)); err != nil {
			return err
		}
		if err := w.tx.MoveBucket([]byte(name), staging, nil); err != nil {
			return err
		}
	}
	if err := errors.Join(w.dropStaging(), w.recount()); err != nil {
		return err
	}
	for _, r := range kept {
		if revision, err := revisionOf(w.bucket(copiedBuckets[r.letter]).Get(r.key)); err == nil && r.letter != 's' && revision > r.record {
			continue
		}
		if err := w.setCopied(r.letter, r.key, r.value); err != nil {
			return err
		}
	}
	return errors.Join(
		w.raiseSequence(bucketBindings, position), w.raiseSequence(bucketDocuments, position),
		w.put(bucketMeta, keyCopyOf, []byte(of)),
		w.put(bucketMeta, keyPosition, be.AppendUint64(nil, position)),
		w.forgetAhead(position), w.forgetUnbound(bucketUsage), w.forgetUnbound(bucketHistory))
}

// keptRows returns what of the old copy is to be in the new one: the settings of the
// node, and what was changed ahead of the position. Where that must not be carried
// over, it is forgotten.
func (w *writeTx) keptRows(position uint64, of string) (kept []copyRow, err error) {
	c := w.bucket(bucketSettings).Cursor()
	prefix := []byte(store.NodeSettingPrefix)
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		kept = append(kept, copyRow{letter: 's', key: bytes.Clone(k), value: append([]byte{}, v...)})
	}
	was, wasOf := copyState(w.tx)
	if wasOf != of || position < was {
		return kept, w.dropAhead()
	}
	err = eachAhead(w.tx, func(key []byte, revision uint64) error {
		if revision <= position {
			return nil
		}
		bucket, ok := copiedBuckets[key[0]]
		if !ok {
			return damaged("change ahead of the position with the letter %q", key[0])
		}
		r := copyRow{letter: key[0], key: bytes.Clone(key[1:]), change: revision, record: revision}
		r.value = bytes.Clone(w.bucket(bucket).Get(key[1:]))
		kept = append(kept, r)
		return nil
	})
	return kept, err
}

// recount counts the bindings and the entries of the archive anew.
func (w *writeTx) recount() error {
	w.added, w.archived = 0, 0 // of what was there before
	return errors.Join(
		w.put(bucketMeta, keyBindings, be.AppendUint64(nil, countKeys(w.bucket(bucketBindings)))),
		w.put(bucketMeta, keyArchived, be.AppendUint64(nil, countKeys(w.bucket(bucketArchive)))))
}

func countKeys(b *bbolt.Bucket) (n uint64) {
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return n
}

// forgetUnbound removes the usage of keys that are bound no longer.
func (w *writeTx) forgetUnbound(bucket string) error {
	var gone [][]byte
	bindings := w.bucket(bucketBindings)
	c := w.bucket(bucket).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if bindings.Get(k) == nil {
			gone = append(gone, bytes.Clone(k))
		}
	}
	for _, k := range gone {
		if err := w.remove(bucket, k); err != nil {
			return err
		}
	}
	return nil
}
