package storetest

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

func testReplaceAll(t *testing.T, s CopyStore) {
	first, second := newFeedModel(), newFeedModel()
	rnd := rand.New(rand.NewPCG(7, 7)) // #nosec G404 -- repeatable on purpose
	for range 100 {
		first.random(rnd)
	}
	for range 30 {
		second.random(rnd)
	}
	bound(t, s, Binding(99))
	replace(t, s, first)
	wantCopy(t, "first", s, first)
	wantPosition(t, s, first.position(), "here")
	wantErr(t, "of another authority", s.ReplaceAll(t.Context(), second.position(), "there", second.snapshot(nil)), nil)
	wantCopy(t, "second", s, second)
	wantPosition(t, s, second.position(), "there")
	wantErr(t, "with nothing", s.ReplaceAll(t.Context(), 9, "there", newFeedModel().snapshot(nil)), nil)
	wantCopy(t, "nothing", s, newFeedModel())
}

func testReplaceFails(t *testing.T, s CopyStore) {
	m, other := newFeedModel(), newFeedModel()
	m.put(bindingChange(1, "one"))
	m.put(settingChange("mode", "observe"))
	replace(t, s, m)
	other.put(bindingChange(2, "two"))
	cut := errors.New("connection lost")
	for range 2 {
		wantErr(t, "cut short", s.ReplaceAll(t.Context(), 7, "there", other.snapshot(cut)), cut)
		wantCopy(t, "afterwards", s, m)
		wantPosition(t, s, 2, "here")
	}
	wantErr(t, "a removal", s.ReplaceAll(t.Context(), 7, "there", listOf(other.remove(bindingChange(2, "")))), store.ErrInvalid)
	wantCopy(t, "after a removal", s, m)
	replace(t, s, m)
	wantCopy(t, "in the end", s, m)
}

// testReplaceAmong reads, and makes changes of the node's own, while a new copy is
// gathered: these are newer than it.
func testReplaceAmong(t *testing.T, s CopyStore) {
	m := newFeedModel()
	m.put(bindingChange(1, "old"))
	m.put(bindingChange(2, "removed meanwhile"))
	m.put(settingChange("mode", "old"))
	replace(t, s, m)
	m.put(bindingChange(3, "new"))
	position, records := m.position(), m.contents()
	snapshot := newFeedModel()
	for name, c := range m.records {
		snapshot.records[name] = c
	}
	m.remove(bindingChange(3, "")) // the copy does not have it yet
	all := func(yield func(store.Change, error) bool) {
		wantErr(t, "not there yet", second(s.Binding(t.Context(), Hash(3))), store.ErrNotFound)
		for _, c := range snapshot.records {
			if !yield(c, nil) {
				return
			}
		}
		apply(t, s, 0, m.put(bindingChange(1, "banned")), m.remove(bindingChange(2, "")))
		apply(t, s, 0, m.put(settingChange("mode", "new")), m.put(documentChange("ada", "1")))
		want(t, "meanwhile", ok(s.Binding(t.Context(), Hash(1)))(t).Label, "banned")
	}
	wantErr(t, "replace all", s.ReplaceAll(t.Context(), position, "here", all), nil)
	got := readCopy(t, s)
	want(t, "binding of the snapshot", ok(s.Binding(t.Context(), Hash(3)))(t), records.bindings[indexOfHash(records.bindings, Hash(3))])
	want(t, "bindings", got.count, 2)
	want(t, "setting", got.settings["mode"], "new")
	apply(t, s, m.position(), m.changes(position, 100)...)
	wantCopy(t, "level", s, m)
}

func second[A any](_ A, err error) error { return err }

func indexOfHash(list []store.Binding, hash store.KeyHash) int {
	for i, b := range list {
		if b.Hash == hash {
			return i
		}
	}
	return -1
}

// testReplaceBack has an authority that was restored from a backup: what was ahead of
// it never happened.
func testReplaceBack(t *testing.T, s CopyStore) {
	m := newFeedModel()
	m.put(bindingChange(1, "kept"))
	backup := newFeedModel()
	backup.put(bindingChange(1, "kept"))
	m.put(bindingChange(2, "lost"))
	replace(t, s, m)
	apply(t, s, 0, m.put(bindingChange(3, "lost too")))
	replace(t, s, backup)
	wantCopy(t, "backup", s, backup)
	wantPosition(t, s, 1, "here")
	backup.put(bindingChange(3, "anew"))
	backup.put(bindingChange(2, "anew"))
	apply(t, s, 3, backup.changes(1, 10)...)
	wantCopy(t, "followed", s, backup)
}

