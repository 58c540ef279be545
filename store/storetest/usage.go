package storetest

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
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

// usageOf returns the usage of a key that had these touches and no others.
func usageOf(touches ...store.Touch) (u store.Usage) {
	for _, t := range touches {
		u = u.Add(t)
	}
	return u
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
		want(t, "after one", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(first))
		addTouches(t, s, second)
		want(t, "after two", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(first, second))
	}},
	{"OlderTouchAddsHitsOnly", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		newer := touch(1, 10, 5, "10.0.0.1")
		older := touch(1, 9, 7, "10.0.0.2")
		addTouches(t, s, newer)
		addTouches(t, s, older)
		u := ok(s.Usage(t.Context(), Hash(1)))(t)
		want(t, "usage", u, usageOf(newer, older))
		want(t, "hits", u.Hits, 12)
		want(t, "last IP", u.LastIP, newer.LastIP)
	}},
	{"OneKeyTwiceInABatch", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		newer := touch(1, 10, 5, "10.0.0.1")
		older := touch(1, 9, 7, "10.0.0.2")
		addTouches(t, s, newer, older)
		want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(newer, older))
	}},
	{"TouchOfUnknownKeyIsDropped", func(t *testing.T, s store.Store) {
		bound(t, s, Binding(1))
		known := touch(1, 0, 1, "10.0.0.1")
		addTouches(t, s, touch(2, 0, 1, "10.0.0.1"), known)
		want(t, "known key", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(known))
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
		want(t, "usage", ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(used))
	}},
	{"RefusalsLeaveTheLastUse", testRefusals},
	{"HistoryOfDays", testHistoryOfDays},
	{"HistoryOfAddresses", testHistoryOfAddresses},
	{"HistoryOfNetworks", testHistoryOfNetworks},
	{"HistoryAgreesWithUsageAdd", testHistoryAgrees},
	{"HistoryGoesWithItsBinding", func(t *testing.T, s store.Store) {
		b := bound(t, s, Binding(1))
		refused := touch(1, 0, 0, "10.0.0.1")
		refused.Refused = 3
		addTouches(t, s, refused)
		ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
		bound(t, s, Binding(1))
		want(t, "after binding again", ok(s.Usage(t.Context(), Hash(1)))(t), store.Usage{})
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
	{"DeleteCounters", testDeleteCounters},
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

// testRefusals adds refused requests to a key that was never used, and to one that
// was.
func testRefusals(t *testing.T, s store.Store) {
	bound(t, s, Binding(1))
	refused, used := touch(1, 0, 0, "203.0.113.9"), touch(1, 10, 5, "10.0.0.1")
	refused.Refused = 3
	addTouches(t, s, refused)
	u := ok(s.Usage(t.Context(), Hash(1)))(t)
	day := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	want(t, "before the first use", u, store.Usage{Days: []store.DayUse{{Day: day, Refused: 3}}})
	addTouches(t, s, used)
	refused.LastUsed = used.LastUsed.Add(time.Minute)
	addTouches(t, s, refused)
	u = ok(s.Usage(t.Context(), Hash(1)))(t)
	want(t, "last used", u.LastUsed, store.StoredTime(used.LastUsed))
	want(t, "last IP", u.LastIP, used.LastIP)
	want(t, "hits", u.Hits, 5)
	want(t, "days", u.Days, []store.DayUse{{Day: day, Allowed: 5, Refused: 6, Networks: from("10.0.0.1", 5)}})
}

// testHistoryOfDays uses a key for more days than are kept.
func testHistoryOfDays(t *testing.T, s store.Store) {
	const day, days = 24 * 60 * 60, store.UsageDays + 5
	bound(t, s, Binding(1))
	for n := range days {
		both := touch(1, n*day, uint64(n+1), "10.0.0.1") // #nosec G115 -- small
		both.Refused = 2
		addTouches(t, s, both)
		addTouches(t, s, touch(1, n*day+60, 1, "10.0.0.1"))
	}
	u := ok(s.Usage(t.Context(), Hash(1)))(t)
	want(t, "days", len(u.Days), store.UsageDays)
	first := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	for i, d := range u.Days {
		n := days - store.UsageDays + i
		want(t, "day", d, store.DayUse{
			Day: first.AddDate(0, 0, n), Allowed: uint64(n + 2), Refused: 2, Networks: from("10.0.0.1", uint64(n+2)), // #nosec G115 -- small
		})
	}
	addTouches(t, s, touch(1, 0, 1_000, "10.0.0.1"))
	want(t, "days after a use on a day that is over", ok(s.Usage(t.Context(), Hash(1)))(t).Days, u.Days)
	addTouches(t, s, touch(1, 365*day, 1, "10.0.0.1"))
	want(t, "days after a year", ok(s.Usage(t.Context(), Hash(1)))(t).Days,
		[]store.DayUse{{Day: first.AddDate(0, 0, 365), Allowed: 1, Networks: from("10.0.0.1", 1)}})
}

// testHistoryOfAddresses uses a key from more addresses than are kept.
func testHistoryOfAddresses(t *testing.T, s store.Store) {
	bound(t, s, Binding(1))
	var touches []store.Touch
	add := func(touch store.Touch) {
		touches = append(touches, touch)
		addTouches(t, s, touch)
	}
	add(touch(1, 0, 1, "2001:db8::1"))
	for n := range store.UsageAddresses {
		add(touch(1, n+1, 1, netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}).String())) // #nosec G115 -- below 16
	}
	list := ok(s.Usage(t.Context(), Hash(1)))(t).Addresses
	want(t, "addresses", list, usageOf(touches...).Addresses)
	want(t, "how many", len(list), store.UsageAddresses)
	want(t, "newest", list[0].IP, netip.AddrFrom4([4]byte{10, 0, 0, store.UsageAddresses - 1}))
	if slices.ContainsFunc(list, func(a store.AddressUse) bool { return a.IP.Is6() }) {
		t.Error("the oldest address was kept")
	}
	several := touch(1, 100, 9, "10.0.0.3")
	several.Addresses = []store.AddressHits{{IP: netip.MustParseAddr("10.0.0.5"), Hits: 2}, {IP: netip.MustParseAddr("203.0.113.1"), Hits: 3}}
	add(several)
	want(t, "after several in one touch", ok(s.Usage(t.Context(), Hash(1)))(t).Addresses, usageOf(touches...).Addresses)
}

