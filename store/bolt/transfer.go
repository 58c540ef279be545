package bolt

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Transfer = (*Store)(nil)

// classBuckets are where the records of each class are.
var classBuckets = map[store.Class]string{
	store.ClassSettings: bucketSettings, store.ClassDocuments: bucketDocuments, store.ClassBindings: bucketBindings,
	store.ClassArchive: bucketArchive, store.ClassIntercepts: bucketIntercepts, store.ClassCounters: bucketCounters, store.ClassAudit: bucketAudit,
}

// Export is part of store.Transfer.
func (s *Store) Export(ctx context.Context, class store.Class, after string, limit int) (chunk store.Chunk, err error) {
	bucket, isKnown := classBuckets[class]
	from, err := hex.DecodeString(after)
	if err != nil || !isKnown {
		return chunk, fmt.Errorf("%w: %s after %q", store.ErrInvalid, class, after)
	}
	if class == store.ClassBindings {
		if err := s.settleAll(ctx); err != nil {
			return chunk, err
		}
	}
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		chunk = store.Chunk{Class: class}
		c := mustBucket(tx, bucket).Cursor()
		k, v := c.Seek(from)
		if len(from) > 0 && bytes.Equal(k, from) {
			k, v = c.Next()
		}
		for ; k != nil; k, v = c.Next() {
			if chunk.Len() == max(limit, 1) {
				chunk.Next = hex.EncodeToString(from)
				return nil
			}
			if err := exportRecord(tx, &chunk, k, v); err != nil {
				return err
			}
			from = bytes.Clone(k)
		}
		return nil
	})
	s.trimNow()
	return chunk, err
}

// exportRecord adds one record to a chunk.
func exportRecord(tx *bbolt.Tx, chunk *store.Chunk, k, v []byte) (err error) {
	switch chunk.Class {
	case store.ClassSettings:
		if store.IsMoved(string(k)) {
			chunk.Settings = append(chunk.Settings, store.Setting{Name: string(k), Value: bytes.Clone(v)})
		}
	case store.ClassDocuments:
		err = exportDocument(chunk, k, v)
	case store.ClassBindings:
		var row store.BindingRow
		if row.Binding, err = decodeBinding(k, v); err == nil {
			row.Usage, err = decodeWholeUsage(mustBucket(tx, bucketUsage).Get(k), mustBucket(tx, bucketHistory).Get(k))
		}
		chunk.Bindings = append(chunk.Bindings, row)
	case store.ClassArchive:
		var a store.ArchivedBinding
		a, err = decodeEntry(k, v)
		chunk.Archived = append(chunk.Archived, a)
	case store.ClassIntercepts:
		var r store.Intercept
		r, err = decodeIntercept(k, v)
		chunk.Intercepts = append(chunk.Intercepts, r)
	case store.ClassCounters:
		if len(k) < 8 {
			return damaged("counter with a key of %d bytes", len(k))
		}
		var n uint64
		n, err = counterValue(v)
		chunk.Counters = append(chunk.Counters, store.Counter{Hour: keyHour(k), Name: string(k[8:]), N: n})
	case store.ClassAudit:
		var e store.AuditEntry
		e, err = decodeAudit(bytes.Clone(k), bytes.Clone(v))
		chunk.Audit = append(chunk.Audit, e)
	}
	return err
}

// exportDocument reads what documentKey has made.
func exportDocument(chunk *store.Chunk, k, v []byte) error {
	if len(k) == 0 || len(k) < 1+int(k[0]) {
		return damaged("document with a key of %d bytes", len(k))
	}
	d, err := decodeDocument(string(k[1:1+k[0]]), string(k[1+k[0]:]), v)
	chunk.Documents = append(chunk.Documents, d)
	return err
}

// Import is part of store.Transfer.
func (s *Store) Import(ctx context.Context, chunk store.Chunk, mark store.Migration) error {
	raw, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	records, err := importedRecords(chunk)
	if err != nil {
		return err
	}
	return s.write(ctx, func(w *writeTx) error {
		w.isOwn = true
		for _, r := range records {
			if err := w.importRecord(r); err != nil {
				return err
			}
		}
		if err := w.importIntercepts(records); err != nil {
			return err
		}
		return w.put(bucketSettings, []byte(store.MoveMark), raw)
	})
}

