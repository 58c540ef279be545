package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// bindRow is a Bind on its way through the committer.
type bindRow struct {
	given   store.Binding // as Stored returns it
	stored  store.Binding
	created bool
}

// Bind is part of store.Bindings. PostgreSQL alone decides who was first.
func (s *Store) Bind(ctx context.Context, b store.Binding) (store.Binding, bool, error) {
	if err := b.Validate(); err != nil {
		return store.Binding{}, false, err
	}
	row := &bindRow{given: b.Stored()}
	row.given.ArchivedBefore = time.Time{} // for the archive to say
	if err := s.ask(ctx, request{bind: row}); err != nil {
		return store.Binding{}, false, err
	}
	return row.stored, row.created, nil
}

// sqlBind makes those of the bindings that are not there, and tells which, in the order
// of their revisions. That they are not there is looked at first, so that none takes a
// revision in vain; the conflict cannot happen while the lock of head is held, and is
// what would keep a key from a second owner all the same. Both are looked up row by row
// and not joined: the planner would read whole tables that have grown since it last
// heard of them.
const sqlBind = `
WITH made AS (
    INSERT INTO sentinel.bindings (hash, hint, label, note, hint_folded, label_folded, status, rule, prefixes, networks,
        learn_limit, learn_within, learn_until, first_ip, created_at, updated_at, archived_before, hashed_with, revision)
    SELECT g.hash, g.hint, g.label, g.note, g.hint_folded, g.label_folded, g.status, g.rule, g.prefixes::cidr[], g.networks::text[],
        g.learn_limit, g.learn_within, g.learn_until, g.first_ip::inet, g.created_at, g.updated_at,
        (SELECT a.archived_at FROM sentinel.archive a WHERE a.hash = g.hash), g.hashed_with,
        (SELECT revision FROM sentinel.head) + row_number() OVER (ORDER BY g.n)
    FROM ` + givenBindings + `
    WHERE (SELECT b.revision FROM sentinel.bindings b WHERE b.hash = g.hash) IS NULL
    ON CONFLICT (hash) DO NOTHING
    RETURNING hash, revision, prefixes, archived_before
), used AS (
    INSERT INTO sentinel.usage (hash) SELECT hash FROM made
), further AS (
    INSERT INTO sentinel.binding_prefixes (hash, prefix)
    SELECT hash, unnest(prefixes[2:]) FROM made WHERE cardinality(prefixes) > 1
)
SELECT hash, revision, archived_before FROM made ORDER BY revision`

// sqlBound reads the bindings of some keys that were there before: head has the last
// revision from before until the transaction ends. OFFSET 0 keeps the planner from
// making a join of it.
const sqlBound = `
SELECT ` + bindingColumns + ` FROM unnest($1::bytea[]) AS g(given)
CROSS JOIN LATERAL (SELECT * FROM sentinel.bindings WHERE hash = g.given OFFSET 0) AS b
WHERE revision <= (SELECT revision FROM sentinel.head)`

// queueBinds queues what tells of each key what is stored, and returns the first row
// of each. The rows are of concurrent calls: of several for one key, the first one in
// the slice is the first one.
func (w *writeTx) queueBinds(b *pgx.Batch, rows []*bindRow) map[store.KeyHash]*bindRow {
	if len(rows) == 0 {
		return nil
	}
	var given bindingRows
	first := make(map[store.KeyHash]*bindRow, len(rows))
	for _, row := range rows {
		if first[row.given.Hash] == nil {
			first[row.given.Hash] = row
			given.add(row.given)
		}
	}
	b.Queue(sqlBind, given.args()...).Query(func(made pgx.Rows) error {
		return each(made, func(made pgx.Rows) error { return w.noteMade(made, first) })
	})
	b.Queue(sqlBound, given.hash).Query(func(there pgx.Rows) error {
		return each(there, func(there pgx.Rows) error {
			old, err := scanBinding(there)
			if err == nil {
				*first[old.Hash] = bindRow{given: first[old.Hash].given, stored: old}
			}
			return err
		})
	})
	return first
}

// answerBinds sets what the callers are told.
func answerBinds(rows []*bindRow, first map[store.KeyHash]*bindRow) {
	for _, row := range rows {
		if winner := first[row.given.Hash]; winner != row {
			row.stored, row.created = winner.stored, false
		}
		row.stored = row.stored.Stored() // its own
	}
}

// noteMade reads a row of sqlBind.
func (w *writeTx) noteMade(made pgx.Rows, rows map[store.KeyHash]*bindRow) error {
	var hash []byte
	var revision int64
	var archived *int64
	if err := made.Scan(&hash, &revision, &archived); err != nil {
		return err
	}
	row := rows[store.KeyHash(hash)]
	row.stored, row.created = row.given, true
	row.stored.Revision, row.stored.ArchivedBefore = uint64(revision), optionalTime(archived) // #nosec G115 -- not negative
	w.bindings++
	w.note(store.ChangeBindingPut, hash, nil)
	return nil
}
