package bolt

import (
	"context"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// PutIntercepts is part of store.Intercepts.
func (s *Store) PutIntercepts(ctx context.Context, recs []store.Intercept) error {
	if len(recs) == 0 {
		return ctx.Err()
	}
	ids := make([]uint64, len(recs))
	values := make([][]byte, len(recs))
	for i, r := range recs {
		value, err := encodeIntercept(r)
		if err != nil {
			return err
		}
		ids[i], values[i] = r.ID, value
	}
	err := s.write(ctx, func(w *writeTx) error {
		for i := range ids {
			if err := w.putIntercept(&ids[i], values[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range recs {
		recs[i].ID = ids[i]
	}
	return nil
}

// putIntercept puts a record, and sets its ID if it is new.
func (w *writeTx) putIntercept(id *uint64, value []byte) (err error) {
	bucket := w.bucket(bucketIntercepts)
	bucket.FillPercent = 0.95 // it grows at its end only
	if *id == 0 {
		if *id, err = bucket.NextSequence(); err != nil {
			return err
		}
	} else if bucket.Get(interceptKey(*id)) == nil {
		return nil
	}
	return w.put(bucketIntercepts, interceptKey(*id), value)
}

func interceptKey(id uint64) []byte { return be.AppendUint64(nil, id) }

// ListIntercepts is part of store.Intercepts. Records that do not match cost
// little, but there is no index: a filter by key reads past all others.
func (s *Store) ListIntercepts(ctx context.Context, f store.InterceptFilter) ([]store.Intercept, error) {
	if f.Limit == 0 {
		f.Limit = store.DefaultInterceptLimit
	}
	var list []store.Intercept
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		list, err = scanIntercepts(ctx, mustBucket(tx, bucketIntercepts).Cursor(), f)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func scanIntercepts(ctx context.Context, c *bbolt.Cursor, f store.InterceptFilter) (list []store.Intercept, err error) {
	read := 0
	for k, v := lastBefore(c, f.Before); k != nil && len(list) < f.Limit; k, v = c.Prev() {
		if read++; read%rowsPerCheck == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if be.Uint64(k) <= f.After {
			break
		}
		if !matches(v, f) {
			continue
		}
		r, err := decodeIntercept(k, v)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// lastBefore moves to the last record with an ID below the one given, or to the
// last one of all if that is 0.
func lastBefore(c *bbolt.Cursor, before uint64) (k, v []byte) {
	if before == 0 {
		before = math.MaxUint64
	}
	if k, _ = c.Seek(interceptKey(before)); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// matches reports whether the head of a record is what a filter asks for.
func matches(value []byte, f store.InterceptFilter) bool {
	if len(value) < interceptHead {
		return true // and fails to be decoded
	}
	hash, at := interceptHeadOf(value)
	if !f.Hash.IsZero() && hash != f.Hash {
		return false
	}
	return f.Since.IsZero() || !time.UnixMilli(at).Before(f.Since)
}
