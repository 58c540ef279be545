package storetest

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var catalogTests = []test{
	{"NothingToFind", func(t *testing.T, s store.Store) {
		want(t, "page", foundIn(ok(s.FindBindings(t.Context(), store.BindingQuery{}))(t)), found{})
	}},
	{"EveryFilter", testFilters},
	{"EveryOrder", testOrders},
	{"EveryFilterInEveryOrder", testFiltersInOrders},
	{"DefaultAndLargestPage", testPageSizes},
	{"RowsHaveTheUsageWithoutHistory", func(t *testing.T, s store.Store) {
		b, used := bound(t, s, Binding(1)), touch(1, 0, 5, "10.0.0.1")
		addTouches(t, s, used)
		page := ok(s.FindBindings(t.Context(), store.BindingQuery{}))(t)
		u := store.Usage{LastUsed: store.StoredTime(used.LastUsed), LastIP: used.LastIP, Hits: 5}
		want(t, "rows", page.Rows, []store.BindingRow{{Binding: b, Usage: u}})
	}},
	{"UnknownOrderIsInvalid", func(t *testing.T, s store.Store) {
		_, err := s.FindBindings(t.Context(), store.BindingQuery{Sort: "note"})
		wantErr(t, "find", err, store.ErrInvalid)
	}},
	{"CursorOfAnotherOrderIsInvalid", testForeignCursors},
	{"CursorOfABindingThatIsGone", testCursorOfNothing},
	{"FindFollowsEveryChange", testFindFollows},
	{"RowsAreCopies", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		ok(s.FindBindings(t.Context(), store.BindingQuery{}))(t).Rows[0].Binding.Rule.Prefixes[0] = netip.Prefix{}
		want(t, "rows", ok(s.FindBindings(t.Context(), store.BindingQuery{}))(t).Rows, []store.BindingRow{{Binding: b}})
	}},
}

// found is a page without its cursor.
type found struct {
	hashes []store.KeyHash
	total  int
	isLast bool
}

func foundIn(p store.BindingPage) found {
	f := found{total: p.Total, isLast: p.Next == ""}
	for _, r := range p.Rows {
		f.hashes = append(f.hashes, r.Binding.Hash)
	}
	if p.Total == 0 {
		f.isLast = false // as the zero value has it
	}
	return f
}

// varied binds keys that differ in all that they can be found by, and returns them
// as they are stored.
func varied(t testing.TB, s store.Store) []store.BindingRow {
	t.Helper()
	var rows []store.BindingRow
	for n, change := range variations {
		b := Binding(n)
		b.CreatedAt = start.Add(time.Duration(n/3) * time.Hour)
		b.UpdatedAt = b.CreatedAt
		if change != nil {
			change(&b)
		}
		row := store.BindingRow{Binding: bound(t, s, b)}
		if n%3 != 0 {
			used := touch(n, 3_600*(n%5), uint64(n%4)*10+1, "10.0.0.1") // #nosec G115 -- small
			addTouches(t, s, used)
			row.Usage = store.Usage{LastUsed: store.StoredTime(used.LastUsed), LastIP: used.LastIP, Hits: used.Hits}
		}
		rows = append(rows, row)
	}
	return rows
}

func ruleOf(kind store.RuleKind, texts ...string) func(b *store.Binding) {
	return func(b *store.Binding) { b.Rule = store.Rule{Kind: kind, Prefixes: prefixes(texts...)} }
}

func naming(kind store.RuleKind, networks ...string) func(b *store.Binding) {
	return func(b *store.Binding) {
		b.Rule = store.Rule{Kind: kind, Networks: networks}
		if kind == store.RuleLearn {
			b.Rule.Learn = store.Learn{Limit: 3, Within: time.Hour}
		}
	}
}

func labelled(label, hint string) func(b *store.Binding) {
	return func(b *store.Binding) { b.Label, b.Hint = label, hint }
}

