package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
)

// recorder is a downstream that keeps the bytes of each request's first line.
func recorder(t *testing.T) (address string, lines <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	seen := make(chan string, 1000)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				br := bufio.NewReader(conn)
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				seen <- strings.TrimRight(line, "\r\n")
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				_, _ = io.Copy(io.Discard, br) // until the proxy closes
			}()
		}
	}()
	return l.Addr().String(), seen
}

func TestMethodPathAndQueryPassByteForByte(t *testing.T) {
	address, lines := recorder(t)
	targets := []string{
		"/", "/v1/models", "/v1/models?", "/v1/models?a=b&c=%20d+e&&x", "/a%2Fb/%2e%2E/c%25", "/%e4%BD%a0", "/a//b///c/", "/./../x",
		"/a;b=c,d/e:f@g!h$i'j(k)*l", `/a"b<c>d|e\f^g` + "`{}", "/a#b?c#d", "/a[b]", "/mj/%E5%9B%BE?x=%2B%2b", "/v1beta/models/m:generateContent",
		"//double", "/caf\xc3\xa9", "/%7Euser/~user",
	}
	for _, prefix := range []string{"", "/gate%2Fway/x"} {
		s := newSite(t, nil, setup{downstream: "http://" + address + prefix})
		for _, method := range []string{"GET", "POST", "PROPFIND", "X-ODD~1"} {
			for _, target := range targets {
				res := s.rawAnswer(home, method+" "+target+" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
				if res.StatusCode != 200 {
					t.Errorf("%s %s: got %d, want 200", method, target, res.StatusCode)
					continue
				}
				if got, want := wait(t, "the request line", lines), method+" "+prefix+target+" HTTP/1.1"; got != want {
					t.Errorf("the downstream was sent %q, want %q", got, want)
				}
			}
		}
	}
}

func TestOtherRequestTargets(t *testing.T) {
	address, lines := recorder(t)
	s := newSite(t, nil, setup{downstream: "http://" + address})
	targets := map[string]string{
		"OPTIONS * HTTP/1.1":                       "OPTIONS * HTTP/1.1",
		"GET http://other/v1/a%2Fb?c HTTP/1.1":     "GET /v1/a%2Fb?c HTTP/1.1",
		"GET http://other HTTP/1.1":                "GET / HTTP/1.1",
		"GET HTTP://other:80/?k=http://x HTTP/1.1": "GET /?k=http://x HTTP/1.1",
	}
	for target, want := range targets {
		if res := s.rawAnswer(home, target+"\r\nHost: other\r\n\r\n"); res.StatusCode != 200 {
			t.Errorf("%s: got %d, want 200", target, res.StatusCode)
		} else if got := wait(t, "the request line", lines); got != want {
			t.Errorf("%s: the downstream was sent %q, want %q", target, got, want)
		}
	}
	if res := s.rawAnswer(home, "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n"); res.StatusCode != 405 {
		t.Errorf("CONNECT: got %d, want 405", res.StatusCode)
	}
	if res := s.rawAnswer(home, "GET //two\"quotes HTTP/1.1\r\nHost: h\r\n\r\n"); res.StatusCode != 400 {
		t.Errorf("a path that cannot be sent as it is: got %d, want 400", res.StatusCode)
	}
}

func TestBodiesPassByteForByte(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
		w.Header().Set("Content-Encoding", r.Header.Get("Content-Encoding"))
		_, _ = w.Write(body)
	}), setup{})
	body := make([]byte, 300_000)
	for i := range body {
		body[i] = byte(i * i >> 3)
	}
	for _, chunked := range []bool{false, true} {
		var r io.Reader = bytes.NewReader(body)
		want := fmt.Sprint(len(body))
		if chunked {
			r, want = io.MultiReader(r), "-1"
		}
		req := s.request(http.MethodPost, "/v1/echo", apiKey(1), r)
		req.Header.Set("Content-Encoding", "gzip") // which it is not, and nobody may find out
		res, err := s.client(home).Do(req)
		must(t, err)
		got, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if sha256.Sum256(got) != sha256.Sum256(body) {
			t.Errorf("chunked %v: the body came back changed", chunked)
		}
		if res.Header.Get("X-Length") != want {
			t.Errorf("chunked %v: the downstream saw a length of %s, want %s", chunked, res.Header.Get("X-Length"), want)
		}
	}
}

func TestAnswersPassAsTheyAre(t *testing.T) {
	answers := map[string]string{
		"without a content type": "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 6\r\n\r\n<html>",
		"repeated headers":       "HTTP/1.1 201 Created\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
		"not modified":           "HTTP/1.1 304 Not Modified\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nEtag: \"x\"\r\n\r\n",
		"status without a name":  "HTTP/1.1 299 Odd\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nhi",
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil, setup{downstream: rawDownstream(t, answer)})
			want, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			must(t, err)
			wantBody, err := io.ReadAll(want.Body)
			must(t, err)
			must(t, want.Body.Close())
			got := s.rawAnswer(home, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			gotBody, err := io.ReadAll(got.Body)
			must(t, err)
			if got.StatusCode != want.StatusCode || !bytes.Equal(gotBody, wantBody) {
				t.Errorf("got %d %q, want %d %q", got.StatusCode, gotBody, want.StatusCode, wantBody)
			}
			for name := range got.Header {
				if !slices.Equal(got.Header[name], want.Header[name]) {
					t.Errorf("header %s: got %q, want %q", name, got.Header[name], want.Header[name])
				}
			}
		})
	}
}

