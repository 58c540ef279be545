package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

func (r *rig) mustDashboard() engine.Dashboard {
	r.t.Helper()
	d, err := r.Dashboard(r.t.Context())
	if err != nil || !d.Complete {
		r.t.Fatalf("dashboard: complete %v, %v", d.Complete, err)
	}
	return d
}

// TestDashboardPeriods has one more counted in each hour than in the one before
// it, so that every sum tells which hours are in it.
func TestDashboardPeriods(t *testing.T) {
	now := time.Date(2026, 11, 26, 5, 30, 0, 0, time.UTC)
	this := now.Truncate(time.Hour)
	r := newRig(t, at(now))
	const hours = 1500 // more than are looked at
	n := func(hoursAgo int) uint64 { return uint64(hours - hoursAgo) }
	var batch store.UsageBatch
	for ago := range hours {
		batch.Counters = append(batch.Counters, store.Counter{Hour: this.Add(-time.Duration(ago) * time.Hour), Name: "allowed", N: n(ago)})
	}
	batch.Counters = append(batch.Counters, store.Counter{Hour: this.Add(time.Hour), Name: "allowed", N: 1 << 40})
	if err := r.store.Store.AddUsage(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	sum := func(from, to int) (total uint64) { // hours ago, both included
		for ago := from; ago <= to; ago++ {
			total += n(ago)
		}
		return total
	}
	d := r.mustDashboard()
	for _, c := range []struct {
		name          string
		got           engine.Period
		since         int
		now, previous uint64
	}{
		{"today", d.Today, 5, sum(0, 5), sum(24, 29)},
		{"24 hours", d.Last24Hours, 23, sum(0, 23), sum(24, 47)},
		{"7 days", d.Last7Days, 167, sum(0, 167), sum(168, 335)},
		{"30 days", d.Last30Days, 719, sum(0, 719), sum(720, 1439)},
	} {
		since := this.Add(-time.Duration(c.since) * time.Hour)
		if c.got.Now.Allowed != c.now || c.got.Previous.Allowed != c.previous || !c.got.Since.Equal(since) {
			t.Errorf("%s: got %+v, want %d since %v, %d before", c.name, c.got, c.now, since, c.previous)
		}
	}
	if len(d.Hours) != 48 || d.Hours[0].Allowed != n(47) || d.Hours[47].Allowed != n(0) || !d.Hours[47].At.Equal(this) {
		t.Errorf("hours: got %+v", d.Hours)
	}
	if len(d.Days) != 30 || d.Days[29].Allowed != sum(0, 5) || d.Days[28].Allowed != sum(6, 29) || d.Days[0].Allowed != sum(6+28*24, 29+28*24) {
		t.Errorf("days: got %+v", d.Days)
	}
}

// TestDashboardCountsWhatIsNotWritten: at every moment, also while the store
// takes nothing.
func TestDashboardCountsWhatIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		want := uint64(1)
		r.store.set(func(s *faultyStore) {
			s.addUsage = func(store.UsageBatch) error { return errors.Join(store.ErrUnavailable, errBroken) }
		})
		for i := range 12 {
			if i == 8 {
				r.store.set(func(s *faultyStore) { s.addUsage = nil })
			}
			wantReason(t, "use", r.use(atHome, keyA), "")
			want++
			if d := r.mustDashboard(); d.Last24Hours.Now.Allowed != want || d.Hours[47].Allowed+d.Hours[46].Allowed != want {
				t.Errorf("after %v: got %+v, want %d", time.Duration(i)*3*time.Second, d.Last24Hours.Now, want)
			}
			time.Sleep(3 * time.Second)
		}
		r.close()
	})
}

