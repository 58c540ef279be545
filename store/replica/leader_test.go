//go:build unix

package replica_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// TestWake: a node that PostgreSQL does not wake, and that hardly looks by itself, is told
// by another one.
func TestWake(t *testing.T) {
	dsn := server.DSN(server.NewDatabase(t, template))
	slow := options()
	slow.PollInterval = time.Hour
	reader := joinDeaf(t, dsn, slow, true)
	var told atomic.Uint64
	writing := options()
	writing.OnWritten = func(revision uint64) {
		told.Store(revision)
		reader.Wake(revision)
	}
	writer := join(t, dsn, writing)
	b, _, err := writer.Bind(t.Context(), storetest.Binding(1))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reader has it", func() bool {
		got, err := reader.Binding(t.Context(), b.Hash)
		return err == nil && got.Revision == b.Revision
	})
	if err := writer.PutSetting(t.Context(), "x", []byte("y")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reader has the setting", func() bool {
		_, err := reader.Setting(t.Context(), "x")
		return err == nil
	})
	if position, err := writer.authority.Position(t.Context()); err != nil || told.Load() != position {
		t.Errorf("told of %d, %v; the authority is at %d", told.Load(), err, position)
	}
}

func TestCatchUp(t *testing.T) {
	dsn := server.DSN(server.NewDatabase(t, template))
	slow := options()
	slow.PollInterval = time.Hour
	reader, writer := joinDeaf(t, dsn, slow, true), join(t, dsn, options())
	b, _, err := writer.Bind(t.Context(), storetest.Binding(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := reader.Binding(t.Context(), b.Hash); err != nil || got.Revision != b.Revision {
		t.Errorf("after catching up: %+v, %v", got, err)
	}
}

// TestRosterAndMailbox go through a node to the authority.
func TestRosterAndMailbox(t *testing.T) {
	dsn := server.DSN(server.NewDatabase(t, template))
	a, b := join(t, dsn, options()), join(t, dsn, options())
	if err := a.Beat(t.Context(), store.NodeState{ID: "a", Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Nodes(t.Context()); err != nil || len(list) != 1 || list[0].ID != "a" {
		t.Errorf("nodes: %+v, %v", list, err)
	}
	if err := a.Post(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	list, err := b.Letters(t.Context(), 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("letters: %v, %v", list, err)
	}
	if err := b.RemoveLetters(t.Context(), []uint64{list[0].ID}); err != nil {
		t.Error(err)
	}
	if n, err := a.TrimFeed(t.Context(), time.Now(), 10); err != nil || n != 0 {
		t.Errorf("trimmed %d, %v", n, err)
	}
}