func TestHead(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1234") }), setup{})
	res, err := s.client(home).Do(s.request(http.MethodHead, "/v1/models", apiKey(1), nil))
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 200 || res.ContentLength != 1234 {
		t.Errorf("got %d with length %d, want 200 with 1234", res.StatusCode, res.ContentLength)
	}
	if status, _ := s.status(away, s.request(http.MethodHead, "/v1/models", apiKey(1), nil)); status != 403 {
		t.Errorf("refused: got %d, want 403", status)
	}
}

// What Connection names is not sent, so it is not judged either, and what is
// left is.
func TestHopByHopHeaders(t *testing.T) {
	var got http.Header
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header.Clone(); ok(w, r) }), setup{})
	s.wantGet(home, "/v1/models", apiKey(1), 200, "")
	s.wantGet(away, "/v1/models", apiKey(2), 200, "")
	text := "GET /v1/messages HTTP/1.1\r\nHost: h\r\nConnection: close, X-API-key ,authorization-not\r\nConnection: x-real-IP\r\n" +
		"Keep-Alive: 5\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\nTE: trailers\r\n" +
		"Authorization: " + apiKey(2) + "\r\nX-Api-Key: " + apiKey(1) + "\r\n\r\n"
	if res := s.rawAnswer(away, text); res.StatusCode != 200 {
		t.Fatalf("got %d, want 200: the stolen key is not sent", res.StatusCode)
	}
	for _, name := range []string{"X-Api-Key", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Connection"} {
		if _, sent := got[name]; sent {
			t.Errorf("%s was sent", name)
		}
	}
	if got.Get("X-Real-Ip") != away || got.Get("X-Forwarded-For") != away {
		t.Errorf("got X-Real-IP %q and X-Forwarded-For %q, want %s", got.Get("X-Real-Ip"), got.Get("X-Forwarded-For"), away)
	}
	text = "GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: authorization\r\nAuthorization: " + apiKey(2) + "\r\nX-Api-Key: " + apiKey(1) + "\r\n\r\n"
	if res := s.rawAnswer(away, text); res.StatusCode != 403 {
		t.Errorf("got %d, want 403: what is left to be sent is the stolen key", res.StatusCode)
	}
}

func TestForwardingHeadersSayWhatWasDecided(t *testing.T) {
	var got http.Header
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header.Clone(); ok(w, r) })
	lies := http.Header{
		"X-Real-Ip": {"192.0.2.9"}, "X-Forwarded-For": {"192.0.2.9"}, "X_Forwarded_For": {"192.0.2.9"}, "X_real-Ip": {"192.0.2.9"},
		"Forwarded": {"for=192.0.2.9"}, "Cf-Connecting-Ip": {"192.0.2.9"}, "True-Client-Ip": {"192.0.2.9"},
		"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"}, "X_api_key": {apiKey(9)},
	}
	tests := []struct {
		name, trusted, wantIP, wantProto string
	}{
		{"from a client", "", away, "http"},
		{"from a trusted proxy", "127.0.0.2/32", "192.0.2.9", "https"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, echo, setup{trusted: test.trusted})
			r := s.request(http.MethodGet, "/v1/models", apiKey(1), nil)
			for name, values := range lies {
				r.Header[name] = values
			}
			if status, code := s.status(away, r); status != 200 {
				t.Fatalf("got %d %s, want 200", status, code)
			}
			for name, want := range map[string]string{"X-Real-Ip": test.wantIP, "X-Forwarded-For": test.wantIP, "X-Forwarded-Proto": test.wantProto} {
				if !slices.Equal(got[name], []string{want}) {
					t.Errorf("%s: got %q, want %q", name, got[name], want)
				}
			}
			for _, name := range []string{"X_forwarded_for", "X_real-Ip", "Forwarded", "Cf-Connecting-Ip", "True-Client-Ip", "X_api_key"} {
				if _, sent := got[name]; sent {
					t.Errorf("%s was sent", name)
				}
			}
		})
	}
}

