package bolt

import (
	"context"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt/fold"
)

// newIntercept is a record on its way into the store.
type newIntercept struct {
	id    uint64
	at    int64 // ms
	hash  store.KeyHash
	value []byte
}

// PutIntercepts is part of store.Intercepts.
func (s *Store) PutIntercepts(ctx context.Context, recs []store.Intercept) error {
	if len(recs) == 0 {
		return ctx.Err()
	}
	rows := make([]newIntercept, len(recs))
	for i, r := range recs {
		value, err := encodeIntercept(r)
		if err != nil {
			return err
		}
		rows[i] = newIntercept{r.ID, r.At.UnixMilli(), r.Hash, value}
		store.GiveWay(i)
	}
	if err := s.write(ctx, func(w *writeTx) error { return w.putIntercepts(rows) }); err != nil {
		return err
	}
	for i := range recs {
		recs[i].ID = rows[i].id
	}
	return nil
}

// putIntercepts puts records, sets the IDs of the new ones, and brings the
// summaries of their blocks up to date.
func (w *writeTx) putIntercepts(rows []newIntercept) error {
	blocks := map[uint64]*block{}
	for i := range rows {
		stored, err := w.putIntercept(&rows[i])
		if err != nil {
			return err
		}
		if !stored {
			continue
		}
		number := blockOf(rows[i].id)
		b := blocks[number]
		if b == nil {
			if b, err = w.openBlock(number); err != nil {
				return err
			}
			blocks[number] = b
		}
		b.add(rows[i].hash, rows[i].at)
		store.GiveWay(i)
	}
	for number, b := range blocks {
		if err := w.putBlock(number, b); err != nil {
			return err
		}
	}
	return nil
}

// putIntercept puts a record, and sets its ID if it is new. One that has an ID,
// but is gone, is not stored.
func (w *writeTx) putIntercept(r *newIntercept) (stored bool, err error) {
	bucket := w.bucket(bucketIntercepts)
	bucket.FillPercent = 0.95 // it grows at its end only
	if r.id == 0 {
		if r.id, err = bucket.NextSequence(); err != nil {
			return false, err
		}
	} else if bucket.Get(interceptKey(r.id)) == nil {
		return false, nil
	}
	return true, w.put(bucketIntercepts, interceptKey(r.id), r.value)
}

func interceptKey(id uint64) []byte { return be.AppendUint64(nil, id) }

// What a page of intercepts may cost: as many looks at the head of a record as
// take some 20 ms.
const (
	interceptBudget = 100_000
	costOfLook      = 1
	costOfPath      = 2
	costOfDecoding  = 16
)

// ListIntercepts is part of store.Intercepts.
func (s *Store) ListIntercepts(ctx context.Context, f store.InterceptFilter) (page store.InterceptPage, err error) {
	search := interceptSearch{filter: f, path: fold.New(f.Path), limit: pageLimit(f.Limit), budget: interceptBudget}
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		page, err = search.run(ctx, tx)
		return err
	})
	s.trimNow()
	if err != nil {
		return store.InterceptPage{}, err
	}
	return page, nil
}

// pageLimit returns how many records a page of a limit has.
func pageLimit(limit int) int {
	if limit == 0 {
		return store.DefaultPage
	}
	return max(1, min(limit, store.MaxPage))
}

// interceptSearch looks for one page.
type interceptSearch struct {
	filter store.InterceptFilter
	path   fold.Part
	limit  int
	budget int
}

// run goes back from the newest record, over the blocks in which there can be
// nothing, until the page is full and one more is found, nothing is left, or the
// budget is spent.
func (s *interceptSearch) run(ctx context.Context, tx *bbolt.Tx) (page store.InterceptPage, err error) {
	c := mustBucket(tx, bucketIntercepts).Cursor()
	k, v := lastBefore(c, s.filter.Before)
	for looked, current := 0, uint64(math.MaxUint64); k != nil; looked++ {
		if err := goOn(ctx, looked); err != nil {
			return page, err
		}
		if len(k) != 8 {
			return page, damaged("intercept with a key of %d bytes", len(k))
		}
		id := be.Uint64(k)
		if id <= s.filter.After {
			return page, nil
		}
		if s.budget -= costOfLook; s.budget < 0 {
			page.Next = id + 1
			return page, nil
		}
		if number := blockOf(id); number != current {
			before := s.passOver(tx, number)
			if before == 0 {
				return page, nil
			}
			if current = number; before <= id {
				k, v = lastBefore(c, before)
				continue
			}
		}
		r, chosen, err := s.look(k, v)
		if err != nil {
			return page, err
		}
		if chosen && len(page.Records) == s.limit {
			page.Next = page.Records[s.limit-1].ID
			return page, nil
		}
		if chosen {
			page.Records = append(page.Records, r)
		}
		k, v = c.Prev()
	}
	return page, nil
}

