package storetest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var bindingTests = []test{
	{"UnknownKeyIsNotFound", func(t *testing.T, s store.Store) {
		_, err := s.Binding(t.Context(), Hash(1))
		wantErr(t, "read", err, store.ErrNotFound)
	}},
	{"EveryFieldComesBack", testFields},
	{"TimesAreMillisecondsInUTC", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		got := ok(s.Binding(t.Context(), Hash(1)))(t)
		at := time.Date(2026, 3, 3, 21, 6, 7, 123_000_000, time.UTC)
		want(t, "times", [2]time.Time{got.CreatedAt, got.UpdatedAt}, [2]time.Time{at, at.Add(time.Second)})
	}},
	{"BindReturnsWhatIsStored", func(t *testing.T, s store.Store) {
		stored := bound(t, s, Binding(1))
		want(t, "binding", stored, ok(s.Binding(t.Context(), Hash(1)))(t))
		if stored.Revision == 0 {
			t.Error("stored without a revision")
		}
	}},
	{"BindKeepsTheFirst", func(t *testing.T, s store.Store) {
		first := bound(t, s, Binding(1))
		other := Binding(1)
		other.Label, other.FirstIP = "thief", netip.MustParseAddr("203.0.113.9")
		got, created, err := s.Bind(t.Context(), other)
		wantErr(t, "second bind", err, nil)
		want(t, "created", created, false)
		want(t, "answer", got, first)
		want(t, "stored", ok(s.Binding(t.Context(), Hash(1)))(t), first)
	}},
	{"BindIgnoresTheRevisionGiven", func(t *testing.T, s store.Store) {
		b := Binding(1)
		b.Revision = 1 << 60
		if got := bound(t, s, b).Revision; got >= 1<<60 {
			t.Errorf("revision %d was taken over", got)
		}
	}},
	{"InvalidIsRefused", testInvalid},
	{"Replace", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		next := b
		next.Status, next.Label, next.Rule = store.StatusBanned, "stolen", store.Rule{Kind: store.RuleAll}
		stored := ok(s.ReplaceBinding(t.Context(), next))(t)
		if stored.Revision <= b.Revision {
			t.Errorf("revision %d after %d", stored.Revision, b.Revision)
		}
		next.Revision = stored.Revision
		want(t, "answer", stored, next)
		want(t, "stored", ok(s.Binding(t.Context(), Hash(1)))(t), next)
	}},
	{"ReplaceOfUnknownKeyIsNotFound", func(t *testing.T, s store.Store) {
		_, err := s.ReplaceBinding(t.Context(), Binding(1))
		wantErr(t, "replace", err, store.ErrNotFound)
		_, err = s.Binding(t.Context(), Hash(1))
		wantErr(t, "read", err, store.ErrNotFound)
	}},
	{"ReplaceOfAnotherRevisionConflicts", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		now := ok(s.ReplaceBinding(t.Context(), b))(t)
		for _, revision := range []uint64{0, b.Revision, now.Revision + 1} {
			stale := b
			stale.Revision, stale.Label = revision, "stale"
			_, err := s.ReplaceBinding(t.Context(), stale)
			wantErr(t, "replace", err, store.ErrConflict)
		}
		want(t, "stored", ok(s.Binding(t.Context(), Hash(1)))(t), now)
	}},
	{"Delete", func(t *testing.T, s store.Store) {
		b, other := bound(t, s, Binding(1)), bound(t, s, Binding(2))
		removal := ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
		if removal <= other.Revision {
			t.Errorf("revision %d of the removal, after %d", removal, other.Revision)
		}
		_, err := s.Binding(t.Context(), b.Hash)
		wantErr(t, "read", err, store.ErrNotFound)
		want(t, "the other one", ok(s.Binding(t.Context(), other.Hash))(t), other)
	}},
	{"DeleteOfUnknownKeyIsNotFound", func(t *testing.T, s store.Store) {
		_, err := s.DeleteBinding(t.Context(), Hash(1), 1)
		wantErr(t, "delete", err, store.ErrNotFound)
	}},
	{"DeleteOfAnotherRevisionConflicts", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		_, err := s.DeleteBinding(t.Context(), b.Hash, b.Revision+1)
		wantErr(t, "delete", err, store.ErrConflict)
		want(t, "stored", ok(s.Binding(t.Context(), b.Hash))(t), b)
	}},
	{"RevisionsRise", testRevisions},
	{"RecordsAreCopies", testCopies},
	{"NamesOfNetworksAreCopies", testNetworkCopies},
	{"Count", testCount},
}

