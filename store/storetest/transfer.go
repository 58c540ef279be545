package storetest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// RunTransfer tests store.Transfer. Each call of open returns an empty store, which
// RunTransfer closes.
func RunTransfer(t *testing.T, open func(testing.TB) store.Transfer) {
	empty := func(t *testing.T) store.Transfer {
		s := open(t)
		t.Cleanup(func() { wantErr(t, "close", s.Close(), nil) })
		return s
	}
	t.Run("EverythingArrives", func(t *testing.T) {
		from, to := empty(t), empty(t)
		FillAll(t, from, 300)
		moveAll(t, from, to, 7)
		wantSame(t, from, to)
		want(t, "bindings", ok(to.CountBindings(t.Context()))(t), ok(from.CountBindings(t.Context()))(t))
		want(t, "entries", ok(to.CountArchived(t.Context()))(t), ok(from.CountArchived(t.Context()))(t))
		moveAll(t, from, to, 100) // what is there is replaced
		wantSame(t, from, to)
		want(t, "bindings of two imports", ok(to.CountBindings(t.Context()))(t), ok(from.CountBindings(t.Context()))(t))
		testMovedLives(t, from, to)
	})
	t.Run("EmptyStoreHasNothing", func(t *testing.T) {
		s := empty(t)
		for _, class := range store.Classes {
			want(t, string(class), ok(store.DigestOf(t.Context(), s, class, nil))(t), store.Digest{})
		}
	})
	t.Run("DigestsTellAnyDifference", func(t *testing.T) {
		s := empty(t)
		FillAll(t, s, 20)
		before := ok(store.DigestOf(t.Context(), s, store.ClassBindings, nil))(t)
		b := ok(s.Binding(t.Context(), Hash(3)))(t)
		b.Note = "changed"
		ok(s.ReplaceBinding(t.Context(), b))(t)
		if after := ok(store.DigestOf(t.Context(), s, store.ClassBindings, nil))(t); after == before || after.Records != before.Records {
			t.Errorf("got %v and %v", before, after)
		}
	})
	t.Run("BadInput", func(t *testing.T) {
		s := empty(t)
		for _, after := range []string{"x", "zz.zz.zz", "!"} {
			for _, class := range store.Classes {
				_, err := s.Export(t.Context(), class, after, 10)
				wantErr(t, string(class)+" after "+after, err, store.ErrInvalid)
			}
		}
		_, err := s.Export(t.Context(), "others", "", 10)
		wantErr(t, "another class", err, store.ErrInvalid)
		bad := Binding(1)
		bad.Status = "odd"
		for _, chunk := range []store.Chunk{
			{Class: store.ClassBindings, Bindings: []store.BindingRow{{Binding: bad}}},
			{Class: store.ClassArchive, Archived: []store.ArchivedBinding{{Binding: bad}}},
			{Class: store.ClassDocuments, Documents: []store.Document{{Kind: "k", ID: "i", Body: []byte("{")}}},
			{Class: store.ClassSettings, Settings: []store.Setting{{}}},
			{Class: store.ClassCounters, Counters: []store.Counter{{}}},
		} {
			wantErr(t, string(chunk.Class), s.Import(t.Context(), chunk, store.Migration{}), store.ErrInvalid)
		}
		m := ok(store.ReadMigration(t.Context(), s, store.MoveMark))(t)
		want(t, "mark", m, nil)
	})
}

// moveAll moves all of a store, some records at a time.
func moveAll(t *testing.T, from, to store.Transfer, limit int) {
	t.Helper()
	for _, class := range store.Classes {
		for after := ""; ; {
			chunk := ok(from.Export(t.Context(), class, after, limit))(t)
			if chunk.Len() > limit {
				t.Fatalf("%d records of %s, want at most %d", chunk.Len(), class, limit)
			}
			mark := store.Migration{From: "here", Class: string(class), After: chunk.Next}
			wantErr(t, "import "+string(class), to.Import(t.Context(), chunk, mark), nil)
			want(t, "mark", *ok(store.ReadMigration(t.Context(), to, store.MoveMark))(t), mark)
			if after = chunk.Next; after == "" {
				break
			}
		}
	}
}

// wantSame compares two stores as a move does, and some records themselves.
func wantSame(t *testing.T, a, b store.Transfer) {
	t.Helper()
	for _, class := range store.Classes {
		want(t, string(class), ok(store.DigestOf(t.Context(), b, class, nil))(t), ok(store.DigestOf(t.Context(), a, class, nil))(t))
	}
	for n := range 20 {
		there, err := a.Binding(t.Context(), Hash(n))
		if err != nil {
			continue
		}
		want(t, "binding", ok(b.Binding(t.Context(), Hash(n)))(t), there)
		want(t, "usage", ok(b.Usage(t.Context(), Hash(n)))(t), ok(a.Usage(t.Context(), Hash(n)))(t))
	}
	q := store.InterceptFilter{Hash: Hash(5), Limit: store.MaxPage}
	want(t, "intercepts of a key", ok(b.ListIntercepts(t.Context(), q))(t), ok(a.ListIntercepts(t.Context(), q))(t))
	if ok(a.ListIntercepts(t.Context(), q))(t).Records == nil {
		t.Error("no intercepts of the key")
	}
}

