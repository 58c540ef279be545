package postgres

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Rows of usage change without the lock of head, and are locked by everybody in the
// order of their keys: a deletion, which locks in any order, finds them locked.
const sqlLockUsage = `
SELECT count(*) FROM (SELECT FROM sentinel.usage WHERE hash = ANY($1::bytea[]) ORDER BY hash FOR UPDATE) AS locked`

// sqlIdle chooses, of the keys given, what may go into the archive.
const sqlIdle = `
SELECT hash FROM sentinel.bindings JOIN sentinel.usage USING (hash)
WHERE hash = ANY($1::bytea[]) AND status <> 'banned' AND created_at < $2 AND last_used < $2`

const sqlForgetArchived = `DELETE FROM sentinel.archive WHERE hash IN (` + sqlIdle + `)`

// sqlArchive moves what is idle, each with two revisions after $4: of the removal, and
// of the entry.
const sqlArchive = `
WITH idle AS (
    SELECT hash, row_number() OVER (ORDER BY hash) AS n FROM (` + sqlIdle + `) AS chosen
), b AS (
    DELETE FROM sentinel.bindings USING idle WHERE bindings.hash = idle.hash RETURNING bindings.*, idle.n
), u AS (
    DELETE FROM sentinel.usage USING idle WHERE usage.hash = idle.hash RETURNING usage.*
), p AS (
    DELETE FROM sentinel.binding_prefixes USING idle WHERE binding_prefixes.hash = idle.hash
)
INSERT INTO sentinel.archive (` + bindingColumns + `, hint_folded, label_folded, last_used, last_ip, hits, history, archived_at, changed)
SELECT ` + bindingColumns + `, hint_folded, label_folded, last_used, last_ip, hits, history, $3::bigint, $4::bigint + 2 * n
FROM b JOIN u USING (hash) ORDER BY n
RETURNING hash, changed`

