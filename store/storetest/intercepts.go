package storetest

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Intercept returns a new record about Hash(n).
func Intercept(n int) store.Intercept {
	return store.Intercept{
		At: start.Add(time.Duration(n) * time.Second), Last: start.Add(time.Duration(n)*time.Second + 700*time.Millisecond),
		Count: 3, Reason: store.ReasonIPNotAllowed, Hash: Hash(n), Hint: "sk-ab…9fQ2",
		ClientIP: netip.MustParseAddr("203.0.113.9"), PeerIP: netip.MustParseAddr("2001:db8::7"),
		Method: "POST", Host: "api.example.com:8443", Path: "/v1/chat/%2Fcompletions", UserAgent: "curl/8.5.0",
		RequestID: fmt.Sprintf("req-%d", n),
	}
}

// put stores new records of these numbers and returns them as they are stored.
func put(t testing.TB, s store.Intercepts, numbers ...int) []store.Intercept {
	t.Helper()
	recs := make([]store.Intercept, len(numbers))
	for i, n := range numbers {
		recs[i] = Intercept(n)
	}
	wantErr(t, "put", s.PutIntercepts(t.Context(), recs), nil)
	for i := range recs {
		recs[i].At, recs[i].Last = store.StoredTime(recs[i].At), store.StoredTime(recs[i].Last)
	}
	return recs
}

// ids lists the IDs that match.
func ids(t testing.TB, s store.Intercepts, f store.InterceptFilter) []uint64 {
	t.Helper()
	list := []uint64{}
	for _, r := range ok(s.ListIntercepts(t.Context(), f))(t).Records {
		list = append(list, r.ID)
	}
	return list
}

