package memory

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// FindBindings is part of store.Catalog.
func (s *Store) FindBindings(ctx context.Context, q store.BindingQuery) (store.BindingPage, error) {
	if q.Sort == "" {
		q.Sort = store.SortCreated
	}
	if !slices.Contains(store.BindingSorts, q.Sort) {
		return store.BindingPage{}, fmt.Errorf("%w: order %q", store.ErrInvalid, q.Sort)
	}
	compare := q.Sort.Compare
	if q.Descending {
		compare = func(a, b store.BindingRow) int { return q.Sort.Compare(b, a) }
	}
	after, err := parseCursor(q)
	if err != nil {
		return store.BindingPage{}, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.BindingPage{}, err
	}
	defer leave()
	var rows []store.BindingRow
	for _, b := range s.bindings {
		if u := s.usage[b.Hash]; q.Filter.Matches(b, u) {
			u.Days, u.Addresses = nil, nil
			rows = append(rows, store.BindingRow{Binding: b.Stored(), Usage: u})
		}
	}
	slices.SortFunc(rows, compare)
	page := store.BindingPage{Total: len(rows)}
	if after != nil {
		rows = slices.DeleteFunc(rows, func(r store.BindingRow) bool { return compare(r, *after) <= 0 })
	}
	page.Rows = rows[:min(pageSize(q.Limit), len(rows))]
	if len(page.Rows) < len(rows) {
		page.Next = newCursor(q, page.Rows[len(page.Rows)-1])
	}
	return page, nil
}

// cursor is what orders the last row of a page.
type cursor struct {
	Sort              store.BindingSort
	Descending        bool
	Hash              store.KeyHash
	Created, LastUsed time.Time
	Hits              uint64
	Hint, Label       []byte
}

func newCursor(q store.BindingQuery, r store.BindingRow) string {
	text, err := json.Marshal(cursor{
		q.Sort, q.Descending, r.Binding.Hash, r.Binding.CreatedAt, r.Usage.LastUsed, r.Usage.Hits,
		[]byte(r.Binding.Hint), []byte(r.Binding.Label),
	})
	if err != nil {
		panic(err) // of a time in no year, which no test has
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseCursor returns the row that a page begins behind, or nil for the first page.
func parseCursor(q store.BindingQuery) (*store.BindingRow, error) {
	if q.After == "" {
		return nil, nil
	}
	var c cursor
	text, err := base64.RawURLEncoding.DecodeString(q.After)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || c.Sort != q.Sort || c.Descending != q.Descending {
		return nil, fmt.Errorf("%w: cursor is none of order %q", store.ErrInvalid, q.Sort)
	}
	return &store.BindingRow{
		Binding: store.Binding{Hash: c.Hash, CreatedAt: c.Created, Hint: string(c.Hint), Label: string(c.Label)},
		Usage:   store.Usage{LastUsed: c.LastUsed, Hits: c.Hits},
	}, nil
}

func pageSize(limit int) int {
	if limit == 0 {
		return store.DefaultPage
	}
	return max(1, min(limit, store.MaxPage))
}

// ArchiveBindings is part of store.Archive.
func (s *Store) ArchiveBindings(ctx context.Context, hashes []store.KeyHash, idleSince, at time.Time) ([]store.KeyHash, error) {
	if len(hashes) > store.ArchiveChunk {
		return nil, fmt.Errorf("%w: %d bindings to archive, at most %d", store.ErrInvalid, len(hashes), store.ArchiveChunk)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var moved []store.KeyHash
	for _, hash := range hashes {
		b, ok := s.bindings[hash]
		u := s.usage[hash]
		if !ok || b.Status == store.StatusBanned || !(store.BindingFilter{IdleSince: idleSince}).Matches(b, u) {
			continue
		}
		s.archive[hash] = store.ArchivedBinding{Binding: b, Usage: u, ArchivedAt: store.StoredTime(at)}
		delete(s.bindings, hash)
		delete(s.usage, hash)
		s.ownChangeLocked()
		s.lastRevision++
		moved = append(moved, hash)
	}
	return moved, nil
}

// RestoreBinding is part of store.Archive.
func (s *Store) RestoreBinding(ctx context.Context, hash store.KeyHash, at time.Time) (store.Binding, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Binding{}, err
	}
	defer leave()
	a, ok := s.archive[hash]
	if !ok {
		return store.Binding{}, store.ErrNotFound
	}
	if _, bound := s.bindings[hash]; bound {
		return store.Binding{}, store.ErrConflict
	}
	a.Binding.CreatedAt, a.Binding.UpdatedAt = at, at
	delete(s.archive, hash)
	if a.Usage.Hits > 0 || len(a.Usage.Days) > 0 {
		s.usage[hash] = a.Usage
	}
	return s.putLocked(a.Binding), nil
}

// Archived is part of store.Archive.
func (s *Store) Archived(ctx context.Context, hash store.KeyHash) (store.ArchivedBinding, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.ArchivedBinding{}, err
	}
	defer leave()
	a, ok := s.archive[hash]
	if !ok {
		return store.ArchivedBinding{}, store.ErrNotFound
	}
	return copyOf(a), nil
}

func copyOf(a store.ArchivedBinding) store.ArchivedBinding {
	a.Binding, a.Usage = a.Binding.Stored(), copyOfUsage(a.Usage)
	return a
}

func copyOfUsage(u store.Usage) store.Usage {
	u.Days, u.Addresses = slices.Clone(u.Days), slices.Clone(u.Addresses)
	for i := range u.Days {
		u.Days[i].Networks = slices.Clone(u.Days[i].Networks)
	}
	return u
}

// FindArchived is part of store.Archive.
func (s *Store) FindArchived(ctx context.Context, q store.ArchiveQuery) (store.ArchivePage, error) {
	after, err := hex.DecodeString(q.After)
	if err != nil || len(after) != 0 && len(after) != len(store.KeyHash{}) {
		return store.ArchivePage{}, fmt.Errorf("%w: cursor is none of the archive", store.ErrInvalid)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.ArchivePage{}, err
	}
	defer leave()
	var page store.ArchivePage
	for _, a := range s.archive {
		if q.Filter.Matches(a.Binding, a.Usage) && q.Archived.Contains(a.ArchivedAt) && bytes.Compare(a.Binding.Hash[:], after) > 0 {
			page.Rows = append(page.Rows, copyOf(a))
		}
	}
	slices.SortFunc(page.Rows, func(a, b store.ArchivedBinding) int { return bytes.Compare(a.Binding.Hash[:], b.Binding.Hash[:]) })
	if n := pageSize(q.Limit); len(page.Rows) > n {
		page.Rows = page.Rows[:n]
		page.Next = page.Rows[n-1].Binding.Hash.String()
	}
	return page, nil
}

// CountArchived is part of store.Archive.
func (s *Store) CountArchived(ctx context.Context) (int, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	return len(s.archive), nil
}

// PurgeArchive is part of store.Archive.
func (s *Store) PurgeArchive(ctx context.Context, before time.Time, limit int) (int, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	n := 0
	for hash, a := range s.archive {
		if n < limit && a.ArchivedAt.Before(before) {
			delete(s.archive, hash)
			s.ownChangeLocked()
			n++
		}
	}
	return n, nil
}
