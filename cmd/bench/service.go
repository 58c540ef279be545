//go:build linux

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

// Words that make this program one of its own peers.
const (
	plainProxyWord  = "plainproxy"
	authServiceWord = "authservice"
)

// runPlainProxy serves on the first argument, and forwards to the second.
func runPlainProxy(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: %s ADDRESS URL", errUsage, plainProxyWord)
	}
	to, err := url.Parse(args[1])
	if err != nil {
		return err
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return errors.New("the default transport is not net/http's")
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = connections // or most requests would open a connection
	return serveUntil(ctx, args[0], &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
		},
	})
}

// runAuthService serves on its argument what nginx's auth_request asks for: whether
// a key may be used from an address. It is what somebody would build who has no
// Sentinel: one HMAC, one map, one look at a prefix; nothing is counted or recorded.
func runAuthService(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: %s ADDRESS", errUsage, authServiceWord)
	}
	return serveUntil(ctx, args[0], newAuthService(loadedKeys, netip.PrefixFrom(home, home.BitLen())))
}

// authService has the prefix of each key by its hash.
type authService map[[sha256.Size]byte]netip.Prefix

// newAuthService knows the first n of the stored keys.
func newAuthService(n int, prefix netip.Prefix) authService {
	s := make(authService, n)
	for i := range n {
		s[hashOf(wire.Key(storedSeries, i))] = prefix
	}
	return s
}

func hashOf(key string) (h [sha256.Size]byte) {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte(key)) // never fails
	mac.Sum(h[:0])
	return h
}

func (s authService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	ip, err := netip.ParseAddr(r.Header.Get("X-Real-IP"))
	switch prefix, known := s[hashOf(key)]; {
	case !ok || err != nil || !known || !prefix.Contains(ip):
		w.WriteHeader(http.StatusForbidden)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// serveUntil serves until ctx is done.
func serveUntil(ctx context.Context, addr string, h http.Handler) error {
	server := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: headTimeout}
	go func() {
		<-ctx.Done()
		_ = server.Close() // the process ends
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
