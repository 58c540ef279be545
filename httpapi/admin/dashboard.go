package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
)

// registerDashboard adds the dashboard.
func (a *API) registerDashboard() {
	handle(a, operation{
		method: http.MethodGet, path: "/dashboard", id: "get-dashboard", tag: "dashboard", role: account.Viewer,
		summary: "What happened lately, and how things are",
		about: "Up to 2 seconds old. Hours and days are those of UTC. It is made of counters, so that it costs the same however much happened. " +
			"With range, it has a series of points finer than hours as well.",
	}, a.dashboard)
	a.describeDashboard()
}

// dashboard is the engine's, with what the engine does not know of.
type dashboard struct {
	engine.Dashboard
	Health health         `json:"health"`
	Series *engine.Series `json:"series,omitempty"`
}

type health struct {
	engine.Health
	Alerts alertHealth `json:"alerts"`
}

// alertHealth is how alerts are. Unlike the rest, it is of this moment.
type alertHealth struct {
	Open     int             `json:"open" doc:"How many alerts are open."`
	Channels []channelHealth `json:"channels" doc:"Where alerts are sent to."`
	Unsaved  int             `json:"unsaved" doc:"Alerts and deliveries that the store does not have yet."`
	Missed   uint64          `json:"missed" doc:"What there was no time to look at, since the start."`
}

type channelHealth struct {
	ID        string    `json:"id" doc:"ID of the channel."`
	State     string    `json:"state" enum:"ok,off,failing,broken" doc:"off: nothing is sent to it. failing: the last attempt failed, and is made again. broken: its secrets cannot be read."`
	LastError *failure  `json:"lastError,omitempty" doc:"Why nothing is sent, or the last attempt failed."`
	LastSent  time.Time `json:"lastSent,omitzero" doc:"When something last arrived, since the start."`
	Pending   int       `json:"pending" doc:"Deliveries that wait."`
}

func (a *API) alertHealth() alertHealth {
	stats, channels := a.opts.Alerts.Stats(), a.opts.Alerts.Channels()
	h := alertHealth{Open: stats.Open, Channels: make([]channelHealth, 0, len(channels)), Unsaved: stats.Unsaved, Missed: stats.Inputs}
	for _, c := range channels {
		one := channelHealth{ID: c.ID, State: "ok", LastError: failureOf(c.LastError), LastSent: c.LastSent, Pending: c.Pending}
		switch {
		case c.Fault != "":
			one.State, one.LastError = "broken", failureOf(c.Fault)
		case !c.Enabled:
			one.State = "off"
		case c.LastError != "":
			one.State = "failing"
		}
		h.Channels = append(h.Channels, one)
	}
	return h
}

type dashboardInput struct {
	Range string `query:"range" enum:"1h,6h" doc:"Ask for a series: 1h in steps of a minute, 6h in steps of five."`
}

type dashboardOutput struct {
	Body dashboard
}

func (a *API) dashboard(ctx context.Context, _ *call, in *dashboardInput) (*dashboardOutput, error) {
	d, err := a.opts.Engine.Dashboard(ctx)
	if err != nil {
		return nil, err
	}
	orEmpty(&d.Hours)
	orEmpty(&d.Days)
	orEmpty(&d.Health.Nodes)
	for _, lists := range []*engine.TopLists{&d.TopRefused.Last24Hours, &d.TopRefused.Last7Days, &d.TopRefused.Last30Days} {
		orEmpty(&lists.Keys)
		orEmpty(&lists.Addresses)
		orEmpty(&lists.Networks)
	}
	out := dashboard{Dashboard: d, Health: health{d.Health, a.alertHealth()}}
	for _, s := range d.Series {
		if string(s.Range) == in.Range {
			out.Series = &s
		}
	}
	return &dashboardOutput{out}, nil
}