var variations = []func(b *store.Binding){
	nil, nil, nil, nil,
	ruleOf(store.RuleAll),
	ruleOf(store.RuleSingle, "0.0.0.0/0"),
	ruleOf(store.RuleSingle, "::/0"),
	ruleOf(store.RuleSingle, "10.1.0.0/16"),
	ruleOf(store.RuleSingle, "10.1.2.0/24"),
	ruleOf(store.RuleSingle, "10.1.2.3/32"),
	ruleOf(store.RuleSingle, "2001:db8::/32"),
	ruleOf(store.RuleSingle, "2001:db8:1:2::/64"),
	ruleOf(store.RuleSingle, "2001:db8:1:2::7/128"),
	ruleOf(store.RuleSingle, "a01::/16"), // begins with the bits of 10.1.0.0
	ruleOf(store.RuleMultiple, "10.1.2.3/32"),
	ruleOf(store.RuleMultiple, "10.1.0.0/16", "10.1.2.0/24", "192.0.2.0/24", "2001:db8::/32"),
	ruleOf(store.RuleMultiple, "172.16.0.0/12", "198.51.100.7/32"),
	ruleOf(store.RuleMultiple, "10.0.0.0/8", "2001:db8:1:2::7/128"),
	labelled("Équipe ROUGE", "sk-ab…9fQ2"),
	labelled("équipe bleue", "SK-AB…9FQ2"),
	labelled("team \u212aelvin", "sk-…"),
	labelled("bad \xff bytes", "\xfe"),
	labelled("", strings.Repeat("long hint ", 6)),
	labelled(strings.Repeat("x", store.MaxLabelBytes), ""),
	func(b *store.Binding) { b.Status = store.StatusBanned },
	func(b *store.Binding) { b.Status, b.Label = store.StatusBanned, "stolen" },
	func(b *store.Binding) { b.CreatedAt = time.Time{} },
	func(b *store.Binding) { b.Note = "what a note says is not looked for: stolen" },
	naming(store.RuleMultiple, "office"),
	naming(store.RuleMultiple, "vpn", "office"),
	naming(store.RuleLearn),
	naming(store.RuleLearn, "办公室", "vpn"),
	func(b *store.Binding) { naming(store.RuleLearn, "lab")(b); b.Rule.Prefixes = prefixes("10.1.2.0/24") },
	func(b *store.Binding) {
		naming(store.RuleMultiple, "lab")(b)
		b.Label, b.Status, b.Rule.Prefixes = "lab", store.StatusBanned, prefixes("192.0.2.0/24", "2001:db8:1::/48")
	},
}

