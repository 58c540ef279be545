package storetest

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// AuditEntry returns a new entry, some minutes after the start of the fixtures.
func AuditEntry(n int) store.AuditEntry {
	return store.AuditEntry{
		At: start.Add(time.Duration(n) * time.Minute), Actor: "account:ada", ClientIP: netip.MustParseAddr("192.0.2.7"),
		Action: "binding.ban", Target: "binding:" + Hash(n).String(),
		Before: json.RawMessage(`{"status":"active"}`), After: json.RawMessage(`{"status":"banned"}`), RequestID: "req-7",
	}
}

// appendAudit stores entries and returns them as they are stored.
func appendAudit(t testing.TB, s store.AuditLog, entries ...store.AuditEntry) []store.AuditEntry {
	t.Helper()
	stored := make([]store.AuditEntry, len(entries))
	for i, e := range entries {
		stored[i] = ok(s.AppendAudit(t.Context(), e))(t)
	}
	return stored
}

// auditIDs follows a filter from page to page.
func auditIDs(t testing.TB, s store.AuditLog, f store.AuditFilter) []uint64 {
	t.Helper()
	list := []uint64{}
	for {
		page := ok(s.ListAudit(t.Context(), f))(t)
		if f.Limit > 0 && len(page.Entries) > f.Limit {
			t.Fatalf("page of %d entries, want at most %d", len(page.Entries), f.Limit)
		}
		for _, e := range page.Entries {
			list = append(list, e.ID)
		}
		if page.Next == 0 {
			return list
		}
		f.Before = page.Next
	}
}

var auditTests = []test{
	{"NothingToList", func(t *testing.T, s store.Store) {
		want(t, "page", ok(s.ListAudit(t.Context(), store.AuditFilter{}))(t), store.AuditPage{})
	}},
	{"EveryFieldComesBack", func(t *testing.T, s store.Store) {
		full, bare := AuditEntry(1), store.AuditEntry{At: start, Actor: "system", Action: "archive.run"}
		stored := appendAudit(t, s, full, bare)
		full.ID, bare.ID = stored[0].ID, stored[1].ID
		full.At, bare.At = store.StoredTime(full.At), store.StoredTime(bare.At)
		want(t, "answers", stored, []store.AuditEntry{full, bare})
		want(t, "list", ok(s.ListAudit(t.Context(), store.AuditFilter{}))(t).Entries, []store.AuditEntry{bare, full})
	}},
	{"IDsAscendWhateverTheEntrySays", func(t *testing.T, s store.Store) {
		given := AuditEntry(1)
		given.ID = 1 << 60
		stored := appendAudit(t, s, AuditEntry(2), given, AuditEntry(3))
		for i, e := range stored {
			if e.ID == 0 || e.ID >= 1<<60 || i > 0 && e.ID <= stored[i-1].ID {
				t.Fatalf("entry %d has the ID %d", i, e.ID)
			}
		}
		want(t, "newest first", auditIDs(t, s, store.AuditFilter{}), []uint64{stored[2].ID, stored[1].ID, stored[0].ID})
	}},
	{"FilterAndPages", testAuditFilter},
	{"DefaultLimit", func(t *testing.T, s store.Store) {
		appendAudit(t, s, make([]store.AuditEntry, store.DefaultPage+1)...)
		page := ok(s.ListAudit(t.Context(), store.AuditFilter{}))(t)
		want(t, "entries", len(page.Entries), store.DefaultPage)
		want(t, "next", page.Next, page.Entries[store.DefaultPage-1].ID)
	}},
	{"Delete", testDeleteAudit},
	{"EntriesAreCopies", func(t *testing.T, s store.Store) {
		given := AuditEntry(1)
		stored := ok(s.AppendAudit(t.Context(), given))(t)
		given.Before[1], stored.After[1] = 'X', 'Y'
		ok(s.ListAudit(t.Context(), store.AuditFilter{}))(t).Entries[0].Before[1] = 'Z'
		got := ok(s.ListAudit(t.Context(), store.AuditFilter{}))(t).Entries[0]
		want(t, "before", string(got.Before), string(AuditEntry(1).Before))
		want(t, "after", string(got.After), string(AuditEntry(1).After))
	}},
}

func testAuditFilter(t *testing.T, s store.Store) {
	var entries []store.AuditEntry
	for n := range 8 {
		e := AuditEntry(n)
		if n%2 == 1 {
			e.Actor = "token:ci"
		}
		if n >= 4 {
			e.Action, e.Target = "setting.put", "setting:mode"
		}
		if n == 7 {
			e.Action = "settings.export"
		}
		entries = append(entries, e)
	}
	stored := appendAudit(t, s, entries...)
	at := func(n int) time.Time { return stored[n].At }
	cases := []struct {
		name string
		f    store.AuditFilter
		want []int
	}{
		{"all", store.AuditFilter{}, []int{7, 6, 5, 4, 3, 2, 1, 0}},
		{"before", store.AuditFilter{Before: stored[2].ID}, []int{1, 0}},
		{"since", store.AuditFilter{Time: store.TimeRange{Since: at(6)}}, []int{7, 6}},
		{"until", store.AuditFilter{Time: store.TimeRange{Before: at(1)}}, []int{0}},
		{"actor", store.AuditFilter{Actor: "token:ci"}, []int{7, 5, 3, 1}},
		{"part of an actor", store.AuditFilter{Actor: "token:"}, nil},
		{"action", store.AuditFilter{Action: "setting.put"}, []int{6, 5, 4}},
		{"kind of action", store.AuditFilter{Action: "setting."}, []int{6, 5, 4}},
		{"part of an action", store.AuditFilter{Action: "setting"}, nil},
		{"target", store.AuditFilter{Target: "setting:mode"}, []int{7, 6, 5, 4}},
		{"several", store.AuditFilter{Target: "setting:mode", Actor: "account:ada", Time: store.TimeRange{Before: at(6)}}, []int{4}},
	}
	for _, c := range cases {
		for _, limit := range []int{0, 1, 3} {
			c.f.Limit = limit
			wanted := []uint64{}
			for _, n := range c.want {
				wanted = append(wanted, stored[n].ID)
			}
			want(t, c.name, auditIDs(t, s, c.f), wanted)
		}
	}
}

// testDeleteAudit has an entry that is older than the one before it, and one of a
// clock that was wrong.
func testDeleteAudit(t *testing.T, s store.Store) {
	stored := appendAudit(t, s, AuditEntry(1_000_000), AuditEntry(2), AuditEntry(1), AuditEntry(3), AuditEntry(4))
	at := stored[3].At
	want(t, "deleted before all", ok(s.DeleteAudit(t.Context(), start.Add(-time.Hour), 9))(t), 0)
	want(t, "deleted of none", ok(s.DeleteAudit(t.Context(), at, 0))(t), 0)
	want(t, "deleted", ok(s.DeleteAudit(t.Context(), at, 1))(t), 1)
	want(t, "left", auditIDs(t, s, store.AuditFilter{}), []uint64{stored[4].ID, stored[3].ID, stored[2].ID, stored[0].ID})
	want(t, "deleted then", ok(s.DeleteAudit(t.Context(), at, 9))(t), 1)
	want(t, "left then", auditIDs(t, s, store.AuditFilter{}), []uint64{stored[4].ID, stored[3].ID, stored[0].ID})
	want(t, "deleted again", ok(s.DeleteAudit(t.Context(), at, 9))(t), 0)
	if next := appendAudit(t, s, AuditEntry(9))[0]; next.ID <= stored[4].ID {
		t.Errorf("ID %d after %d", next.ID, stored[4].ID)
	}
}
