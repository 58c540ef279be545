package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

const healthTimeout = 5 * time.Second

func newHealthcheckCommand() *cobra.Command {
	names := []string{
		"APP_PORT", "SENTINEL_LISTEN", "SENTINEL_TLS_CERT", "SENTINEL_TLS_KEY", "SENTINEL_PROXY_PROTOCOL", "TRUSTED_PROXY_IPS",
	}
	var target string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the Sentinel on this machine whether it serves: exit code 0 if so, else 1",
		Args:  noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadSome(sourcesOf(cmd), names...)
			if err != nil {
				return err
			}
			if target == "" {
				target = healthURL(cfg)
			} else if _, err := parseHTTPURL(target); err != nil {
				return usagef("--url=%q: %w; want an http:// or https:// URL, e.g. http://127.0.0.1:7000/health", target, err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return checkHealth(ctx, cfg, target)
		},
	}
	cmd.Flags().StringVar(&target, "url", "", "ask this URL, instead of /health on the address that the settings name")
	cmd.Flags().DurationVar(&timeout, "timeout", healthTimeout, "how long an answer may take")
	addSettingFlags(cmd, names...)
	return cmd
}

// healthURL returns where a Sentinel with these settings answers on this
// machine.
func healthURL(cfg *Config) string {
	host, port, _ := net.SplitHostPort(cfg.Listen)
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip.Is4() && ip.IsUnspecified():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/health"}
	if cfg.TLSCert != "" {
		u.Scheme = "https"
	}
	return u.String()
}

// checkHealth asks as the settings say, and if that fails the other way: who is
// trusted, and so who must speak the PROXY protocol, may have changed while the
// server ran.
func checkHealth(ctx context.Context, cfg *Config, target string) error {
	err := checkHealthOver(ctx, healthDialer(cfg, false), target)
	if err == nil || !cfg.ProxyProtocol {
		return err
	}
	if checkHealthOver(ctx, healthDialer(cfg, true), target) == nil {
		return nil
	}
	return err
}

func checkHealthOver(ctx context.Context, dial dialer, target string) error {
	transport := &http.Transport{
		DialContext: dial,
		// The certificate is for the name that clients use, and this asks for a
		// local address. Nothing secret is sent, and whoever can answer there
		// in the program's place can do worse.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // G402: see above
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return &usageError{err}
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("health of %s: %w", target, err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health of %s: %s", target, resp.Status)
	}
	return nil
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// healthDialer connects as the server will want it: if this machine is itself
// a trusted proxy that must speak the PROXY protocol, the connection begins
// with the form of it that a proxy's own health checks use. With inverted it
// does so if it is not.
func healthDialer(cfg *Config, inverted bool) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || !cfg.ProxyProtocol {
			return conn, err
		}
		resolver, err := clientip.New(clientip.Options{Trusted: cfg.TrustedProxies})
		if err == nil && resolver.Peer(conn.LocalAddr().String()).Trusted != inverted {
			_, err = io.WriteString(conn, "PROXY UNKNOWN\r\n")
		}
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}