// ArchiveBindings is part of store.Archive.
func (s *Store) ArchiveBindings(ctx context.Context, hashes []store.KeyHash, idleSince, at time.Time) ([]store.KeyHash, error) {
	if len(hashes) > store.ArchiveChunk {
		return nil, fmt.Errorf("%w: %d bindings to archive, at most %d", store.ErrInvalid, len(hashes), store.ArchiveChunk)
	}
	keys := hashBytes(hashes)
	idle := int64(math.MaxInt64)
	if !idleSince.IsZero() {
		idle = ceilMs(idleSince)
	}
	var moved []store.KeyHash
	err := s.write(ctx, func(ctx context.Context, w *writeTx) error {
		moved = nil
		b := &pgx.Batch{}
		b.Queue(sqlLockUsage, keys)
		var replaced int64
		b.Queue(sqlForgetArchived, keys, idle).Exec(func(tag pgTag) error {
			replaced = tag.RowsAffected()
			return nil
		})
		changed := map[int64]store.KeyHash{}
		b.Queue(sqlArchive, keys, idle, at.UnixMilli(), w.revision).Query(func(rows pgx.Rows) error {
			return each(rows, func(rows pgx.Rows) error {
				var hash []byte
				var revision int64
				err := rows.Scan(&hash, &revision)
				changed[revision] = store.KeyHash(hash)
				return err
			})
		})
		if err := w.exec(ctx, b); err != nil {
			return err
		}
		for range changed {
			hash := changed[w.revision+2]
			w.note(store.ChangeBindingRemoved, hash[:], nil)
			w.note(store.ChangeArchivedPut, hash[:], nil)
			moved = append(moved, hash)
		}
		w.bindings -= len(moved)
		w.archived += len(moved) - int(replaced)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return moved, nil
}

func hashBytes(hashes []store.KeyHash) [][]byte {
	list := make([][]byte, len(hashes))
	for i, hash := range hashes {
		list[i] = hash[:]
	}
	return list
}

const sqlRestore = `
WITH entry AS (
    DELETE FROM sentinel.archive WHERE hash = $1 RETURNING *
), used AS (
    INSERT INTO sentinel.usage (hash, last_used, last_ip, hits, history)
    SELECT hash, last_used, last_ip, hits, history FROM entry
), further AS (
    INSERT INTO sentinel.binding_prefixes (hash, prefix)
    SELECT hash, unnest(prefixes[2:]) FROM entry WHERE cardinality(prefixes) > 1
)
INSERT INTO sentinel.bindings (hash, revision, hint, label, note, hint_folded, label_folded, status, rule, prefixes, networks,
    learn_limit, learn_within, learn_until, first_ip, created_at, updated_at, archived_before, hashed_with)
SELECT hash, $2, hint, label, note, hint_folded, label_folded, status, rule, prefixes, networks,
    learn_limit, learn_within, learn_until, first_ip, $3, $3, archived_before, hashed_with FROM entry
RETURNING ` + bindingColumns

// RestoreBinding is part of store.Archive.
func (s *Store) RestoreBinding(ctx context.Context, hash store.KeyHash, at time.Time) (b store.Binding, err error) {
	var restored store.Binding
	err = s.write(ctx, func(ctx context.Context, w *writeTx) error {
		const look = `
SELECT EXISTS (SELECT FROM sentinel.archive WHERE hash = $1), EXISTS (SELECT FROM sentinel.bindings WHERE hash = $1)`
		var isArchived, isBound bool
		if err := w.conn.QueryRow(ctx, look, hash[:]).Scan(&isArchived, &isBound); err != nil {
			return err
		}
		switch {
		case !isArchived:
			return store.ErrNotFound
		case isBound:
			return store.ErrConflict
		}
		w.note(store.ChangeArchivedRemoved, hash[:], nil)
		revision := w.note(store.ChangeBindingPut, hash[:], nil)
		w.archived--
		w.bindings++
		rows, err := w.conn.Query(ctx, sqlRestore, hash[:], revision, at.UnixMilli())
		if err != nil {
			return err
		}
		return each(rows, func(rows pgx.Rows) error {
			restored, err = scanBinding(rows)
			return err
		})
	})
	if err != nil {
		return store.Binding{}, err
	}
	return restored, nil
}

const archiveColumns = bindingColumns + `, ` + usageColumns + `, archived_at`

func scanArchived(rows pgx.Rows, more ...any) (store.ArchivedBinding, error) {
	var b bindingScan
	var u usageScan
	var at int64
	if err := rows.Scan(append(append(append(b.fields(), u.fields()...), &at), more...)...); err != nil {
		return store.ArchivedBinding{}, err
	}
	usage, err := u.usage()
	return store.ArchivedBinding{Binding: b.binding(), Usage: usage, ArchivedAt: timeOf(at)}, err
}

// Archived is part of store.Archive.
func (s *Store) Archived(ctx context.Context, hash store.KeyHash) (a store.ArchivedBinding, err error) {
	const sql = `SELECT ` + archiveColumns + ` FROM sentinel.archive WHERE hash = $1`
	err = s.viewOne(ctx, sql, []any{hash[:]}, func(rows pgx.Rows) error {
		a, err = scanArchived(rows)
		return err
	})
	if err != nil {
		return store.ArchivedBinding{}, err
	}
	return a, nil
}

// archiveBudget is how many entries one page of the archive looks at.
const archiveBudget = 20_000

// FindArchived is part of store.Archive.
func (s *Store) FindArchived(ctx context.Context, q store.ArchiveQuery) (store.ArchivePage, error) {
	after := []byte{}
	if q.After != "" {
		var err error
		if after, err = base64.RawURLEncoding.Strict().DecodeString(q.After); err != nil || len(after) != len(store.KeyHash{}) {
			return store.ArchivePage{}, fmt.Errorf("%w: cursor is none of the archive", store.ErrInvalid)
		}
	}
	// What is behind the budget is for the next page.
	const sqlEnd = `SELECT hash FROM sentinel.archive WHERE hash > $1 ORDER BY hash OFFSET $2 LIMIT 1`
	var end []byte
	err := s.viewOne(ctx, sqlEnd, []any{after, archiveBudget - 1}, func(rows pgx.Rows) error { return rows.Scan(&end) })
	if err != nil && !isNotFound(err) {
		return store.ArchivePage{}, err
	}
	var c conditions
	c.add(`hash > ?`, after)
	if end != nil {
		c.add(`hash <= ?`, end)
	}
	c.times("archived_at", q.Archived)
	c.bindings(q.Filter, "archive")
	limit := pageSize(q.Limit)
	sql := `SELECT ` + archiveColumns + ` FROM sentinel.archive` + c.where() + ` ORDER BY hash LIMIT ` + c.arg(limit+1)
	var page store.ArchivePage
	err = s.view(ctx, sql, c.args, func(rows pgx.Rows) error {
		a, err := scanArchived(rows)
		page.Rows = append(page.Rows, a)
		return err
	})
	switch {
	case err != nil:
		return store.ArchivePage{}, err
	case len(page.Rows) > limit:
		page.Rows = page.Rows[:limit]
		last := page.Rows[limit-1].Binding.Hash
		page.Next = base64.RawURLEncoding.EncodeToString(last[:])
	case end != nil:
		page.Next = base64.RawURLEncoding.EncodeToString(end)
	}
	return page, nil
}

// CountArchived is part of store.Archive.
func (s *Store) CountArchived(ctx context.Context) (n int, err error) {
	err = s.viewOne(ctx, `SELECT archived FROM sentinel.head`, nil, func(rows pgx.Rows) error { return rows.Scan(&n) })
	return n, err
}

// PurgeArchive is part of store.Archive.
func (s *Store) PurgeArchive(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM sentinel.archive WHERE hash IN (
    SELECT hash FROM sentinel.archive WHERE archived_at < $1 ORDER BY archived_at LIMIT $2
) RETURNING hash`
	purged := 0
	err := s.write(ctx, func(ctx context.Context, w *writeTx) error {
		purged = 0
		rows, err := w.conn.Query(ctx, sql, ceilMs(before), max(limit, 0))
		if err != nil {
			return err
		}
		return each(rows, func(rows pgx.Rows) error {
			var hash []byte
			err := rows.Scan(&hash)
			w.note(store.ChangeArchivedRemoved, hash, nil)
			w.archived--
			purged++
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	return purged, nil
}
