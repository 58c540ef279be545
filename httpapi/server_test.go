package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/httpapi"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/httpapi/front"
	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

const (
	patience   = 20 * time.Second
	localToken = "token for tests only"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type parts struct {
	api    *httpapi.API
	engine *engine.Engine
	store  *faultyStore
}

// noSettings is an admin.Settings without any.
type noSettings struct{}

func (noSettings) List() []admin.Setting { return []admin.Setting{} }

func (noSettings) Change(context.Context, admin.SettingsChange) (admin.ChangedSettings, error) {
	return admin.ChangedSettings{}, nil
}

// faultyStore counts probes, and lets them fail.
type faultyStore struct {
	*memory.Store
	probes atomic.Int64
	broken atomic.Bool
}

func (s *faultyStore) Probe(ctx context.Context) error {
	s.probes.Add(1)
	if s.broken.Load() {
		return store.ErrUnavailable
	}
	return s.Store.Probe(ctx)
}

// newAPI returns the handlers over a downstream that answers "downstream".
func newAPI(t *testing.T, trusted, adminNetworks []netip.Prefix, change ...func(*httpapi.Options)) parts {
	t.Helper()
	downstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "downstream saw "+r.Header.Get("X-Real-Ip"))
	}))
	t.Cleanup(downstream.Close)
	target, err := url.Parse(downstream.URL)
	must(t, err)
	resolver, err := clientip.New(clientip.Options{Trusted: trusted})
	must(t, err)
	keys, err := credential.New(credential.Options{Profile: "newapi", Secret: []byte(strings.Repeat("secret for tests only ", 2))})
	must(t, err)
	s := &faultyStore{Store: memory.New()}
	e, err := engine.New(engine.Options{
		Store: s, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(), Logger: quiet, CacheEntries: 100,
	})
	must(t, err)
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	p, err := proxy.New(proxy.Options{Engine: e, Downstream: target, Logger: quiet})
	must(t, err)
	t.Cleanup(p.Close)
	secret := []byte(strings.Repeat("secret for tests only ", 2))
	accounts, err := account.New(t.Context(), account.ForTests(account.Options{Documents: s, Key: secret[:32], Logger: quiet}))
	must(t, err)
	t.Cleanup(func() {
		if err := accounts.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	alerts, err := alert.New(t.Context(), alert.Options{Documents: s, Logger: quiet, Key: secret[:32], Settings: alert.DefaultSettings()})
	must(t, err)
	t.Cleanup(func() { must(t, alerts.Close(context.Background())) })
	administration, err := admin.New(admin.Options{
		Engine: e, Accounts: accounts, Alerts: alerts, Resolver: resolver, Store: s, Settings: noSettings{}, Logger: quiet, JWTSecret: secret, LocalToken: localToken,
	})
	must(t, err)
	opts := httpapi.Options{Engine: e, Resolver: resolver, Store: s, Proxy: p, Admin: administration, Logger: quiet, AdminNetworks: adminNetworks}
	for _, c := range change {
		c(&opts)
	}
	api, err := httpapi.New(opts)
	must(t, err)
	return parts{api, e, s}
}

func serve(t *testing.T, l net.Listener, server *front.Server) string {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if server.TLSConfig != nil {
			_ = server.ServeTLS(l, "", "")
		} else {
			_ = server.Serve(l)
		}
	}()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return l
}

