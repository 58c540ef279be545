package storetest

import (
	"fmt"
	"net/netip"
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
	for _, r := range ok(s.ListIntercepts(t.Context(), f))(t) {
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
		want(t, "since the first", ids(t, s, store.InterceptFilter{Since: at}), []uint64{recs[2].ID, recs[0].ID})
		want(t, "since just after it", ids(t, s, store.InterceptFilter{Since: at.Add(time.Millisecond)}), []uint64{recs[2].ID})
		want(t, "since all", ids(t, s, store.InterceptFilter{Since: recs[1].At}), []uint64{recs[2].ID, recs[1].ID, recs[0].ID})
	}},
	{"FilterHash", func(t *testing.T, s store.Store) {
		recs := put(t, s, 1, 2, 1, 3)
		want(t, "IDs", ids(t, s, store.InterceptFilter{Hash: Hash(1)}), []uint64{recs[2].ID, recs[0].ID})
		want(t, "one of them", ids(t, s, store.InterceptFilter{Hash: Hash(1), Limit: 1}), []uint64{recs[2].ID})
		want(t, "of an unknown key", ids(t, s, store.InterceptFilter{Hash: Hash(9)}), []uint64{})
	}},
	{"DefaultLimit", func(t *testing.T, s store.Store) {
		numbers := make([]int, store.DefaultInterceptLimit+5)
		put(t, s, numbers...)
		want(t, "records", len(ids(t, s, store.InterceptFilter{})), store.DefaultInterceptLimit)
		want(t, "records with a higher limit", len(ids(t, s, store.InterceptFilter{Limit: 1_000})), len(numbers))
	}},
	{"PutWithAnIDReplaces", func(t *testing.T, s store.Store) {
		recs := put(t, s, 1, 2, 3)
		grown := recs[1]
		grown.Count, grown.Last = 99, grown.Last.Add(time.Second)
		wantErr(t, "put", s.PutIntercepts(t.Context(), []store.Intercept{grown}), nil)
		want(t, "list", ok(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t), []store.Intercept{recs[2], grown, recs[0]})
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
		list := ok(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t)
		if len(list) != 1 || list[0].RequestID != r.RequestID {
			t.Errorf("got %+v", list)
		}
	}},
}

func testInterceptFields(t *testing.T, s store.Store) {
	full := Intercept(1)
	full.Observed, full.Reason = true, store.ReasonLostRace
	bare := store.Intercept{At: start, Last: start}
	recs := []store.Intercept{full, bare}
	wantErr(t, "put", s.PutIntercepts(t.Context(), recs), nil)
	full.ID, bare.ID = recs[0].ID, recs[1].ID
	for _, r := range []*store.Intercept{&full, &bare} {
		r.At, r.Last = store.StoredTime(r.At), store.StoredTime(r.Last)
	}
	want(t, "list", ok(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t), []store.Intercept{bare, full})
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
