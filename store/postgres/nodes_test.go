package postgres_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
)

func TestRoster(t *testing.T) {
	database := emptyDatabase(t)
	s := openUntilEnd(t, postgres.Options{DSN: server.DSN(database)})
	if list, err := s.Nodes(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("nodes of an empty store: %v, %v", list, err)
	}
	ahead := -time.Hour
	b := store.NodeState{
		ID: "b/1", Name: "b", Version: "v1", Address: "[::1]:7000", Started: time.UnixMilli(1_700_000_000_000).UTC(), Leader: true,
		Position: 1 << 62, Behind: 3, Lag: 1_500 * time.Millisecond, Ahead: &ahead, Waiting: 4,
		Authority: store.Health{State: store.HealthGood}, Redis: store.Health{State: store.HealthAway, Error: "gone"},
	}
	for _, n := range []store.NodeState{{ID: "b/1", Name: "b"}, b, {ID: "b/0", Name: "b"}, {ID: "z", Name: "a"}} {
		if err := s.Beat(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Nodes(t.Context())
	if err != nil || len(list) != 3 || list[0].ID != "z" || list[1].ID != "b/0" {
		t.Fatalf("nodes: %+v, %v", list, err)
	}
	if got := list[2]; !reflect.DeepEqual(got.NodeState, b) || got.Silence > time.Minute {
		t.Errorf("got %+v, want %+v", got, b)
	}
	if at, err := s.Time(t.Context()); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("the time is %v, %v", at, err)
	}
	for _, id := range []string{"", strings.Repeat("x", store.MaxNameBytes+1)} {
		if err := s.Beat(t.Context(), store.NodeState{ID: id}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("a node with an ID of %d bytes: %v", len(id), err)
		}
	}
}

// TestNodesAreForgotten: after a day, and not before.
func TestNodesAreForgotten(t *testing.T) {
	database := emptyDatabase(t)
	s := openUntilEnd(t, postgres.Options{DSN: server.DSN(database)})
	for _, id := range []string{"old", "lost", "here"} {
		if err := s.Beat(t.Context(), store.NodeState{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	server.Exec(t, database, `UPDATE sentinel.nodes SET at = at - 1000 * CASE convert_from(id, 'UTF8') WHEN 'old' THEN 86401 WHEN 'lost' THEN 86000 ELSE 0 END`)
	if err := s.Beat(t.Context(), store.NodeState{ID: "here", Name: "here"}); err != nil {
		t.Fatal(err)
	}
	list, err := s.Nodes(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != "here" || list[1].ID != "lost" || list[1].Silence < 86_000*time.Second {
		t.Errorf("nodes: %+v, %v", list, err)
	}
}

func TestMailbox(t *testing.T) {
	database := emptyDatabase(t)
	s := openUntilEnd(t, postgres.Options{DSN: server.DSN(database)})
	for _, body := range []string{"one", "two\x00\xff", ""} {
		if err := s.Post(t.Context(), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	first, err := s.Letters(t.Context(), 2)
	if err != nil || len(first) != 2 || string(first[0].Body) != "one" || string(first[1].Body) != "two\x00\xff" || first[0].ID >= first[1].ID {
		t.Fatalf("letters: %v, %v", first, err)
	}
	if err := s.RemoveLetters(t.Context(), []uint64{first[0].ID, first[0].ID, 1 << 63}); err != nil {
		t.Fatal(err)
	}
	rest, err := s.Letters(t.Context(), 10)
	if err != nil || len(rest) != 2 || rest[0].ID != first[1].ID {
		t.Errorf("letters: %v, %v", rest, err)
	}
	server.Exec(t, database, `INSERT INTO sentinel.letters (body) SELECT 'x' FROM generate_series(1, 10000)`)
	if err := s.Post(t.Context(), []byte("more")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("into a full box: %v", err)
	}
}
