package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/clock"
	"github.com/key-ip-sentinel/sentinel/engine/follow"
	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	"github.com/key-ip-sentinel/sentinel/engine/roster"
	"github.com/key-ip-sentinel/sentinel/httpapi"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/httpapi/front"
	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/redis"
	"github.com/key-ip-sentinel/sentinel/store/replica"
)

const (
	dataFileName = "sentinel.db"

	// closeTimeout bounds the end of what the grace period did not end, and the
	// last writes.
	closeTimeout = 10 * time.Second
)

// serveEnv is what serve has beside the settings.
type serveEnv struct {
	stderr io.Writer // the log
	stdout io.Writer // what a person has to know who starts it; nil: there is none
	// ready, if not nil, is told the public address once requests are served.
	ready func(addr net.Addr)
}

// serve runs Sentinel until ctx ends, and then lets what is under way finish.
func serve(ctx context.Context, cfg *Config, env serveEnv) error {
	n := newNode(cfg, env.stderr)
	// net/http writes what a downstream sends out of turn to the standard logger.
	log.SetOutput(slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug).Writer())
	log.SetFlags(0)
	if err := n.open(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			n.logger.Info("stopped before requests were served")
			err = nil
		}
		return errors.Join(err, n.close())
	}
	n.start()
	n.logStart()
	if err := n.printSetupLink(ctx, env.stdout); err != nil {
		n.logger.Error("look for accounts", "error", err)
	}
	if env.ready != nil {
		env.ready(n.public.Addr())
	}
	select {
	case <-ctx.Done():
		n.logger.Info("stopping", "under_way", n.proxy.Active(), "grace", cfg.ShutdownGrace.String())
	case <-n.failed:
	}
	err := errors.Join(n.stop(), n.close())
	n.logger.Info("stopped")
	return err
}

// newNode returns a node of which nothing is open yet.
func newNode(cfg *Config, stderr io.Writer) *node {
	n := &node{cfg: cfg, failed: make(chan struct{}), started: store.StoredTime(time.Now()), endTogether: func() {}}
	n.level.Set(cfg.LogLevel)
	n.logger = newLogger(cfg, &n.level, stderr)
	n.base, n.cancelBase = context.WithCancel(context.Background())
	return n
}

func (n *node) logStart() {
	about := []any{"version", currentBuild().Version, "address", n.public.Addr().String()}
	if n.admin != nil {
		about = append(about, "admin_address", n.admin.Addr().String())
	}
	n.logger.Info("serving", append(about, "downstream", n.cfg.DownstreamURL.Redacted(), "profile", n.cfg.CredentialProfile,
		"mode", n.settings.Config().Mode, "bindings", n.bindings)...)
}

// node is a running Sentinel. Its parts are opened in the order of the fields,
// and closed in reverse.
type node struct {
	cfg    *Config // of the start; settings has those in force
	level  slog.LevelVar
	logger *slog.Logger

	public   net.Listener
	admin    net.Listener   // nil: the admin API is on the public address
	local    net.Listener   // nil: the socket could not be made
	file     *bolt.Store    // in the data directory
	store    store.Store    // file, or cluster
	cluster  *replica.Store // nil: none
	follower *follow.Follower
	clock    *clock.Clock
	// leadership is of a cluster, or store.Alone. shared are the alerts of a cluster.
	leadership store.Leadership
	shared     *alert.Shared
	roster     *roster.Roster
	leads      atomic.Bool // as far as this node knows
	started    time.Time
	redis      *redis.Client                // nil: there is none
	told       atomic.Pointer[redis.Client] // redis, once it is there
	limiter    atomic.Pointer[ratelimit.Limiter]
	secrets    secrets
	settings   *runtimeSettings
	bindings   int
	alerts     alerts
	accounts   *account.Accounts
	engine     *engine.Engine
	links      *rebind.Links
	proxy      *proxy.Proxy
	resolver   *clientip.Resolver
	api        *httpapi.API
	adminAPI   *admin.API
	servers    []*server
	// endStreams ends what listens to events, which no grace period should wait for.
	endStreams func()

	together    sync.WaitGroup // what the nodes of a cluster do together
	endTogether context.CancelFunc

	base       context.Context // of every request
	cancelBase context.CancelFunc
	serving    sync.WaitGroup
	failOnce   sync.Once
	failed     chan struct{} // closed when a server ends by itself
	failure    error         // set before failed is closed
}

type server struct {
	*front.Server
	listener net.Listener
}

func (n *node) open(ctx context.Context) error {
	certificate, err := n.loadCertificate()
	if err != nil {
		return err
	}
	// Listen first: a port in use must leave no data directory behind.
	if err := n.listen(); err != nil {
		return err
	}
	if err := makeDataDir(n.cfg.DataDir); err != nil {
		return err
	}
	if err := n.openData(ctx); err != nil {
		return err
	}
	n.openClock(ctx)
	if err := n.loadSecrets(ctx); err != nil {
		return err
	}
	if err := n.openSettings(ctx); err != nil {
		return err
	}
	if err := errors.Join(n.openLeadership(), n.openRedis()); err != nil {
		return err
	}
	n.openRoster()
	if n.bindings, err = n.store.CountBindings(ctx); err != nil {
		return err
	}
	if err := n.openAlerts(ctx); err != nil {
		return err
	}
	if err := n.openAccounts(ctx); err != nil {
		return err
	}
	if err := n.turnToSecret(ctx); err != nil {
		return err
	}
	return n.openHandlers(ctx, certificate)
}

