package postgres

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

const usageColumns = `last_used, last_ip, hits, history`

// usageScan is a row of usageColumns.
type usageScan struct {
	lastUsed, hits int64
	lastIP         netip.Addr
	history        []byte
}

func (r *usageScan) fields() []any { return []any{&r.lastUsed, &r.lastIP, &r.hits, &r.history} }

// plain returns the usage without its history.
func (r *usageScan) plain() store.Usage {
	return store.Usage{LastUsed: timeOf(r.lastUsed), LastIP: r.lastIP, Hits: uint64(r.hits)} // #nosec G115 -- not negative
}

func (r *usageScan) usage() (store.Usage, error) {
	u := r.plain()
	err := decodeHistory(r.history, &u)
	return u, err
}

// Usage is part of store.UsageLog.
func (s *Store) Usage(ctx context.Context, hash store.KeyHash) (u store.Usage, err error) {
	const sql = `SELECT ` + usageColumns + ` FROM sentinel.usage WHERE hash = $1`
	err = s.view(ctx, sql, []any{hash[:]}, func(rows pgx.Rows) error {
		var r usageScan
		if err := rows.Scan(r.fields()...); err != nil {
			return err
		}
		u, err = r.usage()
		return err
	})
	if err != nil {
		return store.Usage{}, err
	}
	return u, nil
}

// AddUsage is part of store.UsageLog.
func (s *Store) AddUsage(ctx context.Context, batch store.UsageBatch) error {
	return store.AddInChunks(ctx, batch, func(chunk store.UsageBatch) error {
		return s.addUsage(ctx, chunk.Touches, chunk.Counters)
	})
}

// addUsage adds touches and counters in one transaction.
func (s *Store) addUsage(ctx context.Context, touches []store.Touch, counters []store.Counter) error {
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		u := newUsageStep(touches, counters)
		b := beginBatch()
		u.queueLock(b)
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		end := &pgx.Batch{}
		if err := u.queue(end); err != nil {
			return err
		}
		end.Queue(`commit`)
		return conn.SendBatch(ctx, end).Close()
	})
}

// usageStep adds touches and counters within a transaction. It locks the rows that it
// reads in the order of their keys, and then those of the counters in theirs: so
// transactions of several nodes wait for each other in no circle.
type usageStep struct {
	touches  []store.Touch
	counters []store.Counter
	usage    map[store.KeyHash]store.Usage // of the keys that are bound
}

func newUsageStep(touches []store.Touch, counters []store.Counter) *usageStep {
	return &usageStep{touches: touches, counters: counters}
}

// queueLock queues what locks and reads the rows.
func (u *usageStep) queueLock(b *pgx.Batch) {
	const lock = `SELECT hash, ` + usageColumns + ` FROM sentinel.usage WHERE hash = ANY($1::bytea[]) ORDER BY hash FOR UPDATE`
	keys := make([][]byte, 0, len(u.touches))
	for i := range u.touches {
		keys = append(keys, u.touches[i].Hash[:])
	}
	u.usage = map[store.KeyHash]store.Usage{}
	b.Queue(lock, keys).Query(func(rows pgx.Rows) error {
		return each(rows, func(rows pgx.Rows) error {
			var hash []byte
			var r usageScan
			if err := rows.Scan(append([]any{&hash}, r.fields()...)...); err != nil {
				return err
			}
			there, err := r.usage()
			if err != nil {
				there = r.plain() // a history that cannot be read is begun anew, or it would hold up all others
			}
			u.usage[store.KeyHash(hash)] = there
			return nil
		})
	})
}

// queue queues what writes them.
func (u *usageStep) queue(b *pgx.Batch) error {
	changed := map[store.KeyHash]bool{}
	for _, t := range u.touches {
		if there, isBound := u.usage[t.Hash]; isBound {
			u.usage[t.Hash], changed[t.Hash] = there.Add(t), true
		}
	}
	if err := queueUsage(b, u.usage, changed); err != nil {
		return err
	}
	queueCounters(b, u.counters)
	return nil
}

