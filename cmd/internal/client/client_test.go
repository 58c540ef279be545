package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const testToken = "token-for-tests-only"

// remote returns a client of a server that a handler makes.
func remote(t *testing.T, handler http.HandlerFunc, opts ...client.Options) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.Remote(server.URL, testToken, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestDo(t *testing.T) {
	var got *http.Request
	var body string
	c := remote(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got, body = r, string(raw)
		_, _ = io.WriteString(w, `{"name":"x","unknown":1}`)
	}, client.Options{UserAgent: "sentinel/test"})
	var out struct{ Name string }
	in := map[string]int{"n": 1}
	if err := c.Do(t.Context(), http.MethodPut, "/things/a%2Fb?limit=2", in, &out); err != nil {
		t.Fatal(err)
	}
	if out.Name != "x" || body != `{"n":1}` {
		t.Errorf("got %q for the body %q", out.Name, body)
	}
	for what, pair := range map[string][2]string{
		"method": {got.Method, http.MethodPut}, "path": {got.URL.EscapedPath(), "/admin/api/things/a%2Fb"}, "query": {got.URL.RawQuery, "limit=2"},
		"token": {got.Header.Get("Authorization"), "Bearer " + testToken}, "type": {got.Header.Get("Content-Type"), "application/json"},
		"agent": {got.Header.Get("User-Agent"), "sentinel/test"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %q, want %q", what, pair[0], pair[1])
		}
	}
}

func TestAnswerWithoutABody(t *testing.T) {
	c := remote(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if err := c.Do(t.Context(), http.MethodDelete, "/x", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestProxiedPathIsKept(t *testing.T) {
	for _, suffix := range []string{"/gateway", "/gateway/", "/gateway/admin/api", "/gateway/admin/api/"} {
		var path string
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { path = r.URL.Path }))
		c, err := client.Remote(server.URL+suffix, testToken)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(t.Context(), http.MethodGet, "/about", nil, nil); err != nil || path != "/gateway/admin/api/about" {
			t.Errorf("%s: got %q, %v", suffix, path, err)
		}
		c.Close()
		server.Close()
	}
}

func TestRemoteRefuses(t *testing.T) {
	tests := []struct{ address, token, want string }{
		{"sentinel.example.com", testToken, "http:// or https://"},
		{"ftp://sentinel.example.com", testToken, "http:// or https://"},
		{"http://", testToken, "with a host"},
		{"http://name:hidden@sentinel.example.com", testToken, "user name"},
		{"http://sentinel.example.com?x=hidden", testToken, "query"},
		{"http://sentinel.example.com#hidden", testToken, "fragment"},
		{"http://hidden\x7f", testToken, "not a URL"},
		{"http://sentinel.example.com", "", "empty"},
		{"http://sentinel.example.com", " \n", "empty"},
		{"http://sentinel.example.com", "hidden\nhidden", "no token has"},
		{"http://sentinel.example.com", "hiddén", "no token has"},
		{"http://sentinel.example.com", strings.Repeat("hidden", 1000), "bytes"},
	}
	for _, test := range tests {
		_, err := client.Remote(test.address, test.token)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%.40q, %.20q: got %v, want %q and nothing secret", test.address, test.token, err, test.want)
		}
	}
}

func TestTokenMayEndInALine(t *testing.T) {
	if _, err := client.Remote("http://127.0.0.1:1", testToken+"\r\n"); err != nil {
		t.Error(err)
	}
}

// TestRedirectsAreNotFollowed has a server send the client to another one, and
// to another path of its own.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, target := range []string{elsewhere.URL + "/admin/api/x", "/elsewhere"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			c := remote(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/admin/api/x" {
					reached.Add(1)
				}
				http.Redirect(w, r, target, status)
			})
			err := c.Do(t.Context(), http.MethodPost, "/x", map[string]string{}, nil)
			var problem *client.Problem
			if !errors.As(err, &problem) || problem.Status != status || !strings.Contains(err.Error(), target) {
				t.Errorf("%d: got %v, want it to name %s", status, err, target)
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

func TestProxyOfTheEnvironmentOnlyWithTLS(t *testing.T) {
	for address, want := range map[string]bool{"http://sentinel.example.com": false, "https://sentinel.example.com": true} {
		c, err := client.Remote(address, testToken)
		if err != nil || client.UsesProxy(c) != want {
			t.Errorf("%s: got %v, %v, want %v", address, client.UsesProxy(c), err, want)
		}
	}
}

func TestSendsTokenInTheClear(t *testing.T) {
	for address, want := range map[string]bool{
		"http://sentinel.example.com": true, "http://10.0.0.5:7000": true, "https://sentinel.example.com": false,
		"http://127.0.0.1:7000": false, "http://[::1]:7000": false, "http://localhost:7000": false, "http://localhost.example.com": true,
	} {
		c, err := client.Remote(address, testToken)
		if err != nil || c.SendsTokenInTheClear() != want {
			t.Errorf("%s: got %v, %v, want %v", address, c.SendsTokenInTheClear(), err, want)
		}
	}
	if client.Local("/data").SendsTokenInTheClear() {
		t.Error("the socket sends no token")
	}
}

func TestCertificateOfAnotherAuthority(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = quiet()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	for _, test := range []struct {
		opts client.Options
		ok   bool
	}{{client.Options{RootCAs: pool}, true}, {client.Options{}, false}} {
		c, err := client.Remote(server.URL, testToken, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Do(t.Context(), http.MethodGet, "/x", nil, nil)
		if (err == nil) != test.ok || !test.ok && !errors.As(err, new(*client.UnreachableError)) {
			t.Errorf("trusted %v: got %v", test.ok, err)
		}
		c.Close()
	}
}

// socketDir returns a data directory with a short name: sockets have a limit.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestLocal(t *testing.T) {
	dir := socketDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, client.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	var header http.Header
	var path string
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { //nolint:gosec // G112: a test
		header, path = r.Header, r.URL.Path
	})}}
	server.Start()
	defer server.Close()
	c := client.Local(dir)
	defer c.Close()
	if err := c.Do(t.Context(), http.MethodGet, "/about", nil, nil); err != nil || path != "/admin/api/about" {
		t.Errorf("got %q, %v", path, err)
	}
	if got := header.Get("Authorization"); got != "" || !c.IsLocal() {
		t.Errorf("got Authorization %q on the socket", got)
	}
}

func TestLocalWithoutAServer(t *testing.T) {
	dead := socketDir(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dead, client.SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{socketDir(t), dead, "/nonexistent"} {
		err := client.Local(dir).Do(t.Context(), http.MethodGet, "/about", nil, nil)
		if !errors.As(err, new(*client.UnreachableError)) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--data-dir") {
			t.Errorf("%s: got %v, want an UnreachableError that says what to do", dir, err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	c, err := client.Remote(server.URL, testToken)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Do(t.Context(), http.MethodGet, "/bindings?text=hidden", nil, nil)
	if !errors.As(err, new(*client.UnreachableError)) || !strings.Contains(err.Error(), server.URL) ||
		strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), testToken) {
		t.Errorf("got %v, want an UnreachableError with the address and nothing else of the request", err)
	}
}

func TestContextEndsACall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := remote(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	err := c.Do(ctx, http.MethodGet, "/x", nil, nil)
	if !errors.Is(err, context.Canceled) || errors.As(err, new(*client.UnreachableError)) {
		t.Errorf("got %v, want it canceled, and the server not accused", err)
	}
}
