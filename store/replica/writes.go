package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// write has the authority make a change, which do returns with its revision, and puts it
// into the copy.
func (s *Store) write(ctx context.Context, do func(ctx context.Context, a store.Authority) ([]store.Change, error)) error {
	before, isSure := s.state.look()
	if !isSure {
		return s.whyNotSure(ctx)
	}
	var changes []store.Change
	err := s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		changes, err = do(ctx, a)
		return err
	})
	if err != nil {
		if isAnswer(err) {
			s.wakeFollower() // what the caller went by may be old
		}
		return err
	}
	for _, c := range changes {
		if c.Revision <= before {
			return s.regressed()
		}
		s.state.know(c.Revision)
	}
	if len(changes) > 0 {
		s.opts.OnWritten(changes[len(changes)-1].Revision)
	}
	// The authority has done it: that the caller leaves now is no reason to be behind.
	if _, err := s.local.ApplyChanges(context.WithoutCancel(ctx), changes, 0); err != nil {
		return fmt.Errorf("change was made by the authority, but is not in the copy of this node yet: %w", unavailable(err))
	}
	return nil
}

// settle has the authority make a change of which it does not tell the revision, and
// waits until the copy has it.
func (s *Store) settle(ctx context.Context, do func(ctx context.Context, a store.Authority) error) error {
	before, isSure := s.state.look()
	if !isSure {
		return s.whyNotSure(ctx)
	}
	var head uint64
	err := s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		if err = do(ctx, a); err == nil {
			head, err = a.Position(ctx)
		}
		return err
	})
	s.wakeFollower()
	if err != nil {
		return err
	}
	if head < before {
		return s.regressed()
	}
	s.state.know(head)
	if head > before {
		s.opts.OnWritten(head)
	}
	timed, cancel := context.WithTimeout(ctx, s.opts.AuthorityTimeout)
	defer cancel()
	err = s.state.await(timed, func() bool { return s.state.position >= head })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: change was made by the authority, but is not in the copy of this node yet", store.ErrUnavailable)
	}
	return err
}

// whyNotSure returns why changes must wait until the follower knows the authority.
func (s *Store) whyNotSure(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.Away(); err != nil {
		return notAsked(err)
	}
	return notAsked(errNotSure)
}

// regressed has changes fail until the follower has found out what became of the
// authority, which has given a revision that the copy knows as older.
func (s *Store) regressed() error {
	s.state.change(func() { s.state.isSure = false })
	s.wakeFollower()
	return errNotSure
}

func putOf(b store.Binding) store.Change {
	return store.Change{Revision: b.Revision, Kind: store.ChangeBindingPut, Hash: b.Hash, Binding: b}
}

// Bind is part of store.Bindings: the authority alone decides.
func (s *Store) Bind(ctx context.Context, b store.Binding) (stored store.Binding, created bool, err error) {
	var other store.Change // of somebody else, who was first
	err = s.write(ctx, func(ctx context.Context, a store.Authority) ([]store.Change, error) {
		var err error
		if stored, created, err = a.Bind(ctx, b); err != nil {
			return nil, err
		}
		if created {
			return []store.Change{putOf(stored)}, nil
		}
		other = putOf(stored)
		return nil, nil
	})
	if err == nil && !created {
		if _, err = s.local.ApplyChanges(context.WithoutCancel(ctx), []store.Change{other}, 0); err != nil {
			err = unavailable(err)
		}
		s.wakeFollower()
	}
	if err != nil {
		return store.Binding{}, false, err
	}
	return stored, created, nil
}

// ReplaceBinding is part of store.Bindings.
func (s *Store) ReplaceBinding(ctx context.Context, b store.Binding) (stored store.Binding, err error) {
	err = s.write(ctx, func(ctx context.Context, a store.Authority) (_ []store.Change, err error) {
		stored, err = a.ReplaceBinding(ctx, b)
		return []store.Change{putOf(stored)}, err
	})
	if err != nil {
		return store.Binding{}, err
	}
	return stored, nil
}

// DeleteBinding is part of store.Bindings.
func (s *Store) DeleteBinding(ctx context.Context, hash store.KeyHash, revision uint64) (removal uint64, err error) {
	err = s.write(ctx, func(ctx context.Context, a store.Authority) (_ []store.Change, err error) {
		removal, err = a.DeleteBinding(ctx, hash, revision)
		return []store.Change{{Revision: removal, Kind: store.ChangeBindingRemoved, Hash: hash}}, err
	})
	if err != nil {
		return 0, err
	}
	return removal, nil
}

// ArchiveBindings is part of store.Archive. By the usage that the authority has, and not
// this node, it is decided what is idle.
func (s *Store) ArchiveBindings(ctx context.Context, hashes []store.KeyHash, idleSince, at time.Time) (moved []store.KeyHash, err error) {
	err = s.settle(ctx, func(ctx context.Context, a store.Authority) (err error) {
		moved, err = a.ArchiveBindings(ctx, hashes, idleSince, at)
		return err
	})
	if err != nil {
		return nil, err
	}
	return moved, nil
}

// RestoreBinding is part of store.Archive.
func (s *Store) RestoreBinding(ctx context.Context, hash store.KeyHash, at time.Time) (b store.Binding, err error) {
	err = s.settle(ctx, func(ctx context.Context, a store.Authority) (err error) {
		b, err = a.RestoreBinding(ctx, hash, at)
		return err
	})
	if err != nil {
		return store.Binding{}, err
	}
	return b, nil
}

// PurgeArchive is part of store.Archive.
func (s *Store) PurgeArchive(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = s.settle(ctx, func(ctx context.Context, a store.Authority) (err error) {
		n, err = a.PurgeArchive(ctx, before, limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Rekey is part of store.Rekeyer. The feed tells that the binding has its new hash before
// it tells that the other one is gone: no copy is ever without it.
func (s *Store) Rekey(ctx context.Context, r store.Rekeying) (out store.Rekeyed, err error) {
	err = s.settle(ctx, func(ctx context.Context, a store.Authority) (err error) {
		out, err = a.Rekey(ctx, r)
		return err
	})
	if err != nil {
		return store.Rekeyed{}, err
	}
	return out, nil
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
func (s *Store) ChangeDocuments(ctx context.Context, put, remove []store.Document) (stored []store.Document, err error) {
	if len(remove) > 0 {
		err = s.settle(ctx, func(ctx context.Context, a store.Authority) (err error) {
			stored, err = a.ChangeDocuments(ctx, put, remove)
			return err
		})
	} else {
		err = s.write(ctx, func(ctx context.Context, a store.Authority) (changes []store.Change, err error) {
			stored, err = a.ChangeDocuments(ctx, put, nil)
			for _, d := range stored {
				changes = append(changes, store.Change{Revision: d.Revision, Kind: store.ChangeDocumentPut, Document: d})
			}
			return changes, err
		})
	}
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// PutSetting is part of store.Settings.
func (s *Store) PutSetting(ctx context.Context, name string, value []byte) error {
	if local, isOwn := s.ownSetting(name); isOwn {
		return s.local.PutSetting(ctx, local, value)
	}
	return s.settle(ctx, func(ctx context.Context, a store.Authority) error { return a.PutSetting(ctx, name, value) })
}

// DeleteSetting is part of store.Settings.
func (s *Store) DeleteSetting(ctx context.Context, name string) error {
	if local, isOwn := s.ownSetting(name); isOwn {
		return s.local.DeleteSetting(ctx, local)
	}
	return s.settle(ctx, func(ctx context.Context, a store.Authority) error { return a.DeleteSetting(ctx, name) })
}
