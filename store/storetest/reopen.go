package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

func isUnavailable(err error) bool { return errors.Is(err, store.ErrUnavailable) }

// RunReopen tests what outlives a store: each call of open opens the store of a
// directory, which is empty at first.
func RunReopen(t *testing.T, open func(tb testing.TB, dir string) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s store.Store, reopen func() store.Store)
	}{
		{"EverythingIsStillThere", testReread},
		{"SequencesGoOn", testSequences},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			reopen := func() store.Store {
				wantErr(t, "close", s.Close(), nil)
				s = open(t, dir)
				return s
			}
			test.run(t, s, reopen)
			wantErr(t, "close", s.Close(), nil)
		})
	}
}

// contents is all of a small store.
type contents struct {
	bindings   []store.Binding
	count      int
	usage      []store.Usage
	intercepts []store.Intercept
	counters   []store.Counter
	setting    string
	found      []store.BindingRow
	archive    []store.ArchivedBinding
	archived   int
	documents  []store.Document
	audit      []store.AuditEntry
}

func read(t testing.TB, s store.Store) contents {
	t.Helper()
	c := contents{
		bindings:   ok(s.ListBindings(t.Context(), store.KeyHash{}, 1_000))(t),
		count:      ok(s.CountBindings(t.Context()))(t),
		intercepts: ok(s.ListIntercepts(t.Context(), store.InterceptFilter{Limit: 1_000}))(t).Records,
		counters:   ok(s.Counters(t.Context(), time.Unix(0, 0), start.Add(time.Hour)))(t),
		setting:    string(ok(s.Setting(t.Context(), "mode"))(t)),
		found:      ok(s.FindBindings(t.Context(), store.BindingQuery{Limit: store.MaxPage}))(t).Rows,
		archive:    archivePages(t, s, store.ArchiveQuery{}),
		archived:   ok(s.CountArchived(t.Context()))(t),
		documents:  ok(s.ListDocuments(t.Context(), "account"))(t),
		audit:      ok(s.ListAudit(t.Context(), store.AuditFilter{}))(t).Entries,
	}
	for _, b := range c.bindings {
		c.usage = append(c.usage, ok(s.Usage(t.Context(), b.Hash))(t))
	}
	return c
}

func testReread(t *testing.T, s store.Store, reopen func() store.Store) {
	for i := range 50 {
		bound(t, s, Binding(i))
		addTouches(t, s, touch(i, i, 1, "10.0.0.1"))
		put(t, s, i)
	}
	deleted := ok(s.Binding(t.Context(), Hash(0)))(t)
	ok(s.DeleteBinding(t.Context(), deleted.Hash, deleted.Revision))(t)
	addCounters(t, s, store.Counter{Hour: hour, Name: "requests", N: 9})
	wantErr(t, "put setting", s.PutSetting(t.Context(), "mode", []byte("observe")), nil)
	ok(s.ArchiveBindings(t.Context(), []store.KeyHash{Hash(1), Hash(2)}, archiveTime, archiveTime))(t)
	bound(t, s, Binding(2))
	document(t, s, "account", "ada", `{"a":1}`)
	ok(s.ChangeDocuments(t.Context(), []store.Document{{Kind: "account", ID: "bob", Body: []byte("{}")}}, nil))(t)
	for _, b := range namedBindings() {
		bound(t, s, b)
	}
	appendAudit(t, s, AuditEntry(1), AuditEntry(2))
	before := read(t, s)
	want(t, "bindings", len(before.bindings), 54)
	want(t, "entries of the archive", before.archived, 2)
	for range 2 {
		s = reopen()
		want(t, "contents", read(t, s), before)
	}
}

func testSequences(t *testing.T, s store.Store, reopen func() store.Store) {
	b := bound(t, s, Binding(1))
	removal := ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
	id := put(t, s, 1)[0].ID
	d := document(t, s, "account", "ada", "1")
	wantErr(t, "delete", s.DeleteDocument(t.Context(), d.Kind, d.ID, d.Revision), nil)
	entry := appendAudit(t, s, AuditEntry(1))[0]
	ok(s.DeleteAudit(t.Context(), archiveTime, 1))(t)
	s = reopen()
	if again := document(t, s, "account", "ada", "1"); again.Revision <= d.Revision {
		t.Errorf("revision %d of a document after %d", again.Revision, d.Revision)
	}
	if next := appendAudit(t, s, AuditEntry(1))[0]; next.ID <= entry.ID {
		t.Errorf("ID %d of an audit entry after %d", next.ID, entry.ID)
	}
	if again := bound(t, s, Binding(1)); again.Revision <= removal {
		t.Errorf("revision %d after %d", again.Revision, removal)
	}
	if next := put(t, s, 1)[0].ID; next <= id {
		t.Errorf("ID %d after %d", next, id)
	}
}