// testHistoryAgrees adds random touches, and compares with what Usage.Add says
// after each.
func testHistoryAgrees(t *testing.T, s store.Store) {
	rnd := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- repeatable on purpose
	bound(t, s, Binding(1))
	var wanted store.Usage
	addr := func() netip.Addr {
		n := byte(rnd.IntN(3 + rnd.IntN(60))) // #nosec G115 -- small
		if n%3 == 0 {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: n / 9, 15: n})
		}
		return netip.AddrFrom4([4]byte{10, 0, 0, n})
	}
	seconds := 0
	for i := range 500 {
		seconds += []int{0, 5, 5, 5, 60, 9_000, 90_000, -7_000, -200_000, 3_000_000}[rnd.IntN(10)]
		next := touch(1, seconds, []uint64{0, 1, 1, 7}[rnd.IntN(4)], addr().String())
		next.Refused = []uint64{0, 0, 0, 2}[rnd.IntN(4)]
		switch rnd.IntN(4) {
		case 0:
			next = usedFromOthers(rnd, next, addr)
		case 1:
			next.LastIP = netip.Addr{}
		case 2:
			if wanted.LastIP.IsValid() {
				next.LastIP = wanted.LastIP
			}
		}
		wanted = wanted.Add(next)
		addTouches(t, s, next)
		if got := ok(s.Usage(t.Context(), Hash(1)))(t); !sameUsage(got, wanted) {
			t.Fatalf("after touch %d, %+v:\n got %+v\nwant %+v", i, next, got, wanted)
		}
		for _, d := range wanted.Days {
			if sum := allowedOf(d); sum != d.Allowed || len(d.Networks) > store.UsageNetworks {
				t.Fatalf("after touch %d, %+v: %d of %d uses are told, of %d networks", i, next, sum, d.Allowed, len(d.Networks))
			}
		}
	}
}