func TestDashboardTotals(t *testing.T) {
	r := newRig(t).bound(keyA)
	wantReason(t, "elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
	wantReason(t, "anonymous", r.serve(atHome, request(t, pathPublic), false), "")
	wantReason(t, "unbound", r.serve(atHome, request(t, pathChat, bearer(keyB)), false), "")
	for c, n := range map[engine.Counted]int{
		engine.CountDownstreamFailed: 2, engine.CountRateLimited: 3, engine.CountFailsafeOpen: 4, engine.CountFailsafeClosed: 5, engine.CountObserved: 6,
	} {
		for range n {
			r.Count(c)
		}
	}
	d := r.mustDashboard()
	want := engine.Totals{
		Allowed: 2, Intercepted: 1, Observed: 6, Bound: 1, Unbound: 1, Anonymous: 1,
		DownstreamFailed: 2, RateLimited: 3, FailsafeOpen: 4, FailsafeClosed: 5,
	}
	if d.Last24Hours.Now != want {
		t.Errorf("got %+v, want %+v", d.Last24Hours.Now, want)
	}
	point := engine.Point{At: d.Hours[47].At, Allowed: 2, Intercepted: 1, Bound: 1, Unbound: 1, DownstreamFailed: 2}
	if d.Hours[47] != point {
		t.Errorf("got %+v, want %+v", d.Hours[47], point)
	}
}

func TestDashboardBindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set).bound(keyA, keyB, keyC)
		wantReason(t, "second use", r.use(atHome, keyB), "")
		r.preset(3)
		r.ban(keyA)
		days.forward(25 * time.Hour)
		fresh := strings.Repeat("g7H8", 12)
		r.bound(fresh)
		r.archiveNow(keyC)
		got := r.mustDashboard().Bindings
		// Used once: A. Never: three. Used twice: B. Not a day old: the fresh one.
		if want := (engine.BindingTotals{Total: 6, Banned: 1, Archived: 1, NeverUsedAgain: 4}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		r.close()
	})
}

// TestTopRefused: of keys, addresses and networks, with labels; kept over a
// restart, and gone from the lists when their time is over.
func TestTopRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set).bound(keyA, keyB)
		label := "lab"
		if _, _, err := r.Edit(t.Context(), r.hash(keyA), engine.BindingEdit{Label: &label}); err != nil {
			t.Fatal(err)
		}
		refuse := func(r *rig, key, from string, n int) {
			for range n {
				wantReason(t, "refused", r.use(from, key), engine.IPNotAllowed)
			}
		}
		refuse(r, keyA, "198.51.100.1:1", 5)
		refuse(r, keyA, "198.51.100.2:1", 2)
		refuse(r, keyB, "203.0.113.1:1", 3)
		time.Sleep(time.Second)
		synctest.Wait()
		lists := func(r *rig, l engine.TopLists) string {
			var texts []string
			for _, k := range l.Keys {
				texts = append(texts, fmt.Sprintf("%s=%d", map[store.KeyHash]string{r.hash(keyA): "A", r.hash(keyB): "B"}[k.Hash]+k.Label, k.Count))
			}
			for _, a := range l.Addresses {
				texts = append(texts, fmt.Sprintf("%v=%d", a.Address, a.Count))
			}
			for _, n := range l.Networks {
				texts = append(texts, fmt.Sprintf("%v=%d", n.Network, n.Count))
			}
			return strings.Join(texts, " ")
		}
		want := "Alab=7 B=3 198.51.100.1=5 203.0.113.1=3 198.51.100.2=2 198.51.100.0/24=7 203.0.113.0/24=3"
		check := func(when string, r *rig, day, week, month string) {
			t.Helper()
			top := r.mustDashboard().TopRefused
			for i, got := range []string{lists(r, top.Last24Hours), lists(r, top.Last7Days), lists(r, top.Last30Days)} {
				if want := []string{day, week, month}[i]; got != want {
					t.Errorf("%s, list %d: got %s, want %s", when, i, got, want)
				}
			}
		}
		check("at once", r, want, want, want)
		r.close()

		again := newRig(t, days.set, func(s *setup) { s.reuse = r.store.Store })
		refuse(again, keyB, "203.0.113.1:1", 6)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		more := "B=9 Alab=7 203.0.113.1=9 198.51.100.1=5 198.51.100.2=2 203.0.113.0/24=9 198.51.100.0/24=7"
		check("after a restart", again, more, more, more)
		days.forward(25 * time.Hour)
		check("a day later", again, "", more, more)
		days.forward(6 * day)
		check("a week later", again, "", "", more)
		days.forward(24 * day)
		check("a month later", again, "", "", "")
		again.close()
	})
}

// TestTopRefusedOfNodes: each node stores what it has counted, and shows that of all.
func TestTopRefusedOfNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRig(t).bound(keyA)
		b := newRig(t, func(s *setup) { s.reuse, s.NodeID = a.store.Store, "other" })
		for range 3 { // each writes after the other
			wantReason(t, "refused by a", a.use(elsewhere, keyA), engine.IPNotAllowed)
			wantReason(t, "refused by b", b.use(elsewhere, keyA), engine.IPNotAllowed)
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		for name, r := range map[string]*rig{"a": a, "b": b} {
			keys := r.mustDashboard().TopRefused.Last24Hours.Keys
			if len(keys) != 1 || keys[0].Count != 6 {
				t.Errorf("%s: got %+v, want one key with 6", name, keys)
			}
		}
		b.close()
		a.close()
	})
}

