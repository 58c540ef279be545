package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

type documentKey struct{ kind, id string }

// Document is part of store.Documents.
func (s *Store) Document(ctx context.Context, kind, id string) (store.Document, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Document{}, err
	}
	defer leave()
	d, ok := s.documents[documentKey{kind, id}]
	if !ok {
		return store.Document{}, store.ErrNotFound
	}
	d.Body = bytes.Clone(d.Body)
	return d, nil
}

// ListDocuments is part of store.Documents.
func (s *Store) ListDocuments(ctx context.Context, kind string) ([]store.Document, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var list []store.Document
	for key, d := range s.documents {
		if key.kind == kind {
			d.Body = bytes.Clone(d.Body)
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b store.Document) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// PutDocument is part of store.Documents.
func (s *Store) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	if err := errors.Join(store.ValidateName(d.Kind), store.ValidateName(d.ID)); err != nil {
		return store.Document{}, fmt.Errorf("document: %w", err)
	}
	if !json.Valid(d.Body) {
		return store.Document{}, fmt.Errorf("%w: document %s %s is no JSON", store.ErrInvalid, d.Kind, d.ID)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Document{}, err
	}
	defer leave()
	key := documentKey{d.Kind, d.ID}
	if s.documents[key].Revision != d.Revision {
		return store.Document{}, store.ErrConflict
	}
	s.lastDocument++
	d.Revision, d.Body = s.lastDocument, bytes.Clone(d.Body)
	s.documents[key] = d
	d.Body = bytes.Clone(d.Body)
	return d, nil
}

// DeleteDocument is part of store.Documents.
func (s *Store) DeleteDocument(ctx context.Context, kind, id string, revision uint64) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	d, ok := s.documents[documentKey{kind, id}]
	switch {
	case !ok:
		return store.ErrNotFound
	case d.Revision != revision:
		return store.ErrConflict
	}
	delete(s.documents, documentKey{kind, id})
	return nil
}

// AppendAudit is part of store.AuditLog.
func (s *Store) AppendAudit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.AuditEntry{}, err
	}
	defer leave()
	s.lastAudit++
	e.ID, e.At = s.lastAudit, store.StoredTime(e.At)
	s.audit = append(s.audit, copyOfEntry(e))
	return copyOfEntry(e), nil
}

func copyOfEntry(e store.AuditEntry) store.AuditEntry {
	e.Before, e.After = bytes.Clone(e.Before), bytes.Clone(e.After)
	return e
}

// ListAudit is part of store.AuditLog.
func (s *Store) ListAudit(ctx context.Context, f store.AuditFilter) (store.AuditPage, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.AuditPage{}, err
	}
	defer leave()
	var page store.AuditPage
	for _, e := range slices.Backward(s.audit) {
		if !f.Matches(e) {
			continue
		}
		if len(page.Entries) == pageSize(f.Limit) {
			page.Next = page.Entries[len(page.Entries)-1].ID
			break
		}
		page.Entries = append(page.Entries, copyOfEntry(e))
	}
	return page, nil
}

// DeleteAudit is part of store.AuditLog.
func (s *Store) DeleteAudit(ctx context.Context, before time.Time, limit int) (int, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	n := 0
	s.audit = slices.DeleteFunc(s.audit, func(e store.AuditEntry) bool { return takes(&n, limit, e.At.Before(before)) })
	return n, nil
}
