package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/httpapi"
)

const (
	// renewBefore is how long before its end a certificate should be replaced.
	renewBefore = 14 * 24 * time.Hour
	// wideV4 and wideV6 are the longest prefixes of public addresses that are
	// doubtful as those of one's own proxies.
	wideV4, wideV6 = 16, 32

	modelsPath = "/v1/models"
)

// checkListeners tries every address that a start listens on. A server that runs
// on the data directory has them itself.
func (c *checker) checkListeners(ctx context.Context) {
	c.checkListener(ctx, "listen", c.cfg.Listen, "SENTINEL_LISTEN or APP_PORT")
	if c.cfg.AdminListen != "" {
		c.checkListener(ctx, "admin listen", c.cfg.AdminListen, "SENTINEL_ADMIN_LISTEN")
	}
}

func (c *checker) checkListener(ctx context.Context, check, address, setting string) {
	l, err := listenTCP(address, setting)
	switch {
	case err == nil && c.runs:
		_ = l.Close()
		c.warn(check, "%s is free, though a server runs on %s: it listens elsewhere", address, c.cfg.DataDir)
	case err == nil:
		_ = l.Close()
		c.ok(check, "%s is free", address)
	case !c.runs:
		c.fail(check, "%v", err)
	default:
		at := *c.cfg
		at.Listen = address
		if err := checkHealth(ctx, &at, healthURL(&at)); err != nil {
			c.fail(check, "%s is taken, and what has it does not answer as the server that runs on %s would: %v", address, c.cfg.DataDir, err)
			return
		}
		c.ok(check, "%s is the server's that runs", address)
	}
}

func (c *checker) checkCertificate(context.Context) {
	const check = "certificate"
	if c.cfg.TLSCert == "" {
		return
	}
	loaded, err := httpapi.LoadCertificate(c.cfg.TLSCert, c.cfg.TLSKey, slog.New(slog.DiscardHandler))
	if err != nil {
		c.fail(check, "%v", err)
		return
	}
	pair, err := loaded.TLSConfig().GetCertificate(nil)
	if err != nil || len(pair.Certificate) == 0 {
		c.fail(check, "%s has none", c.cfg.TLSCert)
		return
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		c.fail(check, "%s: %v", c.cfg.TLSCert, err)
		return
	}
	names := strings.Join(leaf.DNSNames, ", ")
	switch left := time.Until(leaf.NotAfter); {
	case left <= 0:
		c.fail(check, "%s has expired on %s", names, leaf.NotAfter.Format(dateForm))
	case time.Until(leaf.NotBefore) > 0:
		c.fail(check, "%s is not valid before %s", names, leaf.NotBefore.Format(dateForm))
	case left < renewBefore:
		c.warn(check, "%s expires on %s", names, leaf.NotAfter.Format(dateForm))
	default:
		c.ok(check, "%s, until %s", names, leaf.NotAfter.Format(dateForm))
	}
}

// checkDownstream connects to the gateway, and asks it for the models without a
// key, which costs nothing and which every gateway of the profiles refuses.
func (c *checker) checkDownstream(ctx context.Context) {
	const check = "downstream"
	u := c.cfg.DownstreamURL
	address := hostPort(u)
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		c.fail(check, "%s cannot be reached: %v", address, causeOf(err))
		return
	}
	remote := conn.RemoteAddr()
	_ = conn.Close()
	if c.isOwn(remote) {
		c.fail(check, "%s is where Sentinel itself listens: DOWNSTREAM_URL must name the gateway", address)
		return
	}
	c.ok(check, "%s takes connections", address)
	c.askGateway(ctx, u)
}

// isOwn reports whether an address is the one that Sentinel listens on.
func (c *checker) isOwn(remote net.Addr) bool {
	there, err := netip.ParseAddrPort(remote.String())
	host, port, splitErr := net.SplitHostPort(c.cfg.Listen)
	if err != nil || splitErr != nil || fmt.Sprint(there.Port()) != port {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
		return ip.Unmap() == there.Addr().Unmap()
	}
	if there.Addr().IsLoopback() {
		return true
	}
	addrs, _ := net.InterfaceAddrs() // none: it is another machine's
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == there.Addr().Unmap() {
			return true
		}
	}
	return false
}

