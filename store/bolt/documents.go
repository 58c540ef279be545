package bolt

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// documentKey is the length of the kind, the kind and the ID: all of a kind are
// together, in the order of their IDs.
func documentKey(kind, id string) []byte {
	key := make([]byte, 0, 1+len(kind)+len(id))
	key = append(key, byte(len(kind))) // #nosec G115 -- at most MaxNameBytes
	return append(append(key, kind...), id...)
}

func encodeDocument(d store.Document) []byte {
	return append(be.AppendUint64(nil, d.Revision), d.Body...)
}

func decodeDocument(kind, id string, value []byte) (store.Document, error) {
	revision, err := revisionOf(value)
	if err != nil {
		return store.Document{}, err
	}
	return store.Document{Kind: kind, ID: id, Revision: revision, Body: bytes.Clone(value[revisionBytes:])}, nil
}

// isDocumentName reports whether a document can have that kind and ID.
func isDocumentName(kind, id string) error {
	return errors.Join(store.ValidateName(kind), store.ValidateName(id))
}

// Document is part of store.Documents.
func (s *Store) Document(ctx context.Context, kind, id string) (d store.Document, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		if isDocumentName(kind, id) != nil {
			return store.ErrNotFound
		}
		value := mustBucket(tx, bucketDocuments).Get(documentKey(kind, id))
		if value == nil {
			return store.ErrNotFound
		}
		d, err = decodeDocument(kind, id, value)
		return err
	})
	return d, err
}

// ListDocuments is part of store.Documents.
func (s *Store) ListDocuments(ctx context.Context, kind string) ([]store.Document, error) {
	var list []store.Document
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		if store.ValidateName(kind) != nil {
			return nil
		}
		prefix := documentKey(kind, "")
		c := mustBucket(tx, bucketDocuments).Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			d, err := decodeDocument(kind, string(k[len(prefix):]), v)
			if err != nil {
				return err
			}
			list = append(list, d)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// PutDocument is part of store.Documents.
func (s *Store) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	return store.PutOne(ctx, s, d)
}

// DeleteDocument is part of store.Documents.
func (s *Store) DeleteDocument(ctx context.Context, kind, id string, revision uint64) error {
	return store.DeleteOne(ctx, s, kind, id, revision)
}

// ChangeDocuments is part of store.Documents.
func (s *Store) ChangeDocuments(ctx context.Context, put, remove []store.Document) ([]store.Document, error) {
	if err := store.ValidateOnce(put, remove); err != nil {
		return nil, err
	}
	put, remove = store.CloneDocuments(put), slices.Clone(remove)
	var refusal error
	err := s.write(ctx, func(w *writeTx) error {
		if refusal = store.CheckDocuments(put, remove, w.documentRevision); refusal != nil {
			return nil
		}
		return w.changeDocuments(put, remove)
	})
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	return put, nil
}

// documentRevision returns the revision of a document; 0: it is not there.
func (w *writeTx) documentRevision(kind, id string) (uint64, error) {
	if isDocumentName(kind, id) != nil {
		return 0, nil
	}
	value := w.bucket(bucketDocuments).Get(documentKey(kind, id))
	if value == nil {
		return 0, nil
	}
	revision, err := revisionOf(value)
	if err != nil {
		return 0, unavailable(err)
	}
	return revision, nil
}

// changeDocuments makes changes that have been checked, and sets the revisions of
// what it puts.
func (w *writeTx) changeDocuments(put, remove []store.Document) error {
	type change struct{ key, value []byte } // without a value: it is removed
	w.isOwn = w.isOwn || len(put)+len(remove) > 0
	changes := make([]change, 0, len(put)+len(remove))
	for i := range put {
		d := &put[i]
		w.changed = true
		var err error
		if d.Revision, err = w.bucket(bucketDocuments).NextSequence(); err != nil {
			return err
		}
		changes = append(changes, change{documentKey(d.Kind, d.ID), encodeDocument(*d)})
	}
	for _, d := range remove {
		changes = append(changes, change{documentKey(d.Kind, d.ID), nil})
	}
	// bbolt keeps what is new in a page as one list until the commit: out of order,
	// each of a hundred thousand would move half of those before it.
	slices.SortFunc(changes, func(a, b change) int { return bytes.Compare(a.key, b.key) })
	for _, c := range changes {
		var err error
		if c.value == nil {
			err = w.remove(bucketDocuments, c.key)
		} else {
			err = w.put(bucketDocuments, c.key, c.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
