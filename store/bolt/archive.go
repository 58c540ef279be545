package bolt

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// entryHead is the length of what stands before the records of an archive entry:
// the time (8), and the lengths of usage (4) and history (4).
const entryHead = 16

// archiveEntry is an entry as it is stored: the head, and then usage, history and
// binding, each as it was in its bucket.
type archiveEntry struct {
	at                      int64
	usage, history, binding []byte
}

func (e archiveEntry) encode() []byte {
	out := make([]byte, 0, entryHead+len(e.usage)+len(e.history)+len(e.binding))
	out = be.AppendUint64(out, uint64(e.at))           // #nosec G115 -- decoded the same way
	out = be.AppendUint32(out, uint32(len(e.usage)))   // #nosec G115 -- short
	out = be.AppendUint32(out, uint32(len(e.history))) // #nosec G115 -- short
	return append(append(append(out, e.usage...), e.history...), e.binding...)
}

// archivedAt reads the time alone.
func archivedAt(value []byte) (time.Time, error) {
	if len(value) < entryHead {
		return time.Time{}, damaged("archive entry of %d bytes", len(value))
	}
	return time.UnixMilli(int64(be.Uint64(value))).UTC(), nil // #nosec G115 -- as encoded
}

// cutEntry tells the parts of an entry apart. A part that is not there is nil.
func cutEntry(value []byte) (e archiveEntry, err error) {
	at, err := archivedAt(value)
	if err != nil {
		return e, err
	}
	usage, history := int64(be.Uint32(value[8:])), int64(be.Uint32(value[12:]))
	rest := value[entryHead:]
	if int64(len(rest)) < usage+history {
		return e, damaged("archive entry of %d bytes", len(value))
	}
	e = archiveEntry{at: at.UnixMilli(), binding: rest[usage+history:]}
	if usage > 0 {
		e.usage = rest[:usage]
	}
	if history > 0 {
		e.history = rest[usage : usage+history]
	}
	return e, nil
}

func decodeEntry(key, value []byte) (a store.ArchivedBinding, err error) {
	e, err := cutEntry(value)
	if err != nil {
		return a, err
	}
	a.ArchivedAt = time.UnixMilli(e.at).UTC()
	if a.Binding, err = decodeBinding(key, e.binding); err != nil {
		return a, err
	}
	a.Usage, err = decodeWholeUsage(e.usage, e.history)
	return a, err
}

// ArchiveBindings is part of store.Archive.
func (s *Store) ArchiveBindings(ctx context.Context, hashes []store.KeyHash, idleSince, at time.Time) ([]store.KeyHash, error) {
	if len(hashes) > store.ArchiveChunk {
		return nil, fmt.Errorf("%w: %d bindings to archive, at most %d", store.ErrInvalid, len(hashes), store.ArchiveChunk)
	}
	given := append([]store.KeyHash(nil), hashes...)
	var moved []store.KeyHash
	if err := s.settleAll(ctx); err != nil { // or the transaction would do it, for one key after the other
		return nil, err
	}
	err := s.write(ctx, func(w *writeTx) error {
		for _, hash := range given {
			isMoved, err := w.archive(hash, idleSince, at)
			if err != nil {
				return err
			}
			if isMoved {
				moved = append(moved, hash)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return moved, nil
}

// archive moves a binding into the archive, if it is there, idle and not banned.
// One that cannot be read stays where it is.
func (w *writeTx) archive(hash store.KeyHash, idleSince, at time.Time) (moved bool, err error) {
	value := w.bucket(bucketBindings).Get(hash[:])
	if value == nil {
		return false, nil
	}
	if err := w.settleKey(hash); err != nil {
		return false, err
	}
	b, err := decodeBinding(hash[:], value)
	if err != nil {
		return false, nil //nolint:nilerr // it stays, and does not hold up the others
	}
	usage := w.bucket(bucketUsage).Get(hash[:])
	u, err := decodeUsage(usage)
	if err != nil {
		u, usage = store.Usage{}, nil // as addTouch takes it
	}
	if b.Status == store.StatusBanned || !(store.BindingFilter{IdleSince: idleSince}).Matches(b, u) {
		return false, nil
	}
	entry := archiveEntry{at.UnixMilli(), usage, w.bucket(bucketHistory).Get(hash[:]), value}.encode()
	if w.bucket(bucketArchive).Get(hash[:]) == nil {
		w.archived++
	}
	if err := w.put(bucketArchive, hash[:], entry); err != nil {
		return false, err
	}
	if _, err := w.nextRevision(); err != nil {
		return false, err
	}
	return true, w.unbind(hash)
}

// RestoreBinding is part of store.Archive.
func (s *Store) RestoreBinding(ctx context.Context, hash store.KeyHash, at time.Time) (b store.Binding, err error) {
	var refusal error
	err = s.write(ctx, func(w *writeTx) (err error) {
		value := w.bucket(bucketArchive).Get(hash[:])
		switch {
		case value == nil:
			refusal = store.ErrNotFound
			return nil
		case w.bucket(bucketBindings).Get(hash[:]) != nil:
			refusal = store.ErrConflict
			return nil
		}
		entry, entryErr := cutEntry(value)
		restored, decodeErr := decodeBinding(hash[:], entry.binding)
		if err := errors.Join(entryErr, decodeErr); err != nil {
			refusal = unavailable(err)
			return nil
		}
		restored.CreatedAt, restored.UpdatedAt = store.StoredTime(at), store.StoredTime(at)
		b, err = w.restore(restored, entry)
		return err
	})
	if err != nil {
		return store.Binding{}, err
	}
	if refusal != nil {
		return store.Binding{}, refusal
	}
	return b, nil
}

// restore puts back what an entry holds, and removes the entry.
func (w *writeTx) restore(b store.Binding, e archiveEntry) (store.Binding, error) {
	usage, history := bytes.Clone(e.usage), bytes.Clone(e.history) // e lies in a page that changes
	value, err := encodeBinding(b)
	if err != nil {
		return b, err
	}
	w.archived--
	w.added++
	if err := w.remove(bucketArchive, b.Hash[:]); err != nil {
		return b, err
	}
	if b.Revision, err = w.putBinding(b.Hash, value); err != nil {
		return b, err
	}
	if usage != nil {
		if err := w.putUsage(b.Hash, usage); err != nil {
			return b, err
		}
	}
	if history != nil {
		return b, w.put(bucketHistory, b.Hash[:], history)
	}
	return b, nil
}

// Archived is part of store.Archive.
func (s *Store) Archived(ctx context.Context, hash store.KeyHash) (a store.ArchivedBinding, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		value := mustBucket(tx, bucketArchive).Get(hash[:])
		if value == nil {
			return store.ErrNotFound
		}
		a, err = decodeEntry(hash[:], value)
		return err
	})
	return a, err
}

// archiveBudget is how many entries one page of the archive looks at.
const archiveBudget = 10_000

// FindArchived is part of store.Archive.
func (s *Store) FindArchived(ctx context.Context, q store.ArchiveQuery) (page store.ArchivePage, err error) {
	var after store.KeyHash
	if q.After != "" {
		in, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
		if err != nil || len(in) != len(after) {
			return page, fmt.Errorf("%w: cursor is none of the archive", store.ErrInvalid)
		}
		after = store.KeyHash(in)
	}
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		page, err = findArchived(ctx, tx, q, after)
		return err
	})
	s.trimNow()
	if err != nil {
		return store.ArchivePage{}, err
	}
	return page, nil
}

