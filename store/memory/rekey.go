package memory

import (
	"context"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Rekey is part of store.Rekeyer.
func (s *Store) Rekey(ctx context.Context, r store.Rekeying) (store.Rekeyed, error) {
	if err := r.Validate(); err != nil {
		return store.Rekeyed{}, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Rekeyed{}, err
	}
	defer leave()
	b, isBound := s.bindings[r.From]
	_, isTaken := s.bindings[r.To]
	entry, isArchived := s.archive[r.From]
	switch {
	case !isBound && !isArchived:
		return store.Rekeyed{}, store.ErrNotFound
	case b.Revision != r.Revision || isBound && isTaken:
		return store.Rekeyed{}, store.ErrConflict
	}
	if err := s.checkDocumentsLocked(r.Put, nil); err != nil {
		return store.Rekeyed{}, err
	}
	out := store.Rekeyed{Archived: isArchived}
	if isBound {
		out.Binding = s.rekeyBindingLocked(b, r)
	}
	if isArchived {
		s.rekeyEntryLocked(entry, r)
	}
	out.Documents = s.changeDocumentsLocked(r.Put, nil)
	return out, nil
}

func (s *Store) rekeyBindingLocked(b store.Binding, r store.Rekeying) store.Binding {
	b.Hash, b.HashedWith = r.To, r.HashedWith
	b = s.putLocked(b)
	if u, isUsed := s.usage[r.From]; isUsed {
		s.usage[r.To] = u
	}
	delete(s.bindings, r.From)
	delete(s.usage, r.From)
	s.lastRevision++
	return b
}

func (s *Store) rekeyEntryLocked(entry store.ArchivedBinding, r store.Rekeying) {
	s.ownChangeLocked()
	entry.Binding.Hash, entry.Binding.HashedWith = r.To, r.HashedWith
	if there, isThere := s.archive[r.To]; !isThere || there.ArchivedAt.Before(entry.ArchivedAt) {
		s.archive[r.To] = entry
	}
	delete(s.archive, r.From)
}
