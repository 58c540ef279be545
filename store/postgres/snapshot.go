package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// snapshotStep is how many records a snapshot holds at a time.
const snapshotStep = 1_000

// snapshotPatience is how long the server keeps a snapshot whose reader does not go on.
const snapshotPatience = "600000" // ms

// source is one kind of record, as a snapshot reads it.
type source struct {
	sql  string
	scan func(rows pgx.Rows) (store.Change, error)
}

// The large ones come in the order of their keys, which is an index: who stores them in a
// tree of such keys writes each page once.
var sources = []source{
	{`SELECT name, value, revision FROM sentinel.settings`, func(rows pgx.Rows) (store.Change, error) {
		var name, value []byte
		var revision int64
		err := rows.Scan(&name, &value, &revision)
		setting := store.Setting{Name: string(name), Value: value}
		return store.Change{Revision: uint64(revision), Kind: store.ChangeSettingPut, Setting: setting}, err // #nosec G115 -- not negative
	}},
	{`SELECT kind, id, revision, body FROM sentinel.documents`, func(rows pgx.Rows) (store.Change, error) {
		d, err := scanDocument(rows)
		return store.Change{Revision: d.Revision, Kind: store.ChangeDocumentPut, Document: d}, err
	}},
	{`SELECT ` + bindingColumns + ` FROM sentinel.bindings ORDER BY hash`, func(rows pgx.Rows) (store.Change, error) {
		b, err := scanBinding(rows)
		return store.Change{Revision: b.Revision, Kind: store.ChangeBindingPut, Hash: b.Hash, Binding: b}, err
	}},
	{`SELECT ` + archiveColumns + `, changed FROM sentinel.archive ORDER BY hash`, func(rows pgx.Rows) (store.Change, error) {
		var changed int64
		a, err := scanArchived(rows, &changed)
		return store.Change{Revision: uint64(changed), Kind: store.ChangeArchivedPut, Hash: a.Binding.Hash, Archived: a}, err // #nosec G115 -- not negative
	}},
}

// Snapshot is part of store.Feed. It is one transaction that sees one moment, with a
// cursor for each kind of record.
func (s *Store) Snapshot(ctx context.Context, visit func(position uint64, all iter.Seq2[store.Change, error]) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.queue.IsClosed() {
		return store.ErrClosed
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return s.translate(ctx, err)
	}
	defer conn.Release() // which ends a connection with an open transaction
	v := &snapshot{s: s, ctx: ctx, conn: conn.Conn()}
	var position int64
	err = v.step(func(ctx context.Context) error {
		b := &pgx.Batch{}
		b.Queue(`begin ISOLATION LEVEL REPEATABLE READ READ ONLY`)
		b.Queue(`SELECT set_config('idle_in_transaction_session_timeout', $1, true)`, snapshotPatience)
		b.Queue(`SELECT revision FROM sentinel.head`).QueryRow(func(row pgx.Row) error { return row.Scan(&position) })
		return v.conn.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return err
	}
	if err := visit(uint64(position), v.all); err != nil { // #nosec G115 -- not negative
		return err
	}
	return v.step(func(ctx context.Context) error {
		_, err := v.conn.Exec(ctx, `commit`)
		return err
	})
}

// snapshot is one that is under way.
type snapshot struct {
	s    *Store
	ctx  context.Context
	conn *pgx.Conn
}

// step does one thing, for which the server has as long as for any other.
func (v *snapshot) step(do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(v.ctx, v.s.opts.StatementTimeout, errNoAnswer)
	defer cancel()
	err := do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		err = fmt.Errorf("%w within %s", errNoAnswer, v.s.opts.StatementTimeout)
	}
	return v.s.translate(v.ctx, err)
}

// all is what the visitor ranges over.
func (v *snapshot) all(yield func(store.Change, error) bool) {
	for _, from := range sources {
		isWanted, err := v.source(from, yield)
		if err != nil {
			yield(store.Change{}, err)
			return
		}
		if !isWanted {
			return
		}
	}
}

// source yields all of one kind, and reports whether more is wanted.
func (v *snapshot) source(from source, yield func(store.Change, error) bool) (isWanted bool, err error) {
	err = v.step(func(ctx context.Context) error {
		_, err := v.conn.Exec(ctx, `DECLARE snapshot NO SCROLL CURSOR FOR `+from.sql, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	for err == nil {
		var page []store.Change
		if page, err = v.fetch(from); err != nil {
			return false, err
		}
		for _, c := range page {
			if !yield(c, nil) {
				return false, nil
			}
		}
		if len(page) < snapshotStep {
			break
		}
	}
	if err != nil {
		return false, err
	}
	return true, v.step(func(ctx context.Context) error {
		_, err := v.conn.Exec(ctx, `CLOSE snapshot`, pgx.QueryExecModeSimpleProtocol)
		return err
	})
}

// fetch reads the next page. The statement is the same for each kind and its answer is
// not, so that it must not be prepared.
func (v *snapshot) fetch(from source) (page []store.Change, err error) {
	err = v.step(func(ctx context.Context) error {
		rows, err := v.conn.Query(ctx, fmt.Sprintf(`FETCH %d FROM snapshot`, snapshotStep), pgx.QueryExecModeExec)
		if err != nil {
			return err
		}
		return each(rows, func(rows pgx.Rows) error {
			c, err := from.scan(rows)
			page = append(page, c)
			return err
		})
	})
	return page, err
}
