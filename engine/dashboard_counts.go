package engine

import (
	"context"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// hourCounts is what was counted in each hour, by the hour's Unix time.
type hourCounts map[int64]*[counted]uint64

// countedByName is the other way around.
var countedByName = func() map[string]Counted {
	m := make(map[string]Counted, counted)
	for c := range counted {
		m[c.String()] = c
	}
	return m
}()

func (h hourCounts) add(hour time.Time, c Counted, n uint64) {
	at := hour.Unix()
	if h[at] == nil {
		h[at] = new([counted]uint64)
	}
	h[at][c] += n
}

// readCounts returns what was counted in two of the longest periods: what is
// stored, and what is not written yet.
func (e *Engine) readCounts(ctx context.Context, now time.Time) (hourCounts, error) {
	h := make(hourCounts)
	this := store.StoredHour(now)
	read := false
	// Where usage is written: nothing is on its way, and so in neither of them.
	err := e.onWriter(ctx, func(context.Context) error {
		read = true
		list, err := e.store.Counters(ctx, this.AddDate(0, 0, -2*dashboardDays), this.Add(time.Hour))
		for _, c := range list {
			h.addNamed(c.Hour, c.Name, c.N)
		}
		for id, n := range e.usage.unwritten.counters {
			h.addNamed(id.hour, id.name, n)
		}
		e.addUnwritten(h, this)
		return err
	})
	if !read {
		e.addUnwritten(h, this)
	}
	return h, err
}

// addUnwritten adds what was counted since the last write.
func (e *Engine) addUnwritten(h hourCounts, hour time.Time) {
	for c := range counted {
		if n := e.usage.now[c].Load(); n > 0 {
			h.add(hour, c, n)
		}
	}
}

// addNamed leaves out what another version has counted.
func (h hourCounts) addNamed(hour time.Time, name string, n uint64) {
	if c, ok := countedByName[name]; ok {
		h.add(hour, c, n)
	}
}

// sum adds up hours, beginning with the one that starts at from.
func (h hourCounts) sum(from time.Time, hours int) *[counted]uint64 {
	total := new([counted]uint64)
	for i := range hours {
		if counts := h[from.Add(time.Duration(i)*time.Hour).Unix()]; counts != nil {
			for c, n := range counts {
				total[c] += n
			}
		}
	}
	return total
}

// fill fills in what is counted.
func (d *Dashboard) fill(h hourCounts, now time.Time) {
	hour := store.StoredHour(now)
	day := now.Truncate(24 * time.Hour)
	period := func(since time.Time, hours, before int) Period {
		previous := since.Add(-time.Duration(before) * time.Hour)
		return Period{Since: since, Now: totals(h.sum(since, hours)), Previous: totals(h.sum(previous, hours))}
	}
	last := func(hours int) Period { return period(hour.Add(-time.Duration(hours-1)*time.Hour), hours, hours) }
	d.Today = period(day, hour.Hour()+1, 24)
	d.Last24Hours, d.Last7Days, d.Last30Days = last(24), last(7*24), last(dashboardDays*24)
	for i := range dashboardHours {
		at := hour.Add(-time.Duration(dashboardHours-1-i) * time.Hour)
		d.Hours = append(d.Hours, point(at, h.sum(at, 1)))
	}
	for i := range dashboardDays {
		at := day.AddDate(0, 0, i+1-dashboardDays)
		d.Days = append(d.Days, point(at, h.sum(at, 24)))
	}
}

func totals(n *[counted]uint64) Totals {
	return Totals{
		Allowed: n[CountAllowed], Intercepted: n[CountIntercepted], Observed: n[CountObserved],
		Bound: n[CountBound], Unbound: n[CountUnbound], Anonymous: n[CountAnonymous],
		DownstreamFailed: n[CountDownstreamFailed], RateLimited: n[CountRateLimited],
		FailsafeOpen: n[CountFailsafeOpen], FailsafeClosed: n[CountFailsafeClosed],
	}
}

func point(at time.Time, n *[counted]uint64) Point {
	return Point{
		At: at, Allowed: n[CountAllowed], Intercepted: n[CountIntercepted], Bound: n[CountBound],
		Unbound: n[CountUnbound], DownstreamFailed: n[CountDownstreamFailed],
	}
}
