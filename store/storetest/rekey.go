package storetest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// hashedNow is what the fixtures are moved to.
const hashedNow = 0xfffffff1

var rekeyTests = []test{
	{"EverythingMoves", testRekeyAll},
	{"AfterwardsItIsABindingLikeAnyOther", testRekeyedLives},
	{"OnlyTheArchive", func(t *testing.T, s store.Store) {
		a := archived(t, s, Binding(1), touch(1, 0, 5, "10.0.0.1"))
		out := ok(s.Rekey(t.Context(), store.Rekeying{From: Hash(1), To: Hash(2), HashedWith: hashedNow}))(t)
		want(t, "answer", out, store.Rekeyed{Archived: true, Documents: out.Documents})
		wantArchivedAs(t, s, a, 2)
		b := bound(t, s, Binding(2))
		want(t, "archived before", b.ArchivedBefore, a.ArchivedAt)
	}},
	{"OnlyTheArchiveOfABoundKey", func(t *testing.T, s store.Store) {
		a := archived(t, s, Binding(1))
		b := bound(t, s, Binding(2))
		ok(s.Rekey(t.Context(), store.Rekeying{From: Hash(1), To: Hash(2), HashedWith: hashedNow}))(t)
		wantArchivedAs(t, s, a, 2)
		want(t, "binding", ok(s.Binding(t.Context(), Hash(2)))(t), b)
	}},
	{"OfTwoEntriesTheNewerStays", testRekeyEntries},
	{"UnknownKeyIsNotFound", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(2))
		_, err := s.Rekey(t.Context(), store.Rekeying{From: Hash(1), To: Hash(3), Revision: 1})
		wantErr(t, "with a revision", err, store.ErrNotFound)
		_, err = s.Rekey(t.Context(), store.Rekeying{From: Hash(1), To: Hash(2)})
		wantErr(t, "without", err, store.ErrNotFound)
	}},
	{"Conflicts", testRekeyConflicts},
	{"SameOrZeroHashIsInvalid", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		for _, r := range []store.Rekeying{{From: b.Hash, To: b.Hash}, {From: b.Hash}, {To: b.Hash}} {
			r.Revision = b.Revision
			_, err := s.Rekey(t.Context(), r)
			wantErr(t, "rekey", err, store.ErrInvalid)
		}
		want(t, "binding", ok(s.Binding(t.Context(), b.Hash))(t), b)
	}},
	{"DocumentsGoWithIt", testRekeyDocuments},
	{"OneOfManyMovesIt", testRekeyRace},
	{"ABanIsNeverLost", testRekeyAgainstBans},
}

// wantArchivedAs wants an entry to be that of another key.
func wantArchivedAs(t *testing.T, s store.Store, a store.ArchivedBinding, n int) {
	t.Helper()
	was := a.Binding.Hash
	a.Binding.Hash, a.Binding.HashedWith = Hash(n), hashedNow
	want(t, "entry", ok(s.Archived(t.Context(), Hash(n)))(t), a)
	_, err := s.Archived(t.Context(), was)
	wantErr(t, "old entry", err, store.ErrNotFound)
	want(t, "entries", ok(s.CountArchived(t.Context()))(t), 1)
}

