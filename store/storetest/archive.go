package storetest

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// archiveTime is when the fixtures are archived, and all of them are idle.
var archiveTime = start.Add(100 * 24 * time.Hour)

var archiveTests = []test{
	{"OnlyIdleOnesAreMoved", testArchiveIdle},
	{"EverythingMoves", testArchiveAll},
	{"OlderEntryIsReplaced", func(t *testing.T, s store.Store) {
		archived(t, s, Binding(1))
		again := Binding(1)
		again.Label = "again"
		bound(t, s, again)
		moved := ok(s.ArchiveBindings(t.Context(), []store.KeyHash{Hash(1)}, archiveTime, archiveTime.Add(time.Hour)))(t)
		want(t, "moved", moved, []store.KeyHash{Hash(1)})
		a := ok(s.Archived(t.Context(), Hash(1)))(t)
		want(t, "label", a.Binding.Label, "again")
		want(t, "time", a.ArchivedAt, store.StoredTime(archiveTime.Add(time.Hour)))
		want(t, "entries", ok(s.CountArchived(t.Context()))(t), 1)
	}},
	{"RemovalsTakeRevisions", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		last := bound(t, s, Binding(2))
		ok(s.ArchiveBindings(t.Context(), []store.KeyHash{Hash(1), Hash(2)}, archiveTime, archiveTime))(t)
		if next := bound(t, s, Binding(3)); next.Revision < last.Revision+3 {
			t.Errorf("revision %d after %d and two removals", next.Revision, last.Revision)
		}
	}},
	{"ChunkHasALimit", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(0))
		hashes := make([]store.KeyHash, store.ArchiveChunk+1)
		for i := range hashes {
			hashes[i] = Hash(i)
		}
		_, err := s.ArchiveBindings(t.Context(), hashes, archiveTime, archiveTime)
		wantErr(t, "archive", err, store.ErrInvalid)
		want(t, "entries", ok(s.CountArchived(t.Context()))(t), 0)
		moved := ok(s.ArchiveBindings(t.Context(), hashes[:store.ArchiveChunk], archiveTime, archiveTime))(t)
		want(t, "moved", len(moved), 1)
	}},
	{"LaterBindIsMarked", testReturn},
	{"Restore", testRestore},
	{"RestoreOfUnknownKeyIsNotFound", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		for _, n := range []int{1, 2} {
			_, err := s.RestoreBinding(t.Context(), Hash(n), archiveTime)
			wantErr(t, "restore", err, store.ErrNotFound)
		}
	}},
	{"RestoreOfABoundKeyConflicts", func(t *testing.T, s store.Store) {
		archived(t, s, Binding(1))
		b := bound(t, s, Binding(1))
		_, err := s.RestoreBinding(t.Context(), Hash(1), archiveTime)
		wantErr(t, "restore", err, store.ErrConflict)
		want(t, "binding", ok(s.Binding(t.Context(), Hash(1)))(t), b)
		want(t, "entries", ok(s.CountArchived(t.Context()))(t), 1)
	}},
	{"UnknownKeyIsNotArchived", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		_, err := s.Archived(t.Context(), Hash(1))
		wantErr(t, "read", err, store.ErrNotFound)
	}},
	{"EntriesOutliveTheirKeysBinding", func(t *testing.T, s store.Store) {
		a := archived(t, s, Binding(1))
		b := bound(t, s, Binding(1))
		ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
		want(t, "entry", ok(s.Archived(t.Context(), Hash(1)))(t), a)
	}},
	{"PagesOfTheArchive", testArchivePages},
	{"FilterTheArchive", testArchiveFilter},
	{"BadCursorIsInvalid", func(t *testing.T, s store.Store) {
		for _, cursor := range []string{"!", "AA", "0"} {
			_, err := s.FindArchived(t.Context(), store.ArchiveQuery{After: cursor})
			wantErr(t, "find", err, store.ErrInvalid)
		}
	}},
	{"Purge", testPurge},
	{"EntriesAreCopies", func(t *testing.T, s store.Store) {
		a := archived(t, s, Binding(1), touch(1, 0, 1, "10.0.0.1"))
		for _, got := range []store.ArchivedBinding{
			ok(s.Archived(t.Context(), Hash(1)))(t),
			ok(s.FindArchived(t.Context(), store.ArchiveQuery{}))(t).Rows[0],
		} {
			got.Binding.Rule.Prefixes[0], got.Usage.Days[0].Allowed, got.Usage.Addresses[0].IP = netip.Prefix{}, 99, netip.Addr{}
		}
		want(t, "entry", ok(s.Archived(t.Context(), Hash(1)))(t), a)
	}},
}

