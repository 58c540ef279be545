// Package httpapi is what Sentinel speaks HTTP with: the proxy (package proxy),
// administration (package admin), health and metrics. It says which of them are
// on which listener.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/httpapi/rebind"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/ui"
)

// Options of the handlers. Those up to Logger are required.
type Options struct {
	Engine   *engine.Engine
	Resolver *clientip.Resolver
	Store    store.Store
	Proxy    http.Handler
	Admin    *admin.API
	Logger   *slog.Logger

	// Rebind is the page of re-bind links, on the public address; nil: there are none.
	Rebind http.Handler
	// AdminNetworks may reach /admin and /metrics at all; empty: every network
	// may. SetAdminNetworks replaces them.
	AdminNetworks []netip.Prefix
	// PublicMetrics has /metrics on the public address as well, before the
	// downstream's own. Nobody has to sign in there.
	PublicMetrics bool
	// Downstream asks whether the downstream can be reached; nil: /ready does not
	// speak of it. It is called once at a time, with a deadline.
	Downstream func(context.Context) error
	// Redis returns how Redis is; nil: there is none, and /ready does not speak of it.
	Redis func() store.Health
	// ClockAhead returns how far the clock of this node is ahead of that of the cluster, and
	// whether that is known; nil: it runs alone, and /ready does not speak of it.
	ClockAhead func() (d time.Duration, isKnown bool)
	// ReadyNeedsDownstream makes /ready fail without the downstream. Otherwise it
	// only says so: taking this node out of service would not bring it back, and
	// clients would get an error that says less.
	ReadyNeedsDownstream bool
}

// API holds the handlers of all listeners.
type API struct {
	opts       Options
	networks   atomic.Pointer[ipset.Set] // nil: every network
	store      *check
	downstream *check // nil: not asked
	console    *console
}

// New returns the handlers.
func New(opts Options) (*API, error) {
	if opts.Engine == nil || opts.Resolver == nil || opts.Store == nil || opts.Proxy == nil || opts.Admin == nil || opts.Logger == nil {
		return nil, errors.New("http api without engine, resolver, store, proxy, admin api or logger")
	}
	dist, err := fs.Sub(ui.Dist, "dist")
	if err != nil {
		return nil, err
	}
	a := &API{opts: opts, store: &check{ask: storeCheck(opts.Store)}}
	if a.console, err = newConsole(dist); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if opts.Downstream != nil {
		a.downstream = &check{ask: opts.Downstream}
	}
	return a, a.SetAdminNetworks(opts.AdminNetworks)
}

// SetAdminNetworks replaces the networks that may reach administration, from the
// next request on; none: every network may.
func (a *API) SetAdminNetworks(networks []netip.Prefix) error {
	if len(networks) == 0 {
		a.networks.Store(nil)
		return nil
	}
	set, err := ipset.New(networks)
	if err != nil {
		return fmt.Errorf("admin networks: %w", err)
	}
	a.networks.Store(set)
	return nil
}

// Public serves the public address: health, re-bind links, and the proxy for
// everything else.
// With withAdmin administration is there as well, otherwise /admin does not
// exist. No request that is forwarded passes the admin routes, nor the other
// way round.
func (a *API) Public(withAdmin bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case a.Proxies(path):
			a.opts.Proxy.ServeHTTP(w, r)
		case isAdmin(path) && !withAdmin:
			http.NotFound(w, r)
		case isAdmin(path):
			a.administration(w, r)
		case path == metricsPath:
			a.metrics(w, r)
		case isHealth(path):
			a.health(w, r)
		default:
			a.opts.Rebind.ServeHTTP(w, r)
		}
	})
}

// Proxies reports whether what comes for a path to the public address is forwarded.
func (a *API) Proxies(path string) bool {
	switch {
	case isAdmin(path), isHealth(path):
		return false
	case path == metricsPath:
		return !a.opts.PublicMetrics
	default:
		return a.opts.Rebind == nil || !strings.HasPrefix(path, rebind.Base)
	}
}

// Admin serves an address of administration's own.
func (a *API) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case isAdmin(path):
			a.administration(w, r)
		case path == metricsPath:
			a.metrics(w, r)
		case isHealth(path):
			a.health(w, r)
		default:
			notFound(w)
		}
	})
}

// Local serves the Unix socket in the data directory: who may open it may do
// everything, wherever they are.
func (a *API) Local() http.Handler {
	local := a.opts.Admin.Local()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case isAdmin(path):
			local.ServeHTTP(w, r)
		case path == metricsPath:
			a.opts.Admin.Metrics().ServeHTTP(w, r)
		case isHealth(path):
			a.health(w, r)
		default:
			notFound(w)
		}
	})
}

const metricsPath = "/metrics"

func isAdmin(path string) bool { return path == "/admin" || strings.HasPrefix(path, "/admin/") }

func isHealth(path string) bool { return path == "/health" || path == "/ready" }

func (a *API) administration(w http.ResponseWriter, r *http.Request) {
	if !a.allowed(r) {
		notFound(w)
		return
	}
	if isConsole(r.URL.Path) {
		a.console.ServeHTTP(w, r)
		return
	}
	a.opts.Admin.Handler().ServeHTTP(w, r)
}

func (a *API) metrics(w http.ResponseWriter, r *http.Request) {
	if !a.allowed(r) {
		notFound(w)
		return
	}
	a.opts.Admin.Metrics().ServeHTTP(w, r)
}

// allowed reports whether a request comes from the admin networks. For everybody
// else, and for those whose address cannot be told, nothing is there.
func (a *API) allowed(r *http.Request) bool {
	networks := a.networks.Load()
	if networks == nil {
		return true
	}
	ip, err := a.opts.Resolver.Resolve(a.opts.Engine.Peer(r.RemoteAddr), r.Header)
	return err == nil && networks.Contains(ip)
}

func notFound(w http.ResponseWriter) {
	admin.SetSecurityHeaders(w.Header())
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(`{"type":"about:blank","title":"Not Found","status":404,"detail":"there is nothing here","code":"not_found"}`)) // the client may have left
}
