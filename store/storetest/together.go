package storetest

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// togetherTests are those of ChangeDocuments.
var togetherTests = []test{
	{"Nothing", func(t *testing.T, s store.Store) {
		want(t, "put", len(ok(s.ChangeDocuments(t.Context(), nil, nil))(t)), 0)
	}},
	{"PutAndRemove", testChangeDocuments},
	{"AllOrNothing", testAllOrNothing},
	{"TheFirstErrorIsTold", testFirstError},
	{"BodiesAreCopies", func(t *testing.T, s store.Store) {
		given := []store.Document{{Kind: "network", ID: "a", Body: json.RawMessage(`"text"`)}}
		stored := ok(s.ChangeDocuments(t.Context(), given, nil))(t)
		given[0].Body[1], stored[0].Body[1] = 'X', 'Y'
		want(t, "body", string(ok(s.Document(t.Context(), "network", "a"))(t).Body), `"text"`)
	}},
	{"RefusalsLeaveOthersAlone", testRefusedAmongOthers},
}

// networks returns all documents of the kind that these tests change.
func networks(t testing.TB, s store.Documents) []store.Document {
	t.Helper()
	return ok(s.ListDocuments(t.Context(), "network"))(t)
}

func testChangeDocuments(t *testing.T, s store.Store) {
	a, b, other := document(t, s, "network", "a", "1"), document(t, s, "network", "b", "2"), document(t, s, "log", "a", "3")
	a.Body = json.RawMessage("10")
	fresh := store.Document{Kind: "network", ID: "c", Body: json.RawMessage("30")}
	entry := store.Document{Kind: "log", ID: "b", Body: json.RawMessage("4")}
	b.Body = nil // which is nothing to a removal
	put := ok(s.ChangeDocuments(t.Context(), []store.Document{fresh, a, entry}, []store.Document{b}))(t)
	for i, d := range []store.Document{fresh, a, entry} {
		last := other.Revision
		if i > 0 {
			last = put[i-1].Revision
		}
		if put[i].Revision <= last {
			t.Errorf("revision %d of document %d after %d", put[i].Revision, i, last)
		}
		d.Revision = put[i].Revision
		want(t, "put", put[i], d)
		want(t, "read", ok(s.Document(t.Context(), d.Kind, d.ID))(t), d)
	}
	want(t, "networks", networks(t, s), []store.Document{put[1], put[0]})
	want(t, "log", ok(s.ListDocuments(t.Context(), "log"))(t), []store.Document{other, put[2]})
}

// testAllOrNothing makes changes of which one cannot be made, in every place.
func testAllOrNothing(t *testing.T, s store.Store) {
	a, b := document(t, s, "network", "a", "1"), document(t, s, "network", "b", "2")
	stale, fresh := a, store.Document{Kind: "network", ID: "c", Body: json.RawMessage("3")}
	stale.Revision += 100
	broken := store.Document{Kind: "network", ID: "d", Body: json.RawMessage("{")}
	cases := []struct {
		name        string
		put, remove []store.Document
		want        error
	}{
		{"conflict first", []store.Document{stale, fresh}, nil, store.ErrConflict},
		{"conflict last", []store.Document{fresh, b, stale}, nil, store.ErrConflict},
		{"conflict with one that is there", []store.Document{fresh, {Kind: "network", ID: "b", Body: json.RawMessage("9")}}, nil, store.ErrConflict},
		{"conflict of a removal", []store.Document{fresh, b}, []store.Document{stale}, store.ErrConflict},
		{"removal of nothing", []store.Document{fresh}, []store.Document{b, {Kind: "network", ID: "none", Revision: 1}}, store.ErrNotFound},
		{"removal without a name", []store.Document{fresh}, []store.Document{b, {}}, store.ErrNotFound},
		{"no JSON", []store.Document{fresh, broken}, []store.Document{b}, store.ErrInvalid},
		{"no name", []store.Document{fresh, {Kind: "network", Body: json.RawMessage("1")}}, nil, store.ErrInvalid},
		{"put twice", []store.Document{fresh, a, a}, nil, store.ErrInvalid},
		{"put and removed", []store.Document{fresh, a}, []store.Document{a}, store.ErrInvalid},
		{"removed twice", []store.Document{fresh}, []store.Document{b, b}, store.ErrInvalid},
	}
	for _, c := range cases {
		put, err := s.ChangeDocuments(t.Context(), c.put, c.remove)
		wantErr(t, c.name, err, c.want)
		want(t, c.name+": put", len(put), 0)
		want(t, c.name+": stored", networks(t, s), []store.Document{a, b})
	}
	stored := ok(s.ChangeDocuments(t.Context(), []store.Document{fresh}, []store.Document{a, b}))(t)
	want(t, "stored in the end", networks(t, s), stored)
}

