package storetest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// document stores a new one.
func document(t testing.TB, s store.Documents, kind, id, body string) store.Document {
	t.Helper()
	return ok(s.PutDocument(t.Context(), store.Document{Kind: kind, ID: id, Body: json.RawMessage(body)}))(t)
}

var documentTests = []test{
	{"UnknownIsNotFound", func(t *testing.T, s store.Store) {
		document(t, s, "account", "ada", "{}")
		for _, name := range [][2]string{{"account", "bob"}, {"token", "ada"}, {"", ""}, {"account", strings.Repeat("n", 300)}} {
			_, err := s.Document(t.Context(), name[0], name[1])
			wantErr(t, "read", err, store.ErrNotFound)
			wantErr(t, "delete", s.DeleteDocument(t.Context(), name[0], name[1], 1), store.ErrNotFound)
		}
	}},
	{"EverythingComesBack", func(t *testing.T, s store.Store) {
		long := `"` + strings.Repeat("long …", 10_000) + `"`
		for i, body := range []string{`{"a": [1, 2]}`, `null`, long} {
			d := document(t, s, "account", strings.Repeat("n", i+1), body)
			want(t, "body", string(d.Body), body)
			want(t, "read", ok(s.Document(t.Context(), d.Kind, d.ID))(t), d)
		}
	}},
	{"PutReplacesItsRevisionOnly", testPutDocument},
	{"RevisionsRise", func(t *testing.T, s store.Store) {
		a, b := document(t, s, "account", "a", "1"), document(t, s, "token", "b", "1")
		again := ok(s.PutDocument(t.Context(), a))(t)
		wantErr(t, "delete", s.DeleteDocument(t.Context(), "account", "a", again.Revision), nil)
		anew := document(t, s, "account", "a", "1")
		revisions := []uint64{0, a.Revision, b.Revision, again.Revision, anew.Revision}
		for i := 1; i < len(revisions); i++ {
			if revisions[i] <= revisions[i-1] {
				t.Errorf("revisions do not rise: %v", revisions)
			}
		}
	}},
	{"InvalidIsRefused", func(t *testing.T, s store.Store) {
		tooLong := strings.Repeat("n", store.MaxNameBytes+1)
		for _, d := range []store.Document{
			{Kind: "", ID: "a", Body: json.RawMessage("1")}, {Kind: "account", ID: "", Body: json.RawMessage("1")},
			{Kind: tooLong, ID: "a", Body: json.RawMessage("1")}, {Kind: "account", ID: tooLong, Body: json.RawMessage("1")},
			{Kind: "account", ID: "a"}, {Kind: "account", ID: "a", Body: json.RawMessage("{")},
		} {
			_, err := s.PutDocument(t.Context(), d)
			wantErr(t, "put", err, store.ErrInvalid)
		}
		want(t, "stored", len(ok(s.ListDocuments(t.Context(), "account"))(t)), 0)
	}},
	{"ListInOrderOfIDs", testListDocuments},
	{"Delete", func(t *testing.T, s store.Store) {
		d, other := document(t, s, "account", "a", "1"), document(t, s, "account", "b", "2")
		wantErr(t, "of another revision", s.DeleteDocument(t.Context(), "account", "a", d.Revision+1), store.ErrConflict)
		wantErr(t, "of no revision", s.DeleteDocument(t.Context(), "account", "a", 0), store.ErrConflict)
		want(t, "still there", ok(s.Document(t.Context(), "account", "a"))(t), d)
		wantErr(t, "delete", s.DeleteDocument(t.Context(), "account", "a", d.Revision), nil)
		wantErr(t, "again", s.DeleteDocument(t.Context(), "account", "a", d.Revision), store.ErrNotFound)
		want(t, "left", ok(s.ListDocuments(t.Context(), "account"))(t), []store.Document{other})
	}},
	{"BodiesAreCopies", func(t *testing.T, s store.Store) {
		given := store.Document{Kind: "account", ID: "a", Body: json.RawMessage(`"text"`)}
		stored := ok(s.PutDocument(t.Context(), given))(t)
		given.Body[1], stored.Body[1] = 'X', 'Y'
		ok(s.Document(t.Context(), "account", "a"))(t).Body[1] = 'Z'
		ok(s.ListDocuments(t.Context(), "account"))(t)[0].Body[1] = 'Z'
		want(t, "body", string(ok(s.Document(t.Context(), "account", "a"))(t).Body), `"text"`)
	}},
}

func testPutDocument(t *testing.T, s store.Store) {
	d := store.Document{Kind: "account", ID: "ada", Revision: 7, Body: json.RawMessage("1")}
	_, err := s.PutDocument(t.Context(), d)
	wantErr(t, "put with a revision where nothing is", err, store.ErrConflict)
	_, err = s.Document(t.Context(), "account", "ada")
	wantErr(t, "read", err, store.ErrNotFound)

	first := document(t, s, "account", "ada", "1")
	next := first
	next.Body = json.RawMessage("2")
	second := ok(s.PutDocument(t.Context(), next))(t)
	for _, revision := range []uint64{0, first.Revision, second.Revision + 1} {
		stale := store.Document{Kind: "account", ID: "ada", Revision: revision, Body: json.RawMessage("3")}
		_, err := s.PutDocument(t.Context(), stale)
		wantErr(t, "put of another revision", err, store.ErrConflict)
	}
	next.Revision = second.Revision
	want(t, "answer", second, next)
	want(t, "read", ok(s.Document(t.Context(), "account", "ada"))(t), second)
}

// testListDocuments has kinds and IDs that begin or end alike.
func testListDocuments(t *testing.T, s store.Store) {
	var wanted []store.Document
	for _, id := range []string{"b", "a", "ab", "Z", "é", "a\x00b"} {
		wanted = append(wanted, document(t, s, "kind", id, "1"))
	}
	document(t, s, "kin", "dx", "2")
	document(t, s, "kindx", "y", "2")
	document(t, s, "other", "a", "2")
	order := []int{3, 1, 5, 2, 0, 4}
	var sorted []store.Document
	for _, i := range order {
		sorted = append(sorted, wanted[i])
	}
	want(t, "list", ok(s.ListDocuments(t.Context(), "kind"))(t), sorted)
	for _, kind := range []string{"ki", "", "none", strings.Repeat("n", 300)} {
		want(t, "of a kind that is not there", len(ok(s.ListDocuments(t.Context(), kind))(t)), 0)
	}
}
