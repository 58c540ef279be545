package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Each attempt is a row until it no longer counts. An attempt of a node that was killed
// counts as long as a failure does.

// sqlLockLogins has the attempts of one name be looked at one after the other. The first
// number keeps these locks apart from others.
const sqlLockLogins = `SELECT pg_advisory_xact_lock(20260305, hashtext(encode($1, 'hex')))`

// sqlForgetLogins forgets what no longer counts, a little at each attempt.
const sqlForgetLogins = `
DELETE FROM sentinel.logins WHERE (name, attempt) IN (
    SELECT name, attempt FROM sentinel.logins WHERE until <= ` + sqlNow + ` ORDER BY until LIMIT 100 FOR UPDATE SKIP LOCKED
)`

const sqlBeginLogin = `
WITH seen AS (
    SELECT coalesce(max(until) FILTER (WHERE attempt = ''), 0) - ` + sqlNow + ` AS rest, count(*) FILTER (WHERE attempt <> '') AS attempts
    FROM sentinel.logins WHERE name = $1 AND until > ` + sqlNow + `
), begun AS (
    INSERT INTO sentinel.logins (name, attempt, failed, until)
    SELECT $1, $2, false, ` + sqlNow + ` + $3 FROM seen WHERE rest <= 0 AND attempts < $4
)
SELECT CASE WHEN rest > 0 THEN rest WHEN attempts >= $4 THEN 1000 ELSE 0 END FROM seen`

const sqlFailLogin = `
INSERT INTO sentinel.logins (name, attempt, failed, until) VALUES ($1, $2, true, ` + sqlNow + ` + $3)
ON CONFLICT (name, attempt) DO UPDATE SET failed = true, until = excluded.until`

const sqlLockPair = `
WITH seen AS (
    SELECT count(*) FILTER (WHERE failed AND attempt <> '') AS failures, count(*) FILTER (WHERE attempt = '') AS locks
    FROM sentinel.logins WHERE name = $1 AND until > ` + sqlNow + `
), locked AS (
    INSERT INTO sentinel.logins (name, attempt, failed, until)
    SELECT $1, '', true, ` + sqlNow + ` + $2 FROM seen WHERE failures >= $3 AND locks = 0
    ON CONFLICT (name, attempt) DO UPDATE SET until = excluded.until
    RETURNING 1
)
SELECT EXISTS (SELECT FROM locked)`

// sqlTidyPair forgets the attempts of a pair that is locked.
const sqlTidyPair = `
DELETE FROM sentinel.logins WHERE name = $1 AND attempt <> ''
    AND EXISTS (SELECT FROM sentinel.logins WHERE name = $1 AND attempt = '' AND until > ` + sqlNow + `)`

// BeginLogin is part of store.Logins.
func (s *Store) BeginLogin(ctx context.Context, pair []byte, attempt string, limits store.LoginLimits) (time.Duration, error) {
	var ms int64
	err := s.atLogins(ctx, pair, func(b *pgx.Batch) {
		b.Queue(sqlForgetLogins)
		b.Queue(sqlBeginLogin, pair, attempt, limits.Window.Milliseconds(), limits.Failures).QueryRow(func(row pgx.Row) error { return row.Scan(&ms) })
	})
	return time.Duration(ms) * time.Millisecond, err
}

// FailLogin is part of store.Logins.
func (s *Store) FailLogin(ctx context.Context, pair []byte, attempt string, limits store.LoginLimits) (locked bool, err error) {
	err = s.atLogins(ctx, pair, func(b *pgx.Batch) {
		b.Queue(sqlFailLogin, pair, attempt, limits.Window.Milliseconds())
		b.Queue(sqlLockPair, pair, limits.LockFor.Milliseconds(), limits.Failures).QueryRow(func(row pgx.Row) error { return row.Scan(&locked) })
		b.Queue(sqlTidyPair, pair)
	})
	return locked, err
}

// UndoLogin is part of store.Logins.
func (s *Store) UndoLogin(ctx context.Context, pair []byte, attempt string) error {
	return s.atLogins(ctx, pair, func(b *pgx.Batch) {
		b.Queue(`DELETE FROM sentinel.logins WHERE name = $1 AND attempt = $2 AND NOT failed`, pair, attempt)
	})
}

// ForgetLogins is part of store.Logins.
func (s *Store) ForgetLogins(ctx context.Context, name []byte) error {
	return s.atLogins(ctx, name, func(b *pgx.Batch) {
		b.Queue(`DELETE FROM sentinel.logins WHERE name = $1 AND attempt <> ''`, name)
	})
}

// CountLogins is part of store.Logins.
func (s *Store) CountLogins(ctx context.Context, name []byte, more int, window time.Duration) (n int, err error) {
	const add = `
INSERT INTO sentinel.logins (name, attempt, failed, until)
SELECT $1, gen_random_uuid()::text, true, ` + sqlNow + ` + $2 FROM generate_series(1, $3)`
	const count = `SELECT count(*) FROM sentinel.logins WHERE name = $1 AND until > ` + sqlNow
	err = s.atLogins(ctx, name, func(b *pgx.Batch) {
		b.Queue(add, name, window.Milliseconds(), more)
		b.Queue(count, name).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	})
	return n, err
}

// atLogins does something with what is counted by a name, in one round trip.
func (s *Store) atLogins(ctx context.Context, name []byte, do func(b *pgx.Batch)) error {
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginBatch()
		b.Queue(sqlLockLogins, name)
		do(b)
		b.Queue(`commit`)
		return conn.SendBatch(ctx, b).Close()
	})
}