// passOver returns below which ID the next record is that may be chosen, if the
// last one is in a block. It goes by the summaries alone: the records of a block
// that is passed over are not touched.
func (s *interceptSearch) passOver(tx *bbolt.Tx, number uint64) (before uint64) {
	c := mustBucket(tx, bucketBlocks).Cursor()
	k, v := c.Seek(interceptKey(number))
	for len(k) == 8 && be.Uint64(k) == number {
		if b := parseBlock(v); b == nil || b.mayMatch(&s.filter) {
			break
		}
		if number == 0 {
			return 0
		}
		number--
		s.budget -= costOfLook
		k, v = c.Prev()
	}
	return firstOf(number + 1)
}

// look decodes a record if its head and its path are what is looked for.
func (s *interceptSearch) look(k, v []byte) (r store.Intercept, chosen bool, err error) {
	h, err := cutInterceptHead(v)
	if err != nil {
		return r, false, err
	}
	if !s.mayMatch(&h) {
		return r, false, nil
	}
	if !s.path.IsEmpty() {
		s.budget -= costOfPath
		if path, ok := h.path(); ok && !s.path.In(path) {
			return r, false, nil
		}
	}
	s.budget -= costOfDecoding
	if r, err = h.decode(k); err != nil {
		return r, false, err
	}
	return r, s.filter.Matches(r), nil
}

// mayMatch reports whether a record of that head may be chosen.
func (s *interceptSearch) mayMatch(h *interceptHead) bool {
	f := &s.filter
	return (f.Hash.IsZero() || h.hash == f.Hash) &&
		(f.Time.IsZero() || f.Time.Contains(time.UnixMilli(h.at))) &&
		(f.Reason == "" || h.reason == "" || h.reason == f.Reason) &&
		(!f.Network.IsValid() || !h.clientIP.IsValid() || f.Network.Contains(h.clientIP))
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

// DeleteIntercepts is part of store.Intercepts. What is to be deleted is looked
// for first, so that others wait for the deletion only.
func (s *Store) DeleteIntercepts(ctx context.Context, before time.Time, limit int) (int, error) {
	var ids []uint64
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		ids, err = interceptsBefore(ctx, tx, ceilMs(before), limit)
		return err
	})
	s.trimNow()
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	removed := 0
	err = s.write(ctx, func(w *writeTx) error {
		for i, id := range ids {
			if w.bucket(bucketIntercepts).Get(interceptKey(id)) == nil {
				continue
			}
			if err := w.remove(bucketIntercepts, interceptKey(id)); err != nil {
				return err
			}
			removed++
			if i+1 == len(ids) || blockOf(ids[i+1]) != blockOf(id) {
				if err := w.dropIfEmpty(blockOf(id)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// interceptsBefore returns the IDs of the first records from before a time.
func interceptsBefore(ctx context.Context, tx *bbolt.Tx, before int64, limit int) (ids []uint64, err error) {
	c := mustBucket(tx, bucketIntercepts).Cursor()
	k, v := c.First()
	for looked, current := 0, uint64(math.MaxUint64); k != nil && len(ids) < limit; looked++ {
		if err := goOn(ctx, looked); err != nil {
			return nil, err
		}
		if len(k) != 8 {
			return nil, damaged("intercept with a key of %d bytes", len(k))
		}
		id := be.Uint64(k)
		if number := blockOf(id); number != current {
			current = number
			if b := blockAt(tx, number); b != nil && b.min >= before {
				k, v = c.Seek(interceptKey(firstOf(number + 1)))
				continue
			}
		}
		h, err := cutInterceptHead(v)
		if err != nil {
			return nil, err
		}
		if h.at < before {
			ids = append(ids, id)
		}
		k, v = c.Next()
	}
	return ids, nil
}

// ceilMs returns the first millisecond that is not before t.
func ceilMs(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}