// archived binds a key, touches it, and archives it.
func archived(t testing.TB, s store.Store, b store.Binding, touches ...store.Touch) store.ArchivedBinding {
	t.Helper()
	stored := bound(t, s, b)
	addTouches(t, s, touches...)
	moved := ok(s.ArchiveBindings(t.Context(), []store.KeyHash{b.Hash}, archiveTime, archiveTime))(t)
	want(t, "moved", moved, []store.KeyHash{b.Hash})
	return store.ArchivedBinding{Binding: stored, Usage: usageOf(touches...), ArchivedAt: store.StoredTime(archiveTime)}
}

// testArchiveIdle has one binding that is idle, and one for each reason to stay.
func testArchiveIdle(t *testing.T, s store.Store) {
	idleSince := store.StoredTime(start.Add(time.Hour))
	made := func(n int, at time.Time) store.Binding {
		b := Binding(n)
		b.CreatedAt = at
		return b
	}
	banned := made(1, start)
	banned.Status = store.StatusBanned
	bound(t, s, banned)
	bound(t, s, made(2, idleSince))                       // new
	bound(t, s, made(3, start))                           // used
	bound(t, s, made(4, start))                           // idle, used once
	bound(t, s, made(5, idleSince.Add(-time.Nanosecond))) // idle, never used, by a hair
	bound(t, s, made(6, start))                           // idle, but not asked for
	addTouches(t, s, touch(3, 3_600, 1, "10.0.0.1"), touch(4, 3_599, 1, "10.0.0.1"))
	refused := touch(5, 7_200, 0, "203.0.113.9")
	refused.Refused = 1
	addTouches(t, s, refused)

	given := []store.KeyHash{Hash(1), Hash(2), Hash(3), Hash(4), Hash(5), Hash(7)}
	moved := ok(s.ArchiveBindings(t.Context(), given, idleSince, archiveTime))(t)
	slices.SortFunc(moved, compareHashes)
	wanted := []store.KeyHash{Hash(4), Hash(5)}
	slices.SortFunc(wanted, compareHashes)
	want(t, "moved", moved, wanted)
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 4)
	want(t, "entries", ok(s.CountArchived(t.Context()))(t), 2)
	want(t, "moved again", len(ok(s.ArchiveBindings(t.Context(), given, idleSince, archiveTime))(t)), 0)
}

func compareHashes(a, b store.KeyHash) int { return bytes.Compare(a[:], b[:]) }

// testArchiveAll moves a binding with all that belongs to it.
func testArchiveAll(t *testing.T, s store.Store) {
	full := Binding(1)
	full.Label, full.Note = "équipe 7", "a note"
	full.Rule = store.Rule{Kind: store.RuleMultiple, Prefixes: prefixes("10.0.0.0/8", "2001:db8::/33")}
	refused := touch(1, 60, 0, "203.0.113.9")
	refused.Refused = 2
	a := archived(t, s, full, touch(1, 0, 5, "10.0.0.1"), touch(1, 1, 7, "2001:db8::1"), refused)
	want(t, "entry", ok(s.Archived(t.Context(), Hash(1)))(t), a)
	want(t, "found", ok(s.FindArchived(t.Context(), store.ArchiveQuery{}))(t), store.ArchivePage{Rows: []store.ArchivedBinding{a}})
	_, err := s.Binding(t.Context(), Hash(1))
	wantErr(t, "binding", err, store.ErrNotFound)
	want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), store.Usage{})
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 0)
	addTouches(t, s, touch(1, 99, 1, "10.0.0.1"))
	want(t, "entry after a late touch", ok(s.Archived(t.Context(), Hash(1)))(t), a)

	testArchiveNamed(t, s)
	bare := archived(t, s, Binding(2))
	want(t, "entry that was never used", ok(s.Archived(t.Context(), Hash(2)))(t), bare)
}