// TestOldRankingsGo: those of hours after two days, those of days with the
// counters.
func TestOldRankingsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set, keeping(engine.Retention{CounterDays: 5})).bound(keyA)
		ids := func() string {
			list, err := r.store.ListDocuments(t.Context(), "top")
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, d := range list {
				texts = append(texts, d.ID)
			}
			return strings.Join(texts, " ")
		}
		wantReason(t, "refused", r.use(elsewhere, keyA), engine.IPNotAllowed)
		start := days.now().UTC()
		hour, dayID := start.Format("2006-01-02T15")+"/local", start.Format("2006-01-02")+"/local"
		days.forward(47 * time.Hour)
		r.mustHousekeep()
		if got, want := ids(), dayID+" "+hour; got != want {
			t.Errorf("after 47 hours: got %s, want %s", got, want)
		}
		days.forward(2 * time.Hour)
		r.mustHousekeep()
		if got := ids(); got != dayID {
			t.Errorf("after 49 hours: got %s, want %s", got, dayID)
		}
		days.forward(4 * day)
		r.mustHousekeep()
		if got := ids(); got != "" {
			t.Errorf("after 6 days: got %s", got)
		}
		r.close()
	})
}

// TestDashboardsAreShared: many who ask at once get one that is made once.
func TestDashboardsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var made sync.Map
		ask := func() {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() { made.Store(r.mustDashboard().At, true) })
			}
			wg.Wait()
		}
		count := func() (n int) {
			made.Range(func(any, any) bool { n++; return true })
			return n
		}
		ask()
		time.Sleep(1999 * time.Millisecond)
		ask()
		if n := count(); n != 1 {
			t.Errorf("%d were made within 2 s", n)
		}
		time.Sleep(time.Millisecond)
		ask()
		if n := count(); n != 2 {
			t.Errorf("%d were made, want a second one after 2 s", n)
		}
		r.close()
		time.Sleep(3 * time.Second)
		if _, err := r.Dashboard(context.Background()); err == nil {
			t.Error("one was made after the end")
		}
	})
}

func TestDashboardHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(s *setup) { s.NodeName, s.Version = "node-1", "v1" })
		start := time.Now().UTC().Truncate(time.Millisecond)
		health := func() engine.Health {
			time.Sleep(2 * time.Second)
			d, err := r.Dashboard(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return d.Health
		}
		want := engine.Health{
			Store: engine.StoreHealth{OK: true, Since: start}, Nodes: []engine.Node{{Name: "node-1", Version: "v1", Started: start}},
		}
		if got := health(); !reflect.DeepEqual(got, want) {
			t.Errorf("at first: got %+v, want %+v", got, want)
		}
		r.bound(keyA)
		answered := time.Now().UTC()
		if got := health(); got.Downstream.LastAnswer.Sub(answered) > 5*time.Second || !got.Downstream.LastFailure.IsZero() {
			t.Errorf("after an answer: got %+v", got.Downstream)
		}
		r.Count(engine.CountDownstreamFailed)
		failed := time.Now().UTC()
		if got := health(); !got.Downstream.LastFailure.Equal(failed) {
			t.Errorf("after a failure: got %+v", got.Downstream)
		}
		r.store.Fail(errBroken)
		wantReason(t, "while the store is away", r.use(atHome, keyB), engine.StoreUnavailable)
		down := time.Now().UTC()
		if got := health().Store; got.OK || !got.Since.Equal(down) || !strings.Contains(got.LastError, errBroken.Error()) {
			t.Errorf("store away: got %+v, want it so since %v", got, down)
		}
		if d, err := r.Dashboard(t.Context()); err != nil || d.Complete {
			t.Errorf("store away: complete %v, %v", d.Complete, err)
		}
		r.store.Fail(nil)
		time.Sleep(5 * time.Second)
		if got := health().Store; !got.OK || !got.Since.After(down) || got.LastError == "" {
			t.Errorf("store back: got %+v", got)
		}
		r.close()
	})
}

func TestDashboardJSON(t *testing.T) {
	body, err := json.Marshal(newRig(t).mustDashboard())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"last24Hours":{"since":`, `"previous":{"allowed":0,`, `"downstreamFailed":0`, `"topRefused":{"last24Hours":{"keys":[],"addresses":[],"networks":[]}`,
		`"neverUsedAgain":0`, `"downstream":{}`, `"nodes":[{"name":"local","started":`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}
