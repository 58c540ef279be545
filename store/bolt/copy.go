package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Copy = (*Store)(nil)

// What a copy has beside the buckets of every file. The buckets are made when they
// are needed: a store that was never a copy has none of them.
const (
	// bucketAhead has what was changed ahead of the position: letter of the bucket and
	// key of a record -> revision (8).
	bucketAhead = "ahead"
	// bucketStaging has the buckets that ReplaceAll fills.
	bucketStaging = "staging"
)

var (
	keyCopyOf   = []byte("copy.of")       // in meta: identity of the authority
	keyPosition = []byte("copy.position") // in meta: 8 bytes
)

// copiedBuckets are what a copy is made of, by the letters that bucketAhead has.
var copiedBuckets = map[byte]string{
	'b': bucketBindings, 'a': bucketArchive, 'd': bucketDocuments, 's': bucketSettings,
}

// CopyPosition is part of store.Copy.
func (s *Store) CopyPosition(ctx context.Context) (position uint64, of string, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		position, of = copyState(tx)
		return nil
	})
	return position, of, err
}

func copyState(tx *bbolt.Tx) (position uint64, of string) {
	meta := mustBucket(tx, bucketMeta)
	if value := meta.Get(keyPosition); len(value) == revisionBytes {
		position = be.Uint64(value)
	}
	return position, string(meta.Get(keyCopyOf))
}

// copyRow is a change on its way into the store.
type copyRow struct {
	letter byte // of copiedBuckets
	key    []byte
	value  []byte // nil: the record is gone
	change uint64 // revision of the change
	record uint64 // revision of the record that it comes with
}

// aheadKey is the row's key in bucketAhead.
func (r copyRow) aheadKey() []byte { return append([]byte{r.letter}, r.key...) }

func newCopyRow(c store.Change) (copyRow, error) {
	r := copyRow{change: c.Revision, record: c.RecordRevision()}
	var err error
	switch c.Kind {
	case store.ChangeBindingPut:
		r.letter, r.key = 'b', c.Hash[:]
		r.value, err = copiedBinding(c.Hash, c.Binding)
	case store.ChangeBindingRemoved:
		r.letter, r.key = 'b', c.Hash[:]
	case store.ChangeArchivedPut:
		r.letter, r.key = 'a', c.Hash[:]
		r.value, err = copiedEntry(c.Hash, c.Archived)
	case store.ChangeArchivedRemoved:
		r.letter, r.key = 'a', c.Hash[:]
	case store.ChangeDocumentPut, store.ChangeDocumentRemoved:
		r.letter = 'd'
		if err = isDocumentName(c.Document.Kind, c.Document.ID); err == nil {
			r.key = documentKey(c.Document.Kind, c.Document.ID)
		}
		if c.Kind == store.ChangeDocumentPut {
			r.value = encodeDocument(c.Document)
		}
	case store.ChangeSettingPut, store.ChangeSettingRemoved:
		r.letter, r.key = 's', []byte(c.Setting.Name)
		err = store.ValidateName(c.Setting.Name)
		if c.Kind == store.ChangeSettingPut {
			r.value = append([]byte{}, c.Setting.Value...) // of no bytes is not gone
		}
	default:
		err = fmt.Errorf("%w: kind %q", store.ErrInvalid, c.Kind)
	}
	if err != nil {
		return r, fmt.Errorf("change %d: %w", c.Revision, err)
	}
	return r, nil
}

func copiedBinding(hash store.KeyHash, b store.Binding) ([]byte, error) {
	if b.Hash != hash {
		return nil, fmt.Errorf("%w: binding %s of key %s", store.ErrInvalid, b.Hash, hash)
	}
	value, err := validBinding(b.Stored())
	if err == nil {
		setRevision(value, b.Revision)
	}
	return value, err
}

func copiedEntry(hash store.KeyHash, a store.ArchivedBinding) ([]byte, error) {
	e := archiveEntry{at: a.ArchivedAt.UnixMilli()}
	var err error
	if e.binding, err = copiedBinding(hash, a.Binding); err != nil {
		return nil, err
	}
	if a.Usage.Hits > 0 {
		e.usage = appendUsage(nil, a.Usage)
	}
	if h := encodeHistory(a.Usage); len(h) > emptyHistory {
		e.history = h
	}
	return e.encode(), nil
}

// isForNode reports whether a change is of a setting that a copy does not take.
func isForNode(c store.Change) bool {
	return c.Setting.Name != "" && store.IsNodeSetting(c.Setting.Name)
}

