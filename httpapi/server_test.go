package httpapi_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/httpapi"
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
	store  store.Store
}

// newAPI returns the handlers over a downstream that answers "downstream".
func newAPI(t *testing.T, trusted, adminNetworks []netip.Prefix) parts {
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
	s := memory.New()
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
	api, err := httpapi.New(httpapi.Options{
		Engine: e, Resolver: resolver, Store: s, Proxy: p, Logger: quiet, LocalToken: localToken, AdminNetworks: adminNetworks,
	})
	must(t, err)
	return parts{api, e, s}
}

func serve(t *testing.T, l net.Listener, server *http.Server) string {
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
	withToken := http.Header{"Authorization": {"Bearer " + localToken}}
	tests := []struct {
		name, method, path string
		handler            http.Handler
		header             http.Header
		status             int
		body               string
	}{
		{"proxy", "GET", "/v1/models", p.api.Public(true), nil, 200, "downstream saw 192.0.2.1"},
		{"proxy of a dotted path", "GET", "/v1/../admin/api/logs", p.api.Public(true), nil, 200, "downstream saw 192.0.2.1"},
		{"proxy of a similar path", "GET", "/administrators", p.api.Public(true), nil, 200, "downstream saw 192.0.2.1"},
		{"health", "GET", "/health", p.api.Public(false), nil, 200, `{"status":"ok"}`},
		{"ready", "GET", "/ready", p.api.Public(false), nil, 200, `{"status":"ok","store":"ok"}`},
		{"admin hidden", "GET", "/admin/api/logs", p.api.Public(false), withToken, 404, ""},
		{"admin hidden behind an escape", "GET", "/%61dmin/api/logs", p.api.Public(false), withToken, 404, ""},
		{"admin without token", "GET", "/admin/api/logs", p.api.Public(true), nil, 401, ""},
		{"admin with another token", "GET", "/admin/api/logs", p.api.Public(true), http.Header{"Authorization": {"Bearer x"}}, 401, ""},
		{"admin with token", "GET", "/admin/api/logs", p.api.Public(true), withToken, 200, `{"items":[]}`},
		{"admin of its own", "GET", "/admin/api/logs", p.api.Admin(), withToken, 200, `{"items":[]}`},
		{"admin of its own is no proxy", "GET", "/v1/models", p.api.Admin(), withToken, 404, ""},
		{"local without token", "GET", "/admin/api/logs", p.api.Local(), nil, 200, `{"items":[]}`},
		{"unknown admin path", "GET", "/admin/x", p.api.Public(true), withToken, 404, ""},
		{"wrong method", "POST", "/admin/api/logs", p.api.Public(true), withToken, 405, ""},
		{"wrong parameter", "GET", "/admin/api/logs?limit=0", p.api.Public(true), withToken, 400, ""},
		{"unknown parameter", "GET", "/admin/api/logs?limt=1", p.api.Public(true), withToken, 400, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := do(t, test.handler, test.method, test.path, "192.0.2.1:4000", test.header)
			if w.Code != test.status || test.body != "" && w.Body.String() != test.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, test.status, test.body)
			}
		})
	}
}

func TestAdminNetworks(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	p := newAPI(t, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, networks)
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
			if w := do(t, p.api.Public(true), "GET", "/admin/api/logs", test.remote, header(test.realIP)); w.Code != test.status {
				t.Errorf("got %d, want %d", w.Code, test.status)
			}
		})
	}
}

func TestLogsAreListedNewestFirst(t *testing.T) {
	p := newAPI(t, nil, nil)
	recs := []store.Intercept{
		{At: time.UnixMilli(1000).UTC(), Reason: store.ReasonIPNotAllowed, Hash: store.KeyHash{1}, Count: 1},
		{At: time.UnixMilli(2000).UTC(), Reason: store.ReasonKeyBanned, Hash: store.KeyHash{2}, Count: 1},
	}
	must(t, p.store.PutIntercepts(t.Context(), recs))
	tests := map[string][]uint64{
		"":                                       {recs[1].ID, recs[0].ID},
		"?limit=1":                               {recs[1].ID},
		"?key_hash=" + store.KeyHash{1}.String(): {recs[0].ID},
	}
	for query, want := range tests {
		w := do(t, p.api.Local(), "GET", "/admin/api/logs"+query, "@", nil)
		var got struct{ Items []store.Intercept }
		must(t, json.Unmarshal(w.Body.Bytes(), &got))
		if len(got.Items) != len(want) {
			t.Errorf("%q: got %d records, want %d", query, len(got.Items), len(want))
			continue
		}
		for i := range want {
			if got.Items[i].ID != want[i] {
				t.Errorf("%q: record %d: got ID %d, want %d", query, i, got.Items[i].ID, want[i])
			}
		}
	}
}

func TestProxyProtocol(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	p := newAPI(t, trusted, nil)
	l := httpapi.ProxyProtocol(listen(t), p.engine)
	addr := serve(t, l, httpapi.NewServer(httpapi.ServerOptions{Handler: p.api.Public(false), Logger: quiet}))
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
	addr := serve(t, l, httpapi.NewServer(httpapi.ServerOptions{Handler: p.api.Public(false), Logger: quiet}))
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

func writeCertificate(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return certFile, keyFile
}

func servedName(t *testing.T, addr string) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // G402: the name is what the test looks at
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	must(t, err)
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestACertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, "one.example")
	certificate, err := httpapi.LoadCertificate(certFile, keyFile, quiet)
	must(t, err)
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	addr := serve(t, listen(t), httpapi.NewServer(httpapi.ServerOptions{Handler: handler, Logger: quiet, TLS: certificate.TLSConfig()}))
	if got := servedName(t, addr); got != "one.example" {
		t.Fatalf("got %q, want one.example", got)
	}
	writeCertificate(t, dir, "two.example")
	waitForName(t, addr, "two.example")
	must(t, os.WriteFile(certFile, []byte("broken"), 0o600))
	must(t, os.Chtimes(certFile, time.Now(), time.Now().Add(time.Minute)))
	certificate.LookNow()
	if got := servedName(t, addr); got != "two.example" {
		t.Errorf("got %q after the file was broken, want two.example still", got)
	}
	if _, err := httpapi.LoadCertificate(certFile, keyFile, quiet); err == nil {
		t.Error("a broken certificate was loaded at the start")
	}
}

func waitForName(t *testing.T, addr, want string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if servedName(t, addr) == want {
			return
		}
	}
	t.Fatalf("the certificate of %s was not served", want)
}
