package admin

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/key-ip-sentinel/sentinel/store"
)

// clusterCollector reads how this node of a cluster stands to the authority when it is
// asked.
type clusterCollector struct {
	api *API

	up, behind, level, stale, outbox, outboxBytes, dropped, leader, redis, ahead *prometheus.Desc
}

func newClusterCollector(a *API) *clusterCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &clusterCollector{
		api:         a,
		up:          desc("sentinel_authority_up", "Whether this node reaches PostgreSQL: 1 or 0."),
		behind:      desc("sentinel_copy_behind_changes", "How many changes the copy of this node is known not to have yet."),
		level:       desc("sentinel_copy_level_seconds", "When the copy of this node last had all changes, in Unix time; 0: never."),
		stale:       desc("sentinel_copy_stale", "Whether that was too long ago for keys to be decided by it: 1 or 0."),
		outbox:      desc("sentinel_outbox_batches", "Batches of what this node has gathered and PostgreSQL does not have yet."),
		outboxBytes: desc("sentinel_outbox_bytes", "Size of them."),
		dropped:     desc("sentinel_outbox_dropped_total", "Records that there was no room for among them."),
		leader:      desc("sentinel_leader", "Whether this node is the leader, as far as it knows: 1 or 0."),
		redis:       desc("sentinel_redis_up", "Whether this node reaches Redis: 1 or 0. Absent without one."),
		ahead:       desc("sentinel_clock_ahead_seconds", "How far the clock of this node is ahead of that of PostgreSQL. Absent while that is not known."),
	}
}

// Describe is part of prometheus.Collector.
func (c *clusterCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.behind, c.level, c.stale, c.outbox, c.outboxBytes, c.dropped, c.leader, c.redis, c.ahead} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *clusterCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	cluster, _, err := c.api.opts.Engine.Cluster(ctx)
	if err != nil {
		c.api.opts.Logger.Warn("metrics without those of the outbox", "error", err)
	}
	level := int64(0)
	if !cluster.Level.IsZero() {
		level = cluster.Level.Unix()
	}
	ch <- gaugeOf(c.up, oneIf(cluster.Reachable))
	ch <- prometheus.MustNewConstMetric(c.behind, prometheus.GaugeValue, float64(cluster.Behind))
	ch <- gaugeOf(c.level, level)
	ch <- gaugeOf(c.stale, oneIf(cluster.Stale))
	self := c.api.opts.Nodes.Self()
	ch <- gaugeOf(c.leader, oneIf(self.Leader))
	if self.Redis.State != store.HealthNone {
		ch <- gaugeOf(c.redis, oneIf(self.Redis.State == store.HealthGood))
	}
	if self.Ahead != nil {
		ch <- prometheus.MustNewConstMetric(c.ahead, prometheus.GaugeValue, self.Ahead.Seconds())
	}
	if err == nil {
		ch <- prometheus.MustNewConstMetric(c.outbox, prometheus.GaugeValue, float64(cluster.Outbox.Batches))
		ch <- prometheus.MustNewConstMetric(c.outboxBytes, prometheus.GaugeValue, float64(cluster.Outbox.Bytes))
		ch <- prometheus.MustNewConstMetric(c.dropped, prometheus.CounterValue, float64(cluster.Outbox.Dropped))
	}
}

func oneIf(is bool) int {
	if is {
		return 1
	}
	return 0
}
