package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

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
	if err := isDocumentName(d.Kind, d.ID); err != nil {
		return store.Document{}, fmt.Errorf("document: %w", err)
	}
	if !json.Valid(d.Body) {
		return store.Document{}, fmt.Errorf("%w: document %s %s is no JSON", store.ErrInvalid, d.Kind, d.ID)
	}
	key, value := documentKey(d.Kind, d.ID), append(make([]byte, revisionBytes), d.Body...)
	stored := d
	stored.Body = bytes.Clone(d.Body)
	var refusal error
	err := s.write(ctx, func(w *writeTx) (err error) {
		bucket := w.bucket(bucketDocuments)
		if refusal = checkDocument(bucket.Get(key), d.Revision); refusal != nil {
			return nil
		}
		w.changed = true
		if stored.Revision, err = bucket.NextSequence(); err != nil {
			return err
		}
		setRevision(value, stored.Revision)
		return w.put(bucketDocuments, key, value)
	})
	if err != nil {
		return store.Document{}, err
	}
	if refusal != nil {
		return store.Document{}, refusal
	}
	return stored, nil
}

// checkDocument returns why what is there may not be replaced by who has seen a
// revision of it: 0 for nothing.
func checkDocument(there []byte, revision uint64) error {
	current := uint64(0)
	if there != nil {
		var err error
		if current, err = revisionOf(there); err != nil {
			return unavailable(err)
		}
	}
	if current != revision {
		return store.ErrConflict
	}
	return nil
}

// DeleteDocument is part of store.Documents.
func (s *Store) DeleteDocument(ctx context.Context, kind, id string, revision uint64) error {
	if isDocumentName(kind, id) != nil {
		kind, id = "", "" // which no document has
	}
	key := documentKey(kind, id)
	var refusal error
	err := s.write(ctx, func(w *writeTx) error {
		there := w.bucket(bucketDocuments).Get(key)
		if there == nil {
			refusal = store.ErrNotFound
			return nil
		}
		if refusal = checkDocument(there, revision); refusal != nil {
			return nil
		}
		return w.remove(bucketDocuments, key)
	})
	if err != nil {
		return err
	}
	return refusal
}