func (n *node) loadCertificate() (*httpapi.Certificate, error) {
	if n.cfg.TLSCert == "" {
		return nil, nil
	}
	return httpapi.LoadCertificate(n.cfg.TLSCert, n.cfg.TLSKey, n.logger)
}

func (n *node) listen() error {
	var err error
	if n.public, err = listenTCP(n.cfg.Listen, "SENTINEL_LISTEN or APP_PORT"); err != nil {
		return err
	}
	if n.cfg.AdminListen != "" {
		n.admin, err = listenTCP(n.cfg.AdminListen, "SENTINEL_ADMIN_LISTEN")
	}
	return err
}

func listenTCP(address, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: another program has this port; stop it, or set %s to another one", address, setting)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("listen on %s: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE, or set %s to another one", address, setting)
	case err != nil:
		return nil, fmt.Errorf("listen on %s (%s): %w", address, setting, err)
	}
	return l, nil
}

func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory %s (SENTINEL_DATA_DIR): %w", dir, err)
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data directory %s (SENTINEL_DATA_DIR) cannot be written by this user: %w", dir, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func openStore(dir string, logger *slog.Logger) (*bolt.Store, error) {
	s, err := bolt.Open(filepath.Join(dir, dataFileName), bolt.Options{Program: currentBuild().Version, Logger: logger})
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("%w: stop the other sentinel, or set SENTINEL_DATA_DIR to another directory than %s", err, dir)
	}
	return s, err
}

func (n *node) addServers(api *httpapi.API, certificate *httpapi.Certificate) {
	public := n.public
	if n.cfg.ProxyProtocol {
		public = httpapi.ProxyProtocol(public, n.engine)
	}
	options := httpapi.ServerOptions{Handler: api.Public(n.admin == nil), Logger: n.logger, H2C: n.cfg.H2C, Proxies: api.Proxies}
	if certificate != nil {
		options.TLS = certificate.TLSConfig()
	}
	n.addServer(public, options)
	if n.admin != nil {
		options.Handler, options.H2C, options.Proxies = api.Admin(), false, nil
		n.addServer(n.admin, options)
	}
	var err error
	if n.local, err = listenLocal(n.cfg.DataDir); err != nil {
		n.logger.Warn("commands on this machine cannot speak to this server", "error", err)
		return
	}
	n.addServer(n.local, httpapi.ServerOptions{Handler: n.withSetupLink(api.Local()), Logger: n.logger})
}

func (n *node) addServer(l net.Listener, options httpapi.ServerOptions) {
	s := httpapi.NewServer(options)
	s.BaseContext = func(net.Listener) context.Context { return n.base }
	s.RegisterOnShutdown(n.endStreams)
	n.servers = append(n.servers, &server{s, l})
}

func (n *node) start() {
	for _, s := range n.servers {
		n.serving.Go(func() {
			var err error
			if s.TLSConfig != nil {
				err = s.ServeTLS(s.listener, "", "")
			} else {
				err = s.Serve(s.listener)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				n.failOnce.Do(func() {
					n.failure = fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
					close(n.failed)
				})
			}
		})
	}
}

// stop takes no more requests, lets those under way finish within the grace
// period, and then ends them.
func (n *node) stop() error {
	grace, cancel := context.WithTimeout(context.Background(), n.cfg.ShutdownGrace)
	defer cancel()
	var draining sync.WaitGroup
	for _, s := range n.servers {
		draining.Go(func() { _ = s.Shutdown(grace) }) // out of time: ended below
	}
	draining.Wait()
	if err := n.proxy.Wait(grace); err != nil { // WebSockets
		n.logger.Warn("ending what did not finish within the grace period", "under_way", n.proxy.Active())
	}
	n.cancelBase()
	for _, s := range n.servers {
		_ = s.Close() // what is left of its connections
	}
	n.serving.Wait()
	last, cancelLast := context.WithTimeout(context.Background(), closeTimeout)
	defer cancelLast()
	if err := n.proxy.Wait(last); err != nil {
		return errors.Join(n.failure, fmt.Errorf("%d exchanges could not be ended", n.proxy.Active()))
	}
	return n.failure
}

// close closes what open has opened, as far as it came.
func (n *node) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	n.cancelBase()
	var errs []error
	if n.follower != nil {
		n.follower.Close()
	}
	if n.proxy != nil {
		n.proxy.Close()
	}
	if n.accounts != nil { // writes when tokens were last used
		errs = append(errs, n.accounts.Close(ctx))
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close(ctx))
	}
	n.endTogether()
	n.together.Wait()
	if n.alerts != nil { // hears of the engine's last records
		errs = append(errs, n.alerts.Close(ctx))
	}
	if n.roster != nil {
		n.roster.Close()
	}
	if n.clock != nil {
		n.clock.Close()
	}
	if n.redis != nil {
		errs = append(errs, n.redis.Close())
	}
	errs = n.tolerateAway(errs)
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	for _, l := range []net.Listener{n.public, n.admin, n.local} {
		if l != nil {
			_ = l.Close() // mostly closed by its server already
		}
	}
	return errors.Join(errs...)
}
