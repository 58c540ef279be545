package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Post is part of store.Mailbox.
func (s *Store) Post(ctx context.Context, body []byte) error {
	const sql = `
INSERT INTO sentinel.letters (body) SELECT $1::bytea WHERE (SELECT count(*) FROM sentinel.letters) < $2`
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, sql, body, store.MaxLetters)
		if err == nil && tag.RowsAffected() == 0 {
			err = fmt.Errorf("%w: nobody takes the letters to the leader", store.ErrUnavailable)
		}
		return err
	})
}

// Letters is part of store.Mailbox.
func (s *Store) Letters(ctx context.Context, limit int) (list []store.Letter, err error) {
	const sql = `SELECT id, body FROM sentinel.letters ORDER BY id LIMIT $1`
	err = s.view(ctx, sql, []any{max(0, min(limit, store.MaxLetters))}, func(rows pgx.Rows) error {
		var id int64
		var l store.Letter
		err := rows.Scan(&id, &l.Body)
		l.ID = uint64(id) // #nosec G115 -- not negative
		list = append(list, l)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// RemoveLetters is part of store.Mailbox.
func (s *Store) RemoveLetters(ctx context.Context, ids []uint64) error {
	numbers := make([]int64, len(ids))
	for i, id := range ids {
		numbers[i] = number(id)
	}
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `DELETE FROM sentinel.letters WHERE id = ANY($1::bigint[])`, numbers)
		return err
	})
}
