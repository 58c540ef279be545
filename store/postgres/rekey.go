package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Rekey is part of store.Rekeyer.
func (s *Store) Rekey(ctx context.Context, r store.Rekeying) (store.Rekeyed, error) {
	if err := r.Validate(); err != nil {
		return store.Rekeyed{}, err
	}
	given := store.CloneDocuments(r.Put)
	var out store.Rekeyed
	err := s.write(ctx, func(ctx context.Context, w *writeTx) error {
		out = store.Rekeyed{Documents: slices.Clone(given)}
		there, err := w.lookAtRekeying(ctx, r)
		if err == nil {
			err = w.checkDocuments(ctx, given, nil)
		}
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		if there.isBound {
			w.queueBinding(b, r, &out.Binding)
		}
		if there.entry != nil {
			out.Archived = true
			w.queueEntry(b, r, there)
		}
		if err := w.exec(ctx, b); err != nil {
			return err
		}
		return w.changeDocuments(ctx, out.Documents, nil)
	})
	if err != nil {
		return store.Rekeyed{}, err
	}
	return out, nil
}

// rekeyable is what there is of the two hashes.
type rekeyable struct {
	isBound           bool
	entry, otherEntry *int64 // when they were archived
}

// lookAtRekeying returns what there is, or why it may not be moved.
func (w *writeTx) lookAtRekeying(ctx context.Context, r store.Rekeying) (there rekeyable, err error) {
	const sql = `
SELECT (SELECT revision FROM sentinel.bindings WHERE hash = $1), EXISTS (SELECT FROM sentinel.bindings WHERE hash = $2),
       (SELECT archived_at FROM sentinel.archive WHERE hash = $1), (SELECT archived_at FROM sentinel.archive WHERE hash = $2)`
	var revision *int64
	var isTaken bool
	err = w.conn.QueryRow(ctx, sql, r.From[:], r.To[:]).Scan(&revision, &isTaken, &there.entry, &there.otherEntry)
	there.isBound = revision != nil
	switch {
	case err != nil:
		return there, err
	case !there.isBound && there.entry == nil:
		return there, store.ErrNotFound
	case there.isBound != (r.Revision != 0), there.isBound && (isTaken || uint64(*revision) != r.Revision): // #nosec G115 -- not negative
		return there, store.ErrConflict
	}
	return there, nil
}

// queueBinding moves the binding with what belongs to it.
func (w *writeTx) queueBinding(b *pgx.Batch, r store.Rekeying, moved *store.Binding) {
	revision := w.note(store.ChangeBindingPut, r.To[:], nil)
	w.note(store.ChangeBindingRemoved, r.From[:], nil)
	b.Queue(sqlLockUsage, [][]byte{r.From[:]})
	b.Queue(`UPDATE sentinel.bindings SET hash = $2, revision = $3, hashed_with = $4 WHERE hash = $1 RETURNING `+bindingColumns,
		r.From[:], r.To[:], revision, int64(r.HashedWith)).Query(func(rows pgx.Rows) error {
		return each(rows, func(rows pgx.Rows) (err error) {
			*moved, err = scanBinding(rows)
			return err
		})
	})
	for _, table := range []string{"binding_prefixes", "usage"} {
		b.Queue(`UPDATE sentinel.`+table+` SET hash = $2 WHERE hash = $1`, r.From[:], r.To[:])
	}
}

// queueEntry moves the entry of the archive, unless the other hash has a newer one.
func (w *writeTx) queueEntry(b *pgx.Batch, r store.Rekeying, there rekeyable) {
	if there.otherEntry != nil {
		w.archived--
	}
	if there.otherEntry == nil || *there.otherEntry < *there.entry {
		changed := w.note(store.ChangeArchivedPut, r.To[:], nil)
		b.Queue(`DELETE FROM sentinel.archive WHERE hash = $1`, r.To[:])
		b.Queue(`UPDATE sentinel.archive SET hash = $2, changed = $3, hashed_with = $4 WHERE hash = $1`,
			r.From[:], r.To[:], changed, int64(r.HashedWith))
	}
	w.note(store.ChangeArchivedRemoved, r.From[:], nil)
	b.Queue(`DELETE FROM sentinel.archive WHERE hash = $1`, r.From[:])
}