func TestTheClientIPBehindATrustedProxy(t *testing.T) {
	s := newSite(t, http.HandlerFunc(ok), setup{trusted: "127.0.0.3/32"})
	tests := []struct {
		name   string
		header []string
		key    string
		status int
		code   string
	}{
		{"named", []string{"192.0.2.1"}, apiKey(1), 200, ""},
		{"another one", []string{"192.0.2.2"}, apiKey(1), 403, "ip_not_allowed"},
		{"missing", nil, apiKey(1), 400, "invalid_client_ip"},
		{"missing without a key", nil, "", 200, ""},
		{"repeated", []string{"192.0.2.1", "192.0.2.1"}, apiKey(1), 400, "invalid_client_ip"},
		{"malformed", []string{"192.0.2"}, apiKey(1), 400, "invalid_client_ip"},
		{"malformed without a key", []string{"192.0.2"}, "", 400, "invalid_client_ip"},
		{"mapped", []string{"::ffff:192.0.2.1"}, apiKey(1), 200, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := s.request(http.MethodGet, "/v1/models", test.key, nil)
			r.Header["X-Real-Ip"] = test.header
			if status, code := s.status(third, r); status != test.status || code != test.code {
				t.Errorf("got %d %q, want %d %q", status, code, test.status, test.code)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		ok(w, r)
	}), setup{})
	post := func(body io.Reader) *http.Request { return s.request(http.MethodPost, "/v1/x", apiKey(1), body) }
	with := func(name string, values ...string) *http.Request {
		r := post(nil)
		r.Header[name] = values
		return r
	}
	tests := []struct {
		name   string
		r      *http.Request
		status int
		code   string
	}{
		{"body of the limit", post(bytes.NewReader(make([]byte, 1<<20))), 200, ""},
		{"body beyond the limit", post(bytes.NewReader(make([]byte, 1<<20+1))), 413, "body_too_large"},
		{"chunked body beyond the limit", post(io.MultiReader(bytes.NewReader(make([]byte, 1<<20+1)))), 413, "body_too_large"},
		{"head of more than 64 KiB", with("X-Large", strings.Repeat("a", 64<<10)), 431, "head_too_large"},
		{"credential of 60 KiB", with("Authorization", strings.Repeat("a", 60<<10)), 400, "invalid_credential"},
		{"credential twice", with("Authorization", apiKey(1), apiKey(1)), 400, "invalid_credential"},
		{"credential of 200 lines", with("X-Api-Key", strings.Split(strings.Repeat("a,", 199)+"a", ",")...), 400, "invalid_credential"},
		{"credential with full-width letters", with("Authorization", "sk-ａｂｃ"), 401, "invalid_api_key"},
		{"credential of invalid UTF-8", with("Authorization", "sk-\xff\xfe"), 401, "invalid_api_key"},
		{"NUL in the query", s.request(http.MethodGet, "/v1/models?key=%00abc", "", nil), 401, "invalid_api_key"},
		{"broken escape in the query", s.request(http.MethodGet, "/v1/models?a=%zz", "", nil), 400, "invalid_credential"},
		{"1,001 parameters", s.request(http.MethodGet, "/v1/models?"+strings.Repeat("a&", 1001), "", nil), 400, "invalid_credential"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if status, code := s.status(home, test.r); status != test.status || code != test.code {
				t.Errorf("got %d %q, want %d %q", status, code, test.status, test.code)
			}
		})
	}
	counts := s.engine.Counts()
	for name, want := range map[string]uint64{"body_too_large": 2, "head_too_large": 1, "invalid_credential": 8} {
		if counts[name] != want {
			t.Errorf("%s: got %d counted, want %d", name, counts[name], want)
		}
	}
}

func TestHTTP2(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		_, _ = io.Copy(w, r.Body)
	})
	downstream := httptest.NewUnstartedServer(echo)
	downstream.EnableHTTP2 = true
	downstream.StartTLS()
	t.Cleanup(downstream.Close)
	certificate := downstream.TLS.Certificates[0]
	u, err := url.Parse(downstream.URL)
	must(t, err)
	for _, withTLS := range []bool{true, false} {
		s := newSite(t, nil, setup{
			downstream: u.JoinPath("prefix").String(), tls: withTLS,
			server: func(server *http.Server) {
				server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
			},
			proxy: func(o *proxy.Options) { o.TLS = downstream.Client().Transport.(*http.Transport).TLSClientConfig },
		})
		transport := &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return dialer(home).DialContext(ctx, network, addr)
			},
			TLSClientConfig: downstream.Client().Transport.(*http.Transport).TLSClientConfig,
			Protocols:       new(http.Protocols),
		}
		transport.Protocols.SetHTTP2(withTLS)
		transport.Protocols.SetUnencryptedHTTP2(!withTLS)
		client := &http.Client{Transport: transport, Timeout: patience}
		res, err := client.Do(s.request(http.MethodPost, "/v1/echo", apiKey(1), strings.NewReader("hello")))
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if res.ProtoMajor != 2 || res.Header.Get("X-Proto") != "HTTP/2.0" || string(body) != "hello" {
			t.Errorf("TLS %v: got %s from Sentinel, %s at the downstream, body %q", withTLS, res.Proto, res.Header.Get("X-Proto"), body)
		}
		transport.CloseIdleConnections()
	}
}
