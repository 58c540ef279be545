package engine

import (
	"context"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// dashboardAge is how old a dashboard may be that is given out again, so that
	// fifty open consoles cost what one does.
	dashboardAge = 2 * time.Second
	// dashboardShare bounds what dashboards cost: one that took long to make is
	// given out for so many times as long.
	dashboardShare = 20
	// dashboardTimeout bounds how long one may take.
	dashboardTimeout = 10 * time.Second
	// dashboardDays is how many days the longest period has.
	dashboardDays  = 30
	dashboardHours = 48
)

// Dashboard is what happened lately, and how things are. Hours and days are
// those of UTC. What is not written yet is included.
type Dashboard struct {
	At time.Time `json:"at"` // when it was made; milliseconds
	// Complete is false if the store did not answer everything: then some
	// numbers are too low.
	Complete bool `json:"complete"`

	Today       Period `json:"today"`       // since midnight, against yesterday up to the same hour
	Last24Hours Period `json:"last24Hours"` // this hour and the 23 before it, against the 24 before these
	Last7Days   Period `json:"last7Days"`   // likewise, of 168 hours
	Last30Days  Period `json:"last30Days"`  // likewise, of 720 hours

	Hours []Point `json:"hours"` // the last 48, oldest first, the last one still growing
	Days  []Point `json:"days"`  // the last 30, oldest first, the last one still growing

	// Series are the periods that have points finer than hours.
	Series []Series `json:"-"`

	TopRefused TopRefused    `json:"topRefused"`
	Bindings   BindingTotals `json:"bindings"`
	Health     Health        `json:"health"`
}

// Period is what was counted in a period, and in the one before it.
type Period struct {
	Since    time.Time `json:"since"` // its first hour
	Now      Totals    `json:"now"`
	Previous Totals    `json:"previous"` // of as many hours
}

// Totals are numbers of requests, but for Bound, which is a number of keys.
type Totals struct {
	Allowed          uint64 `json:"allowed"`          // with a key, and let pass
	Intercepted      uint64 `json:"intercepted"`      // refused by a binding
	Observed         uint64 `json:"observed"`         // would have been refused by a binding
	Bound            uint64 `json:"bound"`            // keys bound by a first use
	Unbound          uint64 `json:"unbound"`          // let pass with a key that stayed unbound
	Anonymous        uint64 `json:"anonymous"`        // let pass without a key
	DownstreamFailed uint64 `json:"downstreamFailed"` // that the downstream did not answer
	RateLimited      uint64 `json:"rateLimited"`      // refused for their number
	FailsafeOpen     uint64 `json:"failsafeOpen"`     // let pass because the store did not answer
	FailsafeClosed   uint64 `json:"failsafeClosed"`   // refused because the store did not answer
}

// Point is one hour or one day of a series.
type Point struct {
	At               time.Time `json:"at"` // its start
	Allowed          uint64    `json:"allowed"`
	Intercepted      uint64    `json:"intercepted"`
	Bound            uint64    `json:"bound"`
	Unbound          uint64    `json:"unbound"`
	DownstreamFailed uint64    `json:"downstreamFailed"`
}

// TopRefused is who was refused most, or would have been where Sentinel only
// observes.
type TopRefused struct {
	Last24Hours TopLists `json:"last24Hours"` // this hour and the 23 before it
	Last7Days   TopLists `json:"last7Days"`   // today and the 6 days before it
	Last30Days  TopLists `json:"last30Days"`  // today and the 29 days before it
}

// TopLists are up to 20 each, the most refused first. Under a flood of many
// addresses a count may be lower than the true one, and never is higher.
type TopLists struct {
	Keys      []TopKey     `json:"keys"`
	Addresses []TopAddress `json:"addresses"`
	Networks  []TopNetwork `json:"networks"` // /24 of IPv4, /48 of IPv6
}

// TopKey is a key with how many requests of it were refused.
type TopKey struct {
	Hash  store.KeyHash `json:"hash"`
	Hint  string        `json:"hint"`
	Label string        `json:"label,omitempty"`
	Count uint64        `json:"count"`
}

// TopAddress is a client IP with how many requests from it were refused.
type TopAddress struct {
	Address netip.Addr `json:"address"`
	Count   uint64     `json:"count"`
}

