package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// Options say which keys the gateway knows and how it behaves. The zero value
// is a gateway that accepts nobody.
type Options struct {
	// Keys are the API keys as they are handed out, with or without "sk-".
	Keys []string
	// AccessTokens are personal access tokens of the dashboard.
	AccessTokens []string
	// ChunkDelay is the pause before each further event of a stream.
	ChunkDelay time.Duration
	// Legacy reads Sec-WebSocket-Protocol as releases of 2025 did: only its first
	// line, and all of that when no part of it names a key.
	Legacy bool
	// FoldCase looks keys up without regard to case, as MySQL does by default.
	FoldCase bool
}

// Gateway is an http.Handler. It is safe for concurrent use.
type Gateway struct {
	opts         Options
	routes       []route
	keys         map[string]bool
	accessTokens map[string]bool
	jwtSecret    []byte
	now          func() time.Time
	state        *state
}

// New returns a gateway. It reports keys that no client could use.
func New(opts Options) (*Gateway, error) {
	g := &Gateway{
		opts:         opts,
		keys:         make(map[string]bool),
		accessTokens: make(map[string]bool),
		jwtSecret:    []byte(rand.Text()),
		now:          time.Now,
		state:        newState(),
	}
	for i, key := range opts.Keys {
		canonical := strings.TrimPrefix(strings.TrimSpace(key), "sk-")
		if canonical == "" || strings.Contains(canonical, "-") {
			return nil, fmt.Errorf("key %d: want \"sk-\" and characters other than \"-\"", i+1)
		}
		g.keys[g.fold(canonical)] = true
	}
	for _, token := range opts.AccessTokens {
		g.accessTokens[token] = true
	}
	g.routes = g.table()
	return g, nil
}

// ServeHTTP answers one request and counts it.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/debug/state" {
		g.debugState(w, r)
		return
	}
	g.state.begin()
	defer func() { g.state.end(r.Context().Err() != nil) }()
	if r.Method == http.MethodOptions && r.Header.Get("Origin") != "" {
		preflight(w)
		return
	}
	for _, route := range g.routes {
		if route.matches(r) {
			route.handle(w, r)
			return
		}
	}
	publicPage(w, r)
}

// Serve answers requests on the listener until the context ends, then closes
// every connection at once and returns nil.
func (g *Gateway) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve gateway: %w", err)
	}
	return nil
}
