package postgres

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

const sqlAudit = `
WITH next AS (
    UPDATE sentinel.sequences SET last = last + 1 WHERE name = 'audit' RETURNING last
)
INSERT INTO sentinel.audit (id, at, actor, client_ip, action, target, before, after, request_id)
SELECT last, $1, $2, $3::text::inet, $4, $5, $6, $7, $8 FROM next
RETURNING id`

// AppendAudit is part of store.AuditLog.
func (s *Store) AppendAudit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	e.At = store.StoredTime(e.At)
	e.Before, e.After = bytes.Clone(e.Before), bytes.Clone(e.After)
	var id int64
	err := s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginBatch()
		b.Queue(sqlAudit, e.At.UnixMilli(), []byte(e.Actor), addrText(e.ClientIP), []byte(e.Action), []byte(e.Target),
			[]byte(e.Before), []byte(e.After), []byte(e.RequestID)).QueryRow(func(row pgx.Row) error { return row.Scan(&id) })
		b.Queue(`commit`)
		return conn.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return store.AuditEntry{}, err
	}
	e.ID = uint64(id) // #nosec G115 -- not negative
	return e, nil
}

// ListAudit is part of store.AuditLog.
func (s *Store) ListAudit(ctx context.Context, f store.AuditFilter) (page store.AuditPage, err error) {
	var c conditions
	if f.Before > 0 {
		c.add(`id < ?`, number(f.Before))
	}
	c.times("at", f.Time)
	if f.Actor != "" {
		c.add(`actor = ?`, []byte(f.Actor))
	}
	switch {
	case strings.HasSuffix(f.Action, "."):
		c.add(`substring(action FROM 1 FOR ?) = ?`, len(f.Action), []byte(f.Action))
	case f.Action != "":
		c.add(`action = ?`, []byte(f.Action))
	}
	if f.Target != "" {
		c.add(`target = ?`, []byte(f.Target))
	}
	limit := pageSize(f.Limit)
	sql := `SELECT id, at, actor, client_ip, action, target, before, after, request_id FROM sentinel.audit` +
		c.where() + ` ORDER BY id DESC LIMIT ` + c.arg(limit+1)
	err = s.view(ctx, sql, c.args, func(rows pgx.Rows) error {
		e, err := scanAudit(rows)
		page.Entries = append(page.Entries, e)
		return err
	})
	if err != nil {
		return store.AuditPage{}, err
	}
	if len(page.Entries) > limit {
		page.Entries = page.Entries[:limit]
		page.Next = page.Entries[limit-1].ID
	}
	return page, nil
}

func scanAudit(rows pgx.Rows) (store.AuditEntry, error) {
	var id, at int64
	var actor, action, target, before, after, requestID []byte
	var clientIP netip.Addr
	err := rows.Scan(&id, &at, &actor, &clientIP, &action, &target, &before, &after, &requestID)
	return store.AuditEntry{
		ID: uint64(id), At: timeOf(at), Actor: string(actor), ClientIP: clientIP, Action: string(action), // #nosec G115 -- not negative
		Target: string(target), Before: before, After: after, RequestID: string(requestID),
	}, err
}

// DeleteAudit is part of store.AuditLog.
func (s *Store) DeleteAudit(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM sentinel.audit WHERE id IN (
    SELECT id FROM sentinel.audit WHERE at < $1 ORDER BY id LIMIT $2 FOR UPDATE
)`
	return s.remove(ctx, sql, ceilMs(before), max(limit, 0))
}