// TopNetwork is a network with how many requests from it were refused.
type TopNetwork struct {
	Network netip.Prefix `json:"network"`
	Count   uint64       `json:"count"`
}

// BindingTotals are numbers of bindings.
type BindingTotals struct {
	Total    int `json:"total"` // that decide: active and banned
	Banned   int `json:"banned"`
	Archived int `json:"archived"`
	// NeverUsedAgain is how many were made more than a day ago and used less than
	// twice.
	NeverUsedAgain int `json:"neverUsedAgain"`
}

// Health says how the parts are.
type Health struct {
	Store      StoreHealth      `json:"store"`
	Downstream DownstreamHealth `json:"downstream"`
	Nodes      []Node           `json:"nodes"`
	Cluster    *Cluster         `json:"cluster,omitempty"` // nil: this is none of a cluster
}

// Node is one Sentinel.
type Node struct {
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started"`
}

// kept is a dashboard that is given out until it is too old.
type kept struct {
	dashboard Dashboard
	until     time.Time
}

// Dashboard returns what happened lately, up to 2 s old; older if it takes long
// to find out. A store that does not answer makes it incomplete, which is no
// error: the only error is that of a done context, or of an engine that ends.
// What is returned is shared with other callers, and must not be changed.
func (e *Engine) Dashboard(ctx context.Context) (Dashboard, error) {
	if k := e.dashboard.Load(); k != nil && e.now().Before(k.until) {
		return k.dashboard, nil
	}
	made := e.dashboards.DoChan("", func() (any, error) {
		// For all who wait, so not with the context of the first of them.
		ctx, cancel := context.WithTimeout(e.life, dashboardTimeout)
		defer cancel()
		return e.makeDashboard(ctx)
	})
	select {
	case r := <-made:
		if r.Err != nil {
			return Dashboard{}, r.Err
		}
		return r.Val.(Dashboard), nil // what makeDashboard returns
	case <-ctx.Done():
		return Dashboard{}, ctx.Err()
	}
}

func (e *Engine) makeDashboard(ctx context.Context) (Dashboard, error) {
	start := e.now()
	now := start.UTC()
	d := Dashboard{At: now.Truncate(time.Millisecond), Complete: true}
	check := func(doing string, err error) {
		if err != nil {
			d.Complete = false
			if e.life.Err() == nil {
				e.storeFailed(doing, err)
			}
		}
	}
	counts, err := e.readCounts(ctx, now)
	check("read counters", err)
	d.fill(counts, now)
	minutes, err := e.readMinutes(ctx, now)
	check("read counters by the minute", err)
	d.Series = minutes.series(now)
	d.TopRefused, err = e.topRefused(ctx, now)
	check("read who was refused most", err)
	d.Bindings, err = e.bindingTotals(ctx, now)
	check("count bindings", err)
	d.Health = Health{
		Store: e.storeHealth.get(), Downstream: e.downstream.look(now),
		Nodes: []Node{e.node},
	}
	c, inCluster, err := e.Cluster(ctx)
	check("look at the outbox", err)
	if inCluster {
		d.Health.Cluster = &c
	}
	if e.life.Err() != nil {
		return Dashboard{}, errClosing
	}
	end := e.now()
	e.dashboard.Store(&kept{d, end.Add(max(dashboardAge, dashboardShare*end.Sub(start)))})
	return d, nil
}

func (e *Engine) bindingTotals(ctx context.Context, now time.Time) (t BindingTotals, err error) {
	if t.Total, err = e.store.CountBindings(ctx); err != nil {
		return t, err
	}
	if t.Archived, err = e.store.CountArchived(ctx); err != nil {
		return t, err
	}
	if t.Banned, err = e.countWhere(ctx, store.BindingFilter{Status: store.StatusBanned}); err != nil {
		return t, err
	}
	dayOld := store.TimeRange{Before: now.Add(-24 * time.Hour)}
	t.NeverUsedAgain, err = e.countWhere(ctx, store.BindingFilter{Created: dayOld, HitsBelow: 2})
	return t, err
}

func (e *Engine) countWhere(ctx context.Context, f store.BindingFilter) (int, error) {
	page, err := e.store.FindBindings(ctx, store.BindingQuery{Filter: f, Limit: 1})
	return page.Total, err
}
