package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrUnfinished means that a migration into a store has begun, and is not done: keys that
// it has not reached would be unknown.
var ErrUnfinished = errors.New("a migration into it is not finished")

// The settings that tell of migrations into a store, by the command that makes them.
const (
	MoveMark   = "internal.migration.move"   // from another store
	LegacyMark = "internal.migration.legacy" // from the earlier deployment
)

// Migration is the value of such a setting.
type Migration struct {
	From string    `json:"from"` // which store; empty: there is only one
	Done bool      `json:"done"`
	At   time.Time `json:"at"` // what it came from is of this moment

	// How far it has come.
	Class string `json:"class,omitempty"`
	After string `json:"after,omitempty"`
	Rows  int    `json:"rows,omitempty"`
	ID    uint64 `json:"id,omitempty"`
}

// ReadMigration returns the migration that a setting tells of; nil if there was none.
func ReadMigration(ctx context.Context, s Settings, name string) (*Migration, error) {
	raw, err := s.Setting(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := new(Migration)
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("%w: setting %s: %w", ErrDamaged, name, err)
	}
	return m, nil
}

// WriteMigration stores what a setting tells of a migration.
func WriteMigration(ctx context.Context, s Settings, name string, m Migration) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.PutSetting(ctx, name, raw)
}

// CheckWhole returns ErrUnfinished if a migration into a store is not done.
func CheckWhole(ctx context.Context, s Settings) error {
	for _, name := range []string{MoveMark, LegacyMark} {
		m, err := ReadMigration(ctx, s, name)
		if err != nil {
			return err
		}
		if m != nil && !m.Done {
			return fmt.Errorf("%w: run sentinel migrate again", ErrUnfinished)
		}
	}
	return nil
}
