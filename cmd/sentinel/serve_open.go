package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/container"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	"github.com/key-ip-sentinel/sentinel/httpapi"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
	rebindpage "github.com/key-ip-sentinel/sentinel/httpapi/rebind"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// firstAccount is the account whose password ADMIN_PASSWORD is.
	firstAccount = "admin"

	systemActor = "system"
)

// loadSecrets reads or makes the secrets. The HMAC secret must be the one that
// the data was made with.
func (n *node) loadSecrets(ctx context.Context) error {
	hasData, err := engine.HasSecret(ctx, n.store)
	if err != nil {
		return err
	}
	if n.secrets, err = loadSecrets(n.cfg.DataDir, n.cfg, hasData); err != nil {
		return err
	}
	for _, w := range n.secrets.Warnings {
		n.logger.Warn(w)
	}
	if len(n.secrets.Made) > 0 {
		n.logger.Info("secrets made and kept: back them up with the data", "file", filepath.Join(n.cfg.DataDir, secretsName), "settings", n.secrets.Made)
	}
	if n.cluster != nil {
		return n.claimSecrets(ctx)
	}
	return n.checkSecret(ctx)
}

// openSettings puts the runtime values that the store keeps over the settings of
// the start.
func (n *node) openSettings(ctx context.Context) error {
	r, warnings, err := openRuntimeSettings(ctx, n.store, n.cfg)
	if err != nil {
		return err
	}
	n.settings = r
	n.level.Set(r.Config().LogLevel)
	for _, w := range warnings {
		n.logger.Warn("settings: " + w)
	}
	return nil
}

// applySettings makes a change of runtime settings hold, from the next request
// on.
func (n *node) applySettings(c *Config) error {
	err := errors.Join(
		n.engine.SetPolicy(policyOf(c)), n.engine.SetRetention(retentionOf(c)), n.alerts.SetSettings(alertSettingsOf(c)),
		n.resolver.Set(clientIPOptionsOf(c)), n.api.SetAdminNetworks(c.AdminNetworks),
	)
	if err != nil {
		return err
	}
	n.level.Set(c.LogLevel)
	return nil
}

// openAlerts opens what raises alerts and delivers them.
func (n *node) openAlerts(ctx context.Context) error {
	key, oldKeys, err := n.sealKeys(alertKeyUse)
	if err != nil {
		return fmt.Errorf("key of alert channels: %w", err)
	}
	options := alert.Options{
		Documents: n.store, Logger: n.logger, Node: n.name(), Key: key, OldKeys: oldKeys, Settings: alertSettingsOf(n.settings.Config()), Now: n.clock.Now,
		Label: func(ctx context.Context, hash store.KeyHash) string {
			b, _ := n.store.Binding(ctx, hash) // without it the alert has the hint
			return b.Label
		},
	}
	if n.cluster != nil {
		return n.openSharedAlerts(ctx, options)
	}
	center, err := alert.New(ctx, options)
	if err == nil {
		n.alerts = center
	}
	return err
}

