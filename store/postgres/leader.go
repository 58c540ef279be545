package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// The leader is who holds an advisory lock of a session, on a connection of its own. How
// soon another one takes over:
//   - the leader has ended, or was killed: its system closes the connection, and the
//     server gives the lock away at once;
//   - its machine or its network is gone, or the process is frozen, which TCP would not
//     notice: the leader asks whether it still has the lock every leaderBeat, and the
//     server ends a session that asks nothing for leaderSilence. Servers before 14 cannot
//     do that, and see only that the machine is gone.
//
// Candidates try every leaderBeat, so that the lock is taken after 12 s at the latest.
//
// A leader that was frozen and goes on has lost the lock without knowing. So nothing is
// done as the leader by memory: IsLeader asks the server, in the session itself.

const (
	leaderBeat    = 2 * time.Second
	leaderSilence = 10 * time.Second
	// leaderPatience is how long the leader waits for an answer before it takes it that
	// it is none any more. With leaderBeat it is less than leaderSilence.
	leaderPatience = 3 * time.Second
)

// LeaderOptions are those of NewLeader.
type LeaderOptions struct {
	// DSN is as in Options. It must lead to the server itself, or to a pooler that gives
	// each client a session of its own.
	DSN string
	// Key is the number of the advisory lock.
	Key int64
	// ConnectTimeout is as in Options.
	ConnectTimeout time.Duration
	// Logger hears when this node becomes the leader, and when it no longer is. Nil
	// means nobody.
	Logger *slog.Logger
}

// Leader is a store.Leadership by an advisory lock. It needs no Store, and no server when
// it is made.
type Leader struct {
	opts   LeaderOptions
	config *pgx.ConnConfig

	mu   sync.Mutex
	conn *pgx.Conn // of the session that has the lock; nil: this node is not the leader
	lost context.CancelCauseFunc
}

// NewLeader returns a candidate. Returns store.ErrInvalid for a DSN.
func NewLeader(opts LeaderOptions) (*Leader, error) {
	if opts.ConnectTimeout == 0 {
		opts.ConnectTimeout = DefaultConnectTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	config, _, err := configs(Options{DSN: opts.DSN, ConnectTimeout: opts.ConnectTimeout})
	if err != nil {
		return nil, err
	}
	config.ConnConfig.RuntimeParams["application_name"] += " leader"
	return &Leader{opts: opts, config: config.ConnConfig}, nil
}

var errNotLeader = errors.New("another session has the lock, or none")

// Lead is part of store.Leadership.
func (l *Leader) Lead(ctx context.Context, do func(ctx context.Context)) {
	for ctx.Err() == nil {
		if err := l.campaign(ctx, do); err != nil && ctx.Err() == nil {
			l.opts.Logger.Debug("cannot be the leader", "error", err)
		}
		pause(ctx, leaderBeat)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// campaign tries to get the lock on one connection, and leads until that or ctx ends.
func (l *Leader) campaign(ctx context.Context, do func(ctx context.Context)) error {
	conn, err := pgx.ConnectConfig(ctx, l.config.Copy())
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end) // the lock goes with it
	}()
	if err := limitSilence(ctx, conn); err != nil {
		return err
	}
	for {
		got, err := ask(ctx, conn, `SELECT pg_try_advisory_lock($1)`, l.opts.Key)
		switch {
		case err != nil:
			return err
		case got:
			return l.lead(ctx, conn, do)
		}
		if pause(ctx, leaderBeat); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// limitSilence has the server notice that the client is gone.
func limitSilence(ctx context.Context, conn *pgx.Conn) error {
	sql := fmt.Sprintf(`
SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
       set_config('tcp_keepalives_count', '2', false), set_config('tcp_user_timeout', '%[1]d', false),
       CASE WHEN current_setting('server_version_num')::int >= 140000 THEN set_config('idle_session_timeout', '%[1]d', false) END`,
		leaderSilence.Milliseconds())
	timed, cancel := context.WithTimeout(ctx, leaderPatience)
	defer cancel()
	_, err := conn.Exec(timed, sql)
	return err
}

// ask returns what a statement says, or an error if that takes longer than leaderPatience.
func ask(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (is bool, err error) {
	timed, cancel := context.WithTimeout(ctx, leaderPatience)
	defer cancel()
	err = conn.QueryRow(timed, sql, args...).Scan(&is)
	return is, err
}

// lead leads until the lock is lost or ctx ends, and do has returned.
func (l *Leader) lead(ctx context.Context, conn *pgx.Conn, do func(ctx context.Context)) error {
	leading, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	l.mu.Lock()
	l.conn, l.lost = conn, lost
	l.mu.Unlock()
	defer l.resign(nil)
	l.opts.Logger.Info("this node is the leader now")
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(leading)
	}()
	for leading.Err() == nil {
		if pause(leading, leaderBeat); leading.Err() == nil {
			l.IsLeader(leading) // which ends leading if it is not
		}
	}
	<-done
	if ctx.Err() == nil {
		l.opts.Logger.Warn("this node is no longer the leader", "error", context.Cause(leading))
	}
	return context.Cause(leading)
}

// sqlHolds asks whether this session has the lock: the two halves of its key are in two
// columns, as the chapter on pg_locks of PostgreSQL's manual has it.
const sqlHolds = `
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint = ($1::bigint >> 32) & 4294967295 AND objid::bigint = $1::bigint & 4294967295
)`

// IsLeader is part of store.Leadership. It takes one round trip, and leaderPatience at
// most.
func (l *Leader) IsLeader(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return false
	}
	// Not by ctx: to break off a question closes the connection, and ends the leadership.
	holds, err := ask(context.WithoutCancel(ctx), l.conn, sqlHolds, l.opts.Key)
	if err == nil && !holds {
		err = errNotLeader
	}
	if err != nil {
		l.resignLocked(err)
	}
	return err == nil && ctx.Err() == nil
}

func (l *Leader) resign(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resignLocked(cause)
}

func (l *Leader) resignLocked(cause error) {
	if l.conn != nil {
		l.conn = nil
		l.lost(cause)
	}
}
