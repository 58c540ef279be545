package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority for tests"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{t: t, cert: cert, key: key, last: 1}
}

// issue writes a new certificate with its key, as a renewal does, and returns
// its serial number.
func (a *authority) issue(certFile, keyFile string) int64 {
	a.t.Helper()
	a.last++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.last), Subject: pkix.Name{CommonName: "sentinel"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(a.t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	for file, block := range map[string]*pem.Block{keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}, certFile: {Type: "CERTIFICATE", Bytes: der}} {
		must(a.t, os.WriteFile(file+".new", pem.EncodeToMemory(block), 0o600))
		must(a.t, os.Rename(file+".new", file))
	}
	return a.last
}

// client trusts the authority. It makes a new connection for each request.
func (a *authority) client(http2 bool) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Protocols: protocols, DisableKeepAlives: true,
	}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// TestTLS speaks HTTP/1.1 and HTTP/2 over it, streams over both, and renews the
// certificate.
func TestTLS(t *testing.T) {
	key := testKey(9700)
	dir, ca := t.TempDir(), newAuthority(t)
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	serial := ca.issue(certFile, keyFile)
	sentinel := startSentinel(t, startGateway(t, key).url, "SENTINEL_TLS_CERT="+certFile, "SENTINEL_TLS_KEY="+keyFile)
	for _, test := range []struct {
		http2 bool
		major int
	}{{false, 1}, {true, 2}} {
		r := withKey(t, "POST", sentinel.url+"/v1/chat/completions", key)
		r.Body = io.NopCloser(strings.NewReader(`{"model":"demo-chat","stream":true,"messages":[]}`))
		res, err := ca.client(test.http2).Do(r)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != 200 || res.ProtoMajor != test.major || !strings.HasSuffix(string(body), "data: [DONE]\n\n") {
			t.Errorf("got HTTP/%d, %d and %q, want a whole stream over HTTP/%d", res.ProtoMajor, res.StatusCode, body, test.major)
		}
		if got := servedSerial(t, ca.client(test.http2), sentinel.url); got != serial {
			t.Errorf("got certificate %d, want %d", got, serial)
		}
	}
	serial = ca.issue(certFile, keyFile)
	for end := time.Now().Add(patience); servedSerial(t, ca.client(true), sentinel.url) != serial; {
		if time.Now().After(end) {
			t.Fatal("the renewed certificate is not served")
		}
	}
	must(t, os.WriteFile(certFile, []byte("broken"), 0o600))
	for end := time.Now().Add(patience); !strings.Contains(sentinel.stderr.String(), "cannot be used, the one before stays"); {
		if got := servedSerial(t, ca.client(false), sentinel.url); got != serial {
			t.Fatalf("got certificate %d, want %d to stay", got, serial)
		}
		if time.Now().After(end) {
			t.Fatal("the log does not say that the certificate is broken")
		}
	}
	code, _, errs := runSentinel(t, "", "healthcheck", "--listen", strings.TrimPrefix(sentinel.url, "https://"), "--tls-cert", certFile, "--tls-key", keyFile)
	if code != exitOK {
		t.Errorf("healthcheck: got %d, %s", code, errs)
	}
}

func servedSerial(t *testing.T, client *http.Client, url string) int64 {
	t.Helper()
	res, err := client.Get(url + "/health")
	must(t, err)
	must(t, res.Body.Close())
	return res.TLS.PeerCertificates[0].SerialNumber.Int64()
}

// TestH2C speaks HTTP/2 without TLS, where that is switched on.
func TestH2C(t *testing.T) {
	key := testKey(9701)
	g := startGateway(t, key)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}

	sentinel := startSentinel(t, g.url, "SENTINEL_H2C=true")
	res, err := client.Do(withKey(t, "GET", sentinel.url+"/v1/models", key))
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("got %d over HTTP/%d, want 200 over HTTP/2", res.StatusCode, res.ProtoMajor)
	}
	if got := call(t, from(t, elsewhereIP), "GET", sentinel.url+"/v1/models", key, nil); got.status != http.StatusForbidden {
		t.Errorf("from elsewhere over HTTP/1.1: got %d, want 403", got.status)
	}

	without := startSentinel(t, g.url)
	if res, err := client.Do(withKey(t, "GET", without.url+"/v1/models", key)); err == nil {
		must(t, res.Body.Close())
		t.Errorf("switched off: got %d, want no answer", res.StatusCode)
	}
}

// sendRaw writes text on a new connection from the address, and returns the
// answer; nil: there was none.
func sendRaw(t *testing.T, url, from, text string) *http.Response {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, text)
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// TestPROXYProtocol has a load balancer at 127.0.0.1, which is trusted.
func TestPROXYProtocol(t *testing.T) {
	key := testKey(9702)
	environ := []string{"SENTINEL_PROXY_PROTOCOL=true", "TRUSTED_PROXY_IPS=127.0.0.1"}
	sentinel := startSentinel(t, startGateway(t, key).url, environ...)
	request := "GET /v1/models HTTP/1.1\r\nHost: h\r\nX-Real-IP: 203.0.113.1\r\nAuthorization: Bearer " + key + "\r\nConnection: close\r\n\r\n"
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x09\x7f\x00\x00\x01\x10\x00\x00\x50"
	for _, test := range []struct {
		name, from, text string
		status           int // 0: no answer
	}{
		{"first use", homeIP, "PROXY TCP4 198.51.100.9 127.0.0.1 4000 80\r\n" + request, 200},
		{"the same in version 2", homeIP, v2 + request, 200},
		{"elsewhere", homeIP, "PROXY TCP4 198.51.100.10 127.0.0.1 4000 80\r\n" + request, 403},
		{"not said", homeIP, request, 0},
		{"a client of its own", elsewhereIP, request, 403},
		{"a client that lies", elsewhereIP, "PROXY TCP4 198.51.100.9 127.0.0.1 4000 80\r\n" + request, 400},
	} {
		res := sendRaw(t, sentinel.url, test.from, test.text)
		switch {
		case res == nil && test.status != 0:
			t.Errorf("%s: got no answer, want %d", test.name, test.status)
		case res != nil && res.StatusCode != test.status && (test.status != 0 || res.StatusCode != http.StatusBadRequest):
			t.Errorf("%s: got %d, want %d", test.name, res.StatusCode, test.status)
		}
	}
	args := []string{"healthcheck", "--listen", strings.TrimPrefix(sentinel.url, "http://"), "--proxy-protocol", "--trusted-proxy-ips", "127.0.0.1"}
	if code, _, errs := runSentinel(t, "", args...); code != exitOK {
		t.Errorf("healthcheck: got %d, %s", code, errs)
	}
}

