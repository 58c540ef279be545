package admin

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collectTimeout bounds how long a scrape waits for the store.
const collectTimeout = 2 * time.Second

// counterOf says as which counter one of the engine's counts is shown.
type counterOf struct {
	name, help string
	outcome    string // label; empty: none
}

const (
	requestsTotal = "sentinel_requests_total"
	requestsHelp  = "Requests, each counted once, by what became of them."
)

// countersOf is by the names that engine.Counts has. What it does not know is
// shown as sentinel_other_total, so that nothing gets lost.
var countersOf = map[string]counterOf{
	"allowed":             {requestsTotal, requestsHelp, "allowed"},
	"anonymous":           {requestsTotal, requestsHelp, "anonymous"},
	"intercepted":         {requestsTotal, requestsHelp, "intercepted"},
	"invalid_credential":  {requestsTotal, requestsHelp, "invalid_credential"},
	"invalid_client_ip":   {requestsTotal, requestsHelp, "invalid_client_ip"},
	"credential_required": {requestsTotal, requestsHelp, "credential_required"},
	"dashboard_refused":   {requestsTotal, requestsHelp, "dashboard_refused"},
	"rate_limited":        {requestsTotal, requestsHelp, "rate_limited"},
	"failsafe_closed":     {requestsTotal, requestsHelp, "failsafe_closed"},
	"body_too_large":      {requestsTotal, requestsHelp, "body_too_large"},
	"head_too_large":      {requestsTotal, requestsHelp, "head_too_large"},
	"client_gone":         {requestsTotal, requestsHelp, "client_gone"},
	"network_blocked":     {requestsTotal, requestsHelp, "network_blocked"},

	"observed":           {"sentinel_requests_observed_total", "Requests that a binding would have refused, had this not been observe mode.", ""},
	"unbound":            {"sentinel_requests_unbound_total", "Requests let pass with a key that stayed unbound.", ""},
	"failsafe_open":      {"sentinel_requests_failsafe_open_total", "Requests let pass although the store did not answer.", ""},
	"bound":              {"sentinel_keys_bound_total", "Keys bound by their first use.", ""},
	"learned":            {"sentinel_networks_learned_total", "Networks that rules have learned by an accepted use.", ""},
	"first_use_held":     {"sentinel_first_uses_held_total", "First uses that bound nothing, because their address is not the client's own.", ""},
	"cut":                {"sentinel_exchanges_cut_total", "Exchanges under way ended by a change of their binding.", ""},
	"downstream_failed":  {"sentinel_downstream_errors_total", "Requests to which the downstream gave no answer.", ""},
	"intercepts_dropped": {"sentinel_intercepts_dropped_total", "Refused requests of which no record could be kept.", ""},
	"hits_dropped":       {"sentinel_hits_dropped_total", "Uses of keys that could not be written.", ""},
}

// engineCollector reads the engine and the store when it is asked.
type engineCollector struct {
	api      *API
	counters map[string]*prometheus.Desc // by name of the metric
	other    *prometheus.Desc

	up, bindings, archived, size, free, housekept, hashes *prometheus.Desc
}

func newEngineCollector(a *API) *engineCollector {
	gauge := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	c := &engineCollector{
		api: a, counters: make(map[string]*prometheus.Desc),
		other:     prometheus.NewDesc("sentinel_other_total", "What is counted beside the others, by name.", []string{"name"}, nil),
		up:        gauge("sentinel_store_up", "Whether the store has answered this scrape: 1 or 0."),
		bindings:  gauge("sentinel_bindings", "Bindings there are."),
		archived:  gauge("sentinel_archived_bindings", "Entries in the archive."),
		size:      gauge("sentinel_store_size_bytes", "Size of the data file."),
		free:      gauge("sentinel_store_free_bytes", "What a compaction of the data file could give back."),
		housekept: gauge("sentinel_housekeeping_last_seconds", "When housekeeping last ended, in Unix time."),
	}
	c.hashes = prometheus.NewDesc("sentinel_bindings_of_other_hashes",
		"Bindings and entries of the archive that are not under the key hash of today, by what they are under.",
		[]string{"under"}, nil)
	for _, k := range countersOf {
		var labels []string
		if k.outcome != "" {
			labels = []string{"outcome"}
		}
		c.counters[k.name] = prometheus.NewDesc(k.name, k.help, labels, nil)
	}
	return c
}

// Describe is part of prometheus.Collector.
func (c *engineCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.counters {
		ch <- d
	}
	for _, d := range []*prometheus.Desc{c.other, c.up, c.bindings, c.archived, c.size, c.free, c.housekept, c.hashes} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *engineCollector) Collect(ch chan<- prometheus.Metric) {
	counts := c.api.opts.Engine.Counts()
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		n := float64(counts[name])
		switch k, known := countersOf[name]; {
		case !known:
			ch <- prometheus.MustNewConstMetric(c.other, prometheus.CounterValue, n, name)
		case k.outcome != "":
			ch <- prometheus.MustNewConstMetric(c.counters[k.name], prometheus.CounterValue, n, k.outcome)
		default:
			ch <- prometheus.MustNewConstMetric(c.counters[k.name], prometheus.CounterValue, n)
		}
	}
	if at, _, _ := c.api.opts.Engine.LastHousekeeping(); !at.IsZero() {
		ch <- gaugeOf(c.housekept, at.UnixMilli()/1000)
	}
	c.collectHashes(ch)
	up := 1
	if err := c.collectStore(ch); err != nil {
		c.api.opts.Logger.Warn("metrics without those of the store", "error", err)
		up = 0
	}
	ch <- gaugeOf(c.up, up)
}

func (c *engineCollector) collectHashes(ch chan<- prometheus.Metric) {
	left, _ := c.api.opts.Engine.HashesLeft() // none where the secret was never changed
	for under, n := range map[string]int{"previous": left.Previous, "as_sent": left.AsSent, "unknown": left.Unknown, "archived": left.Archived} {
		ch <- prometheus.MustNewConstMetric(c.hashes, prometheus.GaugeValue, float64(n), under)
	}
}

// collectStore sends what the store says, as far as it does.
func (c *engineCollector) collectStore(ch chan<- prometheus.Metric) error {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	bindings, err := c.api.opts.Store.CountBindings(ctx)
	if err != nil {
		return err
	}
	ch <- gaugeOf(c.bindings, bindings)
	archived, err := c.api.opts.Store.CountArchived(ctx)
	if err != nil {
		return err
	}
	ch <- gaugeOf(c.archived, archived)
	if c.api.opts.Maintainer == nil {
		return nil
	}
	size, err := c.api.opts.Maintainer.Size(ctx)
	if err != nil {
		return err
	}
	ch <- gaugeOf(c.size, size.Total)
	ch <- gaugeOf(c.free, size.Free)
	return nil
}

func gaugeOf[N int | int64](d *prometheus.Desc, n N) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
}