// importedRecord is a record on its way into the store.
type importedRecord struct {
	bucket   string
	key      []byte
	value    []byte
	sequence uint64 // which the bucket's is to reach

	usage, history []byte          // of a binding
	intercept      store.Intercept // of one
}

func importedRecords(chunk store.Chunk) (list []importedRecord, err error) {
	bucket := classBuckets[chunk.Class]
	add := func(key, value []byte, sequence uint64, recordErr error) *importedRecord {
		err = errors.Join(err, recordErr)
		list = append(list, importedRecord{bucket: bucket, key: key, value: value, sequence: sequence})
		return &list[len(list)-1]
	}
	for _, c := range chunk.Settings {
		add([]byte(c.Name), append([]byte{}, c.Value...), 0, store.ValidateName(c.Name))
	}
	for _, d := range chunk.Documents {
		add(documentKey(d.Kind, d.ID), encodeDocument(d), d.Revision, d.Validate())
	}
	for _, row := range chunk.Bindings {
		value, valueErr := copiedBinding(row.Binding.Hash, row.Binding)
		r := add(row.Binding.Hash[:], value, row.Binding.Revision, valueErr)
		if row.Usage.Hits > 0 {
			r.usage = appendUsage(nil, row.Usage)
		}
		if h := encodeHistory(row.Usage); len(h) > emptyHistory {
			r.history = h
		}
	}
	for _, a := range chunk.Archived {
		value, valueErr := copiedEntry(a.Binding.Hash, a)
		add(a.Binding.Hash[:], value, 0, valueErr)
	}
	for _, i := range chunk.Intercepts {
		value, valueErr := encodeIntercept(i)
		add(interceptKey(i.ID), value, i.ID, valueErr).intercept = i
	}
	for _, c := range chunk.Counters {
		add(append(hourKey(store.StoredHour(c.Hour)), c.Name...), be.AppendUint64(nil, c.N), 0, store.ValidateName(c.Name))
	}
	for _, e := range chunk.Audit {
		value, valueErr := encodeAudit(e)
		add(interceptKey(e.ID), value, e.ID, valueErr)
	}
	return list, err
}

// importRecord puts a record, with what belongs to it.
func (w *writeTx) importRecord(r importedRecord) error {
	bucket := w.bucket(r.bucket)
	isNew := asNumber(bucket.Get(r.key) == nil)
	if err := w.put(r.bucket, r.key, r.value); err != nil {
		return err
	}
	switch r.bucket {
	case bucketArchive:
		w.archived += isNew
	case bucketBindings:
		w.added += isNew
		w.note(change{hash: store.KeyHash(r.key), kind: changePut, value: r.value})
		if err := errors.Join(w.settleKey(store.KeyHash(r.key)), w.importUsage(r)); err != nil {
			return err
		}
	}
	return w.raiseSequence(r.bucket, r.sequence)
}

func (w *writeTx) importUsage(r importedRecord) (err error) {
	if r.usage != nil {
		err = w.putUsage(store.KeyHash(r.key), r.usage)
	}
	if r.history != nil {
		err = errors.Join(err, w.put(bucketHistory, r.key, r.history))
	}
	return err
}

// importIntercepts brings the summaries of the blocks up to date.
func (w *writeTx) importIntercepts(records []importedRecord) error {
	blocks := map[uint64]*block{}
	for _, r := range records {
		if r.bucket != bucketIntercepts {
			continue
		}
		number := blockOf(r.intercept.ID)
		if blocks[number] == nil {
			b, err := w.openBlock(number)
			if err != nil {
				return err
			}
			blocks[number] = b
		}
		blocks[number].add(r.intercept.Hash, r.intercept.At.UnixMilli())
	}
	for number, b := range blocks {
		if err := w.putBlock(number, b); err != nil {
			return err
		}
	}
	return nil
}
