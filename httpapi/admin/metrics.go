package admin

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

// metrics is what Prometheus reads. No label holds a key, an address or a path:
// those are for the log of intercepts, and would make a series each.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	logins   *prometheus.CounterVec
}

func (a *API) newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewPedanticRegistry(),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sentinel_admin_logins_total", Help: "Logins to the admin API, and confirmations of passwords that failed, by result.",
		}, []string{"result"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sentinel_build_info", Help: "Always 1; its labels say which version runs.",
		ConstLabels: prometheus.Labels{"version": a.opts.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	started := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sentinel_start_time_seconds", Help: "When this node was started, in Unix time.",
	})
	started.Set(float64(a.started.UnixMilli()) / 1000)
	for _, result := range []string{"success", "wrong_login", "wrong_code", "locked"} {
		m.logins.WithLabelValues(result)
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, started, m.logins, newEngineCollector(a), newAlertCollector(a.opts.Alerts),
	)
	if a.opts.Engine.Authority() != nil {
		m.registry.MustRegister(newClusterCollector(a))
	}
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(a.opts.Logger.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 10, EnableOpenMetrics: true,
	})
	return m
}

// Metrics serves what GET /admin/api/metrics does, to whoever asks.
func (a *API) Metrics() http.Handler { return a.metrics.handler }

func (a *API) registerMetrics() {
	handle(a, operation{
		method: http.MethodGet, path: "/metrics", id: "get-metrics", tag: tagAbout, summary: "Metrics for Prometheus",
		about: "Those of this node. With the scheme of an API token, Prometheus can read them here; an admin listener of its own has them at /metrics as well, without signing in.",
		role:  account.Viewer, content: "text/plain",
	}, func(context.Context, *call, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			c := humagin.Unwrap(ctx)
			a.metrics.handler.ServeHTTP(c.Writer, c.Request)
		}}, nil
	})
}