// openAccounts opens the accounts, and gives the first one the password of the
// settings.
func (n *node) openAccounts(ctx context.Context) error {
	key, oldKeys, err := n.sealKeys(accountKeyUse)
	if err != nil {
		return fmt.Errorf("key of accounts: %w", err)
	}
	failures, err := n.failures()
	if err != nil {
		return err
	}
	n.accounts, err = account.New(ctx, account.Options{
		Documents: n.store, Key: key, OldKeys: oldKeys, Logger: n.logger, OnLockout: n.alerts.Lockout, Failures: failures, Now: n.clock.Now,
	})
	if err != nil {
		return err
	}
	if n.cfg.AdminPassword == "" {
		return nil
	}
	changed, err := n.accounts.EnsurePassword(ctx, firstAccount, n.cfg.AdminPassword.Reveal())
	if n.cluster != nil && errors.Is(err, store.ErrUnavailable) {
		n.logger.Warn("the account may not have the password of ADMIN_PASSWORD: the authority is away, and the next start sees to it", "account", firstAccount, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("ADMIN_PASSWORD: %w", err)
	}
	if !changed {
		return nil
	}
	n.logger.Info("the account has the password of ADMIN_PASSWORD now, and its sessions are over", "account", firstAccount)
	return auditPassword(ctx, n.store, systemActor, firstAccount)
}

func (n *node) openHandlers(ctx context.Context, certificate *httpapi.Certificate) error {
	cfg := n.settings.Config()
	parts, err := newParts(cfg, []byte(n.secrets.HMACSecret.Reveal()))
	if err != nil {
		return err
	}
	n.limiter.Store(parts.limiter)
	gateways := container.Gateways(os.DirFS("/"), os.Environ())
	if len(gateways) > 0 {
		n.logger.Info("in a container: SENTINEL_BIND_GUARD says what happens to first uses that seem to come from its gateway", "gateways", gateways)
	}
	options := engine.Options{
		Store: n.store, Resolver: parts.resolver, Credentials: parts.credentials, Policy: policyOf(cfg), Logger: n.logger,
		Limiter: parts.limiter, CacheEntries: cfg.CacheEntries, Now: n.clock.Now,
		Retention: retentionOf(cfg), Watcher: n.alerts, NodeName: n.name(), NodeID: n.scope(), Version: currentBuild().Version,
		Gateways: gateways, Leadership: n.leadership, AllTold: n.allTold,
		OnShut:  func(ctx context.Context, hash store.KeyHash) { n.links.Shut(ctx, hash) },
		OnMoved: func(ctx context.Context, from, to store.KeyHash) { n.links.Moved(ctx, from, to) },
	}
	if n.cluster != nil {
		options.Authority = n.cluster
	}
	if n.engine, err = engine.New(options); err != nil {
		return err
	}
	if n.links, err = rebind.New(ctx, rebind.Options{Store: n.store, Keys: n.engine, Logger: n.logger, Now: n.clock.Now}); err != nil {
		return err
	}
	n.proxy, err = proxy.New(proxy.Options{
		Engine: n.engine, Downstream: cfg.DownstreamURL, Logger: n.logger, MaxBodyBytes: cfg.MaxBodyBytes,
		ConnectTimeout: cfg.ConnectTimeout, ResponseTimeout: cfg.ResponseTimeout, IdleTimeout: cfg.IdleTimeout,
	})
	if err != nil {
		return err
	}
	n.resolver = parts.resolver
	if n.api, err = n.newAPI(parts); err != nil {
		return err
	}
	n.settings.applyWith(n.applySettings)
	n.startFollowing()
	n.startTogether()
	n.addServers(n.api, certificate)
	return nil
}

// newAPI returns the handlers of all listeners.
func (n *node) newAPI(parts parts) (*httpapi.API, error) {
	token, err := writeLocalToken(n.cfg.DataDir)
	if err != nil {
		return nil, err
	}
	n.alerts.PublishTo(n.engine.Events())
	n.adminAPI, err = admin.New(admin.Options{
		Engine: n.engine, Accounts: n.accounts, Alerts: n.alerts, Resolver: parts.resolver, Store: n.store, Settings: n.settings, Logger: n.logger,
		JWTSecret: []byte(n.secrets.AdminJWTSecret.Reveal()), LocalToken: token, Version: currentBuild().Version, Maintainer: n.file,
		Node: n.name(), Nodes: n.roster, Rebind: n.links, PublicURL: func() string { return n.settings.Config().PublicURL }, SharesPublic: n.admin == nil,
		Now: n.clock.Now,
	})
	if err != nil {
		return nil, err
	}
	n.endStreams = n.adminAPI.EndStreams
	page, err := rebindpage.New(rebindpage.Options{Links: n.links, Engine: n.engine, Resolver: parts.resolver, Audit: n.store, Logger: n.logger, Now: n.clock.Now})
	if err != nil {
		return nil, err
	}
	options := httpapi.Options{
		Engine: n.engine, Resolver: parts.resolver, Store: n.store, Proxy: n.proxy, Admin: n.adminAPI, Logger: n.logger, Rebind: page,
		AdminNetworks: n.settings.Config().AdminNetworks, PublicMetrics: n.cfg.Metrics == metricsPublic, Downstream: n.reachDownstream,
	}
	if n.cluster != nil {
		options.ClockAhead = n.clock.Ahead
	}
	if n.redis != nil {
		options.Redis = n.redisHealth
	}
	return httpapi.New(options)
}

// reachDownstream connects to the downstream, and no more: what it answers is for
// those who send it requests.
func (n *node) reachDownstream(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", hostPort(n.cfg.DownstreamURL))
	if err != nil {
		return err
	}
	return conn.Close()
}

// hostPort returns where to connect to for a URL.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
