package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Binding is part of store.Bindings.
func (s *Store) Binding(ctx context.Context, hash store.KeyHash) (b store.Binding, err error) {
	const sql = `SELECT ` + bindingColumns + ` FROM sentinel.bindings WHERE hash = $1`
	err = s.viewOne(ctx, sql, []any{hash[:]}, func(rows pgx.Rows) error {
		b, err = scanBinding(rows)
		return err
	})
	if err != nil {
		return store.Binding{}, err
	}
	return b, nil
}

// ListBindings is part of store.Bindings.
func (s *Store) ListBindings(ctx context.Context, after store.KeyHash, limit int) (list []store.Binding, err error) {
	const sql = `SELECT ` + bindingColumns + ` FROM sentinel.bindings WHERE hash > $1 ORDER BY hash LIMIT $2`
	err = s.view(ctx, sql, []any{after[:], max(limit, 0)}, func(rows pgx.Rows) error {
		b, err := scanBinding(rows)
		list = append(list, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// CountBindings is part of store.Bindings.
func (s *Store) CountBindings(ctx context.Context) (n int, err error) {
	err = s.viewOne(ctx, `SELECT bindings FROM sentinel.head`, nil, func(rows pgx.Rows) error { return rows.Scan(&n) })
	return n, err
}

// check returns why a binding may not be changed by who has seen a revision of it.
func (w *writeTx) check(ctx context.Context, hash store.KeyHash, revision uint64) error {
	var there int64
	err := w.conn.QueryRow(ctx, `SELECT revision FROM sentinel.bindings WHERE hash = $1`, hash[:]).Scan(&there)
	switch {
	case isNoRows(err):
		return store.ErrNotFound
	case err != nil:
		return err
	case uint64(there) != revision: // #nosec G115 -- not negative
		return store.ErrConflict
	}
	return nil
}

const sqlReplace = `
UPDATE sentinel.bindings b SET revision = $19::bigint, hint = g.hint, label = g.label, note = g.note,
    hint_folded = g.hint_folded, label_folded = g.label_folded, status = g.status, rule = g.rule,
    prefixes = g.prefixes::cidr[], networks = g.networks::text[], learn_limit = g.learn_limit, learn_within = g.learn_within,
    learn_until = g.learn_until, first_ip = g.first_ip::inet, created_at = g.created_at, updated_at = g.updated_at,
    archived_before = g.archived_before, hashed_with = g.hashed_with
FROM ` + givenBindings + `
WHERE b.hash = g.hash`

const sqlFurther = `
INSERT INTO sentinel.binding_prefixes (hash, prefix)
SELECT hash, unnest(prefixes[2:]) FROM sentinel.bindings WHERE hash = $1 AND cardinality(prefixes) > 1`

// ReplaceBinding is part of store.Bindings.
func (s *Store) ReplaceBinding(ctx context.Context, b store.Binding) (store.Binding, error) {
	if err := b.Validate(); err != nil {
		return store.Binding{}, err
	}
	b = b.Stored()
	var revision int64
	err := s.write(ctx, func(ctx context.Context, w *writeTx) error {
		if err := w.check(ctx, b.Hash, b.Revision); err != nil {
			return err
		}
		revision = w.note(store.ChangeBindingPut, b.Hash[:], nil)
		var given bindingRows
		given.add(b)
		batch := &pgx.Batch{}
		batch.Queue(sqlReplace, append(given.args(), revision)...)
		batch.Queue(`DELETE FROM sentinel.binding_prefixes WHERE hash = $1`, b.Hash[:])
		batch.Queue(sqlFurther, b.Hash[:])
		return w.exec(ctx, batch)
	})
	if err != nil {
		return store.Binding{}, err
	}
	stored := b.Stored()
	stored.Revision = uint64(revision) // #nosec G115 -- not negative
	return stored, nil
}

// DeleteBinding is part of store.Bindings.
func (s *Store) DeleteBinding(ctx context.Context, hash store.KeyHash, revision uint64) (uint64, error) {
	var removal int64
	err := s.write(ctx, func(ctx context.Context, w *writeTx) error {
		if err := w.check(ctx, hash, revision); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`DELETE FROM sentinel.bindings WHERE hash = $1`, hash[:])
		batch.Queue(`DELETE FROM sentinel.binding_prefixes WHERE hash = $1`, hash[:])
		batch.Queue(`DELETE FROM sentinel.usage WHERE hash = $1`, hash[:])
		w.bindings--
		removal = w.note(store.ChangeBindingRemoved, hash[:], nil)
		return w.exec(ctx, batch)
	})
	if err != nil {
		return 0, err
	}
	return uint64(removal), nil // #nosec G115 -- not negative
}
