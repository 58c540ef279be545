package downstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

// once answers the first request of each connection with the bytes given, and
// closes.
func once(answer string) script {
	return func(_ int, conn net.Conn, in *bufio.Reader) {
		if _, _, ok := read(in); ok {
			_, _ = io.WriteString(conn, answer)
		}
	}
}

func TestAnswersThatHTTPDoesNotKnow(t *testing.T) {
	tests := map[string]string{
		"nothing":                  "",
		"no HTTP":                  "hello\r\n\r\n",
		"half a head":              "HTTP/1.1 200 OK\r\nContent-Le",
		"two lengths":              "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"negative length":          "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
		"unasked upgrade":          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
		"endless head":             "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", downstream.MaxHeadBytes),
		"endless informative ones": strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", downstream.MaxHeadBytes/30),
		"short body":               "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
		"short chunk":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
		"no last chunk":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
		"bad chunk size":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n",
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, downstream.Options{}, once(answer))
			if res, body, err := s.send(s.request("GET", "/", nil)); err == nil {
				t.Errorf("got %d %q, want an error", res.StatusCode, body)
			}
		})
	}
}

func TestAnswersOfAllForms(t *testing.T) {
	tests := map[string]struct {
		method, answer string
		status         int
		body           string
	}{
		"length":         {"GET", okAnswer, 200, "ok"},
		"chunks":         {"GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "1", "o", "1", "k", "0", "", ""), 200, "ok"},
		"until closed":   {"GET", "HTTP/1.1 200 OK\r\n\r\nok", 200, "ok"},
		"HTTP/1.0":       {"GET", "HTTP/1.0 200 OK\r\n\r\nok", 200, "ok"},
		"HEAD":           {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 200, ""},
		"204":            {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		"304":            {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", 304, ""},
		"empty":          {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, ""},
		"continue first": {"POST", "HTTP/1.1 100 Continue\r\n\r\n" + okAnswer, 200, "ok"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, downstream.Options{}, once(test.answer))
			s.want(s.request(test.method, "/", nil), test.status, test.body)
		})
	}
}

func TestInformationalAnswersAndTrailers(t *testing.T) {
	s := newSite(t, downstream.Options{}, once(lines("HTTP/1.1 103 Early Hints", "Link: </style.css>", "",
		"HTTP/1.1 102 Processing", "", "HTTP/1.1 200 OK", "Trailer: X-Sum", "Transfer-Encoding: chunked", "", "2", "ok", "0", "X-Sum: 42", "", "")))
	r := s.request("GET", "/", nil)
	var got []string
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			got = append(got, fmt.Sprint(code, header.Get("Link")))
			return nil
		},
	}))
	res, body, err := s.send(r)
	must(t, err)
	if want := []string{"103</style.css>", "102"}; !slices.Equal(got, want) {
		t.Errorf("informational: got %q, want %q", got, want)
	}
	if body != "ok" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("got %q with trailers %v", body, res.Trailer)
	}
}

func TestWhatIsUnusualGoesToTheFallback(t *testing.T) {
	s := newSite(t, downstream.Options{}, answering(okAnswer))
	for name, change := range map[string]func(*http.Request){
		"upgrade": func(r *http.Request) { r.Header.Set("Upgrade", "websocket") },
		"expect":  func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
		"trailer": func(r *http.Request) { r.Trailer = http.Header{"X": nil} },
		"https":   func(r *http.Request) { r.URL.Scheme = "https" },
		"connect": func(r *http.Request) { r.Method = http.MethodConnect },
	} {
		r := s.request("POST", "/", strings.NewReader("body"))
		change(r)
		if _, _, err := s.send(r); !errors.Is(err, errFallback) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A line break would begin another header, or another request.
func TestNothingIsSentThatHTTPDoesNotAllow(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"header value": func(r *http.Request) { r.Header["X"] = []string{"a\r\nX-Api-Key: b"} },
		"header name":  func(r *http.Request) { r.Header["X: a\r\nY"] = []string{"b"} },
		"host":         func(r *http.Request) { r.Host = "h\r\nX: a" },
		"method":       func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX: a\r\n\r\nGET" },
		"target":       func(r *http.Request) { r.URL.Opaque = "/a HTTP/1.1\r\nX: a\r\n\r\nGET /b" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, downstream.Options{}, func(_ int, _ net.Conn, in *bufio.Reader) {
				if b, err := in.ReadByte(); err == nil {
					t.Errorf("the downstream got %q", b)
				}
			})
			r := s.request("GET", "/", nil)
			change(r)
			if _, _, err := s.send(r); err == nil {
				t.Error("got no error")
			}
		})
	}
}

