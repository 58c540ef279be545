package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Outbox = (*Store)(nil)

// bucketOutbox has what is to be delivered: sequence (8) -> CBOR of store.Batch; the
// bucket's sequence is the last one. It is made when it is needed.
const bucketOutbox = "outbox"

// keyOutbox, in meta, has batches, bytes and dropped records (8 each).
var keyOutbox = []byte("outbox")

// encodingBatch keeps times to the nanosecond; what names fields is theirs in Go, so
// that a batch must be read by who knows them: only files of one node are.
var encodingBatch = must(cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode())

func outboxSize(tx *bbolt.Tx) (size store.OutboxSize) {
	if v := mustBucket(tx, bucketMeta).Get(keyOutbox); len(v) == 24 {
		size.Batches, size.Bytes, size.Dropped = be.Uint64(v), be.Uint64(v[8:]), be.Uint64(v[16:])
	}
	return size
}

func (w *writeTx) putOutboxSize(size store.OutboxSize) error {
	v := be.AppendUint64(nil, size.Batches)
	v = be.AppendUint64(be.AppendUint64(v, size.Bytes), size.Dropped)
	return w.put(bucketMeta, keyOutbox, v)
}

// OutboxSize is part of store.Outbox.
func (s *Store) OutboxSize(ctx context.Context) (size store.OutboxSize, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		size = outboxSize(tx)
		return nil
	})
	return size, err
}

// gathering is a batch on its way into the store.
type gathering struct {
	batch store.Batch
	rows  []newIntercept // of its intercepts
	audit [][]byte       // of its audit entries
}

func newGathering(batch *store.Batch) (*gathering, error) {
	if err := batch.Usage.Validate(); err != nil {
		return nil, err
	}
	if n := len(batch.Usage.Touches); n > store.UsageChunk {
		return nil, fmt.Errorf("%w: %d touches, at most %d", store.ErrInvalid, n, store.UsageChunk)
	}
	g := &gathering{batch: store.Batch{
		Intercepts: slices.Clone(batch.Intercepts), Audit: slices.Clone(batch.Audit), Usage: batch.Usage.Sorted(),
	}}
	for i, r := range g.batch.Intercepts {
		value, err := encodeIntercept(r)
		if err != nil {
			return nil, err
		}
		g.rows = append(g.rows, newIntercept{r.ID, r.At.UnixMilli(), r.Hash, value})
		if r.ID != 0 {
			g.batch.Grown = append(g.batch.Grown, i)
		}
	}
	for i := range g.batch.Audit {
		e := &g.batch.Audit[i]
		e.At, e.Before, e.After = store.StoredTime(e.At), bytes.Clone(e.Before), bytes.Clone(e.After)
		value, err := encodeAudit(*e)
		if err != nil {
			return nil, err
		}
		g.audit = append(g.audit, value)
	}
	return g, nil
}

// Gather is part of store.Outbox.
func (s *Store) Gather(ctx context.Context, batch *store.Batch, limit store.OutboxLimit) error {
	g, err := newGathering(batch)
	if err != nil {
		return err
	}
	if err := s.write(ctx, func(w *writeTx) error { return w.gather(g, limit) }); err != nil {
		return err
	}
	s.settleDue(ctx)
	copy(batch.Intercepts, g.batch.Intercepts)
	copy(batch.Audit, g.batch.Audit)
	batch.Grown = g.batch.Grown
	return nil
}

func (w *writeTx) gather(g *gathering, limit store.OutboxLimit) error {
	if err := w.putIntercepts(g.rows); err != nil {
		return err
	}
	for i, r := range g.rows {
		g.batch.Intercepts[i].ID = r.id
	}
	for i, value := range g.audit {
		id, err := w.appendAudit(value)
		if err != nil {
			return err
		}
		g.batch.Audit[i].ID = id
	}
	if err := w.addUsage(g.batch.Usage.Touches, g.batch.Usage.Counters); err != nil {
		return err
	}
	return w.appendBatch(g.batch, limit)
}

// appendBatch appends a batch to the outbox, if it fits.
func (w *writeTx) appendBatch(batch store.Batch, limit store.OutboxLimit) error {
	value, err := encodingBatch.Marshal(batch)
	if err != nil {
		return fmt.Errorf("encode batch: %w", err)
	}
	size := outboxSize(w.tx)
	if size.Batches >= limit.Batches || size.Bytes+uint64(len(value)) > limit.Bytes {
		size.Dropped += uint64(batch.Len()) // #nosec G115 -- not negative
		return w.putOutboxSize(size)
	}
	size.Batches++
	size.Bytes += uint64(len(value))
	bucket, err := w.tx.CreateBucketIfNotExists([]byte(bucketOutbox))
	if err != nil {
		return err
	}
	bucket.FillPercent = 0.95 // it grows at its end only
	sequence, err := bucket.NextSequence()
	if err != nil {
		return err
	}
	return errors.Join(bucket.Put(interceptKey(sequence), value), w.putOutboxSize(size))
}

// FirstBatch is part of store.Outbox.
func (s *Store) FirstBatch(ctx context.Context) (sequence uint64, batch store.Batch, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(bucketOutbox))
		if bucket == nil {
			return store.ErrNotFound
		}
		k, v := bucket.Cursor().First()
		if k == nil {
			return store.ErrNotFound
		}
		if len(k) != 8 {
			return damaged("batch with a key of %d bytes", len(k))
		}
		sequence = be.Uint64(k)
		if err := decoding.Unmarshal(v, &batch); err != nil {
			return damaged("batch %d: %v", sequence, err)
		}
		return nil
	})
	return sequence, batch, err
}

// RemoveBatches is part of store.Outbox.
func (s *Store) RemoveBatches(ctx context.Context, sequence uint64) error {
	return s.write(ctx, func(w *writeTx) error {
		bucket := w.tx.Bucket([]byte(bucketOutbox))
		if bucket == nil {
			return nil
		}
		size := outboxSize(w.tx)
		var keys [][]byte
		c := bucket.Cursor()
		for k, v := c.First(); len(k) == 8 && be.Uint64(k) <= sequence; k, v = c.Next() {
			keys = append(keys, bytes.Clone(k))
			size.Batches -= min(size.Batches, 1)
			size.Bytes -= min(size.Bytes, uint64(len(v)))
		}
		if len(keys) == 0 {
			return nil
		}
		for _, k := range keys {
			if err := w.remove(bucketOutbox, k); err != nil {
				return err
			}
		}
		return w.putOutboxSize(size)
	})
}