// ApplyChanges is part of store.Copy.
func (s *Store) ApplyChanges(ctx context.Context, changes []store.Change, position uint64) ([]store.Change, error) {
	rows := make([]copyRow, 0, len(changes))
	wanted := make([]store.Change, 0, len(changes))
	for _, c := range changes {
		if isForNode(c) {
			continue
		}
		row, err := newCopyRow(c)
		if err != nil {
			return nil, err
		}
		rows, wanted = append(rows, row), append(wanted, c)
	}
	var applied []store.Change
	err := s.write(ctx, func(w *writeTx) error {
		list, err := w.applyRows(rows, position)
		for _, i := range list {
			applied = append(applied, wanted[i])
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return applied, nil
}

// applyRows applies rows in their order, and returns the indexes of those that made a
// difference.
func (w *writeTx) applyRows(rows []copyRow, position uint64) (applied []int, err error) {
	was, _ := copyState(w.tx)
	for i, r := range rows {
		if r.change <= was {
			continue
		}
		isNew, err := w.applyRow(r)
		if err == nil && r.change > position {
			err = w.noteAhead(r)
		}
		if err != nil {
			return nil, err
		}
		if isNew {
			applied = append(applied, i)
		}
	}
	if position <= was {
		return applied, nil
	}
	return applied, errors.Join(
		w.put(bucketMeta, keyPosition, be.AppendUint64(nil, position)),
		w.forgetAhead(position))
}

// applyRow makes the record what a row says, unless what is known of it is newer, and
// reports whether that made a difference.
func (w *writeTx) applyRow(r copyRow) (isNew bool, err error) {
	bucket := copiedBuckets[r.letter]
	there := w.bucket(bucket).Get(r.key)
	if w.aheadOf(r.aheadKey()) > r.change {
		return false, nil
	}
	if r.letter == 'b' || r.letter == 'd' {
		if revision, err := revisionOf(there); err == nil && revision > r.record {
			return false, nil
		}
	}
	if there == nil && r.value == nil || there != nil && r.value != nil && bytes.Equal(there, r.value) {
		return false, nil
	}
	return true, w.setCopied(r.letter, r.key, r.value)
}

// setCopied puts a record as it is, or removes it, with what belongs to it.
func (w *writeTx) setCopied(letter byte, key, value []byte) error {
	bucket := copiedBuckets[letter]
	isThere := w.bucket(bucket).Get(key) != nil
	if letter == 'b' {
		hash := store.KeyHash(key)
		if value == nil && isThere {
			return w.unbind(hash)
		}
		if value != nil {
			w.note(change{hash: hash, kind: changePut, value: value})
		}
	}
	switch added := asNumber(value != nil) - asNumber(isThere); letter {
	case 'b':
		w.added += added
	case 'a':
		w.archived += added
	}
	if value == nil {
		return w.remove(bucket, key)
	}
	if err := w.put(bucket, key, value); err != nil || letter != 'b' && letter != 'd' {
		return err
	}
	return w.raiseSequence(bucket, be.Uint64(value))
}

func asNumber(is bool) int {
	if is {
		return 1
	}
	return 0
}

// raiseSequence lets the next revision of the store's own be higher than one that it
// was given.
func (w *writeTx) raiseSequence(bucket string, revision uint64) error {
	if b := w.bucket(bucket); b.Sequence() < revision {
		return b.SetSequence(revision)
	}
	return nil
}

// aheadOf returns the revision of the last change of a record that was applied ahead
// of the position; 0 if there is none.
func (w *writeTx) aheadOf(key []byte) uint64 {
	b := w.tx.Bucket([]byte(bucketAhead))
	if b == nil {
		return 0
	}
	revision, err := revisionOf(b.Get(key))
	if err != nil {
		return 0
	}
	return revision
}

// noteAhead notes that a change was applied ahead of the position.
func (w *writeTx) noteAhead(r copyRow) error {
	b, err := w.tx.CreateBucketIfNotExists([]byte(bucketAhead))
	if err != nil {
		return err
	}
	key := r.aheadKey()
	if w.aheadOf(key) >= r.change {
		return nil
	}
	w.changed = true
	return b.Put(key, be.AppendUint64(nil, r.change))
}

// forgetAhead forgets what is no longer ahead of the position.
func (w *writeTx) forgetAhead(position uint64) error {
	var reached [][]byte
	err := eachAhead(w.tx, func(key []byte, revision uint64) error {
		if revision <= position {
			reached = append(reached, bytes.Clone(key))
		}
		return nil
	})
	for _, key := range reached {
		err = errors.Join(err, w.remove(bucketAhead, key))
	}
	return err
}

// CopyAhead is part of store.Copy.
func (s *Store) CopyAhead(ctx context.Context) (highest uint64, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		return eachAhead(tx, func(_ []byte, revision uint64) error {
			highest = max(highest, revision)
			return nil
		})
	})
	return highest, err
}

// ForgetAhead is part of store.Copy.
func (s *Store) ForgetAhead(ctx context.Context) error {
	return s.write(ctx, (*writeTx).dropAhead)
}

func (w *writeTx) dropAhead() error {
	if w.tx.Bucket([]byte(bucketAhead)) == nil {
		return nil
	}
	w.changed = true
	return w.tx.DeleteBucket([]byte(bucketAhead))
}

// eachAhead calls fn for all that was changed ahead of the position.
func eachAhead(tx *bbolt.Tx, fn func(key []byte, revision uint64) error) error {
	b := tx.Bucket([]byte(bucketAhead))
	if b == nil {
		return nil
	}
	return b.ForEach(func(key, value []byte) error {
		revision, err := revisionOf(value)
		if err != nil {
			return err
		}
		return fn(key, revision)
	})
}

// leaveAuthority ends being a copy, when the store has changed something by itself:
// revisions of an authority would no longer tell what is newer.
func (w *writeTx) leaveAuthority() error {
	if _, of := copyState(w.tx); of == "" {
		return nil
	}
	return errors.Join(w.remove(bucketMeta, keyCopyOf), w.remove(bucketMeta, keyPosition))
}