func (c *checker) askGateway(ctx context.Context, u *url.URL) {
	const check = "gateway"
	target := u.JoinPath(modelsPath)
	transport := &http.Transport{Proxy: nil, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		c.fail(check, "%v", err)
		return
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		unknown, invalid := (*tls.CertificateVerificationError)(nil), x509.HostnameError{}
		if errors.As(err, &unknown) || errors.As(err, &invalid) {
			c.fail(check, "%s: its certificate is not trusted here: %v", u.Redacted(), causeOf(err))
			return
		}
		c.fail(check, "GET %s: %v", target.Redacted(), causeOf(err))
		return
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	isJSON := strings.Contains(res.Header.Get("Content-Type"), "json")
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		c.ok(check, "GET %s without a key is refused: %s", modelsPath, res.Status)
	case res.StatusCode == http.StatusOK && isJSON:
		c.warn(check, "GET %s is answered without a key: does it check keys at all?", modelsPath)
	case res.StatusCode >= 500:
		c.fail(check, "GET %s: %s: what stands there is not well", modelsPath, res.Status)
	default:
		c.warn(check, "GET %s: %s, %s: not what a gateway answers; is DOWNSTREAM_URL right?", modelsPath, res.Status, res.Header.Get("Content-Type"))
	}
}

// checkProxies tells how the client IP comes about.
func (c *checker) checkProxies(context.Context) {
	const check = "client IP"
	if len(c.cfg.TrustedProxies) == 0 {
		if host, _, _ := net.SplitHostPort(c.cfg.Listen); isLoopback(host) {
			c.warn(check, "no trusted proxy, and only this machine can connect: behind a proxy, every key would be bound to it; name it in TRUSTED_PROXY_IPS")
			return
		}
		c.ok(check, "the peer address; if a proxy or load balancer stands in front, name it in TRUSTED_PROXY_IPS")
		return
	}
	doubtful := false
	for _, p := range c.cfg.TrustedProxies {
		wide := wideV6
		if p.Addr().Is4() {
			wide = wideV4
		}
		if p.Bits() <= wide && !p.Addr().IsPrivate() && !p.Addr().IsLoopback() {
			doubtful = true
			c.warn(check, "%s in TRUSTED_PROXY_IPS are many public addresses: each of them can claim to be anybody", p)
		}
	}
	if !doubtful {
		what := "the header " + c.cfg.RealIPHeader
		if c.cfg.ProxyProtocol {
			what = "the PROXY protocol, and " + what
		}
		c.ok(check, "%s of %d trusted networks; the peer address of all others", what, len(c.cfg.TrustedProxies))
	}
}

// checkMode tells of a Sentinel that refuses nothing.
func (c *checker) checkMode(context.Context) {
	if engine.Mode(c.cfg.Mode) == engine.ModeObserve {
		c.ok("mode", "observes: what the rules would refuse is recorded, and passes (SENTINEL_MODE)")
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// checkAdmin tells who can reach administration, and whether passwords are seen
// on the way.
func (c *checker) checkAdmin(context.Context) {
	const check = "administration"
	address, name := c.cfg.Listen, "SENTINEL_LISTEN"
	if c.cfg.AdminListen != "" {
		address, name = c.cfg.AdminListen, "SENTINEL_ADMIN_LISTEN"
	}
	host, _, _ := net.SplitHostPort(address)
	switch {
	case isLoopback(host):
		c.ok(check, "only this machine can reach it (%s)", name)
	case len(c.cfg.AdminNetworks) > 0:
		c.ok(check, "%d networks can reach it (SENTINEL_ADMIN_NETWORKS)", len(c.cfg.AdminNetworks))
	default:
		c.warn(check, "everybody who can reach %s (%s) can try to sign in; limit it with SENTINEL_ADMIN_NETWORKS, or SENTINEL_ADMIN_LISTEN", address, name)
	}
	if !isLoopback(host) && c.cfg.TLSCert == "" && len(c.cfg.TrustedProxies) == 0 {
		c.warn(check, "passwords and tokens cross the network unencrypted: set SENTINEL_TLS_CERT, or put a proxy with TLS in front")
	}
	if c.cfg.Metrics == metricsPublic {
		c.warn("metrics", "everybody who can reach %s can read /metrics (SENTINEL_METRICS)", c.cfg.Listen)
	}
}