// testFirstError has several changes that cannot be made.
func testFirstError(t *testing.T, s store.Store) {
	a := document(t, s, "network", "a", "1")
	conflict, invalid := a, store.Document{Kind: "network", ID: strings.Repeat("n", 300), Body: json.RawMessage("1")}
	conflict.Revision++
	missing := store.Document{Kind: "network", ID: "none", Revision: 1}
	for _, c := range []struct {
		put, remove []store.Document
		want        error
	}{
		{[]store.Document{conflict, invalid}, nil, store.ErrConflict},
		{[]store.Document{invalid, conflict}, nil, store.ErrInvalid},
		{[]store.Document{conflict}, []store.Document{missing}, store.ErrConflict},
		{nil, []store.Document{missing, conflict}, store.ErrNotFound},
		{nil, []store.Document{conflict, missing}, store.ErrConflict},
	} {
		_, err := s.ChangeDocuments(t.Context(), c.put, c.remove)
		wantErr(t, "change", err, c.want)
	}
	want(t, "stored", networks(t, s), []store.Document{a})
}

// testRefusedAmongOthers makes changes at once, half of which cannot be made: they
// may share a commit.
func testRefusedAmongOthers(t *testing.T, s store.Store) {
	const writers, each = 8, 10
	together(writers, func(w int) {
		for i := range each {
			id := strconv.Itoa(w) + "-" + strconv.Itoa(i)
			put := []store.Document{{Kind: "network", ID: id, Body: json.RawMessage("1")}}
			var remove []store.Document
			wanted := error(nil)
			if i%2 == 1 {
				remove, wanted = []store.Document{{Kind: "network", ID: "none", Revision: 1}}, store.ErrNotFound
			}
			if _, err := s.ChangeDocuments(t.Context(), put, remove); !errors.Is(err, wanted) {
				t.Errorf("got %v, want %v", err, wanted)
			}
		}
	})
	want(t, "documents", len(networks(t, s)), writers*each/2)
}

// testTransfers moves amounts between two documents, whose sum stays what it was
// at every moment.
func testTransfers(t *testing.T, s store.Store) {
	const writers, each, sum = 6, 15, 1_000
	document(t, s, "network", "from", strconv.Itoa(sum))
	document(t, s, "network", "to", "0")
	together(writers, func(int) {
		for done := 0; done < each; {
			list, err := s.ListDocuments(t.Context(), "network")
			if err != nil || len(list) != 2 {
				t.Errorf("list: %d documents, %v", len(list), err)
				return
			}
			from, _ := strconv.Atoi(string(list[0].Body)) // what is no number fails the test below
			to, _ := strconv.Atoi(string(list[1].Body))
			if from+to != sum {
				t.Errorf("%d and %d, want %d together", from, to, sum)
				return
			}
			list[0].Body, list[1].Body = strconv.AppendInt(nil, int64(from-1), 10), strconv.AppendInt(nil, int64(to+1), 10)
			switch _, err := s.ChangeDocuments(t.Context(), list, nil); {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("change: %v", err)
				return
			}
		}
	})
	want(t, "moved", string(ok(s.Document(t.Context(), "network", "to"))(t).Body), strconv.Itoa(writers*each))
}