// usedFromOthers adds uses from other addresses to a touch.
func usedFromOthers(rnd *rand.Rand, next store.Touch, addr func() netip.Addr) store.Touch {
	for range []int{1, 3, 20, 60}[rnd.IntN(4)] {
		hits := uint64(1 + rnd.IntN(4)) // #nosec G115 -- small
		next.Addresses = append(next.Addresses, store.AddressHits{IP: addr(), Hits: hits})
		next.Hits += hits
	}
	next.Elsewhere = []uint64{0, 0, 5}[rnd.IntN(3)]
	next.Hits += next.Elsewhere
	return next
}

func allowedOf(d store.DayUse) uint64 {
	sum := d.Elsewhere
	for _, n := range d.Networks {
		sum += n.Allowed
	}
	return sum
}

// from returns a use from one address only.
func from(ip string, allowed uint64) []store.NetworkUse {
	return []store.NetworkUse{{Prefix: store.NetworkOf(netip.MustParseAddr(ip)), Allowed: allowed}}
}

// testHistoryOfNetworks uses a key from more networks of one day than are kept.
func testHistoryOfNetworks(t *testing.T, s store.Store) {
	bound(t, s, Binding(1))
	day := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	read := func() store.DayUse {
		t.Helper()
		days := ok(s.Usage(t.Context(), Hash(1)))(t).Days
		want(t, "days", len(days), 1)
		return days[0]
	}
	addTouches(t, s, touch(1, 0, 3, "2001:db8::1"), touch(1, 1, 4, "2001:db8::2"), touch(1, 2, 5, "64:ff9b::1"))
	want(t, "day", read(), store.DayUse{Day: day, Allowed: 12, Networks: append(from("64:ff9b::1", 5), from("2001:db8::", 7)...)})
	for n := range store.UsageNetworks {
		addTouches(t, s, touch(1, 3+n, 2, netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}).String())) // #nosec G115 -- small
	}
	full := read()
	want(t, "networks", len(full.Networks), store.UsageNetworks)
	want(t, "elsewhere", full.Elsewhere, 4)
	addTouches(t, s, touch(1, 100, 7, "10.0.0.31"))
	addTouches(t, s, touch(1, 101, 9, "2001:db8::3"))
	full.Allowed, full.Elsewhere = full.Allowed+16, full.Elsewhere+7
	full.Networks[len(full.Networks)-1].Allowed += 9
	want(t, "day after more", read(), full)
}

// sameUsage compares, taking no days for the same as days of length 0.
func sameUsage(a, b store.Usage) bool {
	sameDay := func(a, b store.DayUse) bool {
		return a.Day.Equal(b.Day) && a.Allowed == b.Allowed && a.Refused == b.Refused && a.Elsewhere == b.Elsewhere &&
			slices.Equal(a.Networks, b.Networks)
	}
	return a.LastUsed.Equal(b.LastUsed) && a.LastIP == b.LastIP && a.Hits == b.Hits &&
		slices.EqualFunc(a.Days, b.Days, sameDay) && slices.Equal(a.Addresses, b.Addresses)
}

// testDeleteCounters deletes the counters of some hours, a few at a time.
func testDeleteCounters(t *testing.T, s store.Store) {
	var all []store.Counter
	for i := range 4 {
		for _, name := range []string{"a", "b"} {
			all = append(all, store.Counter{Hour: hour.Add(time.Duration(i) * time.Hour), Name: name, N: 1})
		}
	}
	addCounters(t, s, all...)
	read := func() []store.Counter { return ok(s.Counters(t.Context(), hour, hour.Add(24*time.Hour)))(t) }
	want(t, "deleted before all", ok(s.DeleteCounters(t.Context(), hour, 100))(t), 0)
	want(t, "deleted with no limit left", ok(s.DeleteCounters(t.Context(), hour.Add(24*time.Hour), 0))(t), 0)
	want(t, "deleted", ok(s.DeleteCounters(t.Context(), hour.Add(2*time.Hour), 3))(t), 3)
	want(t, "oldest first", read(), all[3:])
	want(t, "deleted then", ok(s.DeleteCounters(t.Context(), hour.Add(2*time.Hour), 3))(t), 1)
	want(t, "left", read(), all[4:])
	want(t, "deleted within an hour", ok(s.DeleteCounters(t.Context(), hour.Add(2*time.Hour+time.Minute), 9))(t), 2)
	want(t, "left then", read(), all[6:])
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