// The downstream gets what http.Transport would send it.
func TestRequestsAreThoseOfNetHTTP(t *testing.T) {
	type got struct {
		method, target, host, body string
		length                     int64
		encoding                   []string
		header                     http.Header
	}
	var last got
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		last = got{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.TransferEncoding, r.Header}
	}))
	defer server.Close()
	own, err := downstream.New(downstream.Options{Address: server.Listener.Addr().String(), Fallback: fallback{}, MaxIdle: 1})
	must(t, err)
	defer own.CloseIdleConnections()
	general := &http.Transport{DisableCompression: true}
	defer general.CloseIdleConnections()
	header := http.Header{"Accept": {"a", "b"}, "User-Agent": {""}, "X-Empty": {""}, "Cookie": {"c=d"}, "Te": {"trailers"}}
	for _, test := range []struct {
		method, url string
		body        func() io.Reader
		length      int64
	}{
		{"GET", "/v1/models?a=b&c=%20", nil, 0},
		{"GET", "/a%2Fb//c?", nil, 0},
		{"HEAD", "/", nil, 0},
		{"POST", "/", nil, 0},
		{"DELETE", "/", nil, 0},
		{"POST", "/", func() io.Reader { return strings.NewReader("body") }, 4},
		{"POST", "/", func() io.Reader { return strings.NewReader(strings.Repeat("body", 20_000)) }, 80_000},
		{"PUT", "/", func() io.Reader { return io.MultiReader(strings.NewReader("unknown")) }, -1},
		{"PROPFIND", "/", func() io.Reader { return strings.NewReader("x") }, 1},
	} {
		var results [2]got
		for i, transport := range []http.RoundTripper{own, general} {
			var body io.Reader
			if test.body != nil {
				body = test.body()
			}
			r, err := http.NewRequestWithContext(t.Context(), test.method, server.URL+test.url, body)
			must(t, err)
			r.ContentLength, r.Header = test.length, header
			res, err := transport.RoundTrip(r)
			must(t, err)
			must(t, res.Body.Close())
			results[i] = last
		}
		if g, w := fmt.Sprintf("%+v", results[0]), fmt.Sprintf("%+v", results[1]); g != w {
			t.Errorf("%s %s:\n got %.400s\nwant %.400s", test.method, test.url, g, w)
		}
	}
}

// The end of the caller's patience reaches the downstream at once, whatever the
// exchange is doing.
func TestCancelling(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"} {
		t.Run(answer, func(t *testing.T) {
			asked, closed := make(chan struct{}), make(chan struct{})
			s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
				_, _, _ = read(in)
				_, _ = io.WriteString(conn, answer)
				close(asked)
				waitClosed(t, conn)
				close(closed)
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-asked; cancel() }()
			_, _, err := s.send(s.request("GET", "/", nil).WithContext(ctx))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			<-closed
		})
	}
}

// It does so also while the caller has the answer, and does not read it.
func TestCancellingWhileNobodyReads(t *testing.T) {
	closed := make(chan struct{})
	s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
		_, _, _ = read(in)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
		waitClosed(t, conn)
		close(closed)
	})
	ctx, cancel := context.WithCancel(t.Context())
	res, err := s.transport.RoundTrip(s.request("GET", "/", nil).WithContext(ctx))
	must(t, err)
	cancel()
	<-closed
	must(t, res.Body.Close())
}

func TestResponseTimeout(t *testing.T) {
	for name, body := range map[string]io.Reader{"without a body": nil, "with a body": strings.NewReader("body")} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, downstream.Options{ResponseTimeout: time.Millisecond}, func(_ int, conn net.Conn, in *bufio.Reader) {
				_, _, _ = read(in)
				waitClosed(t, conn)
			})
			if _, _, err := s.send(s.request("POST", "/", body)); !isTimeout(err) {
				t.Errorf("got %v, want a timeout", err)
			}
		})
	}
}

// The time runs from the end of the request to the head of the answer, and not
// beyond either.
func TestResponseTimeoutIsOfTheHeadAlone(t *testing.T) {
	const limit = 200 * time.Millisecond
	s := newSite(t, downstream.Options{ResponseTimeout: limit}, func(_ int, conn net.Conn, in *bufio.Reader) {
		if _, _, ok := read(in); !ok {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		time.Sleep(2 * limit) // a slow body, as the subject of the test
		_, _ = io.WriteString(conn, "k")
	})
	slow, w := io.Pipe()
	go func() {
		time.Sleep(2 * limit) // a slow request, likewise
		_, _ = io.WriteString(w, "body")
		_ = w.Close()
	}()
	s.want(s.request("POST", "/", slow), 200, "ok")
}
