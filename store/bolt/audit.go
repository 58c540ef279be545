package bolt

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// auditRecord is an entry without ID and time. Numbers of fields are never used
// again for something else; those after 7 are free.
type auditRecord struct {
	Actor     string `cbor:"1,keyasint,omitempty"`
	ClientIP  []byte `cbor:"2,keyasint,omitempty"`
	Action    string `cbor:"3,keyasint,omitempty"`
	Target    string `cbor:"4,keyasint,omitempty"`
	Before    []byte `cbor:"5,keyasint,omitempty"`
	After     []byte `cbor:"6,keyasint,omitempty"`
	RequestID string `cbor:"7,keyasint,omitempty"`
}

// auditTimeBytes is the length of the time before the CBOR.
const auditTimeBytes = 8

func encodeAudit(e store.AuditEntry) ([]byte, error) {
	head := be.AppendUint64(make([]byte, 0, 256), uint64(e.At.UnixMilli())) // #nosec G115 -- decoded the same way
	return encodeAfter(head, auditRecord{
		Actor: e.Actor, ClientIP: addrBytes(e.ClientIP), Action: e.Action, Target: e.Target,
		Before: e.Before, After: e.After, RequestID: e.RequestID,
	})
}

// auditTime reads the time alone, in ms.
func auditTime(value []byte) (int64, error) {
	if len(value) < auditTimeBytes {
		return 0, damaged("audit entry of %d bytes", len(value))
	}
	return int64(be.Uint64(value)), nil // #nosec G115 -- as encoded
}

func decodeAudit(key, value []byte) (e store.AuditEntry, err error) {
	at, err := auditTime(value)
	if err != nil {
		return e, err
	}
	if len(key) != 8 {
		return e, damaged("audit entry with a key of %d bytes", len(key))
	}
	var rec auditRecord
	if err := decoding.Unmarshal(value[auditTimeBytes:], &rec); err != nil {
		return e, damaged("audit entry %x: %v", key, err)
	}
	e = store.AuditEntry{
		ID: be.Uint64(key), At: time.UnixMilli(at).UTC(), Actor: rec.Actor, Action: rec.Action, Target: rec.Target,
		Before: rec.Before, After: rec.After, RequestID: rec.RequestID,
	}
	e.ClientIP, err = parseAddr(rec.ClientIP)
	return e, err
}

// AppendAudit is part of store.AuditLog.
func (s *Store) AppendAudit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	e.At = store.StoredTime(e.At)
	e.Before, e.After = bytes.Clone(e.Before), bytes.Clone(e.After)
	value, err := encodeAudit(e)
	if err != nil {
		return store.AuditEntry{}, err
	}
	var id uint64
	err = s.write(ctx, func(w *writeTx) (err error) {
		id, err = w.appendAudit(value)
		return err
	})
	if err != nil {
		return store.AuditEntry{}, err
	}
	e.ID = id
	return e, nil
}

// appendAudit stores an entry, and returns its ID.
func (w *writeTx) appendAudit(value []byte) (id uint64, err error) {
	bucket := w.bucket(bucketAudit)
	bucket.FillPercent = 0.95 // it grows at its end only
	w.changed = true
	if id, err = bucket.NextSequence(); err != nil {
		return 0, err
	}
	return id, w.put(bucketAudit, interceptKey(id), value)
}

// auditBudget is how many entries one page of the audit log looks at.
const auditBudget = 10_000

// ListAudit is part of store.AuditLog.
func (s *Store) ListAudit(ctx context.Context, f store.AuditFilter) (page store.AuditPage, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		page, err = listAudit(ctx, tx, f)
		return err
	})
	s.trimNow()
	if err != nil {
		return store.AuditPage{}, err
	}
	return page, nil
}

func listAudit(ctx context.Context, tx *bbolt.Tx, f store.AuditFilter) (page store.AuditPage, err error) {
	limit := pageLimit(f.Limit)
	c := mustBucket(tx, bucketAudit).Cursor()
	k, v := lastBefore(c, f.Before)
	for looked := 0; k != nil; k, v = c.Prev() {
		if err := goOn(ctx, looked); err != nil {
			return page, err
		}
		if looked++; looked > auditBudget && len(k) == 8 {
			page.Next = be.Uint64(k) + 1
			return page, nil
		}
		at, err := auditTime(v)
		if err != nil {
			return page, err
		}
		if !f.Time.Contains(time.UnixMilli(at)) {
			continue
		}
		e, err := decodeAudit(k, v)
		if err != nil {
			return page, err
		}
		if !f.Matches(e) {
			continue
		}
		if len(page.Entries) == limit {
			page.Next = page.Entries[limit-1].ID
			return page, nil
		}
		page.Entries = append(page.Entries, e)
	}
	return page, nil
}

// DeleteAudit is part of store.AuditLog. An entry with a time to come, of a clock
// that was wrong, does not keep those behind it.
func (s *Store) DeleteAudit(ctx context.Context, before time.Time, limit int) (int, error) {
	var keys [][]byte
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		keys, err = auditBefore(ctx, tx, ceilMs(before), limit)
		return err
	})
	s.trimNow()
	if err != nil {
		return 0, err
	}
	return s.removeAll(ctx, bucketAudit, keys)
}

// auditBefore returns the keys of the first entries from before a time.
func auditBefore(ctx context.Context, tx *bbolt.Tx, before int64, limit int) (keys [][]byte, err error) {
	c := mustBucket(tx, bucketAudit).Cursor()
	looked := 0
	for k, v := c.First(); k != nil && len(keys) < limit; k, v = c.Next() {
		looked++
		if err := goOn(ctx, looked); err != nil {
			return nil, err
		}
		at, err := auditTime(v)
		if err != nil {
			return nil, err
		}
		if at < before {
			keys = append(keys, bytes.Clone(k))
		}
	}
	return keys, nil
}

// removeAll removes records that never change, and returns how many of them were
// still there.
func (s *Store) removeAll(ctx context.Context, bucket string, keys [][]byte) (int, error) {
	if len(keys) == 0 {
		return 0, ctx.Err()
	}
	removed := 0
	err := s.write(ctx, func(w *writeTx) error {
		for _, key := range keys {
			if w.bucket(bucket).Get(key) == nil {
				continue
			}
			if err := w.remove(bucket, key); err != nil {
				return err
			}
			removed++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}