// orEmpty makes a list of none an empty one: in JSON, lists are never null.
func orEmpty[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

// dashboardDocs says in the document what the fields are, by schema.
var dashboardDocs = map[string]map[string]string{
	"Dashboard": {
		"at":       "When it was made.",
		"complete": "Whether the store answered everything; if not, some numbers are too low.",
		"today":    "Since midnight, against yesterday up to the same hour.", "last24Hours": "This hour and the 23 before it, against the 24 before these.",
		"last7Days": "The last 168 hours, against the 168 before these.", "last30Days": "The last 720 hours, against the 720 before these.",
		"hours": "The last 48 hours, oldest first; the last one still grows.", "days": "The last 30 days, oldest first; the last one still grows.",
		"series":     "Points finer than hours; only if range asks for it.",
		"topRefused": "Who was refused most, or would have been where Sentinel only observes.", "bindings": "Numbers of bindings.",
		"health": "How the parts are.",
	},
	"Period": {"since": "Its first hour.", "now": "What was counted in it.", "previous": "What was counted in as many hours before it."},
	"Totals": {
		"allowed": "Requests with a key that were let pass.", "intercepted": "Requests that a binding refused.",
		"observed": "Requests that a binding would have refused.", "bound": "Keys that were bound by a first use.",
		"unbound": "Requests let pass with a key that stayed unbound.", "anonymous": "Requests let pass without a key.",
		"downstreamFailed": "Requests that the downstream did not answer.", "rateLimited": "Requests refused for their number.",
		"failsafeOpen":   "Requests let pass because the store did not answer.",
		"failsafeClosed": "Requests refused because the store did not answer.",
	},
	"Point": {
		"at": "Its start.", "allowed": "Requests with a key that were let pass.", "intercepted": "Requests that a binding refused.",
		"bound": "Keys that were bound by a first use.", "unbound": "Requests let pass with a key that stayed unbound.",
		"downstreamFailed": "Requests that the downstream did not answer.",
	},
	"Series": {
		"range": "The period that was asked for.", "stepSeconds": "How long each step is.",
		"period": "What was counted in it, as far as that is known.", "points": "Oldest first; the last one still grows.",
	},
	"SeriesPoint": {"at": "Its start.", "counts": "What was counted in it; null: not known, such as while Sentinel did not run."},
	"SeriesCounts": {
		"allowed": "Requests with a key that were let pass.", "intercepted": "Requests that a binding refused.",
		"bound": "Keys that were bound by a first use.", "unbound": "Requests let pass with a key that stayed unbound.",
		"downstreamFailed": "Requests that the downstream did not answer.",
	},
	"TopRefused": {
		"last24Hours": "This hour and the 23 before it.", "last7Days": "Today and the 6 days before it.", "last30Days": "Today and the 29 days before it.",
	},
	"TopLists": {
		"keys": "Keys, the most refused first, up to 20.", "addresses": "Client IPs, the most refused first, up to 20.",
		"networks": "Networks (/24 of IPv4, /48 of IPv6), the most refused first, up to 20.",
	},
	"TopKey": {
		"hash": "The key hash: 64 hex digits.", "hint": "A few characters of the key.", "label": "What an administrator calls the key.",
		"count": "Requests of it that were refused; never higher than the true number.",
	},
	"TopAddress":    {"address": "The client IP.", "count": "Requests from it that were refused; never higher than the true number."},
	"TopNetwork":    {"network": "The network.", "count": "Requests from it that were refused; never higher than the true number."},
	"BindingTotals": {"total": "Bindings that decide: active and banned.", "banned": "Banned ones.", "archived": "Entries of the archive.", "neverUsedAgain": "Bindings made more than a day ago and used less than twice."},
	"Health":        {"store": "The store.", "downstream": "The downstream.", "nodes": "The Sentinels.", "cluster": "How this node stands to PostgreSQL, which the nodes of a cluster share; absent: this is none of a cluster.", "alerts": "Alerts, and the channels that they are sent to."},
	"StoreHealth":   {"ok": "Whether the store answers.", "since": "Since when that is so; at first, the start.", "lastError": "Why it last did not.", "lastErrorAt": "When it last did not."},
	"DownstreamHealth": {
		"lastAnswer": "When it last answered a request; absent: not since the start.", "lastFailure": "When it last did not; absent: always since the start.",
	},
	"Cluster": {
		"reachable": "Whether this node reaches PostgreSQL.", "lastError": "Why not.",
		"behind": "How many changes this node is known not to have yet.", "level": "When this node last had all changes; absent: never.",
		"stale":  "Whether that was so long ago that keys are not decided by what this node has, but as the failsafe mode says.",
		"outbox": "What this node has gathered and PostgreSQL does not have yet.",
	},
	"OutboxSize": {"batches": "Batches that wait.", "bytes": "Size of them.", "dropped": "Records that there was no room for."},
	"Node":       {"name": "Its name.", "version": "Its version.", "started": "When it started."},
}

// describeDashboard adds what the engine's types, which know nothing of the
// document, do not say.
func (a *API) describeDashboard() {
	schemas := a.huma.OpenAPI().Components.Schemas.Map()
	// huma has no way to say that what is a schema of its own may be null.
	points := schemas["SeriesPoint"].Properties
	points["counts"] = &huma.Schema{OneOf: []*huma.Schema{{Ref: points["counts"].Ref}, {Type: "null"}}}
	for name, fields := range dashboardDocs {
		schema, ok := schemas[name]
		if !ok {
			continue // a test finds fields that nobody describes
		}
		for field, text := range fields {
			if property := schema.Properties[field]; property != nil {
				property.Description = text
			}
		}
	}
}