func do(t *testing.T, h http.Handler, method, target, remote string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = remote
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	p := newAPI(t, nil, nil)
	open := newAPI(t, nil, nil, func(o *httpapi.Options) { o.PublicMetrics = true })
	withToken := http.Header{"Authorization": {"Bearer " + localToken}}
	tests := []struct {
		name, method, path string
		handler            http.Handler
		header             http.Header
		status             int
		body               string
	}{
		{"proxy", "GET", "/v1/models", p.api.Public(true), nil, 200, "downstream saw 192.0.2.1"},
		{"proxy of a dotted path", "GET", "/v1/../admin/api/counts", p.api.Public(true), nil, 200, "downstream saw 192.0.2.1"},
		{"proxy of a similar path", "GET", "/administrators", p.api.Public(true), nil, 200, "downstream saw 192.0.2.1"},
		{"health", "GET", "/health", p.api.Public(false), nil, 200, `{"status":"ok"}`},
		{"health with a body", "POST", "/health", p.api.Public(false), nil, 405, ""},
		{"ready", "GET", "/ready", p.api.Public(false), nil, 200, `{"status":"ok","store":"ok"}`},
		{"health on the admin address", "GET", "/health", p.api.Admin(), nil, 200, `{"status":"ok"}`},
		{"health on the socket", "GET", "/health", p.api.Local(), nil, 200, `{"status":"ok"}`},
		{"admin hidden", "GET", "/admin/api/counts", p.api.Public(false), withToken, 404, ""},
		{"admin hidden behind an escape", "GET", "/%61dmin/api/counts", p.api.Public(false), withToken, 404, ""},
		{"setup page hidden", "GET", "/admin/ui/setup?token=x", p.api.Public(false), nil, 404, ""},
		{"admin without token", "GET", "/admin/api/counts", p.api.Public(true), nil, 401, ""},
		{"admin with another token", "GET", "/admin/api/counts", p.api.Public(true), http.Header{"Authorization": {"Bearer x"}}, 401, ""},
		{"admin with token", "GET", "/admin/api/counts", p.api.Public(true), withToken, 200, ""},
		{"admin of its own", "GET", "/admin/api/counts", p.api.Admin(), withToken, 200, ""},
		{"admin of its own is no proxy", "GET", "/v1/models", p.api.Admin(), withToken, 404, ""},
		{"local without token", "GET", "/admin/api/counts", p.api.Local(), nil, 200, ""},
		{"local is no proxy", "GET", "/v1/models", p.api.Local(), nil, 404, ""},
		{"setup page", "GET", "/admin/ui/setup?token=x", p.api.Public(true), nil, 200, ""},
		{"unknown admin path", "GET", "/admin/x", p.api.Public(true), withToken, 404, ""},
		{"wrong method", "POST", "/admin/api/counts", p.api.Public(true), withToken, 405, ""},
		{"metrics are the downstream's", "GET", "/metrics", p.api.Public(true), nil, 200, "downstream saw 192.0.2.1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := do(t, test.handler, test.method, test.path, "192.0.2.1:4000", test.header)
			if w.Code != test.status || test.body != "" && w.Body.String() != test.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, test.status, test.body)
			}
		})
	}
	for name, handler := range map[string]http.Handler{
		"admin address": p.api.Admin(), "socket": p.api.Local(), "public address when asked": open.api.Public(false),
	} {
		w := do(t, handler, "GET", "/metrics", "192.0.2.1:4000", nil)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "sentinel_requests_total") {
			t.Errorf("metrics on the %s: got %d %.100q", name, w.Code, w.Body)
		}
	}
}

func TestAdminNetworks(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	p := newAPI(t, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, networks, func(o *httpapi.Options) { o.PublicMetrics = true })
	header := func(realIP string) http.Header {
		h := http.Header{"Authorization": {"Bearer " + localToken}}
		if realIP != "" {
			h.Set("X-Real-IP", realIP)
		}
		return h
	}
	tests := []struct {
		name, remote, realIP string
		status               int
	}{
		{"inside", "198.51.100.7:1", "", 200},
		{"outside", "203.0.113.7:1", "", 404},
		{"outside and lying", "203.0.113.7:1", "198.51.100.7", 404},
		{"inside by proxy", "192.0.2.1:1", "198.51.100.7", 200},
		{"outside by proxy", "192.0.2.1:1", "203.0.113.7", 404},
		{"proxy without header", "192.0.2.1:1", "", 404},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/admin/api/counts", "/admin/ui/setup?token=x", "/metrics"} {
				w := do(t, p.api.Public(true), "GET", path, test.remote, header(test.realIP))
				if w.Code != test.status {
					t.Errorf("%s: got %d, want %d", path, w.Code, test.status)
				}
				if path != "/metrics" && w.Header().Get("Referrer-Policy") != "no-referrer" {
					t.Errorf("%s: answered without the security headers", path)
				}
			}
		})
	}
}

