package storetest

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var hour = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// touch returns a use of Hash(n), some seconds after the start.
func touch(n, seconds int, hits uint64, ip string) store.Touch {
	return store.Touch{
		Hash: Hash(n), LastUsed: start.Add(time.Duration(seconds) * time.Second), LastIP: netip.MustParseAddr(ip), Hits: hits,
	}
}

func usageOf(t store.Touch, hits uint64) store.Usage {
	return store.Usage{LastUsed: store.StoredTime(t.LastUsed), LastIP: t.LastIP, Hits: hits}
}

func addTouches(t testing.TB, s store.UsageLog, touches ...store.Touch) {
	t.Helper()
	wantErr(t, "add usage", s.AddUsage(t.Context(), store.UsageBatch{Touches: touches}), nil)
}

func addCounters(t testing.TB, s store.UsageLog, counters ...store.Counter) {
	t.Helper()
	wantErr(t, "add usage", s.AddUsage(t.Context(), store.UsageBatch{Counters: counters}), nil)
}

var usageTests = []test{
	{"NeverTouchedIsZero", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		want(t, "bound key", ok(s.Usage(t.Context(), Hash(1)))(t), store.Usage{})
		want(t, "unknown key", ok(s.Usage(t.Context(), Hash(2)))(t), store.Usage{})
	}},
	{"EmptyBatch", func(t *testing.T, s store.Store) { addTouches(t, s) }},
	{"TouchesAddUp", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		first, second := touch(1, 0, 5, "10.0.0.1"), touch(1, 1, 7, "2001:db8::1")
		addTouches(t, s, first)
		want(t, "after one", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(first, 5))
		addTouches(t, s, second)
		want(t, "after two", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(second, 12))
	}},
	{"OlderTouchAddsHitsOnly", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		newer := touch(1, 10, 5, "10.0.0.1")
		addTouches(t, s, newer)
		addTouches(t, s, touch(1, 9, 7, "10.0.0.2"))
		want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(newer, 12))
	}},
	{"OneKeyTwiceInABatch", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		newer := touch(1, 10, 5, "10.0.0.1")
		addTouches(t, s, newer, touch(1, 9, 7, "10.0.0.2"))
		want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(newer, 12))
	}},
	{"TouchOfUnknownKeyIsDropped", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		known := touch(1, 0, 1, "10.0.0.1")
		addTouches(t, s, touch(2, 0, 1, "10.0.0.1"), known)
		want(t, "known key", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(known, 1))
		bound(t, s, Binding(2))
		want(t, "key bound later", ok(s.Usage(t.Context(), Hash(2)))(t), store.Usage{})
	}},
	{"UsageGoesWithItsBinding", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		addTouches(t, s, touch(1, 0, 5, "10.0.0.1"))
		ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
		want(t, "after the removal", ok(s.Usage(t.Context(), Hash(1)))(t), store.Usage{})
		bound(t, s, Binding(1))
		want(t, "after binding again", ok(s.Usage(t.Context(), Hash(1)))(t), store.Usage{})
	}},
	{"UsageStaysWhenABindingIsReplaced", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		used := touch(1, 0, 5, "10.0.0.1")
		addTouches(t, s, used)
		ok(s.ReplaceBinding(t.Context(), b))(t)
		want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(used, 5))
	}},
	{"LargeBatch", testLargeBatch},
	{"BatchIsTheCallersOwn", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		bound(t, s, Binding(2))
		touches := []store.Touch{touch(2, 0, 2, "10.0.0.2"), touch(1, 0, 1, "10.0.0.1")}
		if Hash(1).String() > Hash(2).String() {
			touches[0], touches[1] = touches[1], touches[0]
		}
		before := append([]store.Touch(nil), touches...)
		addTouches(t, s, touches...)
		want(t, "touches after the call", touches, before)
	}},
	{"CountersAddUp", func(t *testing.T, s store.Store) {
		addCounters(t, s, store.Counter{Hour: hour, Name: "requests", N: 3})
		addCounters(t, s, store.Counter{Hour: hour, Name: "requests", N: 4}, store.Counter{Hour: hour, Name: "requests", N: 5})
		want(t, "counters", ok(s.Counters(t.Context(), hour, hour.Add(time.Hour)))(t),
			[]store.Counter{{Hour: hour, Name: "requests", N: 12}})
	}},
	{"CountersInOrderAndRange", testCounterRange},
	{"CountersBelongToTheirHour", func(t *testing.T, s store.Store) {
		addCounters(t, s, store.Counter{Hour: hour.Add(59 * time.Minute).In(start.Location()), Name: "requests", N: 1})
		want(t, "counters", ok(s.Counters(t.Context(), hour, hour.Add(time.Hour)))(t),
			[]store.Counter{{Hour: hour, Name: "requests", N: 1}})
	}},
	{"CounterNames", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		for _, name := range []string{"", strings.Repeat("n", store.MaxNameBytes+1)} {
			err := s.AddUsage(t.Context(), store.UsageBatch{
				Touches:  []store.Touch{touch(1, 0, 1, "10.0.0.1")},
				Counters: []store.Counter{{Hour: hour, Name: name, N: 1}},
			})
			wantErr(t, "add", err, store.ErrInvalid)
		}
		want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), store.Usage{})
	}},
}

// testLargeBatch adds more than one transaction need hold.
func testLargeBatch(t *testing.T, s store.Store) {
	const keys = 3
	for i := range keys {
		bound(t, s, Binding(i))
	}
	var batch store.UsageBatch
	for i := range 3*store.UsageChunk + 1 {
		batch.Touches = append(batch.Touches, touch(i%keys, i, 1, "10.0.0.1"))
	}
	batch.Counters = []store.Counter{{Hour: hour, Name: "requests", N: 7}}
	err := s.AddUsage(t.Context(), batch)
	wantErr(t, "add", err, nil)
	var hits uint64
	for i := range keys {
		hits += ok(s.Usage(t.Context(), Hash(i)))(t).Hits
	}
	want(t, "hits", hits, uint64(len(batch.Touches)))
	want(t, "counters", ok(s.Counters(t.Context(), hour, hour.Add(time.Hour)))(t), batch.Counters)

	err = s.AddUsage(canceled(t), batch)
	if unfinished := (*store.UnfinishedError)(nil); err == nil || errors.As(err, &unfinished) {
		t.Errorf("add with a done context: got %v, want an error of a batch of which nothing is stored", err)
	}
}

func testCounterRange(t *testing.T, s store.Store) {
	early := time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC)
	counter := func(at time.Time, name string, n uint64) store.Counter {
		return store.Counter{Hour: at, Name: name, N: n}
	}
	next := hour.Add(time.Hour)
	a, b, c, d := counter(early, "z", 1), counter(hour, "a", 2), counter(hour, "b", 3), counter(next, "a", 4)
	addCounters(t, s, d, c, a, b)
	cases := []struct {
		name     string
		from, to time.Time
		want     []store.Counter
	}{
		{"all", early, next.Add(time.Hour), []store.Counter{a, b, c, d}},
		{"without the last", early, next, []store.Counter{a, b, c}},
		{"one hour", hour, next, []store.Counter{b, c}},
		{"from within an hour", hour.Add(time.Second), next.Add(time.Second), []store.Counter{d}},
		{"none", hour, hour, nil},
	}
	for _, tc := range cases {
		got := ok(s.Counters(t.Context(), tc.from, tc.to))(t)
		want(t, tc.name, append([]store.Counter(nil), got...), tc.want)
	}
}