// testArchiveNamed moves rules that name networks and learn there and back.
func testArchiveNamed(t *testing.T, s store.Store) {
	for _, b := range namedBindings() {
		a := archived(t, s, b)
		want(t, "entry", ok(s.Archived(t.Context(), b.Hash))(t), a)
		want(t, "rule of the entry", a.Binding.Rule, b.Stored().Rule)
		q := store.ArchiveQuery{Filter: store.BindingFilter{Rule: b.Rule.Kind, Hashes: []store.KeyHash{b.Hash}}}
		want(t, "found", ok(s.FindArchived(t.Context(), q))(t).Rows, []store.ArchivedBinding{a})
		q.Filter.Names = "office"
		want(t, "found by name", len(ok(s.FindArchived(t.Context(), q))(t).Rows) == 1, slices.Contains(b.Rule.Networks, "office"))
		restored := ok(s.RestoreBinding(t.Context(), b.Hash, archiveTime))(t)
		want(t, "restored rule", restored.Rule, b.Stored().Rule)
		want(t, "stored", ok(s.Binding(t.Context(), b.Hash))(t), restored)
		ok(s.DeleteBinding(t.Context(), b.Hash, restored.Revision))(t)
	}
}

// testReturn binds keys after they were archived, and others.
func testReturn(t *testing.T, s store.Store) {
	archived(t, s, Binding(1))
	back := Binding(1)
	back.ArchivedBefore = start // is not for the caller to say
	b := bound(t, s, back)
	want(t, "archived before", b.ArchivedBefore, store.StoredTime(archiveTime))
	want(t, "stored", ok(s.Binding(t.Context(), Hash(1)))(t), b)
	b.Label = "known"
	b = ok(s.ReplaceBinding(t.Context(), b))(t)
	want(t, "archived before, once replaced", b.ArchivedBefore, store.StoredTime(archiveTime))
	other := Binding(2)
	other.ArchivedBefore = start
	want(t, "of another key", bound(t, s, other).ArchivedBefore, time.Time{})
	page := ok(s.FindBindings(t.Context(), store.BindingQuery{Filter: store.BindingFilter{Returned: true}}))(t)
	wantRows(t, "returned", page.Rows, []store.BindingRow{{Binding: b}})
}

func testRestore(t *testing.T, s store.Store) {
	used := []store.Touch{touch(1, 0, 5, "10.0.0.1"), touch(1, 90_000, 7, "2001:db8::1")}
	a := archived(t, s, Binding(1), used...)
	other := bound(t, s, Binding(2))
	at := store.StoredTime(archiveTime.Add(time.Hour))
	b := ok(s.RestoreBinding(t.Context(), Hash(1), at))(t)
	if b.Revision <= other.Revision {
		t.Errorf("revision %d after %d", b.Revision, other.Revision)
	}
	wanted := a.Binding
	wanted.Revision, wanted.CreatedAt, wanted.UpdatedAt = b.Revision, store.StoredTime(at), store.StoredTime(at)
	want(t, "answer", b, wanted)
	want(t, "stored", ok(s.Binding(t.Context(), Hash(1)))(t), wanted)
	want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(used...))
	_, err := s.Archived(t.Context(), Hash(1))
	wantErr(t, "entry", err, store.ErrNotFound)
	want(t, "entries", ok(s.CountArchived(t.Context()))(t), 0)
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 2)
	moved := ok(s.ArchiveBindings(t.Context(), []store.KeyHash{Hash(1)}, at, at))(t)
	want(t, "moved at once", len(moved), 0)
	more := touch(1, 90_005, 1, "2001:db8::1")
	addTouches(t, s, more)
	want(t, "usage goes on", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(append(used, more)...))
}