// TestReady: what fails is said, and what it means for this node.
func TestReady(t *testing.T) {
	broken := func(context.Context) error { return errors.New("connection refused") }
	tests := []struct {
		name   string
		store  bool // broken
		change func(*httpapi.Options)
		status int
		body   string
	}{
		{"downstream there", false, func(o *httpapi.Options) { o.Downstream = func(context.Context) error { return nil } }, 200, `{"status":"ok","store":"ok","downstream":"ok"}`},
		{"downstream away", false, func(o *httpapi.Options) { o.Downstream = broken }, 200, `{"status":"ok","store":"ok","downstream":"unreachable"}`},
		{"downstream away, and needed", false, func(o *httpapi.Options) { o.Downstream, o.ReadyNeedsDownstream = broken, true }, 503, `{"status":"unavailable","store":"ok","downstream":"unreachable"}`},
		{"store takes no writes", true, func(*httpapi.Options) {}, 503, `{"status":"unavailable","store":"unavailable"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newAPI(t, nil, nil, test.change)
			p.store.broken.Store(test.store)
			w := do(t, p.api.Public(false), "GET", "/ready", "192.0.2.1:4000", nil)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, test.status, test.body)
			}
			if w := do(t, p.api.Public(false), "GET", "/health", "192.0.2.1:4000", nil); w.Code != 200 {
				t.Errorf("health: got %d, want 200 all the same", w.Code)
			}
		})
	}
}

// TestReadyAsksNowAndThen: anybody may ask, and each question is a durable write.
func TestReadyAsksNowAndThen(t *testing.T) {
	var asked atomic.Int64
	p := newAPI(t, nil, nil, func(o *httpapi.Options) {
		o.Downstream = func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("asked without a deadline")
			}
			asked.Add(1)
			return nil
		}
	})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { do(t, p.api.Public(false), "GET", "/ready", "192.0.2.1:4000", nil) })
	}
	all.Wait()
	if probes, asked := p.store.probes.Load(), asked.Load(); probes != 1 || asked != 1 {
		t.Errorf("got %d probes of the store and %d of the downstream, want 1 and 1", probes, asked)
	}
}

func TestProxyProtocol(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	p := newAPI(t, trusted, nil)
	l := httpapi.ProxyProtocol(listen(t), p.engine)
	addr := serve(t, l, httpapi.NewServer(httpapi.ServerOptions{Handler: p.api.Public(false), Proxies: p.api.Proxies, Logger: quiet}))
	const request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x09\x7f\x00\x00\x01\x10\x00\x00\x50"
	tests := []struct {
		name, from, sent string
		want             string // in the answer; empty: no answer
	}{
		{"version 1 from a trusted proxy", "127.0.0.2", "PROXY TCP4 198.51.100.9 127.0.0.1 4000 80\r\n" + request, "downstream saw 198.51.100.9"},
		{"version 2 from a trusted proxy", "127.0.0.2", v2 + request, "downstream saw 198.51.100.9"},
		{"IPv6", "127.0.0.2", "PROXY TCP6 2001:db8::9 2001:db8::1 4000 80\r\n" + request, "downstream saw 2001:db8::9"},
		{"missing from a trusted proxy", "127.0.0.2", request, ""},
		{"malformed from a trusted proxy", "127.0.0.2", "PROXY TCP4 198.51.100.999 127.0.0.1 4000 80\r\n" + request, ""},
		{"none from a client", "127.0.0.1", request, "downstream saw 127.0.0.1"},
		{"version 1 from a client", "127.0.0.1", "PROXY TCP4 198.51.100.9 127.0.0.1 4000 80\r\n" + request, "400 Bad Request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(test.from)}}
			conn, err := d.DialContext(t.Context(), "tcp", addr)
			must(t, err)
			defer func() { _ = conn.Close() }()
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err = io.WriteString(conn, test.sent)
			must(t, err)
			got, err := io.ReadAll(bufio.NewReader(conn))
			if test.want == "" {
				if len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 400") {
					t.Errorf("got %q, want no answer", got)
				}
				return
			}
			must(t, err)
			if !strings.Contains(string(got), test.want) {
				t.Errorf("got %q, want %q in it", got, test.want)
			}
		})
	}
}

// A peer that connects and sends nothing must not hold up the others.
func TestProxyProtocolDoesNotHoldUpAccept(t *testing.T) {
	p := newAPI(t, []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, nil)
	l := httpapi.ProxyProtocol(listen(t), p.engine)
	addr := serve(t, l, httpapi.NewServer(httpapi.ServerOptions{Handler: p.api.Public(false), Proxies: p.api.Proxies, Logger: quiet}))
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}
	silent, err := d.DialContext(t.Context(), "tcp", addr)
	must(t, err)
	defer func() { _ = silent.Close() }()
	client := &http.Client{Timeout: patience}
	res, err := client.Get("http://" + addr + "/health")
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 200 {
		t.Errorf("got %d, want 200", res.StatusCode)
	}
}