var filterCases = []struct {
	name string
	f    store.BindingFilter
}{
	{"all", store.BindingFilter{}},
	{"hashes", store.BindingFilter{Hashes: []store.KeyHash{Hash(3), Hash(99), Hash(1), Hash(3)}}},
	{"hashes and more", store.BindingFilter{Hashes: []store.KeyHash{Hash(24), Hash(1)}, Status: store.StatusBanned}},
	{"text in the hint", store.BindingFilter{Text: "9fq2"}},
	{"text in the label", store.BindingFilter{Text: "STOLEN"}},
	{"text beyond ASCII", store.BindingFilter{Text: "éQUIPE"}},
	{"text that folds to ASCII", store.BindingFilter{Text: "KELVIN"}},
	{"text that is the Kelvin sign", store.BindingFilter{Text: "\u212a"}},
	{"text of bad bytes", store.BindingFilter{Text: "\xff"}},
	{"hint", store.BindingFilter{Hint: "ab…9"}},
	{"long hint", store.BindingFilter{Hint: "HINT long"}},
	{"label", store.BindingFilter{Label: "equipe"}},
	{"label in any case", store.BindingFilter{Label: "rouge"}},
	{"hint and label", store.BindingFilter{Hint: "sk", Label: "e"}},
	{"no such text", store.BindingFilter{Text: "no such text"}},
	{"network", store.BindingFilter{Network: netip.MustParsePrefix("10.1.0.0/16")}},
	{"small network", store.BindingFilter{Network: netip.MustParsePrefix("10.1.2.3/32")}},
	{"network with host bits", store.BindingFilter{Network: netip.MustParsePrefix("10.1.2.3/24")}},
	{"network between", store.BindingFilter{Network: netip.MustParsePrefix("198.51.100.0/24")}},
	{"network of few", store.BindingFilter{Network: netip.MustParsePrefix("203.0.113.0/24")}},
	{"whole IPv4", store.BindingFilter{Network: netip.MustParsePrefix("0.0.0.0/0")}},
	{"whole IPv6", store.BindingFilter{Network: netip.MustParsePrefix("::/0")}},
	{"IPv6 network", store.BindingFilter{Network: netip.MustParsePrefix("2001:db8:1::/48")}},
	{"IPv6 host", store.BindingFilter{Network: netip.MustParsePrefix("2001:db8:1:2::7/128")}},
	{"another host of its /64", store.BindingFilter{Network: netip.MustParsePrefix("2001:db8:1:2::8/128")}},
	{"active", store.BindingFilter{Status: store.StatusActive}},
	{"banned", store.BindingFilter{Status: store.StatusBanned}},
	{"unknown status", store.BindingFilter{Status: "paused"}},
	{"single", store.BindingFilter{Rule: store.RuleSingle}},
	{"multiple", store.BindingFilter{Rule: store.RuleMultiple}},
	{"every source", store.BindingFilter{Rule: store.RuleAll}},
	{"learning", store.BindingFilter{Rule: store.RuleLearn}},
	{"learning within a network", store.BindingFilter{Rule: store.RuleLearn, Network: netip.MustParsePrefix("10.1.2.3/32")}},
	{"network that named ones have", store.BindingFilter{Network: netip.MustParsePrefix("203.0.113.0/24"), Within: []string{"office", "none"}}},
	{"network that named ones have too", store.BindingFilter{Network: netip.MustParsePrefix("10.1.2.3/32"), Within: []string{"办公室", "lab"}}},
	{"named ones without a network", store.BindingFilter{Within: []string{"office"}}},
	{"named", store.BindingFilter{Names: "office"}},
	{"named beside others", store.BindingFilter{Names: "vpn", Rule: store.RuleLearn}},
	{"named and labelled", store.BindingFilter{Names: "lab", Text: "LAB", Status: store.StatusBanned}},
	{"named and within", store.BindingFilter{Names: "lab", Network: netip.MustParsePrefix("203.0.113.0/24"), Within: []string{"lab"}}},
	{"named as in other letters", store.BindingFilter{Names: "Office"}},
	{"named by nobody", store.BindingFilter{Names: "none"}},
	{"unknown rule", store.BindingFilter{Rule: "none"}},
	{"created since", store.BindingFilter{Created: store.TimeRange{Since: store.StoredTime(start.Add(time.Hour))}}},
	{"created after that", store.BindingFilter{Created: store.TimeRange{Since: start.Add(time.Hour)}}},
	{"created before", store.BindingFilter{Created: store.TimeRange{Before: store.StoredTime(start.Add(time.Hour))}}},
	{"created before a little later", store.BindingFilter{Created: store.TimeRange{Before: start.Add(time.Hour)}}},
	{"used since", store.BindingFilter{Used: store.TimeRange{Since: store.StoredTime(start.Add(time.Hour))}}},
	{"used before", store.BindingFilter{Used: store.TimeRange{Before: start.Add(time.Hour)}}},
	{"used between", store.BindingFilter{Used: store.TimeRange{Since: start.Add(time.Hour), Before: start.Add(3 * time.Hour)}}},
	{"idle since", store.BindingFilter{IdleSince: store.StoredTime(start.Add(2 * time.Hour))}},
	{"idle since a little later", store.BindingFilter{IdleSince: start.Add(2 * time.Hour)}},
	{"never used", store.BindingFilter{HitsBelow: 1}},
	{"used seldom", store.BindingFilter{HitsBelow: 21}},
	{"returned", store.BindingFilter{Returned: true}},
}

// wanted is what a query of a filter and an order has to find among rows.
func wanted(rows []store.BindingRow, q store.BindingQuery) (list []store.BindingRow) {
	for _, r := range rows {
		if q.Filter.Matches(r.Binding, r.Usage) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, q.Sort.Compare)
	if q.Descending {
		slices.Reverse(list)
	}
	return list
}