func testRekeyAll(t *testing.T, s store.Store) {
	a := archived(t, s, Binding(1), touch(1, 0, 2, "10.0.0.9"))
	full := Binding(1)
	full.Label, full.Note = "équipe 7", "a note"
	full.Rule = store.Rule{Kind: store.RuleMultiple, Prefixes: prefixes("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/33")}
	b := bound(t, s, full)
	other := bound(t, s, Binding(3))
	used := []store.Touch{touch(1, 0, 5, "10.0.0.1"), touch(1, 90_000, 7, "2001:db8::1")}
	addTouches(t, s, used...)

	out := ok(s.Rekey(t.Context(), store.Rekeying{From: Hash(1), To: Hash(2), Revision: b.Revision, HashedWith: hashedNow}))(t)
	if out.Binding.Revision <= other.Revision {
		t.Errorf("revision %d after %d", out.Binding.Revision, other.Revision)
	}
	wanted := b
	wanted.Hash, wanted.HashedWith, wanted.Revision = Hash(2), hashedNow, out.Binding.Revision
	want(t, "answer", out, store.Rekeyed{Binding: wanted, Archived: true, Documents: out.Documents})
	want(t, "stored", ok(s.Binding(t.Context(), Hash(2)))(t), wanted)
	want(t, "usage", ok(s.Usage(t.Context(), Hash(2)))(t), usageOf(used...))
	wantArchivedAs(t, s, a, 2)
	_, err := s.Binding(t.Context(), Hash(1))
	wantErr(t, "old binding", err, store.ErrNotFound)
	want(t, "old usage", ok(s.Usage(t.Context(), Hash(1)))(t), store.Usage{})
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 2)
	if next := bound(t, s, Binding(4)); next.Revision < wanted.Revision+2 {
		t.Errorf("revision %d after %d and a removal", next.Revision, wanted.Revision)
	}
}

func testRekeyedLives(t *testing.T, s store.Store) {
	found := func(q store.BindingQuery) []store.BindingRow { return ok(s.FindBindings(t.Context(), q))(t).Rows }
	b := bound(t, s, Binding(1))
	want(t, "found", len(found(store.BindingQuery{})), 1)
	b = ok(s.Rekey(t.Context(), store.Rekeying{From: Hash(1), To: Hash(2), Revision: b.Revision}))(t).Binding
	addTouches(t, s, touch(1, 0, 9, "10.0.0.1"), touch(2, 0, 3, "10.0.0.1"))
	want(t, "usage", ok(s.Usage(t.Context(), Hash(2)))(t), usageOf(touch(2, 0, 3, "10.0.0.1")))
	rows := found(store.BindingQuery{})
	want(t, "found then", len(rows) == 1 && rows[0].Binding.Hash == Hash(2) && rows[0].Usage.Hits == 3, true)
	want(t, "found by network", len(found(store.BindingQuery{Filter: store.BindingFilter{Network: b.Rule.Prefixes[0]}})), 1)
	bound(t, s, Binding(1)) // the other hash is free
	b.Label = "changed"
	b = ok(s.ReplaceBinding(t.Context(), b))(t)
	ok(s.DeleteBinding(t.Context(), Hash(2), b.Revision))(t)
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 1)
	want(t, "usage of what is gone", ok(s.Usage(t.Context(), Hash(2)))(t), store.Usage{})
}

func testRekeyEntries(t *testing.T, s store.Store) {
	for n, isNewer := range map[int]bool{1: true, 2: false} {
		from, to := n*10, n*10+1
		a, b := archived(t, s, Binding(from)), archived(t, s, Binding(to))
		if isNewer {
			bound(t, s, Binding(from))
			at := archiveTime.Add(time.Hour)
			ok(s.ArchiveBindings(t.Context(), []store.KeyHash{Hash(from)}, at, at))(t)
			a = ok(s.Archived(t.Context(), Hash(from)))(t)
		}
		ok(s.Rekey(t.Context(), store.Rekeying{From: Hash(from), To: Hash(to), HashedWith: hashedNow}))(t)
		wanted := b
		if isNewer {
			wanted = a
			wanted.Binding.Hash, wanted.Binding.HashedWith = Hash(to), hashedNow
		}
		want(t, "entry", ok(s.Archived(t.Context(), Hash(to)))(t), wanted)
		_, err := s.Archived(t.Context(), Hash(from))
		wantErr(t, "old entry", err, store.ErrNotFound)
	}
	want(t, "entries", ok(s.CountArchived(t.Context()))(t), 2)
}

