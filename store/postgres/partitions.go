package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Intercepts have a partition for each month of UTC, called intercepts_ and the month,
// as in intercepts_2026_03. Partitions are made and dropped in transactions of their
// own, under an advisory lock that is taken before any other, and by nobody else: who
// holds it waits for who writes and reads, and none of those waits for it.
//
// To make one takes no lock that a writer or reader waits for. To drop one takes one
// that all wait for, for a moment; it gives up where it would have to wait long for
// a reader, and the next time has another try.

// partitionLock is the key of the advisory lock.
const partitionLock = 2026030503

// dropPatience is how long dropping a partition waits for readers, and others with it.
const dropPatience = time.Second

// months are those that are known to have a partition.
type months struct {
	mu    sync.Mutex
	known map[int64]bool // by their first millisecond
}

func (m *months) has(month int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[month]
}

func (m *months) add(month int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[int64]bool{}
	}
	m.known[month] = true
}

func (m *months) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = nil
}

func startOfMonth(ms int64) time.Time {
	t := timeOf(ms)
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

const partitionPrefix = "intercepts_"

func partitionName(month time.Time) string { return partitionPrefix + month.Format("2006_01") }

// ensureMonths makes the partitions that records of some times need, and the ones
// after them: so the first record of a month finds its own.
func (s *Store) ensureMonths(ctx context.Context, times []int64) error {
	var missing []time.Time
	for _, ms := range times {
		month := startOfMonth(ms)
		if month.Year() < 0 || month.Year() > 9998 {
			return fmt.Errorf("%w: intercept of the year %d", store.ErrInvalid, month.Year())
		}
		for _, m := range []time.Time{month, month.AddDate(0, 1, 0)} {
			if !s.months.has(m.UnixMilli()) && !slices.Contains(missing, m) {
				missing = append(missing, m)
			}
		}
	}
	for _, month := range missing {
		if err := s.makeMonth(ctx, month); err != nil {
			return err
		}
		s.months.add(month.UnixMilli())
	}
	return nil
}

// lockPartitions begins a transaction that may make and drop partitions.
func lockPartitions() *pgx.Batch {
	b := beginBatch()
	b.Queue(`SELECT pg_advisory_xact_lock($1)`, int64(partitionLock))
	return b
}

// sqlMakeMonth makes a partition. It is attached, and not created as one, which would
// lock out everybody. The check saves the server from looking for itself.
const sqlMakeMonth = `
CREATE TABLE sentinel.%[1]s (LIKE sentinel.intercepts INCLUDING ALL, CHECK (at >= %[2]d AND at < %[3]d));
CREATE UNIQUE INDEX %[1]s_node ON sentinel.%[1]s (node, sequence);
ALTER TABLE sentinel.intercepts ATTACH PARTITION sentinel.%[1]s FOR VALUES FROM (%[2]d) TO (%[3]d)`

// sqlPartition tells of a partition how many rows the server takes it to have. It reads
// the table that says so, and not to_regclass, which may answer from before a lock.
const sqlPartition = `
SELECT c.reltuples::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'sentinel' AND c.relname = $1`

// makeMonth makes the partition of a month, if it is not there.
func (s *Store) makeMonth(ctx context.Context, month time.Time) error {
	name := partitionName(month)
	exists := false
	look := `SELECT EXISTS (` + sqlPartition + `)`
	err := s.viewOne(ctx, look, []any{name}, func(rows pgx.Rows) error { return rows.Scan(&exists) })
	if err != nil || exists {
		return err
	}
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := lockPartitions()
		b.Queue(look, name).QueryRow(func(row pgx.Row) error { return row.Scan(&exists) })
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if !exists {
			sql := fmt.Sprintf(sqlMakeMonth, name, month.UnixMilli(), month.AddDate(0, 1, 0).UnixMilli())
			if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		_, err := conn.Exec(ctx, `commit`)
		return err
	})
}

// dropMonths drops the partitions whose times are all before one, and returns how many
// records they had.
func (s *Store) dropMonths(ctx context.Context, before int64) (dropped int, err error) {
	names, err := s.oldMonths(ctx, before)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		n, err := s.dropMonth(ctx, name)
		dropped += n
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// oldMonths returns the names of the partitions of months before a time.
func (s *Store) oldMonths(ctx context.Context, before int64) (names []string, err error) {
	const sql = `
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'sentinel.intercepts'::regclass ORDER BY c.relname`
	err = s.view(ctx, sql, nil, func(rows pgx.Rows) error {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		month, err := time.Parse("2006_01", strings.TrimPrefix(name, partitionPrefix))
		if err == nil && month.AddDate(0, 1, 0).UnixMilli() <= before {
			names = append(names, name)
		}
		return nil // one of another name is not ours to drop
	})
	return names, err
}

// countExactly is up to how many rows of a partition are counted. Of more, the number
// that the server has at hand will do.
const countExactly = 5_000_000

func (s *Store) dropMonth(ctx context.Context, name string) (n int, err error) {
	defer s.months.forget()
	table := pgx.Identifier{"sentinel", name}.Sanitize()
	err = s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		n = 0
		b := lockPartitions()
		b.Queue(`SELECT set_config('lock_timeout', $1, true)`, strconv.FormatInt(dropPatience.Milliseconds(), 10))
		b.Queue(sqlPartition, name).Query(func(rows pgx.Rows) error {
			return each(rows, func(rows pgx.Rows) error { return rows.Scan(&n) })
		})
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if n < countExactly {
			if err := conn.QueryRow(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil {
				return err
			}
		}
		end := &pgx.Batch{}
		end.Queue(`DROP TABLE ` + table)
		end.Queue(`commit`)
		return conn.SendBatch(ctx, end).Close()
	})
	if hasCode(err, codeNoLock, codeNoTable) {
		return 0, nil // somebody reads it, or another node has dropped it
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}