// TestATrustedProxyNamesTheClient has a proxy at 127.0.0.1 and nobody else to
// believe.
func TestATrustedProxyNamesTheClient(t *testing.T) {
	key, other := testKey(9703), testKey(9704)
	g := startGateway(t, key, other)
	sentinel := startSentinel(t, g.url, "TRUSTED_PROXY_IPS=127.0.0.1, 10.0.0.0/8")
	for _, test := range []struct {
		name, from, key string
		realIP          []string
		status          int
		sees            string // the address that the gateway is told
	}{
		{"first use", homeIP, key, []string{"198.51.100.9"}, 200, "198.51.100.9"},
		{"mapped", homeIP, key, []string{"::ffff:198.51.100.9"}, 200, "198.51.100.9"},
		{"elsewhere", homeIP, key, []string{"198.51.100.10"}, 403, ""},
		{"not said", homeIP, key, nil, 400, ""},
		{"said twice", homeIP, key, []string{"198.51.100.9", "198.51.100.9"}, 400, ""},
		{"malformed", homeIP, key, []string{"198.51.100.9x"}, 400, ""},
		{"a client that lies", elsewhereIP, key, []string{"198.51.100.9"}, 403, ""},
		{"a client that lies about its own key", elsewhereIP, other, []string{"198.51.100.9"}, 200, elsewhereIP},
	} {
		r := withKey(t, "GET", sentinel.url+"/v1/echo", test.key)
		r.Header["X-Real-Ip"] = test.realIP
		r.Header.Set("X-Forwarded-For", "203.0.113.77")
		res, err := from(t, test.from).Do(r)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != test.status || test.status == 400 && !strings.Contains(string(body), `"invalid_client_ip"`) {
			t.Errorf("%s: got %d %s, want %d", test.name, res.StatusCode, body, test.status)
		}
		var echo gateway.Echo
		if test.status != 200 {
			continue
		}
		must(t, json.Unmarshal(body, &echo))
		if got := echo.Header("X-Real-Ip") + " " + echo.Header("X-Forwarded-For"); got != test.sees+" "+test.sees {
			t.Errorf("%s: the gateway was told %q, want %s", test.name, got, test.sees)
		}
	}
	if res, err := from(t, homeIP).Get(sentinel.url + "/api/status"); err != nil || res.StatusCode != 200 {
		t.Errorf("without a key and without the header: got %v, %v, want 200", res, err)
	} else {
		must(t, res.Body.Close())
	}
}

// TestAdministrationOnAnAddressOfItsOwn is not to be found on the public one.
func TestAdministrationOnAnAddressOfItsOwn(t *testing.T) {
	key := testKey(9705)
	g := startGateway(t, key)
	data := t.TempDir()
	sentinel := startSentinel(t, g.url, "SENTINEL_ADMIN_LISTEN=127.0.0.1:0", "SENTINEL_DATA_DIR="+data)
	admin := "http://" + sentinel.stderr.waitFor(t, sentinel.ended, func(line string) (string, bool) {
		var entry struct {
			Admin string `json:"admin_address"`
		}
		return entry.Admin, json.Unmarshal([]byte(line), &entry) == nil && entry.Admin != ""
	})
	token, err := os.ReadFile(filepath.Join(data, localTokenName))
	must(t, err)
	good := strings.TrimSpace(string(token))
	for _, test := range []struct {
		url, token string
		status     int
	}{
		{sentinel.url + "/admin", good, 404},
		{sentinel.url + "/admin/", good, 404},
		{sentinel.url + "/admin/api/logs", good, 404},
		{sentinel.url + "/%61dmin/api/logs", good, 404},
		{admin + "/admin/api/logs", good, 200},
		{admin + "/admin/api/logs", "wrong", 401},
		{admin + "/v1/models", key, 404},
		{admin + "/health", key, 200},
	} {
		if got := call(t, from(t, homeIP), "GET", test.url, test.token, nil); got.status != test.status {
			t.Errorf("%s: got %d, want %d", test.url, got.status, test.status)
		}
	}
	if got := g.state("").Requests; got != 0 {
		t.Errorf("the gateway has seen %d requests, want none", got)
	}
	one := startSentinel(t, g.url, "SENTINEL_ADMIN_NETWORKS=127.0.0.2")
	for ip, want := range map[string]int{homeIP: 404, elsewhereIP: 401} {
		if got := call(t, from(t, ip), "GET", one.url+"/admin/api/logs", "wrong", nil); got.status != want {
			t.Errorf("one address, from %s: got %d, want %d", ip, got.status, want)
		}
	}
}
