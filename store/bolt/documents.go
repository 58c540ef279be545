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
	stored, err := s.ChangeDocuments(ctx, []store.Document{d}, nil)
	if err != nil {
		return store.Document{}, err
	}
	return stored[0], nil
}

// DeleteDocument is part of store.Documents.
func (s *Store) DeleteDocument(ctx context.Context, kind, id string, revision uint64) error {
	_, err := s.ChangeDocuments(ctx, nil, []store.Document{{Kind: kind, ID: id, Revision: revision}})
	return err
}

// ChangeDocuments is part of store.Documents.
func (s *Store) ChangeDocuments(ctx context.Context, put, remove []store.Document) ([]store.Document, error) {
	if err := store.ValidateOnce(put, remove); err != nil {
		return nil, err
	}
	changes, invalid := planDocuments(put, remove)
	if invalid != nil && len(changes) == 0 {
		return nil, invalid
	}
	var refusal error
	err := s.write(ctx, func(w *writeTx) error {
		for _, c := range changes {
			if refusal = c.check(w.bucket(bucketDocuments).Get(c.key)); refusal != nil {
				return nil
			}
		}
		if refusal = invalid; refusal != nil {
			return nil
		}
		return w.changeDocuments(changes)
	})
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	stored := make([]store.Document, 0, len(put))
	for _, c := range changes[:len(put)] {
		d, err := decodeDocument(c.kind, c.id, c.value)
		if err != nil {
			return nil, err
		}
		stored = append(stored, d)
	}
	return stored, nil
}

// documentChange puts a document, or removes it.
type documentChange struct {
	kind, id string
	revision uint64 // that it must have; 0: it must not be there
	key      []byte
	value    []byte // nil: it is removed
}

// planDocuments returns the changes up to the first one that is not valid, and why
// that is not.
func planDocuments(put, remove []store.Document) (changes []documentChange, invalid error) {
	for _, d := range put {
		if err := d.Validate(); err != nil {
			return changes, err
		}
		value := append(make([]byte, revisionBytes), d.Body...)
		changes = append(changes, documentChange{d.Kind, d.ID, d.Revision, documentKey(d.Kind, d.ID), value})
	}
	for _, d := range remove {
		if isDocumentName(d.Kind, d.ID) != nil {
			return changes, store.ErrNotFound
		}
		changes = append(changes, documentChange{d.Kind, d.ID, d.Revision, documentKey(d.Kind, d.ID), nil})
	}
	return changes, nil
}

// check returns why what is there may not be changed by who has seen a revision of
// it.
func (c documentChange) check(there []byte) error {
	current := uint64(0)
	if there != nil {
		var err error
		if current, err = revisionOf(there); err != nil {
			return unavailable(err)
		}
	}
	switch {
	case there == nil && c.value == nil:
		return store.ErrNotFound
	case current != c.revision:
		return store.ErrConflict
	}
	return nil
}

// changeDocuments makes changes that have been checked.
func (w *writeTx) changeDocuments(changes []documentChange) error {
	for _, c := range changes {
		if c.value == nil {
			continue
		}
		w.changed = true
		revision, err := w.bucket(bucketDocuments).NextSequence()
		if err != nil {
			return err
		}
		setRevision(c.value, revision)
	}
	// bbolt keeps what is new in a page as one list until the commit: out of order,
	// each of a hundred thousand would move half of those before it.
	changes = slices.Clone(changes)
	slices.SortFunc(changes, func(a, b documentChange) int { return bytes.Compare(a.key, b.key) })
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