// archivePages follows a query from page to page.
func archivePages(t testing.TB, s store.Archive, q store.ArchiveQuery) (rows []store.ArchivedBinding) {
	t.Helper()
	for {
		page := ok(s.FindArchived(t.Context(), q))(t)
		if q.Limit > 0 && len(page.Rows) > q.Limit {
			t.Fatalf("page of %d rows, want at most %d", len(page.Rows), q.Limit)
		}
		rows = append(rows, page.Rows...)
		if page.Next == "" {
			return rows
		}
		q.After = page.Next
	}
}

func testArchivePages(t *testing.T, s store.Store) {
	want(t, "nothing", ok(s.FindArchived(t.Context(), store.ArchiveQuery{}))(t), store.ArchivePage{})
	var all []store.ArchivedBinding
	for n := range 25 {
		all = append(all, archived(t, s, Binding(n)))
	}
	slices.SortFunc(all, func(a, b store.ArchivedBinding) int { return compareHashes(a.Binding.Hash, b.Binding.Hash) })
	for _, limit := range []int{1, 7, 25, 26, 0} {
		want(t, "rows", archivePages(t, s, store.ArchiveQuery{Limit: limit}), all)
	}
}

func testArchiveFilter(t *testing.T, s store.Store) {
	for n := range 6 {
		b := Binding(n)
		if n%2 == 0 {
			b.Label = "even"
		}
		bound(t, s, b)
		at := archiveTime.Add(time.Duration(n) * time.Hour)
		ok(s.ArchiveBindings(t.Context(), []store.KeyHash{b.Hash}, archiveTime, at))(t)
	}
	at := store.StoredTime(archiveTime)
	cases := []struct {
		name string
		q    store.ArchiveQuery
		want []int
	}{
		{"label", store.ArchiveQuery{Filter: store.BindingFilter{Label: "EVEN"}}, []int{0, 2, 4}},
		{"network", store.ArchiveQuery{Filter: store.BindingFilter{Network: netip.MustParsePrefix("10.0.0.2/31")}}, []int{2, 3}},
		{"archived since", store.ArchiveQuery{Archived: store.TimeRange{Since: at.Add(4 * time.Hour)}}, []int{4, 5}},
		{"archived before", store.ArchiveQuery{Archived: store.TimeRange{Before: at.Add(time.Hour)}}, []int{0}},
		{"both", store.ArchiveQuery{Filter: store.BindingFilter{Label: "even"}, Archived: store.TimeRange{Since: at.Add(time.Hour)}}, []int{2, 4}},
	}
	for _, c := range cases {
		var got, wanted []store.KeyHash
		for _, r := range archivePages(t, s, c.q) {
			got = append(got, r.Binding.Hash)
		}
		for _, n := range c.want {
			wanted = append(wanted, Hash(n))
		}
		slices.SortFunc(wanted, compareHashes)
		want(t, c.name, got, wanted)
	}
}

func testPurge(t *testing.T, s store.Store) {
	for n := range 5 {
		bound(t, s, Binding(n))
		at := archiveTime.Add(time.Duration(n) * time.Hour)
		ok(s.ArchiveBindings(t.Context(), []store.KeyHash{Hash(n)}, archiveTime, at))(t)
	}
	kept := bound(t, s, Binding(0))
	purge := func(before time.Duration, limit, n int) {
		t.Helper()
		want(t, "purged", ok(s.PurgeArchive(t.Context(), store.StoredTime(archiveTime).Add(before), limit))(t), n)
	}
	purge(0, 100, 0)
	purge(3*time.Hour, 0, 0)
	purge(3*time.Hour, 2, 2)
	purge(3*time.Hour, 100, 1)
	want(t, "entries", ok(s.CountArchived(t.Context()))(t), 2)
	for n := range 5 {
		_, err := s.Archived(t.Context(), Hash(n))
		if (err == nil) != (n >= 3) {
			t.Errorf("entry %d: %v", n, err)
		}
	}
	want(t, "binding of a purged entry", ok(s.Binding(t.Context(), Hash(0)))(t), kept)
}
