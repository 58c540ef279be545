package memory

import (
	"bytes"
	"context"
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
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := s.checkDocumentsLocked(put, remove); err != nil {
		return nil, err
	}
	return s.changeDocumentsLocked(put, remove), nil
}

// changeDocumentsLocked makes changes that have been checked.
func (s *Store) changeDocumentsLocked(put, remove []store.Document) []store.Document {
	if len(put)+len(remove) > 0 {
		s.ownChangeLocked()
	}
	stored := make([]store.Document, 0, len(put))
	for _, d := range put {
		s.lastDocument++
		d.Revision, d.Body = s.lastDocument, bytes.Clone(d.Body)
		s.documents[documentKey{d.Kind, d.ID}] = d
		d.Body = bytes.Clone(d.Body)
		stored = append(stored, d)
	}
	for _, d := range remove {
		delete(s.documents, documentKey{d.Kind, d.ID})
	}
	return stored
}

// checkDocumentsLocked returns the error of the first change that cannot be made.
func (s *Store) checkDocumentsLocked(put, remove []store.Document) error {
	return store.CheckDocuments(put, remove, func(kind, id string) (uint64, error) {
		return s.documents[documentKey{kind, id}].Revision, nil
	})
}

// AppendAudit is part of store.AuditLog.
func (s *Store) AppendAudit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.AuditEntry{}, err
	}
	defer leave()
	return s.appendAuditLocked(e), nil
}

func (s *Store) appendAuditLocked(e store.AuditEntry) store.AuditEntry {
	s.lastAudit++
	e.ID, e.At = s.lastAudit, store.StoredTime(e.At)
	s.audit = append(s.audit, copyOfEntry(e))
	return copyOfEntry(e)
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