const sqlUsage = `
UPDATE sentinel.usage u SET last_used = g.last_used, last_ip = g.last_ip::inet, hits = g.hits, history = g.history
FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bytea[]) AS g(hash, last_used, last_ip, hits, history)
WHERE u.hash = g.hash`

// queueUsage queues the rows that have changed.
func queueUsage(b *pgx.Batch, usage map[store.KeyHash]store.Usage, changed map[store.KeyHash]bool) error {
	var hashes, histories [][]byte
	var lastUsed, hits []int64
	var lastIP []*string
	for hash := range changed {
		u := usage[hash]
		history, err := encodeHistory(u)
		if err != nil {
			return err
		}
		hashes, histories = append(hashes, hash[:]), append(histories, history)
		lastUsed, hits = append(lastUsed, u.LastUsed.UnixMilli()), append(hits, number(u.Hits))
		lastIP = append(lastIP, addrText(u.LastIP))
	}
	if len(hashes) > 0 {
		b.Queue(sqlUsage, hashes, lastUsed, lastIP, hits, histories)
	}
	return nil
}

// sqlCounters adds up to what a bigint holds.
const sqlCounters = `
INSERT INTO sentinel.counters AS c (hour, name, n)
SELECT hour, name, n FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS g(hour, name, n) ORDER BY hour, name
ON CONFLICT (hour, name) DO UPDATE SET n = least(c.n::numeric + excluded.n, 9223372036854775807)::bigint`

// queueCounters queues counters, each of which may be there several times.
func queueCounters(b *pgx.Batch, counters []store.Counter) {
	if len(counters) == 0 {
		return
	}
	type key struct {
		hour int64
		name string
	}
	sums := map[key]uint64{}
	for _, c := range counters {
		k := key{store.StoredHour(c.Hour).Unix(), c.Name}
		sums[k] = min(sums[k], math.MaxInt64) + min(c.N, math.MaxInt64)
	}
	var hours, ns []int64
	var names [][]byte
	for k, n := range sums {
		hours, names, ns = append(hours, k.hour), append(names, []byte(k.name)), append(ns, number(n))
	}
	b.Queue(sqlCounters, hours, names, ns)
}

// Counters is part of store.UsageLog.
func (s *Store) Counters(ctx context.Context, from, to time.Time) (list []store.Counter, err error) {
	const sql = `SELECT hour, name, n FROM sentinel.counters WHERE hour >= $1 AND hour < $2 ORDER BY hour, name`
	err = s.view(ctx, sql, []any{ceilSeconds(from), ceilSeconds(to)}, func(rows pgx.Rows) error {
		var hour, n int64
		var name []byte
		err := rows.Scan(&hour, &name, &n)
		list = append(list, store.Counter{Hour: time.Unix(hour, 0).UTC(), Name: string(name), N: uint64(n)}) // #nosec G115 -- not negative
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// ceilSeconds returns the first second that is not before t.
func ceilSeconds(t time.Time) int64 { return t.Unix() + int64(cmp.Compare(t.Nanosecond(), 0)) }

// DeleteCounters is part of store.UsageLog.
func (s *Store) DeleteCounters(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM sentinel.counters WHERE (hour, name) IN (
    SELECT hour, name FROM sentinel.counters WHERE hour < $1 ORDER BY hour, name LIMIT $2 FOR UPDATE
)`
	return s.remove(ctx, sql, ceilSeconds(before), max(limit, 0))
}

// remove runs a statement that removes rows which are in no feed, and returns how many
// it was.
func (s *Store) remove(ctx context.Context, sql string, args ...any) (n int, err error) {
	err = s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginBatch()
		b.Queue(sql, args...).Exec(func(tag pgTag) error {
			n = int(tag.RowsAffected())
			return nil
		})
		b.Queue(`commit`)
		return conn.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
