package admin

import (
	"github.com/prometheus/client_golang/prometheus"
)

// alertCollector reads the alerts when it is asked. Its labels are names that
// administrators have given to channels, of which there are few.
type alertCollector struct {
	alerts Alerts

	open, deliveries, pending, up, missed, unsaved *prometheus.Desc
}

func newAlertCollector(alerts Alerts) *alertCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &alertCollector{
		alerts:     alerts,
		open:       desc("sentinel_alerts_open", "Alerts that are open, by kind.", "kind"),
		deliveries: desc("sentinel_alert_deliveries_total", "Deliveries of alerts that have ended, by channel and by what became of them.", "channel", "result"),
		pending:    desc("sentinel_alert_deliveries_pending", "Deliveries of alerts that wait, by channel.", "channel"),
		up:         desc("sentinel_alert_channel_up", "Whether the last attempt arrived, and secrets can be read: 1 or 0; only of channels that are switched on.", "channel"),
		missed:     desc("sentinel_alert_inputs_dropped_total", "What may have been worth an alert, and there was no time to look at."),
		unsaved:    desc("sentinel_alert_records_unsaved", "Alerts and deliveries that the store does not have yet."),
	}
}

// Describe is part of prometheus.Collector.
func (c *alertCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.open, c.deliveries, c.pending, c.up, c.missed, c.unsaved} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *alertCollector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for kind, n := range c.alerts.OpenByKind() {
		gauge(c.open, n, string(kind))
	}
	for _, channel := range c.alerts.Channels() {
		counter(c.deliveries, channel.Delivered, channel.ID, "delivered")
		counter(c.deliveries, channel.Failed, channel.ID, "failed")
		counter(c.deliveries, channel.Dropped, channel.ID, "dropped")
		gauge(c.pending, channel.Pending, channel.ID)
		switch {
		case !channel.Enabled:
		case channel.Fault != "" || channel.LastError != "":
			gauge(c.up, 0, channel.ID)
		default:
			gauge(c.up, 1, channel.ID)
		}
	}
	stats := c.alerts.Stats()
	counter(c.missed, stats.Inputs)
	gauge(c.unsaved, stats.Unsaved)
}