// wantRows compares rows one by one: lists of them are too long to be shown.
func wantRows(t testing.TB, what string, got, want []store.BindingRow) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d rows, want %d", what, len(got), len(want))
		return
	}
	for i, row := range want {
		if !reflect.DeepEqual(got[i], row) { // #nosec G602 -- both are as long
			t.Errorf("%s: row %d of %d:\n got %+v\nwant %+v", what, i, len(got), got[i], row) // #nosec G602 -- both are as long
			return
		}
	}
}

// allPages follows a query from page to page.
func allPages(t testing.TB, s store.Catalog, q store.BindingQuery) (rows []store.BindingRow, totals []int) {
	t.Helper()
	for {
		page := ok(s.FindBindings(t.Context(), q))(t)
		rows, totals = append(rows, page.Rows...), append(totals, page.Total)
		if page.Next == "" {
			return rows, slices.Compact(totals)
		}
		if len(page.Rows) != q.Limit {
			t.Fatalf("page of %d rows, want %d, as there is another", len(page.Rows), q.Limit)
		}
		q.After = page.Next
	}
}

// returned archives a key and binds it again.
func returned(t testing.TB, s store.Store, n int) store.BindingRow {
	t.Helper()
	bound(t, s, Binding(n))
	moved := ok(s.ArchiveBindings(t.Context(), []store.KeyHash{Hash(n)}, time.Time{}, start.Add(time.Minute)))(t)
	want(t, "archived", moved, []store.KeyHash{Hash(n)})
	return store.BindingRow{Binding: bound(t, s, Binding(n))}
}

func testFilters(t *testing.T, s store.Store) {
	rows := append(varied(t, s), returned(t, s, 500))
	for _, c := range filterCases {
		t.Run(c.name, func(t *testing.T) {
			q := store.BindingQuery{Filter: c.f, Sort: store.SortCreated, Limit: store.MaxPage}
			page := ok(s.FindBindings(t.Context(), q))(t)
			list := wanted(rows, q)
			wantRows(t, "rows", page.Rows, list)
			want(t, "total", page.Total, len(list))
			want(t, "next", page.Next, "")
		})
	}
}

func testOrders(t *testing.T, s store.Store) {
	rows := varied(t, s)
	for _, sort := range store.BindingSorts {
		for _, descending := range []bool{false, true} {
			for _, limit := range []int{1, 7, len(rows), len(rows) + 1} {
				q := store.BindingQuery{Sort: sort, Descending: descending, Limit: limit}
				what := fmt.Sprintf("%s, descending %v, limit %d", sort, descending, limit)
				got, totals := allPages(t, s, q)
				wantRows(t, what, got, wanted(rows, q))
				want(t, what+": totals", totals, []int{len(rows)})
			}
		}
	}
	got, _ := allPages(t, s, store.BindingQuery{Limit: 5})
	wantRows(t, "the default order", got, wanted(rows, store.BindingQuery{Sort: store.SortCreated}))
}

func testFiltersInOrders(t *testing.T, s store.Store) {
	rows := varied(t, s)
	for _, c := range filterCases {
		for i, sort := range store.BindingSorts {
			q := store.BindingQuery{Filter: c.f, Sort: sort, Descending: i%2 == 0, Limit: 3}
			list := wanted(rows, q)
			got, totals := allPages(t, s, q)
			wantRows(t, c.name+" by "+string(sort), got, list)
			want(t, c.name+": totals", totals, []int{len(list)})
		}
	}
}

func testPageSizes(t *testing.T, s store.Store) {
	for n := range store.DefaultPage + 5 {
		bound(t, s, Binding(n))
	}
	for limit, rows := range map[int]int{0: store.DefaultPage, 1: 1, store.MaxPage: store.DefaultPage + 5} {
		page := ok(s.FindBindings(t.Context(), store.BindingQuery{Limit: limit}))(t)
		want(t, fmt.Sprintf("rows with limit %d", limit), len(page.Rows), rows)
		want(t, "whether there is more", page.Next != "", rows < store.DefaultPage+5)
		want(t, "total", page.Total, store.DefaultPage+5)
	}
}