func testFields(t *testing.T, s store.Store) {
	text := strings.Repeat("x", store.MaxNoteBytes-3) + "…"
	full := Binding(1)
	full.Label, full.Note, full.Status = "équipe 7 'quoted'\n", text, store.StatusBanned
	full.Rule = store.Rule{Kind: store.RuleMultiple, Prefixes: prefixes(
		"0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/31", "192.0.2.129/32", "::/0", "2001:db8::/33", "2001:db8:1:2::/64", "2001:db8::1/128")}
	v6 := Binding(2)
	v6.FirstIP = netip.MustParseAddr("2001:db8:1:2::7")
	v6.Rule.Prefixes = prefixes("2001:db8:1:2::/64")
	bare := store.Binding{
		Hash: Hash(3), Status: store.StatusActive, Rule: store.Rule{Kind: store.RuleAll},
		CreatedAt: start, UpdatedAt: start.Add(-time.Hour),
	}
	many := Binding(4)
	many.Rule = store.Rule{Kind: store.RuleMultiple}
	for i := range store.MaxRulePrefixes {
		ip := netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}) // #nosec G115 -- cut on purpose
		many.Rule.Prefixes = append(many.Rule.Prefixes, netip.PrefixFrom(ip, 32))
	}
	for _, b := range append(namedBindings(), full, v6, bare, many) {
		stored := bound(t, s, b)
		b.Revision = stored.Revision
		want(t, "answer", stored, b.Stored())
		want(t, "read", ok(s.Binding(t.Context(), b.Hash))(t), b.Stored())
	}
}

// namedBindings returns bindings with rules that name networks and learn.
func namedBindings() []store.Binding {
	var most []string
	for n := range store.MaxRuleNetworks {
		most = append(most, fmt.Sprintf("办公室-%d", n))
	}
	rules := []store.Rule{
		{Kind: store.RuleMultiple, Networks: []string{"office"}},
		{Kind: store.RuleMultiple, Prefixes: prefixes("10.0.0.0/8", "2001:db8::/33"), Networks: most},
		{Kind: store.RuleMultiple, Prefixes: prefixes("10.0.0.0/8"), Networks: []string{}},
		{Kind: store.RuleLearn, Learn: store.Learn{Limit: 1, Within: time.Second}},
		{Kind: store.RuleLearn, Prefixes: []netip.Prefix{}, Learn: store.Learn{Limit: store.MaxLearnLimit, Within: store.MaxLearnWithin, Until: start}},
		{
			Kind: store.RuleLearn, Prefixes: prefixes("10.0.0.1/32", "2001:db8::/64"), Networks: []string{"vpn", "a.b_c-d"},
			Learn: store.Learn{Limit: 3, Within: 24 * time.Hour, Until: start.AddDate(0, 0, 1)},
		},
	}
	var list []store.Binding
	for i, rule := range rules {
		b := Binding(100 + i)
		b.Rule = rule
		list = append(list, b)
	}
	return list
}

func testInvalid(t *testing.T, s store.Store) {
	stored := bound(t, s, Binding(1))
	cases := map[string]func(b *store.Binding){
		"no hash":   func(b *store.Binding) { b.Hash = store.KeyHash{} },
		"no status": func(b *store.Binding) { b.Status = "" },
		"long note": func(b *store.Binding) { b.Note = strings.Repeat("x", store.MaxNoteBytes+1) },
		"zero rule": func(b *store.Binding) { b.Rule = store.Rule{} },
		"host bits in rule": func(b *store.Binding) {
			b.Rule.Prefixes = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 8)}
		},
		"no network name": func(b *store.Binding) {
			b.Rule = store.Rule{Kind: store.RuleMultiple, Networks: []string{"Office"}}
		},
		"learning without an end": func(b *store.Binding) {
			b.Rule = store.Rule{Kind: store.RuleLearn, Learn: store.Learn{Limit: 1}}
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			b := stored
			spoil(&b)
			_, err := s.ReplaceBinding(t.Context(), b)
			wantErr(t, "replace", err, store.ErrInvalid)
			fresh := Binding(2)
			spoil(&fresh)
			_, created, err := s.Bind(t.Context(), fresh)
			wantErr(t, "bind", err, store.ErrInvalid)
			want(t, "created", created, false)
		})
	}
	want(t, "stored", ok(s.Binding(t.Context(), Hash(1)))(t), stored)
	want(t, "count", ok(s.CountBindings(t.Context()))(t), 1)
}

// testRevisions follows one sequence through every kind of change.
func testRevisions(t *testing.T, s store.Store) {
	a, b := bound(t, s, Binding(1)), bound(t, s, Binding(2))
	replaced := ok(s.ReplaceBinding(t.Context(), a))(t)
	removal := ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
	again := bound(t, s, Binding(2))
	_, err := s.DeleteBinding(t.Context(), b.Hash, b.Revision)
	wantErr(t, "delete with the revision of an earlier binding", err, store.ErrConflict)
	third := bound(t, s, Binding(3))
	revisions := []uint64{0, a.Revision, b.Revision, replaced.Revision, removal, again.Revision, third.Revision}
	for i := 1; i < len(revisions); i++ {
		if revisions[i] <= revisions[i-1] {
			t.Errorf("revisions do not rise: %v", revisions)
		}
	}
}

