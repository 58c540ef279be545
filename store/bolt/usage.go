package bolt

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// AddUsage is part of store.UsageLog.
func (s *Store) AddUsage(ctx context.Context, batch store.UsageBatch) error {
	err := store.AddInChunks(ctx, batch, func(chunk store.UsageBatch) error {
		return s.write(ctx, func(w *writeTx) error { return w.addUsage(chunk.Touches, chunk.Counters) })
	})
	if err == nil {
		s.settleDue(ctx)
	}
	return err
}

// addUsage adds touches, which are in the order of their hashes, and counters.
func (w *writeTx) addUsage(touches []store.Touch, counters []store.Counter) error {
	if w.isToLog(len(touches)) {
		if err := w.logTouches(touches); err != nil {
			return err
		}
		touches = nil
	}
	for i := range touches {
		if err := w.addTouches(touches[i : i+1]); err != nil {
			return err
		}
		store.GiveWay(i)
	}
	for _, c := range counters {
		if err := w.addCounter(c); err != nil {
			return err
		}
	}
	return nil
}

// addTouches adds touches of one key as store.Usage.Add does. Records that are damaged
// are begun anew, or they would hold up all others.
func (w *writeTx) addTouches(touches []store.Touch) error {
	hash := touches[0].Hash
	value := w.bucket(bucketUsage).Get(hash[:])
	if value == nil && w.bucket(bucketBindings).Get(hash[:]) == nil {
		return nil // usage goes with its binding, so where there is usage, there is a binding
	}
	past := w.bucket(bucketHistory).Get(hash[:])
	u, err := decodeUsage(value)
	if err != nil {
		u, past = store.Usage{}, nil
	}
	isUsed := false
	for len(touches) > 0 && covers(past, u, touches[0]) {
		u.LastUsed, u.Hits = store.StoredTime(touches[0].LastUsed), u.Hits+touches[0].Hits
		touches, isUsed = touches[1:], true
	}
	if len(touches) > 0 {
		h, err := decodeHistory(past)
		if err != nil {
			h = history{}
		}
		u = h.complete(u)
		for _, t := range touches {
			u = u.Add(t)
			isUsed = isUsed || t.Hits > 0
		}
		if next := encodeHistory(u); len(next) > emptyHistory && !bytes.Equal(next, past) {
			if err := w.put(bucketHistory, hash[:], next); err != nil {
				return err
			}
		}
	}
	if !isUsed {
		return nil
	}
	return w.putUsage(hash, appendUsage(make([]byte, 0, usageBytes+16), u))
}

func (w *writeTx) putUsage(hash store.KeyHash, value []byte) error {
	w.note(change{hash: hash, kind: changeUsage, value: value})
	return w.put(bucketUsage, hash[:], value)
}

func (w *writeTx) addCounter(c store.Counter) error {
	key := append(hourKey(store.StoredHour(c.Hour)), c.Name...)
	n, err := counterValue(w.bucket(bucketCounters).Get(key))
	if err != nil {
		return err
	}
	return w.put(bucketCounters, key, be.AppendUint64(nil, n+c.N))
}

func counterValue(value []byte) (uint64, error) {
	switch len(value) {
	case 0:
		return 0, nil
	case 8:
		return be.Uint64(value), nil
	}
	return 0, damaged("counter of %d bytes", len(value))
}

// hourKey orders hours by time, those before 1970 too.
func hourKey(hour time.Time) []byte {
	return be.AppendUint64(nil, uint64(hour.Unix())^1<<63) // #nosec G115 -- reversed by keyHour
}

func keyHour(key []byte) time.Time {
	return time.Unix(int64(be.Uint64(key)^1<<63), 0).UTC() // #nosec G115 -- as hourKey made it
}

// Usage is part of store.UsageLog.
func (s *Store) Usage(ctx context.Context, hash store.KeyHash) (u store.Usage, err error) {
	s.settleForUsage(ctx, hash)
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		u, err = decodeWholeUsage(mustBucket(tx, bucketUsage).Get(hash[:]), mustBucket(tx, bucketHistory).Get(hash[:]))
		return err
	})
	return u, err
}

// Counters is part of store.UsageLog.
func (s *Store) Counters(ctx context.Context, from, to time.Time) ([]store.Counter, error) {
	var list []store.Counter
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		c := mustBucket(tx, bucketCounters).Cursor()
		for k, v := c.Seek(hourKey(store.StoredHour(from))); k != nil; k, v = c.Next() {
			if len(k) < 8 {
				return damaged("counter with a key of %d bytes", len(k))
			}
			hour := keyHour(k)
			if !hour.Before(to) {
				break
			}
			if hour.Before(from) {
				continue
			}
			n, err := counterValue(v)
			if err != nil {
				return err
			}
			list = append(list, store.Counter{Hour: hour, Name: string(k[8:]), N: n})
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// DeleteCounters is part of store.UsageLog.
func (s *Store) DeleteCounters(ctx context.Context, before time.Time, limit int) (int, error) {
	removed := 0
	err := s.write(ctx, func(w *writeTx) error {
		var keys [][]byte
		c := w.bucket(bucketCounters).Cursor()
		for k, _ := c.First(); len(k) >= 8 && keyHour(k).Before(before) && len(keys) < limit; k, _ = c.Next() {
			keys = append(keys, bytes.Clone(k))
		}
		for _, k := range keys {
			if err := w.remove(bucketCounters, k); err != nil {
				return err
			}
		}
		removed = len(keys)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}