var interceptTests = []test{
	{"NothingToList", func(t *testing.T, s store.Store) {
		want(t, "IDs", ids(t, s, store.InterceptFilter{}), []uint64{})
	}},
	{"PutOfNothing", func(t *testing.T, s store.Store) {
		wantErr(t, "put", s.PutIntercepts(t.Context(), nil), nil)
	}},
	{"EveryFieldComesBack", testInterceptFields},
	{"IDsAscendAndListIsNewestFirst", func(t *testing.T, s store.Store) {
		recs := append(put(t, s, 1, 2, 3), put(t, s, 4, 5)...)
		var newestFirst []uint64
		for i, r := range recs {
			if r.ID == 0 || i > 0 && r.ID <= recs[i-1].ID {
				t.Fatalf("IDs do not ascend: %d at %d", r.ID, i)
			}
			newestFirst = append([]uint64{r.ID}, newestFirst...)
		}
		want(t, "IDs", ids(t, s, store.InterceptFilter{}), newestFirst)
	}},
	{"FilterBeforeAndAfter", testInterceptPages},
	{"FilterSince", func(t *testing.T, s store.Store) {
		// The second one is older than the first: order is by ID, not by time.
		recs := put(t, s, 10, 5, 20)
		at := recs[0].At
		want(t, "since the first", ids(t, s, store.InterceptFilter{Time: store.TimeRange{Since: at}}), []uint64{recs[2].ID, recs[0].ID})
		want(t, "since just after it", ids(t, s, store.InterceptFilter{Time: store.TimeRange{Since: at.Add(time.Millisecond)}}), []uint64{recs[2].ID})
		want(t, "since all", ids(t, s, store.InterceptFilter{Time: store.TimeRange{Since: recs[1].At}}), []uint64{recs[2].ID, recs[1].ID, recs[0].ID})
	}},
	{"EveryFilterInPages", testInterceptFilters},
	{"Delete", testDeleteIntercepts},
	{"FilterHash", func(t *testing.T, s store.Store) {
		recs := put(t, s, 1, 2, 1, 3)
		want(t, "IDs", ids(t, s, store.InterceptFilter{Hash: Hash(1)}), []uint64{recs[2].ID, recs[0].ID})
		want(t, "one of them", ids(t, s, store.InterceptFilter{Hash: Hash(1), Limit: 1}), []uint64{recs[2].ID})
		want(t, "of an unknown key", ids(t, s, store.InterceptFilter{Hash: Hash(9)}), []uint64{})
	}},
	{"DefaultLimit", func(t *testing.T, s store.Store) {
		numbers := make([]int, store.DefaultPage+5)
		put(t, s, numbers...)
		want(t, "records", len(ids(t, s, store.InterceptFilter{})), store.DefaultPage)
		want(t, "records with a higher limit", len(ids(t, s, store.InterceptFilter{Limit: 1_000})), len(numbers))
	}},
	{"PutWithAnIDReplaces", func(t *testing.T, s store.Store) {
		recs := put(t, s, 1, 2, 3)
		grown := recs[1]
		grown.Count, grown.Last = 99, grown.Last.Add(time.Second)
		wantErr(t, "put", s.PutIntercepts(t.Context(), []store.Intercept{grown}), nil)
		want(t, "list", ok(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t).Records, []store.Intercept{recs[2], grown, recs[0]})
	}},
	{"PutWithAnUnknownIDIsDropped", func(t *testing.T, s store.Store) {
		recs := put(t, s, 1)
		gone := Intercept(2)
		gone.ID = recs[0].ID + 100
		mixed := []store.Intercept{gone, Intercept(3)}
		wantErr(t, "put", s.PutIntercepts(t.Context(), mixed), nil)
		want(t, "ID of the dropped one", mixed[0].ID, gone.ID)
		if mixed[1].ID <= recs[0].ID {
			t.Errorf("ID %d after %d", mixed[1].ID, recs[0].ID)
		}
		want(t, "IDs", ids(t, s, store.InterceptFilter{}), []uint64{mixed[1].ID, recs[0].ID})
	}},
	{"RefusedKeysNeedNoBinding", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		recs := put(t, s, 1)
		ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
		want(t, "IDs", ids(t, s, store.InterceptFilter{Hash: b.Hash}), []uint64{recs[0].ID})
	}},
	{"WhatAClientSendsIsNoReasonToFail", func(t *testing.T, s store.Store) {
		r := Intercept(1)
		r.Path, r.UserAgent, r.Host = "/\x00\xff'\"\\", "\xc3\x28 \u202e", "\xfe"
		wantErr(t, "put", s.PutIntercepts(t.Context(), []store.Intercept{r}), nil)
		list := ok(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t).Records
		if len(list) != 1 || list[0].RequestID != r.RequestID {
			t.Errorf("got %+v", list)
		}
	}},
}

func testInterceptFields(t *testing.T, s store.Store) {
	full := Intercept(1)
	full.Observed, full.Reason = true, store.ReasonLostRace
	full.Basis = store.Basis{Kind: store.BasisNetwork, Name: "办公室"}
	recs := []store.Intercept{{At: start, Last: start}, full}
	for _, kind := range []store.BasisKind{store.BasisRule, store.BasisException, store.BasisBlocked, store.BasisBan, "another"} {
		r := Intercept(len(recs))
		r.Reason, r.Basis.Kind = store.ReasonBlocked, kind
		recs = append(recs, r)
	}
	given := slices.Clone(recs)
	wantErr(t, "put", s.PutIntercepts(t.Context(), given), nil)
	for i := range recs {
		recs[i].ID, recs[i].At, recs[i].Last = given[i].ID, store.StoredTime(recs[i].At), store.StoredTime(recs[i].Last)
	}
	slices.Reverse(recs)
	list := ok(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t).Records
	want(t, "list", list, recs)
	blocked := ok(s.ListIntercepts(t.Context(), store.InterceptFilter{Reason: store.ReasonBlocked}))(t).Records
	want(t, "blocked", blocked, recs[:5])
}