func findArchived(ctx context.Context, tx *bbolt.Tx, q store.ArchiveQuery, after store.KeyHash) (page store.ArchivePage, err error) {
	limit := pageLimit(q.Limit)
	last := after // looked at
	c := mustBucket(tx, bucketArchive).Cursor()
	k, v := c.Seek(after[:])
	if bytes.Equal(k, after[:]) {
		k, v = c.Next()
	}
	for looked := 0; k != nil; k, v = c.Next() {
		if err := goOn(ctx, looked); err != nil {
			return page, err
		}
		if looked++; looked > archiveBudget {
			page.Next = archiveCursor(last)
			return page, nil
		}
		a, chosen, err := lookAtEntry(k, v, &q)
		if err != nil {
			return page, err
		}
		if chosen && len(page.Rows) == limit {
			page.Next = archiveCursor(page.Rows[limit-1].Binding.Hash)
			return page, nil
		}
		if chosen {
			page.Rows = append(page.Rows, a)
		}
		last = store.KeyHash(k)
	}
	return page, nil
}

// lookAtEntry decodes an entry if its time is asked for.
func lookAtEntry(k, v []byte, q *store.ArchiveQuery) (a store.ArchivedBinding, chosen bool, err error) {
	at, err := archivedAt(v)
	if err != nil || !q.Archived.Contains(at) {
		return a, false, err
	}
	if a, err = decodeEntry(k, v); err != nil {
		return a, false, err
	}
	return a, q.Filter.Matches(a.Binding, a.Usage), nil
}

func archiveCursor(hash store.KeyHash) string { return base64.RawURLEncoding.EncodeToString(hash[:]) }

// CountArchived is part of store.Archive.
func (s *Store) CountArchived(ctx context.Context) (n int, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		n, err = count(tx, keyArchived)
		return err
	})
	return n, err
}

// PurgeArchive is part of store.Archive. What is to be removed is looked for
// first, so that others wait for the removal only.
func (s *Store) PurgeArchive(ctx context.Context, before time.Time, limit int) (int, error) {
	var hashes []store.KeyHash
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		hashes, err = archivedBefore(ctx, tx, before, limit)
		return err
	})
	s.trimNow()
	if err != nil || len(hashes) == 0 {
		return 0, err
	}
	purged := 0
	err = s.write(ctx, func(w *writeTx) error {
		for _, hash := range hashes {
			value := w.bucket(bucketArchive).Get(hash[:])
			if at, err := archivedAt(value); err != nil || !at.Before(before) {
				continue // it is gone, or a newer one
			}
			if err := w.remove(bucketArchive, hash[:]); err != nil {
				return err
			}
			w.archived--
			w.isOwn = true
			purged++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return purged, nil
}

// archivedBefore returns some of the keys that were archived before a time.
func archivedBefore(ctx context.Context, tx *bbolt.Tx, before time.Time, limit int) (hashes []store.KeyHash, err error) {
	c := mustBucket(tx, bucketArchive).Cursor()
	looked := 0
	for k, v := c.First(); k != nil && len(hashes) < limit; k, v = c.Next() {
		looked++
		if err := goOn(ctx, looked); err != nil {
			return nil, err
		}
		at, err := archivedAt(v)
		if err != nil {
			return nil, err
		}
		if len(k) != len(store.KeyHash{}) {
			return nil, damaged("archive entry with a key of %d bytes", len(k))
		}
		if at.Before(before) {
			hashes = append(hashes, store.KeyHash(k))
		}
	}
	return hashes, nil
}