// testForgetAhead has an authority lose what was ahead of the position, and nothing else.
func testForgetAhead(t *testing.T, s CopyStore) {
	m, backup := newFeedModel(), newFeedModel()
	m.put(bindingChange(1, "kept"))
	backup.put(bindingChange(1, "kept"))
	replace(t, s, m)
	want(t, "ahead of a new copy", ok(s.CopyAhead(t.Context()))(t), 0)
	apply(t, s, 0, m.put(bindingChange(2, "lost")))
	apply(t, s, 0, m.remove(bindingChange(1, "")))
	want(t, "ahead", ok(s.CopyAhead(t.Context()))(t), 3)
	replace(t, s, backup)
	wantCopy(t, "carried over", s, m)
	wantErr(t, "forget", s.ForgetAhead(t.Context()), nil)
	want(t, "ahead", ok(s.CopyAhead(t.Context()))(t), 0)
	wantCopy(t, "records stay", s, m)
	replace(t, s, backup)
	wantCopy(t, "not carried over", s, backup)
	apply(t, s, 0, backup.put(bindingChange(2, "anew")))
	apply(t, s, 2, backup.changes(1, 1)...)
	want(t, "reached", ok(s.CopyAhead(t.Context()))(t), 0)
	wantErr(t, "forget nothing", s.ForgetAhead(t.Context()), nil)
}

func testNodeSettings(t *testing.T, s CopyStore) {
	name := store.NodeSettingPrefix + "seen"
	m := newFeedModel()
	m.put(settingChange("mode", "observe"))
	replace(t, s, m)
	wantErr(t, "put", s.PutSetting(t.Context(), name, []byte("mine")), nil)
	wantPosition(t, s, 1, "here")
	theirs := settingChange(name, "theirs")
	theirs.Revision = 2
	want(t, "applied", len(apply(t, s, 2, theirs)), 0)
	wantErr(t, "replace all", s.ReplaceAll(t.Context(), 3, "there", listOf(theirs)), nil)
	want(t, "setting of the node", string(ok(s.Setting(t.Context(), name))(t)), "mine")
	wantErr(t, "setting of the copy", second(s.Setting(t.Context(), "mode")), store.ErrNotFound)
	wantErr(t, "delete", s.DeleteSetting(t.Context(), name), nil)
	wantErr(t, "delete what is not there", s.DeleteSetting(t.Context(), "mode"), nil)
	wantPosition(t, s, 3, "there")
}

func testReplaceUsage(t *testing.T, s CopyStore) {
	m := newFeedModel()
	m.put(bindingChange(1, "stays"))
	gone := bindingChange(2, "goes")
	m.put(gone)
	replace(t, s, m)
	addTouches(t, s, touch(1, 1, 3, "10.0.0.1"), touch(2, 1, 4, "10.0.0.1"))
	m.remove(gone)
	replace(t, s, m)
	want(t, "hits of the one that stays", ok(s.Usage(t.Context(), Hash(1)))(t).Hits, 3)
	m.put(gone)
	apply(t, s, m.position(), m.changes(3, 1)...)
	want(t, "usage of the other one", ok(s.Usage(t.Context(), Hash(2)))(t), store.Usage{})
	rows := ok(s.FindBindings(t.Context(), store.BindingQuery{Sort: store.SortHits}))(t).Rows
	want(t, "rows", len(rows), 2)
	want(t, "hits", rows[1].Usage.Hits, 3)
}

func testOwnChanges(t *testing.T, s CopyStore) {
	m := newFeedModel()
	b, archivedToo := m.put(bindingChange(1, "one")), m.put(bindingChange(2, "two"))
	d := m.put(documentChange("ada", "1"))
	m.put(settingChange("mode", "observe"))
	ctx := t.Context()
	for what, change := range map[string]func() error{
		"bind":    func() error { _, _, err := s.Bind(ctx, Binding(9)); return err },
		"replace": func() error { return second(s.ReplaceBinding(ctx, b.Binding)) },
		"delete":  func() error { return second(s.DeleteBinding(ctx, b.Hash, b.Revision)) },
		"archive": func() error {
			return second(s.ArchiveBindings(ctx, []store.KeyHash{archivedToo.Hash}, archiveTime, archiveTime))
		},
		"put document":    func() error { return second(s.PutDocument(ctx, d.Document)) },
		"delete document": func() error { return s.DeleteDocument(ctx, d.Document.Kind, d.Document.ID, d.Revision) },
		"put setting":     func() error { return s.PutSetting(ctx, "other", nil) },
		"delete setting":  func() error { return s.DeleteSetting(ctx, "mode") },
	} {
		replace(t, s, m)
		wantErr(t, what, change(), nil)
		_, of, err := s.CopyPosition(ctx)
		if err != nil || of != "" {
			t.Errorf("%s: still a copy of %q, %v", what, of, err)
		}
	}
	replace(t, s, m)
	next := bound(t, s, Binding(9))
	if next.Revision <= m.position() {
		t.Errorf("own revision %d after %d of the authority", next.Revision, m.position())
	}
}
