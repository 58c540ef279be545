// Package postgres keeps everything in one PostgreSQL database (13 or newer): the
// authority that the nodes of a cluster share.
//
// # Revisions, in the order of commits
//
// Every change of what nodes keep a copy of (bindings, the archive, documents,
// settings) takes the next revision, and is a row of the table changes. Sequences of
// PostgreSQL would not do: a transaction that has taken 7 may commit after the one
// that has taken 8, and who has read up to 8 by then never sees 7. So the last
// revision is in a row of its own, head, which a transaction locks before it changes
// anything and holds until it has committed. There is one such transaction at a time:
// revisions have no gaps, and whoever sees one sees all before it.
// TestLateCommitIsNotSkipped shows it.
//
// That lock also decides who binds a key first, and keeps transactions of several
// nodes from waiting for each other in a circle.
//
// # Writing
//
// One goroutine, the committer, makes these transactions for a process: commit.go. It
// takes whatever callers have queued, and so shares the lock, the round trips and the
// flush of the server's log between as many callers as there happen to be. Whatever
// is not in the feed (usage, counters, intercepts, audit) is written beside it, in
// transactions of its own that lock rows in the order of their keys.
//
// A node that is frozen in the middle of a transaction loses it after lockTimeout:
// the server ends the session, and the others go on.
//
// # Connections
//
// Nothing outlives a transaction in a session, so that a PgBouncer in transaction
// mode may be in between; before its version 1.21, or with max_prepared_statements=0,
// the DSN says default_query_exec_mode=exec. Only Listen and Leader need a session of their
// own.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/groupcommit"
)

// Defaults of Options.
const (
	DefaultConnectTimeout   = 3 * time.Second
	DefaultStatementTimeout = 10 * time.Second
	DefaultMaxConns         = 10
)

// NodeName is what the server calls the connections of nodes, unless the DSN says
// otherwise.
const NodeName = "sentinel"

// lockTimeout is how long the server waits for a client within a transaction.
const lockTimeout = 5 * time.Second

// closeTimeout is how long Close waits for a server that does not answer.
const closeTimeout = 5 * time.Second

// Options for Open.
type Options struct {
	// DSN is how to reach the database, as libpq has it: postgresql://USER:PASSWORD@HOST/DATABASE.
	// Several hosts may be given, with target_session_attrs=read-write. Parameters of
	// pgxpool (pool_max_conns, …) and pgx (default_query_exec_mode) may be in it.
	// postgresql+asyncpg:// is taken too.
	DSN string
	// ListenDSN is what Listen connects to; empty means DSN. Behind a PgBouncer in
	// transaction mode, which drops notifications, it names the server itself.
	ListenDSN string
	// ConnectTimeout is how long to wait for a new connection; 0 means
	// DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// StatementTimeout is how long to wait for one transaction, if the context of a
	// call does not end earlier; 0 means DefaultStatementTimeout.
	StatementTimeout time.Duration
	// Name is what the server calls the connections; empty means NodeName.
	Name string
	// Logger hears of what needs no answer but should be known, such as a migration.
	// Nil means nobody.
	Logger *slog.Logger
}

// Store is a store.Store, and a store.Feed, in one database.
type Store struct {
	opts   Options
	pool   *pgxpool.Pool
	listen *pgx.ConnConfig
	months months // of which intercepts have partitions

	queue *groupcommit.Queue[request]
	gone  chan struct{} // closed when the pool is
}

var (
	_ store.Store = (*Store)(nil)
	_ store.Feed  = (*Store)(nil)

	_ store.Authority  = (*Store)(nil)
	_ store.Leadership = (*Leader)(nil)
)

// Open connects to the database, and brings its schema, sentinel, to the current
// form, whatever number of nodes do so at once.
//
// Errors: store.ErrInvalid for a DSN, which never has the DSN in it; store.ErrNewer
// for a schema of a newer version; store.ErrUnavailable for everything else.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.ConnectTimeout == 0 {
		opts.ConnectTimeout = DefaultConnectTimeout
	}
	if opts.StatementTimeout == 0 {
		opts.StatementTimeout = DefaultStatementTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	config, listen, err := configs(opts)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, listen: listen, queue: groupcommit.New[request](), gone: make(chan struct{})}
	if err := migrate(ctx, config.ConnConfig, opts); err != nil {
		return nil, s.translate(ctx, err)
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, s.translate(ctx, err)
	}
	go s.queue.Serve(together, s.serve)
	return s, nil
}

// Close waits for the changes under way, and closes the connections; for a server
// that does not answer it waits a few seconds. Closing again does nothing; everything
// else returns store.ErrUnavailable from here on.
func (s *Store) Close() error {
	if s.queue.Close() {
		go func() {
			<-s.queue.Ended()
			s.pool.Close()
			close(s.gone)
		}()
	}
	select {
	case <-s.gone:
		return nil
	case <-time.After(closeTimeout):
		return fmt.Errorf("close store: %w: the server does not answer", store.ErrUnavailable)
	}
}

// use runs fn with a connection, until ctx or the statement timeout ends it, and
// translates its error.
func (s *Store) use(ctx context.Context, fn func(ctx context.Context, conn *pgx.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.queue.IsClosed() {
		return store.ErrClosed
	}
	return s.translate(ctx, s.useUntranslated(ctx, fn))
}

func (s *Store) useUntranslated(ctx context.Context, fn func(ctx context.Context, conn *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.StatementTimeout, errNoAnswer)
	defer cancel()
	err := s.useOnce(ctx, fn)
	if err != nil && ctx.Err() == nil && pgconn.SafeToRetry(err) {
		err = s.useOnce(ctx, fn) // the server has gone away since the connection was last used
	}
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		return fmt.Errorf("%w within %s", errNoAnswer, s.opts.StatementTimeout)
	}
	return err
}

func (s *Store) useOnce(ctx context.Context, fn func(ctx context.Context, conn *pgx.Conn) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = fn(ctx, conn.Conn())
	if raw := conn.Conn(); err != nil && !raw.IsClosed() && raw.PgConn().TxStatus() != 'I' {
		_, _ = raw.Exec(ctx, "rollback") // or the pool closes the connection
	}
	return err
}

// view reads what one statement tells.
func (s *Store) view(ctx context.Context, sql string, args []any, read func(rows pgx.Rows) error) error {
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		return each(rows, read)
	})
}

// viewOne reads the one row that a statement tells, or returns store.ErrNotFound.
func (s *Store) viewOne(ctx context.Context, sql string, args []any, read func(rows pgx.Rows) error) error {
	found := false
	err := s.view(ctx, sql, args, func(rows pgx.Rows) error {
		found = true
		return read(rows)
	})
	if err == nil && !found {
		return store.ErrNotFound
	}
	return err
}

// each calls read for each row.
func each(rows pgx.Rows, read func(rows pgx.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Probe is part of store.Prober.
func (s *Store) Probe(ctx context.Context) error {
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginBatch()
		b.Queue(`UPDATE sentinel.probe SET n = n + 1`)
		b.Queue(`commit`)
		return conn.SendBatch(ctx, b).Close()
	})
}
