package engine_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// series returns one of the series, some seconds after the last was asked for.
func (r *rig) series(name engine.SeriesName) engine.Series {
	r.t.Helper()
	time.Sleep(3 * time.Second)
	for _, s := range r.mustDashboard().Series {
		if s.Range == name {
			return s
		}
	}
	r.t.Fatalf("there is no series of %s", name)
	return engine.Series{}
}

// tail tells the last points of a series: allowed requests, or - if unknown.
func tail(s engine.Series, n int) string {
	var texts []string
	for _, p := range s.Points[len(s.Points)-n:] {
		text := "-"
		if p.Counts != nil {
			text = fmt.Sprint(p.Counts.Allowed)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// TestSeriesHasGaps: what was counted is by the minute, also after a restart,
// and the time between is unknown rather than quiet.
func TestSeriesHasGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := new(calendar) // starts at midnight
		use := func(r *rig, times int) {
			for range times {
				wantReason(t, "use", r.use(atHome, keyA), "")
			}
		}
		r := newRig(t, clock.set)
		time.Sleep(6 * time.Second)
		use(r, 3)
		if got := tail(r.series(engine.SeriesHour), 4); got != "- - - 3" {
			t.Errorf("at once: got %s", got)
		}
		time.Sleep(2 * time.Minute)
		use(r, 2)
		if got := tail(r.series(engine.SeriesHour), 4); got != "- 3 0 2" {
			t.Errorf("two minutes later: got %s", got)
		}
		r.close()
		time.Sleep(3 * time.Minute)

		again := newRig(t, clock.set, func(s *setup) { s.reuse = r.store.Store })
		use(again, 1)
		s := again.series(engine.SeriesHour)
		if got := tail(s, 7); got != "- 3 0 2 - - 1" {
			t.Errorf("after a restart: got %s", got)
		}
		if s.StepSeconds != 60 || len(s.Points) != 60 || !s.Period.Since.Equal(s.Points[0].At) || s.Period.Now.Allowed != 6 || s.Period.Previous.Allowed != 0 {
			t.Errorf("after a restart: got %d points of %d s, period %+v", len(s.Points), s.StepSeconds, s.Period)
		}
		six := again.series(engine.SeriesHours)
		if got := tail(six, 3); got != "- 5 1" {
			t.Errorf("in steps of 5 minutes: got %s", got)
		}
		if six.StepSeconds != 300 || len(six.Points) != 72 || six.Points[71].At.Sub(six.Points[0].At) != 71*5*time.Minute {
			t.Errorf("got %d points of %d s", len(six.Points), six.StepSeconds)
		}
		clock.forward(time.Hour)
		if s := again.series(engine.SeriesHour); s.Period.Now.Allowed != 0 || s.Period.Previous.Allowed != 6 {
			t.Errorf("an hour later: got %+v", s.Period)
		}
		clock.forward(25 * time.Hour)
		if s := again.series(engine.SeriesHours); s.Period.Now.Allowed+s.Period.Previous.Allowed != 0 {
			t.Errorf("a day later: got %+v", s.Period)
		}
		again.close()
	})
}

// TestSeriesAfterAKill: without an end in order, no more than the last minute
// is lost, and that is unknown.
func TestSeriesAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		time.Sleep(2*time.Minute + 10*time.Second)
		wantReason(t, "use", r.use(atHome, keyA), "")
		time.Sleep(10 * time.Second)
		r.store.Fail(errBroken) // whatever is written from here on is lost
		time.Sleep(2 * time.Minute)
		copied := r.store.Store
		r.store.Fail(nil)
		d, err := copied.ListDocuments(t.Context(), "minutes")
		if err != nil || len(d) != 1 || !strings.HasSuffix(d[0].ID, "/local") {
			t.Fatalf("got %v, %v, want one document of this node", d, err)
		}
		if got, want := string(d[0].Body), `{"minutes":[0,1,2],"counts":{"allowed":[1,0,0],"bound":[1,0,0]}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		r.close()
	})
}

func TestSeriesTakesDocumentsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		time.Sleep(2 * time.Minute)
		hour := store.StoredHour(time.Now()).Format("2006-01-02T15")
		for id, body := range map[string]string{
			hour + "/other": `{"minutes":[0,1,2],"counts":{"allowed":[1,2,4]}}`,
			hour + "/third": `{"minutes":[1,30],"counts":{"allowed":[8,99]}}`, // of a clock that is ahead
			hour + "/worse": `"no minutes"`,
			"no hour/fifth": `{}`,
		} {
			if _, err := r.store.PutDocument(t.Context(), store.Document{Kind: "minutes", ID: id, Body: json.RawMessage(body)}); err != nil {
				t.Fatal(err)
			}
		}
		if got := tail(r.series(engine.SeriesHour), 3); got != "1 10 4" {
			t.Errorf("got %s", got)
		}
		r.close()
	})
}

func TestOldMinutesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := new(calendar)
		r := newRig(t, clock.set)
		count := func() int {
			list, err := r.store.ListDocuments(t.Context(), "minutes")
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		for range 30 {
			clock.forward(time.Hour)
		}
		time.Sleep(6 * time.Second)
		if n := count(); n != 31 {
			t.Errorf("got %d documents, want one an hour", n)
		}
		if got := r.mustHousekeep().Counters; got != 0 {
			t.Errorf("%d counters are said to be removed", got)
		}
		if n := count(); n != 25 {
			t.Errorf("got %d documents, want those of a day", n)
		}
		r.close()
	})
}
