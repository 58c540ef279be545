package replay_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/engine/replay"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

var (
	now   = time.Date(2026, 3, 20, 15, 0, 0, 0, time.UTC)
	today = now.Truncate(24 * time.Hour)
)

func hashOf(n int) (h store.KeyHash) {
	binary.BigEndian.PutUint64(h[:], uint64(n)+1) // #nosec G115 -- small
	return h
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func only(texts ...string) store.Rule {
	return store.Rule{Kind: store.RuleMultiple, Prefixes: prefixes(texts...)}
}

// desk is a store with some helpers.
type desk struct {
	*memory.Store
	t testing.TB
}

func newDesk(t testing.TB) desk { return desk{memory.New(), t} }

func (d desk) bind(n int, rule store.Rule) {
	d.t.Helper()
	b := store.Binding{Hash: hashOf(n), Hint: "sk-…" + string(rune('a'+n%26)), Label: "l", Status: store.StatusActive, Rule: rule}
	if _, _, err := d.Bind(d.t.Context(), b); err != nil {
		d.t.Fatal(err)
	}
}

func (d desk) use(n int, at time.Time, ip string, hits uint64) {
	d.t.Helper()
	d.touch(store.Touch{Hash: hashOf(n), LastUsed: at, LastIP: netip.MustParseAddr(ip), Hits: hits})
}

func (d desk) touch(t store.Touch) {
	d.t.Helper()
	if err := d.AddUsage(d.t.Context(), store.UsageBatch{Touches: []store.Touch{t}}); err != nil {
		d.t.Fatal(err)
	}
}

func (d desk) refuse(n int, at time.Time, ip string, count uint64, reason store.Reason, observed bool) {
	d.t.Helper()
	rec := store.Intercept{Hash: hashOf(n), At: at, Last: at, Count: count, Reason: reason, Observed: observed, ClientIP: netip.MustParseAddr(ip)}
	if err := d.PutIntercepts(d.t.Context(), []store.Intercept{rec}); err != nil {
		d.t.Fatal(err)
	}
}

func (d desk) run(q replay.Query) replay.Result {
	d.t.Helper()
	if q.Since.IsZero() {
		q.Since = today
	}
	result, err := replay.Run(d.t.Context(), d.Store, q, now)
	if err != nil {
		d.t.Fatal(err)
	}
	return result
}

func TestSinceIsADayOfUsesAndAMomentOfIntercepts(t *testing.T) {
	d := newDesk(t)
	d.bind(1, only("192.0.2.1/32"))
	d.use(1, today.Add(-time.Second), "198.51.100.1", 1)
	d.use(1, today.Add(time.Hour), "198.51.100.1", 2)
	d.refuse(1, today.Add(time.Hour), "198.51.100.1", 4, store.ReasonIPNotAllowed, true)
	d.refuse(1, today.Add(3*time.Hour), "198.51.100.1", 8, store.ReasonIPNotAllowed, true)
	since := today.Add(2 * time.Hour)
	got := d.run(replay.Query{Since: since})
	if got.Refused != 10 || got.Keys != 1 || !got.Since.Equal(since) || !got.UsesSince.Equal(today) {
		t.Errorf("got %+v, want 2 uses of the day and 8 refusals", got)
	}
	want := []replay.Row{{
		Hash: hashOf(1), Hint: "sk-…b", Label: "l", Network: netip.MustParsePrefix("198.51.100.1/32"), Day: today, Count: 10, Refused: true,
	}}
	if !reflect.DeepEqual(got.Rows, want) {
		t.Errorf("got rows %+v, want %+v", got.Rows, want)
	}
	got = d.run(replay.Query{Since: now.AddDate(0, 0, -60)})
	if got.Refused != 15 || !got.Uncertain.UsesFrom.Equal(today.AddDate(0, 0, 1-store.UsageDays)) {
		t.Errorf("since long ago: got %+v", got)
	}
}

func TestWhatIsUncertain(t *testing.T) {
	d := newDesk(t)
	d.bind(1, only("2001:db8::1/128", "10.0.0.0/8"))
	d.use(1, now, "2001:db8::7", 2)
	d.use(1, now, "2001:db9::7", 3)
	d.touch(store.Touch{Hash: hashOf(1), LastUsed: now, Hits: 5, Elsewhere: 5})
	d.touch(store.Touch{Hash: hashOf(1), LastUsed: now.AddDate(0, 0, -1), Hits: 7, Elsewhere: 7})
	d.refuse(1, now, "2001:db8::8", 11, store.ReasonIPNotAllowed, true) // an address is never in part
	d.refuse(9, now, "10.0.0.1", 13, store.ReasonIPNotAllowed, false)
	got := d.run(replay.Query{Since: now.AddDate(0, 0, -1)})
	want := replay.Uncertain{Partly: 2, Elsewhere: 5, Unrecorded: 7, Unbound: 13}
	if got.Refused != 14 || !reflect.DeepEqual(got.Uncertain, want) || want.Requests() != 27 {
		t.Errorf("got %d refused and %+v, want 14 and %+v", got.Refused, got.Uncertain, want)
	}
	all := d.run(replay.Query{Since: now.AddDate(0, 0, -1), Rule: &store.Rule{Kind: store.RuleAll}})
	if all.Refused != 0 || all.Uncertain.Requests() != 13 {
		t.Errorf("with a rule that lets all pass: got %+v", all)
	}
	learning := only("10.0.0.0/8")
	learning.Kind, learning.Learn = store.RuleLearn, store.Learn{Limit: 2, Within: time.Hour}
	learnt := d.run(replay.Query{Rule: &learning})
	if learnt.Refused != 0 || learnt.Uncertain.Learning != 2+3+11 {
		t.Errorf("with a rule that learns: got %+v", learnt)
	}
}

func TestBannedKeysAreRefusedForCertain(t *testing.T) {
	d := newDesk(t)
	b := store.Binding{Hash: hashOf(1), Hint: "h", Status: store.StatusBanned, Rule: store.Rule{Kind: store.RuleAll}}
	if _, _, err := d.Bind(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	d.touch(store.Touch{Hash: hashOf(1), LastUsed: now, LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 5, Elsewhere: 2})
	got := d.run(replay.Query{})
	if got.Refused != 5 || got.Uncertain.Requests() != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestReasonsOfIntercepts(t *testing.T) {
	everywhere := store.Rule{Kind: store.RuleAll}
	cases := []struct {
		reason          store.Reason
		observed        bool
		refused, passed uint64 // by a rule that covers all
		narrow          uint64 // refused by one that covers nothing of it
	}{
		{store.ReasonIPNotAllowed, false, 0, 3, 3},
		{store.ReasonIPNotAllowed, true, 0, 0, 3},
		{store.ReasonLostRace, false, 0, 3, 3},
		{store.ReasonKeyBanned, false, 0, 3, 3}, // it is banned no more
		{store.ReasonCut, false, 0, 0, 0},       // let pass, and so among the uses
		{store.ReasonBlocked, false, 0, 3, 3},   // it is blocked no more
	}
	for _, c := range cases {
		d := newDesk(t)
		d.bind(1, only("192.0.2.1/32"))
		d.refuse(1, now, "198.51.100.1", 3, c.reason, c.observed)
		wide := d.run(replay.Query{Rule: &everywhere})
		if wide.Refused != c.refused || wide.Passed != c.passed {
			t.Errorf("%s, observed %v: got %d refused, %d passed, want %d and %d", c.reason, c.observed, wide.Refused, wide.Passed, c.refused, c.passed)
		}
		if narrow := d.run(replay.Query{}); narrow.Refused != c.narrow || narrow.Passed != 0 {
			t.Errorf("%s, observed %v, narrow: got %+v, want %d refused", c.reason, c.observed, narrow, c.narrow)
		}
	}
}

func TestNamedNetworks(t *testing.T) {
	d := newDesk(t)
	d.bind(1, store.Rule{Kind: store.RuleMultiple, Networks: []string{"office", "gone"}})
	d.use(1, now, "198.51.100.1", 1)
	d.use(1, now, "203.0.113.1", 2)
	office, err := ipset.New(prefixes("198.51.100.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	got := d.run(replay.Query{Surroundings: replay.Surroundings{
		Networks: func(name string) (*ipset.Set, bool) { return office, name == "office" },
	}})
	if got.Refused != 2 || !reflect.DeepEqual(got.Uncertain.UnknownNetworks, []string{"gone"}) {
		t.Errorf("got %+v", got)
	}
	if got := d.run(replay.Query{}); got.Refused != 3 || len(got.Uncertain.UnknownNetworks) != 2 {
		t.Errorf("without any network: got %+v", got)
	}
}

// TestSurroundings has an exception and blocked networks beside the rule.
func TestSurroundings(t *testing.T) {
	d := newDesk(t)
	d.bind(1, only("10.0.0.0/8", "2001:db8:1::/48"))
	for i, ip := range []string{"10.0.0.1", "10.6.6.6", "10.6.6.7", "192.0.2.1", "192.0.2.2", "2001:db8:2::1"} {
		n := uint64(1) << i // #nosec G115 -- small
		d.use(1, now, ip, n)
		d.refuse(1, now, ip, n<<10, store.ReasonIPNotAllowed, false)
	}
	exempt := prefixes("192.0.2.1/32", "10.6.6.7/32", "2001:db8:2::1/128")
	around := replay.Surroundings{
		Exempts: func(hash store.KeyHash, p netip.Prefix) ipset.Reach {
			set, err := ipset.New(exempt)
			if err != nil || hash != hashOf(1) {
				t.Errorf("asked of %s: %v", hash, err)
			}
			return set.Reach(p)
		},
		Blocks: netip.MustParsePrefix("10.6.0.0/16").Contains,
	}
	got := d.run(replay.Query{Surroundings: around})
	if want := uint64(1<<1 + 1<<4 + 1<<11 + 1<<14); got.Refused != want {
		t.Errorf("refused %b, want %b", got.Refused, want)
	}
	if want := uint64(1<<10 + 1<<12 + 1<<13 + 1<<15); got.Passed != want || got.Uncertain.Partly != 1<<5 {
		t.Errorf("passed %b, want %b; %+v", got.Passed, want, got.Uncertain)
	}
}

// TestChosenKeys chooses by hash and by filter, each key once.
func TestChosenKeys(t *testing.T) {
	d := newDesk(t)
	for n := range 5 {
		d.bind(n, only("192.0.2.1/32"))
		d.use(n, now, "198.51.100.1", 1)
		d.refuse(n, now, "198.51.100.2", 1, store.ReasonIPNotAllowed, true)
	}
	cases := []struct {
		name    string
		query   replay.Query
		checked int
		refused uint64
		unbound uint64
	}{
		{"all", replay.Query{}, 5, 10, 0},
		{"none", replay.Query{Hashes: []store.KeyHash{}}, 0, 0, 0},
		{"one", replay.Query{Hashes: []store.KeyHash{hashOf(2)}}, 1, 2, 0},
		{"one twice", replay.Query{Hashes: []store.KeyHash{hashOf(2), hashOf(2)}}, 1, 2, 0},
		{"two, out of order", replay.Query{Hashes: []store.KeyHash{hashOf(3), hashOf(1)}}, 2, 4, 0},
		{"unknown", replay.Query{Hashes: []store.KeyHash{hashOf(77)}}, 0, 0, 0},
		{"by filter", replay.Query{Filter: store.BindingFilter{Hint: "…c"}}, 1, 2, 0},
	}
	for _, c := range cases {
		got := d.run(c.query)
		if got.Checked != c.checked || got.Refused != c.refused || got.Uncertain.Unbound != c.unbound || got.Keys != c.checked {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}

// TestRowsAreBounded has more rows than are kept: the count is right, and those with
// most requests are there.
func TestRowsAreBounded(t *testing.T) {
	d := newDesk(t)
	d.bind(1, only("192.0.2.1/32"))
	const others = 20_000
	d.use(1, now, "198.51.100.1", 9)
	recs := make([]store.Intercept, others)
	for i := range recs {
		ip := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) // #nosec G115 -- cut on purpose
		recs[i] = store.Intercept{Hash: hashOf(1), At: now, Last: now, Count: 1, Reason: store.ReasonIPNotAllowed, ClientIP: ip}
	}
	if err := d.PutIntercepts(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	got := d.run(replay.Query{Rows: 10})
	if got.Refused != others+9 || got.RefusedThen != others || len(got.Rows) != 10 || got.Rows[0].Count != 9 || got.Omitted != others-9 {
		t.Errorf("got %d rows, %d refused, %d omitted, first %+v", len(got.Rows), got.Refused, got.Omitted, got.Rows[0])
	}
}

func TestBadQueries(t *testing.T) {
	d := newDesk(t)
	for name, q := range map[string]replay.Query{
		"no time":       {},
		"to come":       {Since: now.Add(time.Second)},
		"a rule":        {Since: today, Rule: &store.Rule{Kind: store.RuleSingle}},
		"too many rows": {Since: today, Rows: replay.MaxRows + 1},
		"fewer rows":    {Since: today, Rows: -1},
	} {
		if _, err := replay.Run(t.Context(), d.Store, q, now); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := replay.Run(done, d.Store, replay.Query{Since: today}, now); !errors.Is(err, context.Canceled) {
		t.Errorf("done context: got %v", err)
	}
}
