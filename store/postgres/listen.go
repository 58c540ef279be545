package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// quietTime is after how long without a notification Listen asks whether the server
// is still there: a connection that hangs tells nothing by itself.
const quietTime = 5 * time.Second

// Listen is part of store.Feed. It has a connection of its own, which no pooler may
// share: see Options.ListenDSN.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.queue.IsClosed() {
		return store.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.queue.Ended():
			cancel(store.ErrClosed)
		case <-ctx.Done():
		}
	}()
	err := s.listenOn(ctx, wake)
	if context.Cause(ctx) == store.ErrClosed { //nolint:errorlint // the very one
		return store.ErrClosed
	}
	return s.translate(ctx, err)
}

func (s *Store) listenOn(ctx context.Context, wake func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.listen.Copy())
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end) // it has served
	}()
	if err := s.inTime(ctx, func(ctx context.Context) error {
		_, err := conn.Exec(ctx, `LISTEN `+channel, pgx.QueryExecModeSimpleProtocol)
		return err
	}); err != nil {
		return err
	}
	wake() // for what has happened before
	for {
		quiet, cancel := context.WithTimeout(ctx, quietTime)
		_, err := conn.WaitForNotification(quiet)
		isQuiet := quiet.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			wake()
		case !isQuiet:
			return err
		default:
			if err := s.inTime(ctx, conn.Ping); err != nil {
				return err
			}
		}
	}
}

// inTime does something that takes no longer than to connect.
func (s *Store) inTime(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.ConnectTimeout, errNoAnswer)
	defer cancel()
	return do(ctx)
}
