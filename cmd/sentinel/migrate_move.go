package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

const (
	// moveTimeout bounds one chunk.
	moveTimeout = 5 * time.Minute
	// identitySetting names a data file that was moved from, which has no other name.
	identitySetting = store.NodeSettingPrefix + "migration.identity"
)

// move moves one store to another.
type move struct {
	cfg   *Config
	force bool
	out   io.Writer // a line for each class

	from, to         store.Transfer
	fromName, toName string
	fromID           string
	closers          []io.Closer

	mark    store.Migration
	wasDone bool
	records map[store.Class]int
}

// fileIdentity returns what tells a data file from others.
func fileIdentity(ctx context.Context, file *bolt.Store) (string, error) {
	value, err := file.Setting(ctx, identitySetting)
	if errors.Is(err, store.ErrNotFound) {
		value = []byte(rand.Text())
		err = file.PutSetting(ctx, identitySetting, value)
	}
	return string(value), err
}

func (m *move) run(ctx context.Context) error {
	m.records = map[store.Class]int{}
	if err := m.begin(ctx); err != nil || m.wasDone {
		return err
	}
	if err := store.CheckWhole(ctx, m.from); err != nil {
		return fmt.Errorf("%s: %w", m.fromName, err)
	}
	for _, class := range store.Classes {
		if err := m.moveClass(ctx, class); err != nil {
			return fmt.Errorf("move %s: %w", class, err)
		}
	}
	for _, class := range store.Classes {
		if err := m.compare(ctx, class); err != nil {
			return err
		}
	}
	m.mark.Done, m.mark.At, m.mark.Class, m.mark.After = true, time.Now().UTC(), "", ""
	return m.to.Import(ctx, store.Chunk{Class: store.ClassSettings}, m.mark)
}

// begin finds out how far an earlier run has come. A target that has anything else is
// refused.
func (m *move) begin(ctx context.Context) error {
	mark, err := store.ReadMigration(ctx, m.to, store.MoveMark)
	if err != nil {
		return err
	}
	if mark != nil && mark.From == m.fromID {
		m.mark, m.wasDone = *mark, mark.Done
		return nil
	}
	for _, class := range store.Classes {
		chunk, err := m.to.Export(ctx, class, "", 1)
		if err != nil {
			return err
		}
		if chunk.Len() > 0 {
			return fmt.Errorf("%s has data of its own (%s): nothing is moved over them; name an empty one", m.toName, class)
		}
	}
	m.mark = store.Migration{From: m.fromID}
	return m.to.Import(ctx, store.Chunk{Class: store.ClassSettings}, m.mark)
}

// moveClass moves what an earlier run has not moved of a class.
func (m *move) moveClass(ctx context.Context, class store.Class) error {
	after := ""
	switch at, own := placeOf(store.Class(m.mark.Class)), placeOf(class); {
	case at > own:
		return nil // an earlier run has
	case at == own:
		after = m.mark.After
		if after == "" {
			return nil
		}
	}
	moved := 0
	for {
		chunk, err := m.from.Export(ctx, class, after, store.MaxPage)
		if err != nil {
			return err
		}
		m.mark.Class, m.mark.After = string(class), chunk.Next
		if err := m.to.Import(ctx, chunk, m.mark); err != nil {
			return err
		}
		moved += chunk.Len()
		if moved%(progressRecords) < chunk.Len() && chunk.Next != "" {
			_, _ = fmt.Fprintf(m.out, "%s: %s moved\n", class, grouped(moved))
		}
		if after = chunk.Next; after == "" {
			return nil
		}
	}
}

// progressRecords is after how many of them a line tells how far it is.
const progressRecords = 100_000

// placeOf returns where a class stands among all; -1 for none.
func placeOf(class store.Class) int {
	for i, c := range store.Classes {
		if c == class {
			return i
		}
	}
	return -1
}

// compare reads a class of both stores.
func (m *move) compare(ctx context.Context, class store.Class) error {
	from, err := store.DigestOf(ctx, m.from, class, nil)
	if err != nil {
		return fmt.Errorf("compare: %s: %w", m.fromName, err)
	}
	to, err := store.DigestOf(ctx, m.to, class, nil)
	if err != nil {
		return fmt.Errorf("compare: %s: %w", m.toName, err)
	}
	if from != to {
		return fmt.Errorf("%s differ: %s has %s (sum %s), and %s has %s (sum %s): something else has changed one of them; empty the target, and begin anew",
			class, m.fromName, grouped(from.Records), from, m.toName, grouped(to.Records), to)
	}
	m.records[class] = to.Records
	_, err = fmt.Fprintf(m.out, "%s: %s, compared (sum %s)\n", class, grouped(to.Records), to)
	return err
}
