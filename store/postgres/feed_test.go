package postgres_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// taken is a snapshot.
type taken struct {
	position uint64
	records  map[string]store.Change
}

// nameOf tells records apart.
func nameOf(c store.Change) string {
	switch c.Kind {
	case store.ChangeBindingPut, store.ChangeBindingRemoved:
		return "binding " + c.Hash.String()
	case store.ChangeArchivedPut, store.ChangeArchivedRemoved:
		return "archived " + c.Hash.String()
	case store.ChangeDocumentPut, store.ChangeDocumentRemoved:
		return "document " + c.Document.Kind + " " + c.Document.ID
	}
	return "setting " + c.Setting.Name
}

func isRemoval(kind store.ChangeKind) bool {
	return slices.Contains([]store.ChangeKind{store.ChangeBindingRemoved, store.ChangeArchivedRemoved, store.ChangeDocumentRemoved, store.ChangeSettingRemoved}, kind)
}

// follow makes a change to a copy.
func (t *taken) follow(c store.Change) {
	t.position = c.Revision
	if isRemoval(c.Kind) {
		delete(t.records, nameOf(c))
		return
	}
	c.Revision = 0 // which a copy has no use for
	t.records[nameOf(c)] = c
}

func snapshotOf(tb testing.TB, s *postgres.Store) taken {
	tb.Helper()
	t := taken{records: map[string]store.Change{}}
	err := s.Snapshot(context.Background(), func(position uint64, all iter.Seq2[store.Change, error]) error {
		for c, err := range all {
			if err != nil {
				return err
			}
			if c.Revision == 0 || c.Revision > position {
				tb.Errorf("record of revision %d in a snapshot of %d", c.Revision, position)
			}
			t.follow(c)
		}
		t.position = position
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// catchUp follows the feed to its end, some changes at a time.
func (t *taken) catchUp(tb testing.TB, s *postgres.Store, limit int) {
	tb.Helper()
	for {
		list, err := s.Changes(context.Background(), t.position, limit)
		if err != nil {
			tb.Fatal(err)
		}
		if len(list) == 0 {
			return
		}
		for _, c := range list {
			if c.Revision != t.position+1 {
				tb.Fatalf("revision %d after %d", c.Revision, t.position)
			}
			t.follow(c)
		}
	}
}

func wantSame(tb testing.TB, what string, got, want taken) {
	tb.Helper()
	if got.position != want.position || len(got.records) != len(want.records) {
		tb.Errorf("%s: %d records at %d, want %d at %d", what, len(got.records), got.position, len(want.records), want.position)
	}
	for name, c := range want.records {
		a, _ := json.Marshal(got.records[name]) // of plain values
		b, _ := json.Marshal(c)
		if !bytes.Equal(a, b) {
			tb.Errorf("%s: %s:\n got %s\nwant %s", what, name, a, b)
		}
	}
}

func must[T any](v T, err error) func(tb testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// changeAll makes changes of every kind.
func changeAll(tb testing.TB, s *postgres.Store) {
	tb.Helper()
	ctx := context.Background()
	bindMany(tb, s, 20)
	b := must(s.Binding(ctx, storetest.Hash(1)))(tb)
	b.Status = store.StatusBanned
	must(s.ReplaceBinding(ctx, b))(tb)
	removed := must(s.Binding(ctx, storetest.Hash(2)))(tb)
	must(s.DeleteBinding(ctx, removed.Hash, removed.Revision))(tb)
	at := b.CreatedAt.AddDate(1, 0, 0)
	must(s.ArchiveBindings(ctx, []store.KeyHash{storetest.Hash(3), storetest.Hash(4), storetest.Hash(5)}, at, at))(tb)
	must(s.RestoreBinding(ctx, storetest.Hash(4), at))(tb)
	bindMany(tb, s, 6) // binds 3 and 5 again
	must(s.ArchiveBindings(ctx, []store.KeyHash{storetest.Hash(5)}, at, at.Add(-time.Hour)))(tb)
	must(s.PurgeArchive(ctx, at, 1))(tb)
	d := must(s.PutDocument(ctx, store.Document{Kind: "account", ID: "ada\x00", Body: []byte("1")}))(tb)
	must(s.ChangeDocuments(ctx, []store.Document{d, {Kind: "account", ID: "bob", Body: []byte("2")}}, nil))(tb)
	bob := must(s.Document(ctx, "account", "bob"))(tb)
	for _, err := range []error{
		s.DeleteDocument(ctx, "account", "bob", bob.Revision),
		s.PutSetting(ctx, "mode", []byte("observe")), s.PutSetting(ctx, "mode", nil), s.PutSetting(ctx, "gone", []byte("1")),
		s.DeleteSetting(ctx, "gone"), s.DeleteSetting(ctx, "never"),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// TestFeedMakesACopy follows the feed in pages of several sizes, and has what a
// snapshot has.
func TestFeedMakesACopy(t *testing.T) {
	s := openEmpty(t)
	if got := must(s.Position(t.Context()))(t); got != 0 {
		t.Errorf("position %d of an empty store", got)
	}
	changeAll(t, s)
	want := snapshotOf(t, s)
	if got := must(s.Position(t.Context()))(t); got != want.position {
		t.Errorf("position %d, and %d in the snapshot", got, want.position)
	}
	for _, limit := range []int{1, 3, store.MaxChanges + 1} {
		got := taken{records: map[string]store.Change{}}
		got.catchUp(t, s, limit)
		wantSame(t, "copy by "+strconv.Itoa(limit), got, want)
	}
	for _, limit := range []int{0, -1} {
		if list := must(s.Changes(t.Context(), 0, limit))(t); len(list) != 0 {
			t.Errorf("%d changes with limit %d", len(list), limit)
		}
	}
}

// TestFeedAmongChanges has readers that begin with a snapshot while others write, and
// follow: in the end each has what there is.
func TestFeedAmongChanges(t *testing.T) {
	s := openEmpty(t)
	other := openUntilEnd(t, postgres.Options{DSN: dsnOf(t, s)})
	var over atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; !over.Load(); n++ {
			node := []*postgres.Store{s, other}[n%2]
			b, _, err := node.Bind(context.Background(), storetest.Binding(n%50))
			if err == nil && n%3 == 0 {
				_, err = node.DeleteBinding(context.Background(), b.Hash, b.Revision)
			}
			if err == nil {
				err = node.PutSetting(context.Background(), "n"+strconv.Itoa(n%7), []byte(strconv.Itoa(n)))
			}
			if err != nil {
				t.Errorf("change: %v", err)
				return
			}
		}
	}()
	var copies []taken
	for range 5 {
		c := snapshotOf(t, other)
		c.catchUp(t, s, 7)
		copies = append(copies, c)
	}
	over.Store(true)
	<-done
	want := snapshotOf(t, s)
	for _, c := range copies {
		c.catchUp(t, s, 10)
		for name, r := range want.records {
			r.Revision = 0
			want.records[name] = r
		}
		wantSame(t, "copy", c, want)
	}
}

// TestLateCommitIsNotSkipped has two transactions, of which the first stalls before
// its commit: the second waits, and a reader sees neither, and then both in order.
func TestLateCommitIsNotSkipped(t *testing.T) {
	s := openEmpty(t)
	stalled := must(pgx.Connect(t.Context(), dsnOf(t, s)))(t)
	defer func() { _ = stalled.Close(context.Background()) }() // it has served
	for _, sql := range []string{
		`begin`, `SELECT revision FROM sentinel.head FOR UPDATE`,
		`INSERT INTO sentinel.settings (name, revision, value) VALUES ('first', 1, '')`,
		`INSERT INTO sentinel.changes (revision, kind, key, at) VALUES (1, 7, 'first', 0)`,
		`UPDATE sentinel.head SET revision = 1`,
	} {
		must(stalled.Exec(t.Context(), sql))(t)
	}
	second := make(chan error, 1)
	go func() { second <- s.PutSetting(context.Background(), "second", nil) }()
	eventually(t, "the second one waits for the first", func() bool {
		var waiting bool
		const sql = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`
		return stalledQuery(t, s, sql, &waiting) == nil && waiting
	})
	if list := must(s.Changes(t.Context(), 0, 10))(t); len(list) != 0 {
		t.Errorf("changes before any commit: %+v", list)
	}
	must(stalled.Exec(t.Context(), `commit`))(t)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, c := range must(s.Changes(t.Context(), 0, 10))(t) {
		if c.Revision != uint64(i+1) {
			t.Errorf("revision %d at %d", c.Revision, i)
		}
		names = append(names, c.Setting.Name)
	}
	if !slices.Equal(names, []string{"first", "second"}) {
		t.Errorf("changes of %q", names)
	}
}

// stalledQuery asks on a connection of its own.
func stalledQuery(t *testing.T, s *postgres.Store, sql string, into any) error {
	conn, err := pgx.Connect(t.Context(), dsnOf(t, s))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }() // it has served
	return conn.QueryRow(t.Context(), sql).Scan(into)
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !isSo() {
		if time.Now().After(deadline) {
			t.Fatalf("never so: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestTrimFeed(t *testing.T) {
	s := openEmpty(t)
	bindMany(t, s, 10)
	trim := func(before time.Time, limit, want int) {
		t.Helper()
		if n := must(s.TrimFeed(t.Context(), before, limit))(t); n != want {
			t.Errorf("trimmed %d, want %d", n, want)
		}
	}
	later := time.Now().Add(time.Hour)
	trim(time.Now().Add(-time.Hour), 100, 0)
	trim(later, 0, 0)
	trim(later, 4, 4)
	for after, want := range map[uint64]error{0: store.ErrFeedGone, 3: store.ErrFeedGone, 4: nil, 10: nil, 11: store.ErrFeedGone, 1 << 63: store.ErrFeedGone} {
		list, err := s.Changes(t.Context(), after, 100)
		if !errors.Is(err, want) || err == nil && len(list) != int(10-after) {
			t.Errorf("changes after %d: %d, %v, want %v", after, len(list), err, want)
		}
	}
	trim(later, 100, 6)
	trim(later, 100, 0)
	if list, err := s.Changes(t.Context(), 10, 100); err != nil || len(list) != 0 {
		t.Errorf("changes after the last one: %d, %v", len(list), err)
	}
	must(s.Changes(t.Context(), must(s.Position(t.Context()))(t), 1))(t)
}

// TestTrimFeedKeepsOrder has a change from a time when the clock was ahead: what is
// behind it goes with it, or later.
func TestTrimFeedKeepsOrder(t *testing.T) {
	s := openEmpty(t)
	bindMany(t, s, 5)
	must(exec(t, s, `UPDATE sentinel.changes SET at = at + 7200000 WHERE revision = 2`))(t)
	if n := must(s.TrimFeed(t.Context(), time.Now().Add(time.Hour), 100))(t); n != 5 {
		t.Errorf("trimmed %d, want all", n)
	}
}

func exec(t *testing.T, s *postgres.Store, sql string) (int64, error) {
	conn, err := pgx.Connect(t.Context(), dsnOf(t, s))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.Background()) }() // it has served
	tag, err := conn.Exec(t.Context(), sql)
	return tag.RowsAffected(), err
}

// TestListen has a node that hears of the changes of another one.
func TestListen(t *testing.T) {
	s := openEmpty(t)
	other := openUntilEnd(t, postgres.Options{DSN: dsnOf(t, s)})
	woken := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- other.Listen(ctx, func() { woken <- struct{}{} }) }()
	<-woken // it listens
	for n := range 3 {
		must(s.PutDocument(t.Context(), store.Document{Kind: "kind", ID: strconv.Itoa(n), Body: []byte("1")}))(t)
		<-woken
		if got := must(other.Position(t.Context()))(t); got != uint64(n+1) {
			t.Errorf("position %d after change %d", got, n+1)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("end of listening: %v", err)
	}
	go func() { ended <- s.Listen(t.Context(), func() { woken <- struct{}{} }) }()
	<-woken
	must(exec(t, other, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`))(t)
	if err := <-ended; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("listening without a connection: %v", err)
	}
	go func() { ended <- other.Listen(t.Context(), func() { woken <- struct{}{} }) }()
	<-woken
	mustClose(t, other)
	if err := <-ended; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("listening of a store that is closed: %v", err)
	}
}

// TestSnapshotEnds has visitors that do not want all of it.
func TestSnapshotEnds(t *testing.T) {
	s := openEmpty(t)
	bindMany(t, s, 2_500)
	stop := errors.New("enough")
	for range 30 { // more than there are connections
		err := s.Snapshot(t.Context(), func(_ uint64, all iter.Seq2[store.Change, error]) error {
			for _, err := range all {
				return errors.Join(stop, err)
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Fatalf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := s.Snapshot(ctx, func(_ uint64, all iter.Seq2[store.Change, error]) error {
		for _, err := range all {
			if err != nil {
				return err
			}
			if n++; n == 10 {
				cancel()
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n >= 2_500 {
		t.Errorf("canceled after %d records: %v", n, err)
	}
	if got := len(snapshotOf(t, s).records); got != 2_500 {
		t.Errorf("%d records", got)
	}
}
