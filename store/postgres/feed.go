package postgres

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// changeKinds are numbered by their index, from 1; numbers are never used again.
var changeKinds = []store.ChangeKind{
	"", store.ChangeBindingPut, store.ChangeBindingRemoved, store.ChangeArchivedPut, store.ChangeArchivedRemoved,
	store.ChangeDocumentPut, store.ChangeDocumentRemoved, store.ChangeSettingPut, store.ChangeSettingRemoved,
}

func kindNumber(kind store.ChangeKind) int16 { return int16(slices.Index(changeKinds, kind)) } // #nosec G115 -- few

// Position is part of store.Feed.
func (s *Store) Position(ctx context.Context) (uint64, error) {
	var revision int64
	err := s.viewOne(ctx, `SELECT revision FROM sentinel.head`, nil, func(rows pgx.Rows) error { return rows.Scan(&revision) })
	return uint64(revision), err // #nosec G115 -- not negative
}

// changeRow is a row of the table changes.
type changeRow struct {
	revision int64
	kind     int16
	key, id  []byte
}

// Changes is part of store.Feed.
func (s *Store) Changes(ctx context.Context, after uint64, limit int) (changes []store.Change, err error) {
	err = s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		changes = nil
		rows, err := readChanges(ctx, conn, after, max(0, min(limit, store.MaxChanges)))
		if err != nil {
			return err
		}
		r := newRecords(rows)
		b := &pgx.Batch{}
		r.queue(b)
		b.Queue(`commit`)
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		for _, row := range rows {
			changes = append(changes, r.change(row))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// readChanges begins a transaction that sees one moment, and reads rows in it.
func readChanges(ctx context.Context, conn *pgx.Conn, after uint64, limit int) (list []changeRow, err error) {
	var last, trimmed int64
	b := &pgx.Batch{}
	b.Queue(`begin ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	b.Queue(`SELECT revision, trimmed FROM sentinel.head`).QueryRow(func(row pgx.Row) error { return row.Scan(&last, &trimmed) })
	const sql = `SELECT revision, kind, key, id FROM sentinel.changes WHERE revision > $1 ORDER BY revision LIMIT $2`
	b.Queue(sql, number(after), limit).Query(func(rows pgx.Rows) error {
		return each(rows, func(rows pgx.Rows) error {
			var r changeRow
			err := rows.Scan(&r.revision, &r.kind, &r.key, &r.id)
			list = append(list, r)
			return err
		})
	})
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	if number(after) < trimmed || number(after) > last {
		return nil, store.ErrFeedGone
	}
	return list, nil
}

// records are what there is now of what some changes are about.
type records struct {
	hashes, archivedHashes [][]byte
	kinds, ids, names      [][]byte

	bindings  map[store.KeyHash]store.Binding
	archived  map[store.KeyHash]store.ArchivedBinding
	documents map[[2]string]store.Document
	settings  map[string]store.Setting
}

func newRecords(rows []changeRow) *records {
	r := &records{
		bindings: map[store.KeyHash]store.Binding{}, archived: map[store.KeyHash]store.ArchivedBinding{},
		documents: map[[2]string]store.Document{}, settings: map[string]store.Setting{},
	}
	for _, row := range rows {
		switch changeKinds[row.kind] {
		case store.ChangeBindingPut, store.ChangeBindingRemoved:
			r.hashes = append(r.hashes, row.key)
		case store.ChangeArchivedPut, store.ChangeArchivedRemoved:
			r.archivedHashes = append(r.archivedHashes, row.key)
		case store.ChangeDocumentPut, store.ChangeDocumentRemoved:
			r.kinds, r.ids = append(r.kinds, row.key), append(r.ids, row.id)
		default:
			r.names = append(r.names, row.key)
		}
	}
	return r
}

// queue queues what reads the records.
func (r *records) queue(b *pgx.Batch) {
	read := func(keys [][]byte, scan func(rows pgx.Rows) error, sql string, args ...any) {
		if len(keys) > 0 {
			b.Queue(sql, args...).Query(func(rows pgx.Rows) error { return each(rows, scan) })
		}
	}
	read(r.hashes, func(rows pgx.Rows) error {
		binding, err := scanBinding(rows)
		r.bindings[binding.Hash] = binding
		return err
	}, `SELECT `+bindingColumns+` FROM sentinel.bindings WHERE hash = ANY($1::bytea[])`, r.hashes)
	read(r.archivedHashes, func(rows pgx.Rows) error {
		a, err := scanArchived(rows)
		r.archived[a.Binding.Hash] = a
		return err
	}, `SELECT `+archiveColumns+` FROM sentinel.archive WHERE hash = ANY($1::bytea[])`, r.archivedHashes)
	read(r.kinds, func(rows pgx.Rows) error {
		d, err := scanDocument(rows)
		r.documents[[2]string{d.Kind, d.ID}] = d
		return err
	}, `SELECT kind, id, revision, body FROM sentinel.documents
WHERE (kind, id) IN (SELECT * FROM unnest($1::bytea[], $2::bytea[]))`, r.kinds, r.ids)
	read(r.names, func(rows pgx.Rows) error {
		var name, value []byte
		err := rows.Scan(&name, &value)
		r.settings[string(name)] = store.Setting{Name: string(name), Value: value}
		return err
	}, `SELECT name, value FROM sentinel.settings WHERE name = ANY($1::bytea[])`, r.names)
}

// change returns a change with what there is of its record.
func (r *records) change(row changeRow) store.Change {
	c := store.Change{Revision: uint64(row.revision)} // #nosec G115 -- not negative
	exists := false
	put, removed := store.ChangeKind(""), store.ChangeKind("")
	switch changeKinds[row.kind] {
	case store.ChangeBindingPut, store.ChangeBindingRemoved:
		put, removed = store.ChangeBindingPut, store.ChangeBindingRemoved
		c.Hash = store.KeyHash(row.key)
		c.Binding, exists = r.bindings[c.Hash]
	case store.ChangeArchivedPut, store.ChangeArchivedRemoved:
		put, removed = store.ChangeArchivedPut, store.ChangeArchivedRemoved
		c.Hash = store.KeyHash(row.key)
		c.Archived, exists = r.archived[c.Hash]
	case store.ChangeDocumentPut, store.ChangeDocumentRemoved:
		put, removed = store.ChangeDocumentPut, store.ChangeDocumentRemoved
		name := [2]string{string(row.key), string(row.id)}
		if c.Document, exists = r.documents[name]; !exists {
			c.Document = store.Document{Kind: name[0], ID: name[1]}
		}
	default:
		put, removed = store.ChangeSettingPut, store.ChangeSettingRemoved
		if c.Setting, exists = r.settings[string(row.key)]; !exists {
			c.Setting.Name = string(row.key)
		}
	}
	c.Kind = removed
	if exists {
		c.Kind = put
	}
	return c
}

// TrimFeed is part of store.Feed.
func (s *Store) TrimFeed(ctx context.Context, before time.Time, limit int) (int, error) {
	// Clocks may have been set back: what is before a change that is old goes with it.
	const sql = `
WITH old AS (
    SELECT max(revision) AS last FROM (SELECT revision, at FROM sentinel.changes ORDER BY revision LIMIT $2) AS first WHERE at < $1
), trimmed AS (
    UPDATE sentinel.head SET trimmed = old.last FROM old WHERE old.last IS NOT NULL
)
DELETE FROM sentinel.changes USING old WHERE revision <= old.last`
	var n int
	err := s.write(ctx, func(ctx context.Context, w *writeTx) error {
		tag, err := w.conn.Exec(ctx, sql, ceilMs(before), max(0, min(limit, math.MaxInt32)))
		n = int(tag.RowsAffected())
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