func testForeignCursors(t *testing.T, s store.Store) {
	varied(t, s)
	cursors := []string{"!", "AAAA", Hash(1).String(), strings.Repeat("A", 1_000)}
	for _, sort := range store.BindingSorts {
		for _, descending := range []bool{false, true} {
			q := store.BindingQuery{Sort: sort, Descending: descending, Limit: 1}
			q.After = ok(s.FindBindings(t.Context(), q))(t).Next
			cursors = append(cursors, q.After)
			if strings.Trim(q.After, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
				t.Errorf("cursor %q has to be escaped in a URL", q.After)
			}
		}
	}
	own := 4
	for _, sort := range store.BindingSorts {
		for _, descending := range []bool{false, true} {
			for i, cursor := range cursors {
				_, err := s.FindBindings(t.Context(), store.BindingQuery{Sort: sort, Descending: descending, After: cursor})
				if i == own {
					wantErr(t, "its own cursor", err, nil)
				} else {
					wantErr(t, fmt.Sprintf("cursor %d in order %s, descending %v", i, sort, descending), err, store.ErrInvalid)
				}
			}
			own++
		}
	}
}

// testCursorOfNothing removes the binding that a cursor speaks of, and its
// neighbours in part.
func testCursorOfNothing(t *testing.T, s store.Store) {
	for _, sort := range store.BindingSorts {
		rows := wanted(varied(t, s), store.BindingQuery{Sort: sort})
		q := store.BindingQuery{Sort: sort, Limit: 5}
		q.After = ok(s.FindBindings(t.Context(), q))(t).Next
		for _, n := range []int{4, 3, 5} {
			ok(s.DeleteBinding(t.Context(), rows[n].Binding.Hash, rows[n].Binding.Revision))(t)
		}
		rest, totals := allPages(t, s, q)
		wantRows(t, "what is behind, by "+string(sort), rest, rows[6:])
		want(t, "totals", totals, []int{len(rows) - 3})
		for _, r := range ok(s.ListBindings(t.Context(), store.KeyHash{}, 1_000))(t) {
			ok(s.DeleteBinding(t.Context(), r.Hash, r.Revision))(t)
		}
	}
}

// testFindFollows looks after each kind of change.
func testFindFollows(t *testing.T, s store.Store) {
	q := store.BindingQuery{Sort: store.SortLabel}
	expect := func(what string, rows ...store.BindingRow) {
		t.Helper()
		page := ok(s.FindBindings(t.Context(), q))(t)
		wantRows(t, what, page.Rows, rows)
		want(t, what+": total", page.Total, len(rows))
	}
	expect("nothing")
	a := store.BindingRow{Binding: bound(t, s, Binding(1))}
	expect("bound", a)
	b := Binding(2)
	b.Label = "b"
	other := store.BindingRow{Binding: bound(t, s, b)}
	expect("another bound", a, other)
	a.Binding.Label, a.Binding.Status = "c", store.StatusBanned
	a.Binding = ok(s.ReplaceBinding(t.Context(), a.Binding))(t)
	expect("replaced", other, a)
	used := touch(1, 1, 3, "10.0.0.1")
	addTouches(t, s, used)
	a.Usage = store.Usage{LastUsed: store.StoredTime(used.LastUsed), LastIP: used.LastIP, Hits: 3}
	expect("used", other, a)
	a.Binding.Label, a.Binding.Status = "", store.StatusActive
	a.Binding = ok(s.ReplaceBinding(t.Context(), a.Binding))(t)
	expect("replaced after the use", a, other)
	ok(s.DeleteBinding(t.Context(), other.Binding.Hash, other.Binding.Revision))(t)
	expect("deleted", a)
	ok(s.ArchiveBindings(t.Context(), []store.KeyHash{a.Binding.Hash}, time.Time{}, start))(t)
	expect("archived")
	a.Binding = ok(s.RestoreBinding(t.Context(), a.Binding.Hash, start.Add(time.Hour)))(t)
	expect("restored", a)
	ok(s.DeleteBinding(t.Context(), a.Binding.Hash, a.Binding.Revision))(t)
	expect("deleted after that")
	expect("bound again", store.BindingRow{Binding: bound(t, s, Binding(1))})
}
