package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// sqlNow is the time by the server's clock.
const sqlNow = `floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint`

const sqlBeat = `
INSERT INTO sentinel.nodes (id, at, state) VALUES ($1, ` + sqlNow + `, $2)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, state = excluded.state`

// sqlForgetNodes leaves alone what another node is just about to write or remove.
const sqlForgetNodes = `
DELETE FROM sentinel.nodes WHERE id IN (
    SELECT id FROM sentinel.nodes WHERE at < ` + sqlNow + ` - $1 FOR UPDATE SKIP LOCKED
)`

// Beat is part of store.Roster.
func (s *Store) Beat(ctx context.Context, n store.NodeState) error {
	if err := store.ValidateName(n.ID); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	state, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.ID, err)
	}
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginBatch()
		b.Queue(sqlBeat, []byte(n.ID), state)
		b.Queue(sqlForgetNodes, store.NodeAge.Milliseconds())
		b.Queue(`commit`)
		return conn.SendBatch(ctx, b).Close()
	})
}

// Nodes is part of store.Roster.
func (s *Store) Nodes(ctx context.Context) (list []store.NodeBeat, err error) {
	const sql = `SELECT id, ` + sqlNow + ` - at, state FROM sentinel.nodes`
	err = s.view(ctx, sql, nil, func(rows pgx.Rows) error {
		var id []byte
		var silence int64
		var state []byte
		if err := rows.Scan(&id, &silence, &state); err != nil {
			return err
		}
		n := store.NodeBeat{Silence: time.Duration(max(silence, 0)) * time.Millisecond}
		if err := json.Unmarshal(state, &n.NodeState); err != nil {
			return fmt.Errorf("node %s: %w", id, err)
		}
		list = append(list, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b store.NodeBeat) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// Time is part of store.Roster.
func (s *Store) Time(ctx context.Context) (t time.Time, err error) {
	err = s.view(ctx, `SELECT clock_timestamp()`, nil, func(rows pgx.Rows) error { return rows.Scan(&t) })
	return t, err
}
