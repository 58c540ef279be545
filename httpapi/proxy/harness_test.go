package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/httpapi"
	"github.com/key-ip-sentinel/sentinel/httpapi/front"
	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// Addresses that clients call from. All of 127.0.0.0/8 is the machine's own.
const (
	home  = "127.0.0.1"
	away  = "127.0.0.2"
	third = "127.0.0.3"
)

// patience bounds a wait for something that must happen.
const patience = 20 * time.Second

// apiKey returns a key in New API's form that is nobody's.
func apiKey(n int) string { return "sk-" + strings.Repeat(fmt.Sprintf("tEst%04d", n), 6) }

// site is a Sentinel before a downstream, on real sockets.
type site struct {
	t      *testing.T
	url    string
	addr   string
	engine *engine.Engine
	store  store.Store
	server *front.Server
	keys   *credential.Reader
}

// setup is what a test wants otherwise than usual.
type setup struct {
	downstream string // a URL, where the handler is not enough
	store      store.Store
	policy     func(*engine.Policy)
	trusted    string
	header     string
	proxy      func(*proxy.Options)
	server     func(*http.Server)
	credential credential.Options
	tls        bool
}

func newSite(t *testing.T, downstream http.Handler, s setup) *site {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	if s.downstream == "" {
		d := httptest.NewServer(downstream)
		t.Cleanup(d.Close)
		s.downstream = d.URL
	}
	if s.store == nil {
		s.store = memory.New()
	}
	target, err := url.Parse(s.downstream)
	must(t, err)
	options := clientip.Options{Header: s.header}
	if s.trusted != "" {
		options.Trusted = []netip.Prefix{netip.MustParsePrefix(s.trusted)}
	}
	resolver, err := clientip.New(options)
	must(t, err)
	if s.credential.Profile == "" {
		s.credential.Profile = "newapi"
	}
	s.credential.Secret = []byte(strings.Repeat("secret for tests only ", 2))
	keys, err := credential.New(s.credential)
	must(t, err)
	policy := engine.DefaultPolicy()
	if s.policy != nil {
		s.policy(&policy)
	}
	e, err := engine.New(engine.Options{
		Store: s.store, Resolver: resolver, Credentials: keys, Policy: policy, Logger: logger, CacheEntries: 1000,
	})
	must(t, err)
	po := proxy.Options{Engine: e, Downstream: target, Logger: logger, MaxBodyBytes: 1 << 20, ConnectTimeout: patience}
	if s.proxy != nil {
		s.proxy(&po)
	}
	p, err := proxy.New(po)
	must(t, err)
	server := httpapi.NewServer(httpapi.ServerOptions{Handler: p, Logger: logger, H2C: true, Proxies: func(string) bool { return true }})
	if s.server != nil {
		s.server(server.Server)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if s.tls {
			_ = server.ServeTLS(listener, "", "")
		} else {
			_ = server.Serve(listener)
		}
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		p.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("close engine: %v", err)
		}
	})
	scheme := "http://"
	if s.tls {
		scheme = "https://"
	}
	addr := listener.Addr().String()
	return &site{t: t, url: scheme + addr, addr: addr, engine: e, store: s.store, server: server, keys: keys}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dialer dials from a local address.
func dialer(from string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
}

// client returns a client that calls from an address.
func (s *site) client(from string) *http.Client {
	transport := &http.Transport{DialContext: dialer(from).DialContext, DisableCompression: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *site) request(method, path, key string, body io.Reader) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	must(s.t, err)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return r
}

// status sends a request from an address and returns the status of the answer,
// and the code if it was Sentinel's.
func (s *site) status(from string, r *http.Request) (int, string) {
	s.t.Helper()
	res, err := s.client(from).Do(r)
	must(s.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	must(s.t, err)
	var refusal struct{ Error struct{ Code string } }
	_ = json.Unmarshal(body, &refusal) // most answers are not refusals
	return res.StatusCode, refusal.Error.Code
}

func (s *site) get(from, path, key string) (int, string) {
	s.t.Helper()
	return s.status(from, s.request(http.MethodGet, path, key, nil))
}

func (s *site) wantGet(from, path, key string, status int, code string) {
	s.t.Helper()
	gotStatus, gotCode := s.get(from, path, key)
	if gotStatus != status || gotCode != code {
		s.t.Errorf("GET %s from %s: got %d %q, want %d %q", path, from, gotStatus, gotCode, status, code)
	}
}

func (s *site) hash(key string) store.KeyHash {
	s.t.Helper()
	h, _, err := s.keys.HashKey(key)
	must(s.t, err)
	return h
}

// bound returns how many keys are bound.
func (s *site) bound() int {
	s.t.Helper()
	n, err := s.store.CountBindings(s.t.Context())
	must(s.t, err)
	return n
}

// raw sends bytes from an address, as they are, and returns the connection.
func (s *site) raw(from, text string) net.Conn {
	s.t.Helper()
	conn, err := dialer(from).DialContext(s.t.Context(), "tcp", s.addr)
	must(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	must(s.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, text)
	must(s.t, err)
	return conn
}

// rawAnswer sends bytes and reads one answer.
func (s *site) rawAnswer(from, text string) *http.Response {
	s.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(s.raw(from, text)), nil)
	must(s.t, err)
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// wait fails the test if done does not come.
func wait[T any](t *testing.T, what string, done <-chan T) T {
	t.Helper()
	select {
	case v := <-done:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v in vain for: %s", patience, what)
		panic("unreachable")
	}
}

// ok is a downstream that takes every key.
func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