func testInterceptPages(t *testing.T, s store.Store) {
	numbers := make([]int, 10)
	recs := put(t, s, numbers...)
	id := func(i int) uint64 { return recs[i].ID }
	cases := []struct {
		name string
		f    store.InterceptFilter
		want []uint64
	}{
		{"first page", store.InterceptFilter{Limit: 3}, []uint64{id(9), id(8), id(7)}},
		{"second page", store.InterceptFilter{Limit: 3, Before: id(7)}, []uint64{id(6), id(5), id(4)}},
		{"last page", store.InterceptFilter{Limit: 3, Before: id(1)}, []uint64{id(0)}},
		{"behind the last", store.InterceptFilter{Limit: 3, Before: id(0)}, []uint64{}},
		{"before one that is to come", store.InterceptFilter{Limit: 1, Before: id(9) + 50}, []uint64{id(9)}},
		{"news", store.InterceptFilter{After: id(7)}, []uint64{id(9), id(8)}},
		{"no news", store.InterceptFilter{After: id(9)}, []uint64{}},
		{"between", store.InterceptFilter{After: id(2), Before: id(5)}, []uint64{id(4), id(3)}},
		{"between, one", store.InterceptFilter{After: id(2), Before: id(5), Limit: 1}, []uint64{id(4)}},
	}
	for _, c := range cases {
		want(t, c.name, ids(t, s, c.f), c.want)
	}
}

// interceptsOf follows a filter from page to page.
func interceptsOf(t testing.TB, s store.Intercepts, f store.InterceptFilter) []uint64 {
	t.Helper()
	list := []uint64{}
	for {
		page := ok(s.ListIntercepts(t.Context(), f))(t)
		if f.Limit > 0 && len(page.Records) > f.Limit {
			t.Fatalf("page of %d records, want at most %d", len(page.Records), f.Limit)
		}
		for _, r := range page.Records {
			list = append(list, r.ID)
		}
		if page.Next == 0 {
			return list
		}
		f.Before = page.Next
	}
}

// variedIntercepts stores records that differ in all that they can be found by; a
// few times the clock is set back, and records grow.
func variedIntercepts(t testing.TB, s store.Intercepts, n int) []store.Intercept {
	t.Helper()
	recs := make([]store.Intercept, n)
	for i := range recs {
		r := Intercept(i)
		r.Hash = Hash(i % 7)
		r.ClientIP = netip.MustParseAddr([]string{"203.0.113.9", "203.0.113.130", "10.1.2.3", "2001:db8::9", "2001:db8:1::9"}[i%5])
		r.Reason = []store.Reason{store.ReasonIPNotAllowed, store.ReasonKeyBanned, store.ReasonLostRace, store.ReasonCut, "of_a_later_version"}[i%5]
		r.Path = []string{"/v1/chat/completions", "/v1/MODELS", "/v1/\u212aelvin", "/\xff", ""}[i/5%5]
		if i%11 == 3 {
			r.At, r.Last = r.At.Add(-time.Hour), r.Last.Add(-time.Hour)
		}
		recs[i] = r
	}
	for rest := recs; len(rest) > 0; {
		chunk := rest[:min(len(rest), 100)]
		wantErr(t, "put", s.PutIntercepts(t.Context(), chunk), nil)
		rest = rest[len(chunk):]
	}
	grown := []store.Intercept{recs[n/2], recs[n-1]}
	for i := range grown {
		grown[i].Count, grown[i].Last = 99, grown[i].Last.Add(time.Second)
	}
	wantErr(t, "put", s.PutIntercepts(t.Context(), grown), nil)
	recs[n/2], recs[n-1] = grown[0], grown[1]
	for i := range recs {
		recs[i].At, recs[i].Last = store.StoredTime(recs[i].At), store.StoredTime(recs[i].Last)
	}
	return recs
}