// testCopies changes what came out of the store, and what went in.
func testCopies(t *testing.T, s store.Store) {
	given := Binding(1)
	stored := bound(t, s, given)
	whole := stored.Stored()
	other := netip.MustParsePrefix("203.0.113.0/24")
	given.Rule.Prefixes[0] = other
	stored.Rule.Prefixes[0] = other
	ok(s.Binding(t.Context(), whole.Hash))(t).Rule.Prefixes[0] = other
	ok(s.ListBindings(t.Context(), store.KeyHash{}, 1))(t)[0].Rule.Prefixes[0] = other
	existing, _, err := s.Bind(t.Context(), Binding(1))
	wantErr(t, "bind", err, nil)
	existing.Rule.Prefixes[0] = other
	want(t, "stored", ok(s.Binding(t.Context(), whole.Hash))(t), whole)

	replaced := ok(s.ReplaceBinding(t.Context(), whole))(t)
	whole.Rule.Prefixes[0] = other
	replaced.Rule.Prefixes[0] = other
	want(t, "replaced", ok(s.Binding(t.Context(), whole.Hash))(t).Rule, Binding(1).Rule)
}

// testNetworkCopies is testCopies for the names of networks.
func testNetworkCopies(t *testing.T, s store.Store) {
	given := Binding(1)
	given.Rule = store.Rule{Kind: store.RuleMultiple, Networks: []string{"office", "vpn"}}
	whole := given.Rule.Clone()
	stored := bound(t, s, given)
	given.Rule.Networks[0], stored.Rule.Networks[1] = "x", "y"
	ok(s.Binding(t.Context(), given.Hash))(t).Rule.Networks[0] = "z"
	ok(s.ListBindings(t.Context(), store.KeyHash{}, 1))(t)[0].Rule.Networks[0] = "z"
	ok(s.FindBindings(t.Context(), store.BindingQuery{}))(t).Rows[0].Binding.Rule.Networks[0] = "z"
	want(t, "rule", ok(s.Binding(t.Context(), given.Hash))(t).Rule, whole)
}

func testCount(t *testing.T, s store.Store) {
	count := func(what string, n int) {
		t.Helper()
		want(t, "count "+what, ok(s.CountBindings(t.Context()))(t), n)
	}
	count("of nothing", 0)
	b := bound(t, s, Binding(1))
	count("after a bind", 1)
	bound(t, s, Binding(2))
	count("after another", 2)
	_, _, err := s.Bind(t.Context(), Binding(2))
	wantErr(t, "bind again", err, nil)
	count("after a bind of a bound key", 2)
	b = ok(s.ReplaceBinding(t.Context(), b))(t)
	count("after a replacement", 2)
	_, err = s.DeleteBinding(t.Context(), b.Hash, b.Revision+1)
	wantErr(t, "delete", err, store.ErrConflict)
	count("after a conflict", 2)
	ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
	count("after a removal", 1)
	bound(t, s, Binding(1))
	count("after binding it again", 2)
}

var listTests = []test{
	{"NothingToList", func(t *testing.T, s store.Store) {
		want(t, "length", len(ok(s.ListBindings(t.Context(), store.KeyHash{}, 10))(t)), 0)
	}},
	{"PagesInOrderOfHashes", testPages},
	{"AfterAHashThatIsNotThere", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		below, above := Hash(1), Hash(1)
		below[31]--
		above[31]++
		want(t, "after a lower hash", len(ok(s.ListBindings(t.Context(), below, 10))(t)), 1)
		want(t, "after a higher hash", len(ok(s.ListBindings(t.Context(), above, 10))(t)), 0)
	}},
	{"LimitBelowOneListsNothing", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		for _, limit := range []int{0, -1} {
			want(t, "length", len(ok(s.ListBindings(t.Context(), store.KeyHash{}, limit))(t)), 0)
		}
	}},
}

func testPages(t *testing.T, s store.Store) {
	const n = 25
	all := map[store.KeyHash]store.Binding{}
	for i := range n {
		b := bound(t, s, Binding(i))
		all[b.Hash] = b
	}
	for _, limit := range []int{1, 7, n, n + 1} {
		var after store.KeyHash
		seen := 0
		for {
			page := ok(s.ListBindings(t.Context(), after, limit))(t)
			if len(page) == 0 {
				break
			}
			if full := min(limit, n-seen); len(page) != full {
				t.Fatalf("page of %d after %d of %d, want %d", len(page), seen, n, full)
			}
			for _, b := range page {
				if b.Hash.String() <= after.String() {
					t.Fatalf("hash %s after %s", b.Hash, after)
				}
				want(t, "binding", b, all[b.Hash])
				after = b.Hash
				seen++
			}
		}
		want(t, "bindings seen", seen, n)
	}
}