func testRekeyConflicts(t *testing.T, s store.Store) {
	archived(t, s, Binding(1))
	b, other := bound(t, s, Binding(1)), bound(t, s, Binding(2))
	for name, r := range map[string]store.Rekeying{
		"another revision":     {From: b.Hash, To: Hash(3), Revision: b.Revision + 1},
		"a binding and none":   {From: b.Hash, To: Hash(3)},
		"the other is bound":   {From: b.Hash, To: other.Hash, Revision: b.Revision},
		"a document is there":  {From: b.Hash, To: Hash(3), Revision: b.Revision, Put: []store.Document{{Kind: "k", ID: "gone", Revision: 7, Body: []byte(`1`)}}},
		"none, with a binding": {From: Hash(1), To: Hash(3), Revision: other.Revision + 9},
	} {
		_, err := s.Rekey(t.Context(), r)
		wantErr(t, name, err, store.ErrConflict)
	}
	want(t, "binding", ok(s.Binding(t.Context(), b.Hash))(t), b)
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 2)
	ok(s.Archived(t.Context(), b.Hash))(t)
	_, err := s.Rekey(canceled(t), store.Rekeying{From: b.Hash, To: Hash(3), Revision: b.Revision})
	if err == nil {
		t.Error("a cancelled context: no error")
	}
}

func testRekeyDocuments(t *testing.T, s store.Store) {
	b := bound(t, s, Binding(1))
	doc := ok(s.PutDocument(t.Context(), store.Document{Kind: "exception", ID: "one", Body: []byte(`{"of":1}`)}))(t)
	doc.Body = []byte(`{"of":2}`)
	fresh := store.Document{Kind: "exception", ID: "two", Body: []byte(`{}`)}
	r := store.Rekeying{From: Hash(1), To: Hash(2), Revision: b.Revision, Put: []store.Document{doc, fresh}}

	bad := r
	bad.Put = []store.Document{doc, doc}
	_, err := s.Rekey(t.Context(), bad)
	wantErr(t, "twice", err, store.ErrInvalid)
	bad.Put = []store.Document{{Kind: "exception", ID: "three", Body: []byte(`{`)}}
	_, err = s.Rekey(t.Context(), bad)
	wantErr(t, "no JSON", err, store.ErrInvalid)

	out := ok(s.Rekey(t.Context(), r))(t)
	stored := ok(s.ListDocuments(t.Context(), "exception"))(t)
	want(t, "documents", stored, out.Documents)
	want(t, "body", string(stored[0].Body), `{"of":2}`)
	if stored[0].Revision <= doc.Revision {
		t.Errorf("revision %d after %d", stored[0].Revision, doc.Revision)
	}
}

func testRekeyRace(t *testing.T, s store.Store) {
	b := bound(t, s, Binding(1))
	addTouches(t, s, touch(1, 0, 5, "10.0.0.1"))
	var moved atomic.Int64
	together(16, func(int) {
		out, err := s.Rekey(t.Context(), store.Rekeying{From: Hash(1), To: Hash(2), Revision: b.Revision})
		switch {
		case err == nil && out.Binding.Hash == Hash(2):
			moved.Add(1)
		case !errors.Is(err, store.ErrNotFound):
			t.Errorf("got %+v, %v", out, err)
		}
	})
	want(t, "moved", moved.Load(), 1)
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 1)
	want(t, "usage", ok(s.Usage(t.Context(), Hash(2)))(t), usageOf(touch(2, 0, 5, "10.0.0.1")))
}

// testRekeyAgainstBans bans keys while they are moved: whoever was later has seen what
// the other one did, or was told of a conflict.
func testRekeyAgainstBans(t *testing.T, s store.Store) {
	const keys = 40
	for n := range keys {
		bound(t, s, Binding(n))
	}
	together(2*keys, func(i int) {
		n := i / 2
		for {
			b, err := s.Binding(t.Context(), Hash(n))
			if errors.Is(err, store.ErrNotFound) {
				b, err = s.Binding(t.Context(), Hash(n+1_000))
			}
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 0 {
				_, err = s.Rekey(t.Context(), store.Rekeying{From: Hash(n), To: Hash(n + 1_000), Revision: b.Revision})
			} else {
				b.Status = store.StatusBanned
				_, err = s.ReplaceBinding(t.Context(), b)
			}
			switch {
			case err == nil:
				return
			case !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound):
				t.Error(err)
				return
			}
		}
	})
	for n := range keys {
		b := ok(s.Binding(t.Context(), Hash(n+1_000)))(t)
		want(t, "status", b.Status, store.StatusBanned)
	}
}
