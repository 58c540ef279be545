// Package admin is the admin API: JSON under /admin/api, described by the
// OpenAPI 3.1 document that it makes of its own types. The proxy knows nothing
// of it, and no request that is forwarded comes here.
//
// Every operation is registered by handle, with the role that it needs and a
// handler that is told who calls. A handler that changes something says so to
// the audit trail before it answers.
package admin

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Base is where all paths of the API begin.
const Base = "/admin/api"

// Options of New. All up to Version are required.
type Options struct {
	Engine   *engine.Engine
	Accounts *account.Accounts
	Alerts   Alerts
	Resolver *clientip.Resolver
	Store    store.Store
	Settings Settings
	Logger   *slog.Logger
	// JWTSecret signs sessions.
	JWTSecret []byte
	// LocalToken is known to who can read the data directory, and lets them in
	// over TCP.
	LocalToken string
	// Version of the program.
	Version string

	// Rebind makes re-bind links; nil: there are none. PublicURL is how they begin,
	// empty if that is not set; SharesPublic is set if administration is at the
	// public address, which then tells how.
	Rebind       *rebind.Links
	PublicURL    func() string
	SharesPublic bool

	Maintainer store.Maintainer // nil: the store is not a file of its own
	Node       string           // name of this node; default: the host's
	Nodes      Nodes            // default: this one alone
	Now        func() time.Time // default time.Now
}

// API is the admin API. It is safe for concurrent use.
type API struct {
	opts     Options
	now      func() time.Time
	started  time.Time
	router   *gin.Engine
	huma     huma.API
	sessions *sessions
	ended    *endedSessions
	failures *failureLog
	metrics  *metrics
	streams  *streams
	works    works
}

// New returns the API.
func New(opts Options) (*API, error) {
	if opts.Engine == nil || opts.Accounts == nil || opts.Alerts == nil || opts.Resolver == nil || opts.Store == nil || opts.Settings == nil ||
		opts.Logger == nil || len(opts.JWTSecret) == 0 || opts.LocalToken == "" {
		return nil, errors.New("admin api without engine, accounts, alerts, resolver, store, settings, logger, JWT secret or local token")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Node == "" {
		opts.Node, _ = os.Hostname() // empty if it cannot be told
	}
	arraysAreNeverNull()
	a := &API{opts: opts, now: opts.Now, started: opts.Now(), ended: newEndedSessions(), failures: newFailureLog(), streams: newStreams()}
	if opts.Nodes == nil {
		a.opts.Nodes = onlyNode{a}
	}
	a.metrics = a.newMetrics()
	var err error
	if a.sessions, err = newSessions(opts.JWTSecret, opts.Now); err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	a.router = gin.New()
	if err := a.router.SetTrustedProxies(nil); err != nil { // nothing here asks gin for the client IP
		return nil, err
	}
	a.router.HandleMethodNotAllowed = true
	a.router.Use(func(c *gin.Context) { SetSecurityHeaders(c.Writer.Header()) }, gin.CustomRecoveryWithWriter(nil, a.recovered))
	a.router.NoRoute(func(c *gin.Context) { writeProblem(c, http.StatusNotFound, "not_found", "there is nothing here") })
	a.router.NoMethod(func(c *gin.Context) {
		writeProblem(c, http.StatusMethodNotAllowed, "method_not_allowed", "this path does not take "+c.Request.Method)
	})
	a.huma = humagin.New(a.router, a.config())
	a.huma.UseMiddleware(a.identify)
	a.register()
	// huma has put its own shape of errors there, which no answer has.
	delete(a.huma.OpenAPI().Components.Schemas.Map(), "ErrorModel")
	return a, nil
}

// arraysAreNeverNull is a setting of huma's that all its users share.
var arraysAreNeverNull = sync.OnceFunc(func() { huma.DefaultArrayNullable = false })

// SetSecurityHeaders sets what every answer below /admin has. The address of the
// setup page holds a token, so no address is ever told to another site.
func SetSecurityHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func (a *API) config() huma.Config {
	c := huma.DefaultConfig("Key-IP Sentinel admin API", a.opts.Version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // the document is served by an operation of its own
	c.CreateHooks = nil                                   // no $schema in answers
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{a.finishProblem}
	c.Info.Description = "Administration of Key-IP Sentinel. Every operation names the role that it needs in x-role; " +
		"a session (POST " + Base + "/login), an API token, or the Unix socket in the data directory gives one. " +
		"Errors are problem details as in RFC 9457."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "A session's JWT or an API token."},
	}
	return c
}

// register adds every operation: an index of the API.
func (a *API) register() {
	a.registerSession()
	a.registerMe()
	a.registerSecondFactor()
	a.registerSetup()
	a.registerAccounts()
	a.registerTokens()
	a.registerSettings()
	a.registerIPDoctor()
	a.registerAudit()
	a.registerAbout()
	a.registerMetrics()
	a.registerProfile()
	a.registerDashboard()
	a.registerEvents()
	a.registerBindings()
	a.registerBindingEdits()
	a.registerRebindLinks()
	a.registerBulk()
	a.registerBulkUndo()
	a.registerReplay()
	a.registerSuspicions()
	a.registerNodes()
	a.registerImport()
	a.registerExport()
	a.registerLegacyBindings()
	a.registerArchive()
	a.registerNetworks()
	a.registerBlocked()
	a.registerExceptions()
	a.registerExplain()
	a.registerLogs()
	a.registerLogExport()
	a.registerAlerts()
	a.registerAlertChannels()
	a.registerMaintenance()
	a.registerDocument()
}

// Handler serves callers who have to say who they are.
func (a *API) Handler() http.Handler { return a.router }

// Local serves the Unix socket in the data directory: who may open it may do
// everything.
func (a *API) Local() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.router.ServeHTTP(w, r.WithContext(withLocal(r.Context())))
	})
}

// OpenAPI returns the document that describes the API.
func (a *API) OpenAPI() *huma.OpenAPI { return a.huma.OpenAPI() }

func (a *API) recovered(c *gin.Context, what any) {
	a.opts.Logger.Error("admin request panicked", "path", c.FullPath(), "panic", what)
	writeProblem(c, http.StatusInternalServerError, "internal", "an internal error; the log has more")
	c.Abort()
}
