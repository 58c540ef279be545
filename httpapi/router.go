// Package httpapi is what Sentinel speaks HTTP with: the proxy (package proxy),
// health, and the admin API. It is the only importer of gin.
package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Options of the handlers. All but AdminNetworks are required.
type Options struct {
	Engine   *engine.Engine
	Resolver *clientip.Resolver
	Store    store.Store
	Proxy    http.Handler
	Logger   *slog.Logger
	// LocalToken lets who can read the data directory use the admin API over
	// TCP.
	LocalToken string
	// AdminNetworks may reach /admin at all; empty: every network may.
	AdminNetworks []netip.Prefix
}

// API holds the handlers of all listeners.
type API struct {
	opts     Options
	token    [sha256.Size]byte
	networks *ipset.Set // nil: every network
	local    http.Handler
	admin    http.Handler
}

// New returns the handlers.
func New(opts Options) (*API, error) {
	if opts.Engine == nil || opts.Resolver == nil || opts.Store == nil || opts.Proxy == nil || opts.Logger == nil || opts.LocalToken == "" {
		return nil, errors.New("http api without engine, resolver, store, proxy, logger or local token")
	}
	a := &API{opts: opts, token: sha256.Sum256([]byte(opts.LocalToken))}
	if len(opts.AdminNetworks) > 0 {
		set, err := ipset.New(opts.AdminNetworks)
		if err != nil {
			return nil, err
		}
		a.networks = set
	}
	gin.SetMode(gin.ReleaseMode)
	a.admin = a.routes(a.allowNetworks, a.requireToken)
	a.local = a.routes()
	return a, nil
}

// routes is every route but the proxy's. guards stand before the admin API.
func (a *API) routes(guards ...gin.HandlerFunc) http.Handler {
	r := gin.New()
	_ = r.SetTrustedProxies(nil) // nothing here asks gin for the client IP
	r.HandleMethodNotAllowed = true
	r.Use(gin.CustomRecoveryWithWriter(nil, a.recovered))
	r.NoRoute(notFound)
	r.NoMethod(func(c *gin.Context) {
		problem(c, http.StatusMethodNotAllowed, "this path does not take "+c.Request.Method)
	})

	r.GET("/health", health)
	r.GET("/ready", a.ready)
	admin := r.Group("/admin/api", guards...)
	admin.GET("/logs", a.listLogs)
	admin.GET("/counts", a.counts)
	return r
}

// Public serves the public address: health, and the proxy for everything else.
// With withAdmin the admin API is there as well, otherwise /admin does not
// exist. No request that is forwarded passes the admin routes, nor the other
// way round.
func (a *API) Public(withAdmin bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case isAdmin(r.URL.Path) && !withAdmin:
			http.NotFound(w, r)
		case isAdmin(r.URL.Path) || isHealth(r.URL.Path):
			a.admin.ServeHTTP(w, r)
		default:
			a.opts.Proxy.ServeHTTP(w, r)
		}
	})
}

// Admin serves an address of the admin API's own.
func (a *API) Admin() http.Handler { return a.admin }

// Local serves the Unix socket in the data directory: who may open it may do
// everything.
func (a *API) Local() http.Handler { return a.local }

func isAdmin(path string) bool { return path == "/admin" || strings.HasPrefix(path, "/admin/") }

func isHealth(path string) bool { return path == "/health" || path == "/ready" }

// allowNetworks answers 404 to everybody outside the admin networks, and to
// those whose address cannot be told.
func (a *API) allowNetworks(c *gin.Context) {
	if a.networks == nil {
		return
	}
	ip, err := a.opts.Resolver.Resolve(a.opts.Engine.Peer(c.Request.RemoteAddr), c.Request.Header)
	if err != nil || !a.networks.Contains(ip) {
		notFound(c)
		c.Abort()
	}
}

func (a *API) requireToken(c *gin.Context) {
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	given := sha256.Sum256([]byte(token))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(given[:], a.token[:]) != 1 {
		c.Header("WWW-Authenticate", "Bearer")
		problem(c, http.StatusUnauthorized, "the admin API needs the local token")
		c.Abort()
	}
}

func (a *API) recovered(c *gin.Context, what any) {
	a.opts.Logger.Error("admin request panicked", "path", c.FullPath(), "panic", what)
	problem(c, http.StatusInternalServerError, "an internal error; the log has more")
	c.Abort()
}
