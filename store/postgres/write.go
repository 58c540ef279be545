package postgres

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// sqlGuard has the server end the session of a client that does not go on, whose locks
// others wait for, and makes the commit durable whatever the server's setting is.
const sqlGuard = `
SELECT set_config('idle_in_transaction_session_timeout', $1, true),
       CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END`

// beginBatch returns a batch that begins a transaction; what follows costs no round
// trip of its own. Each statement sees what has been committed before it, whatever the
// server's default is: who has waited for a lock sees what the one before it has done.
func beginBatch() *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue(`begin ISOLATION LEVEL READ COMMITTED`)
	b.Queue(sqlGuard, strconv.FormatInt(lockTimeout.Milliseconds(), 10))
	return b
}

// writeTx is a transaction that changes what nodes copy. It holds the lock of head.
type writeTx struct {
	conn     *pgx.Conn
	revision int64 // the last one given
	changes  changeRows
	bindings int // made, less those deleted
	archived int // entries of the archive made, less those deleted
}

// beginWrite begins a transaction that makes bindings first, in the same round trip:
// so it holds the lock for as short as can be.
func beginWrite(ctx context.Context, conn *pgx.Conn, binds []*bindRow) (*writeTx, error) {
	w := &writeTx{conn: conn}
	b := beginBatch()
	b.Queue(`SELECT revision FROM sentinel.head FOR UPDATE`).QueryRow(func(row pgx.Row) error { return row.Scan(&w.revision) })
	first := w.queueBinds(b, binds)
	if err := w.exec(ctx, b); err != nil {
		return nil, err
	}
	answerBinds(binds, first)
	return w, nil
}

// changeRows are rows of the table changes, by column.
type changeRows struct {
	revisions []int64
	kinds     []int16
	keys, ids [][]byte
}

// note adds a change to the feed, and returns its revision.
func (w *writeTx) note(kind store.ChangeKind, key, id []byte) int64 {
	w.revision++
	c := &w.changes
	c.revisions = append(c.revisions, w.revision)
	c.kinds = append(c.kinds, kindNumber(kind))
	c.keys, c.ids = append(c.keys, key), append(c.ids, id)
	return w.revision
}

const sqlChanges = `
INSERT INTO sentinel.changes (revision, kind, key, id, at)
SELECT g.revision, g.kind, g.key, g.id, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[]) AS g(revision, kind, key, id)`

const sqlHead = `
UPDATE sentinel.head SET revision = $1, bindings = bindings + $2, archived = archived + $3`

// channel is what a transaction with changes notifies, once.
const channel = "sentinel_changes"

// finish writes what there is to write once, and commits.
func (w *writeTx) finish(ctx context.Context) error {
	b := &pgx.Batch{}
	if c := w.changes; len(c.revisions) > 0 {
		b.Queue(sqlChanges, c.revisions, c.kinds, c.keys, c.ids)
		b.Queue(sqlHead, w.revision, w.bindings, w.archived)
		b.Queue(`SELECT pg_notify($1, $2)`, channel, strconv.FormatInt(w.revision, 10))
	}
	b.Queue(`commit`)
	return w.conn.SendBatch(ctx, b).Close()
}

// exec runs statements in one round trip.
func (w *writeTx) exec(ctx context.Context, b *pgx.Batch) error {
	return w.conn.SendBatch(ctx, b).Close()
}
