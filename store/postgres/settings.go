package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

// Setting is part of store.Settings.
func (s *Store) Setting(ctx context.Context, name string) (value []byte, err error) {
	const sql = `SELECT value FROM sentinel.settings WHERE name = $1`
	err = s.viewOne(ctx, sql, []any{[]byte(name)}, func(rows pgx.Rows) error { return rows.Scan(&value) })
	return value, err
}

// PutSetting is part of store.Settings.
func (s *Store) PutSetting(ctx context.Context, name string, value []byte) error {
	if err := store.ValidateName(name); err != nil {
		return fmt.Errorf("setting: %w", err)
	}
	value = append([]byte{}, value...) // the caller's own, and never NULL
	return s.write(ctx, func(ctx context.Context, w *writeTx) error {
		const sql = `
INSERT INTO sentinel.settings (name, revision, value) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, value = excluded.value`
		_, err := w.conn.Exec(ctx, sql, []byte(name), w.note(store.ChangeSettingPut, []byte(name), nil), value)
		return err
	})
}

// DeleteSetting is part of store.Settings.
func (s *Store) DeleteSetting(ctx context.Context, name string) error {
	return s.write(ctx, func(ctx context.Context, w *writeTx) error {
		tag, err := w.conn.Exec(ctx, `DELETE FROM sentinel.settings WHERE name = $1`, []byte(name))
		if err == nil && tag.RowsAffected() > 0 {
			w.note(store.ChangeSettingRemoved, []byte(name), nil)
		}
		return err
	})
}