// testMovedLives goes on with a store that was moved.
func testMovedLives(t *testing.T, from, to store.Transfer) {
	last := ok(from.Binding(t.Context(), Hash(1)))(t)
	b := bound(t, to, Binding(100_000))
	if b.Revision <= last.Revision {
		t.Errorf("revision %d after %d", b.Revision, last.Revision)
	}
	page := ok(from.ListIntercepts(t.Context(), store.InterceptFilter{Limit: 1}))(t)
	rec := []store.Intercept{page.Records[0]}
	highest := rec[0].ID
	rec[0].ID = 0
	wantErr(t, "put", to.PutIntercepts(t.Context(), rec), nil)
	if rec[0].ID <= highest {
		t.Errorf("intercept %d after %d", rec[0].ID, highest)
	}
	newest := ok(from.ListAudit(t.Context(), store.AuditFilter{Limit: 1}))(t).Entries[0]
	if e := ok(to.AppendAudit(t.Context(), newest))(t); e.ID <= newest.ID {
		t.Errorf("entry %d after %d", e.ID, newest.ID)
	}
	d := ok(from.Document(t.Context(), "fixture-one", "1"))(t)
	ok(to.PutDocument(t.Context(), d))(t) // by the revision that it had
	again := ok(to.Binding(t.Context(), Hash(1)))(t)
	ok(to.ReplaceBinding(t.Context(), again))(t)
	found := ok(to.FindBindings(t.Context(), store.BindingQuery{Filter: store.BindingFilter{Network: netip.MustParsePrefix("203.0.113.0/24")}}))(t)
	if len(found.Rows) == 0 {
		t.Error("no binding is found by its second prefix")
	}
	ok(to.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
}

// FillAll puts n records or so of each class into a store.
func FillAll(t testing.TB, s store.Store, n int) {
	t.Helper()
	ctx := t.Context()
	var touches []store.Touch
	for i := range n {
		b := Binding(i)
		switch i % 4 {
		case 1:
			b.Rule = store.Rule{Kind: store.RuleMultiple, Prefixes: append(b.Rule.Prefixes, prefixes("203.0.113.0/24", "2001:db8::/33")...)}
			b.Label, b.Note = "équipe "+strconv.Itoa(i), "a note"
		case 2:
			b.Rule, b.FirstIP = store.Rule{Kind: store.RuleAll}, netip.Addr{}
		case 3:
			b.Rule = store.Rule{Kind: store.RuleLearn, Prefixes: b.Rule.Prefixes, Networks: []string{"office"}, Learn: store.Learn{Limit: 3, Within: time.Hour, Until: start}}
		}
		bound(t, s, b)
		if i%3 > 0 {
			used := touch(i, i, uint64(i), "10.0.0.1") // #nosec G115 -- not negative
			used.Refused = uint64(i % 2)               // #nosec G115 -- not negative
			later := touch(i, 90_000+i, 2, "2001:db8::"+strconv.FormatInt(int64(i%9), 16))
			touches = append(touches, used, later)
		}
	}
	for rest := touches; len(rest) > 0; {
		chunk := rest[:min(len(rest), store.UsageChunk)]
		addTouches(t, s, chunk...)
		rest = rest[len(chunk):]
	}
	fillLogs(t, s, n)
	var idle []store.KeyHash
	for i := 0; i < n && len(idle) < store.ArchiveChunk; i += 10 {
		idle = append(idle, Hash(i))
	}
	ok(s.ArchiveBindings(ctx, idle, archiveTime, archiveTime))(t)
	banned := ok(s.Binding(ctx, Hash(1)))(t)
	banned.Status = store.StatusBanned
	ok(s.ReplaceBinding(ctx, banned))(t)
	bound(t, s, Binding(0)) // which the archive has as well
}

func fillLogs(t testing.TB, s store.Store, n int) {
	t.Helper()
	ctx := t.Context()
	var docs []store.Document
	var recs []store.Intercept
	for i := range n {
		docs = append(docs, store.Document{Kind: []string{"fixture-one", "fixture", "f"}[i%3], ID: strconv.Itoa(i % max(n/2, 1)), Body: json.RawMessage(fmt.Sprintf(`{"n": %d}`, i))})
		recs = append(recs, store.Intercept{
			At: start.Add(time.Duration(i) * time.Hour), Last: start.Add(time.Duration(i)*time.Hour + time.Second), Count: uint64(i + 1), // #nosec G115 -- not negative
			Reason: store.ReasonIPNotAllowed, Basis: store.Basis{Kind: store.BasisRule, Name: "single"}, Hash: Hash(i % 17), Hint: "sk-ab…9fQ2",
			ClientIP: netip.MustParseAddr("198.51.100.7"), PeerIP: netip.MustParseAddr("::1"), Method: "POST", Host: "h", Path: "/v1/Ünicode", RequestID: strconv.Itoa(i),
		})
		addCounters(t, s, store.Counter{Hour: hour.Add(time.Duration(i) * time.Hour), Name: "allowed", N: uint64(i + 1)}) // #nosec G115 -- not negative
		if i%10 == 0 {
			ok(s.AppendAudit(ctx, store.AuditEntry{At: start, Actor: "account:ada", Action: "binding.ban", Target: strconv.Itoa(i), After: json.RawMessage(`{"a": 1}`)}))(t)
		}
	}
	for i, d := range docs {
		if i < max(n/2, 1) {
			ok(s.PutDocument(ctx, d))(t)
		}
	}
	ok(s.PutDocument(ctx, store.Document{Kind: "fixture-one", ID: "one", Body: []byte(`[]`)}))(t)
	if _, err := s.Document(ctx, "fixture-one", "1"); err != nil {
		ok(s.PutDocument(ctx, store.Document{Kind: "fixture-one", ID: "1", Body: []byte(`{}`)}))(t)
	}
	wantErr(t, "put intercepts", s.PutIntercepts(ctx, recs), nil)
	for _, name := range []string{"mode", "empty", "node.own"} {
		wantErr(t, "put setting", s.PutSetting(ctx, name, []byte(name[:len(name)/2])), nil)
	}
}
