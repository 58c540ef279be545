package replica

import (
	"context"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Binding is part of store.Bindings. Returns store.ErrUnavailable if the copy is stale.
func (s *Store) Binding(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	if err := s.checkFresh(); err != nil {
		return store.Binding{}, err
	}
	return s.local.Binding(ctx, hash)
}

// ListBindings is part of store.Bindings.
func (s *Store) ListBindings(ctx context.Context, after store.KeyHash, limit int) ([]store.Binding, error) {
	return s.local.ListBindings(ctx, after, limit)
}

// CountBindings is part of store.Bindings.
func (s *Store) CountBindings(ctx context.Context) (int, error) { return s.local.CountBindings(ctx) }

// FindBindings is part of store.Catalog. It asks the authority, for usage is no part of
// a copy; while that is away, it tells of what this node has. The pages of a list that
// was begun at the other one may then have to be begun anew.
func (s *Store) FindBindings(ctx context.Context, q store.BindingQuery) (page store.BindingPage, err error) {
	err = s.readOr(ctx, func(ctx context.Context, from store.Store) error {
		page, err = from.FindBindings(ctx, q)
		return err
	})
	return page, err
}

// readOr reads from the authority, or while that is away from this node.
func (s *Store) readOr(ctx context.Context, read func(ctx context.Context, from store.Store) error) error {
	err := s.call(ctx, func(ctx context.Context, a store.Authority) error { return read(ctx, a) })
	if err == nil || isAnswer(err) || ctx.Err() != nil {
		return err
	}
	return read(ctx, s.local)
}

// Archived is part of store.Archive.
func (s *Store) Archived(ctx context.Context, hash store.KeyHash) (store.ArchivedBinding, error) {
	return s.local.Archived(ctx, hash)
}

// FindArchived is part of store.Archive.
func (s *Store) FindArchived(ctx context.Context, q store.ArchiveQuery) (store.ArchivePage, error) {
	return s.local.FindArchived(ctx, q)
}

// CountArchived is part of store.Archive.
func (s *Store) CountArchived(ctx context.Context) (int, error) { return s.local.CountArchived(ctx) }

// Document is part of store.Documents.
func (s *Store) Document(ctx context.Context, kind, id string) (store.Document, error) {
	return s.local.Document(ctx, kind, id)
}

// ListDocuments is part of store.Documents.
func (s *Store) ListDocuments(ctx context.Context, kind string) ([]store.Document, error) {
	return s.local.ListDocuments(ctx, kind)
}

// Setting is part of store.Settings.
func (s *Store) Setting(ctx context.Context, name string) ([]byte, error) {
	if local, isOwn := s.ownSetting(name); isOwn {
		name = local
	}
	return s.local.Setting(ctx, name)
}