func interceptFilters(recs []store.Intercept) map[string]store.InterceptFilter {
	first, middle := recs[0].At, recs[len(recs)/2].At
	return map[string]store.InterceptFilter{
		"all":                  {},
		"key":                  {Hash: Hash(3)},
		"unknown key":          {Hash: Hash(99)},
		"network":              {Network: netip.MustParsePrefix("203.0.113.0/25")},
		"IPv6 network":         {Network: netip.MustParsePrefix("2001:db8::/32")},
		"whole IPv4":           {Network: netip.MustParsePrefix("0.0.0.0/0")},
		"reason":               {Reason: store.ReasonLostRace},
		"reason not known yet": {Reason: "of_a_later_version"},
		"no such reason":       {Reason: "none"},
		"path":                 {Path: "models"},
		"path that folds":      {Path: "KELVIN"},
		"path of bad bytes":    {Path: "\xff"},
		"since":                {Time: store.TimeRange{Since: middle}},
		"since a little later": {Time: store.TimeRange{Since: middle.Add(time.Nanosecond)}},
		"until":                {Time: store.TimeRange{Before: middle}},
		"until the start":      {Time: store.TimeRange{Before: first}},
		"between":              {Time: store.TimeRange{Since: first.Add(time.Minute), Before: middle}},
		"clock that went back": {Time: store.TimeRange{Before: first.Add(-30 * time.Minute)}},
		"after and before":     {After: recs[10].ID, Before: recs[len(recs)-10].ID},
		"several": {Hash: Hash(3), Network: netip.MustParsePrefix("203.0.113.0/24"), Reason: store.ReasonIPNotAllowed,
			Path: "CHAT", Time: store.TimeRange{Since: first.Add(time.Second)}},
	}
}

func testInterceptFilters(t *testing.T, s store.Store) {
	recs := variedIntercepts(t, s, 2_500)
	for name, f := range interceptFilters(recs) {
		for _, limit := range []int{3, store.MaxPage} {
			f.Limit = limit
			wanted := []uint64{}
			for _, r := range slices.Backward(recs) {
				if f.Matches(r) {
					wanted = append(wanted, r.ID)
				}
			}
			if got := interceptsOf(t, s, f); !slices.Equal(got, wanted) {
				t.Errorf("%s, %d a page: %d records, want %d", name, limit, len(got), len(wanted))
			}
		}
	}
}

// testDeleteIntercepts deletes old records, a few at a time.
func testDeleteIntercepts(t *testing.T, s store.Store) {
	recs := variedIntercepts(t, s, 2_500)
	before := recs[2_000].At
	want(t, "deleted of none", ok(s.DeleteIntercepts(t.Context(), before, 0))(t), 0)
	want(t, "deleted before all", ok(s.DeleteIntercepts(t.Context(), recs[0].At.Add(-2*time.Hour), 100))(t), 0)
	left := slices.Clone(recs)
	for n := 1; n > 0; {
		n = ok(s.DeleteIntercepts(t.Context(), before, 777))(t)
		deleted := 0
		left = slices.DeleteFunc(left, func(r store.Intercept) bool {
			if deleted == 777 || !r.At.Before(before) {
				return false
			}
			deleted++
			return true
		})
		want(t, "deleted", n, deleted)
		var ids []uint64
		for _, r := range slices.Backward(left) {
			ids = append(ids, r.ID)
		}
		if got := interceptsOf(t, s, store.InterceptFilter{Limit: store.MaxPage}); !slices.Equal(got, ids) {
			t.Fatalf("%d records are left, want %d", len(got), len(ids))
		}
	}
	for name, f := range interceptFilters(recs) {
		n := 0
		for _, r := range left {
			if f.Matches(r) {
				n++
			}
		}
		f.Limit = store.MaxPage
		want(t, name+" after the deletion", len(interceptsOf(t, s, f)), n)
	}
	gone := recs[0]
	wantErr(t, "put", s.PutIntercepts(t.Context(), []store.Intercept{gone}), nil)
	want(t, "records after one that is gone has grown", len(interceptsOf(t, s, store.InterceptFilter{Limit: store.MaxPage})), len(left))
	if next := put(t, s, 1)[0].ID; next <= recs[len(recs)-1].ID {
		t.Errorf("ID %d after %d", next, recs[len(recs)-1].ID)
	}
}
