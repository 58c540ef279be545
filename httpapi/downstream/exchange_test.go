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
	"runtime"
	"slices"
	"strings"
	"testing"

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
	c := call(r)
	var got []string
	c.Inform = func(status int) error {
		got = append(got, fmt.Sprint(status, c.Answer.Header.Get("Link")))
		return nil
	}
	res, body, err := s.sendCall(r, c)
	must(t, err)
	if want := []string{"103</style.css>", "102"}; !slices.Equal(got, want) {
		t.Errorf("informational: got %q, want %q", got, want)
	}
	if body != "ok" || res.Trailer.Get("X-Sum") != "42" || len(res.Header["Link"]) > 0 {
		t.Errorf("got %q with trailers %v and header %v", body, res.Trailer, res.Header)
	}
}

func TestWhatIsUnusual(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"upgrade": func(r *http.Request) { r.Header.Set("Upgrade", "websocket") },
		"expect":  func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
		"trailer": func(r *http.Request) { r.Trailer = http.Header{"X": nil} },
		"connect": func(r *http.Request) { r.Method = http.MethodConnect },
		"":        func(*http.Request) {},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
		change(r)
		if got := downstream.IsUnusual(r); got != (name != "") {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

// A line break would begin another header, or another request.
func TestNothingIsSentThatHTTPDoesNotAllow(t *testing.T) {
	for name, change := range map[string]func(*downstream.Call){
		"header value": func(c *downstream.Call) { c.Header["X"] = []string{"a\r\nX-Api-Key: b"} },
		"header name":  func(c *downstream.Call) { c.Header["X: a\r\nY"] = []string{"b"} },
		"host":         func(c *downstream.Call) { c.Host = "h\r\nX: a" },
		"method":       func(c *downstream.Call) { c.Method = "GET / HTTP/1.1\r\nX: a\r\n\r\nGET" },
		"target":       func(c *downstream.Call) { c.Target = "/a HTTP/1.1\r\nX: a\r\n\r\nGET /b" },
		"no target":    func(c *downstream.Call) { c.Target = "" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, downstream.Options{}, func(_ int, _ net.Conn, in *bufio.Reader) {
				if b, err := in.ReadByte(); err == nil {
					t.Errorf("the downstream got %q", b)
				}
			})
			r := s.request("GET", "/", nil)
			c := call(r)
			change(c)
			if _, _, err := s.sendCall(r, c); err == nil {
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
	own, err := downstream.New(downstream.Options{Address: server.Listener.Addr().String(), MaxIdle: 1})
	must(t, err)
	defer own.CloseIdleConnections()
	general := &http.Transport{DisableCompression: true}
	defer general.CloseIdleConnections()
	header := http.Header{"Accept": {"a", "b"}, "X-Empty": {""}, "Cookie": {"c=d"}, "Te": {"trailers"}}
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
		for i := range results {
			var body io.Reader
			if test.body != nil {
				body = test.body()
			}
			r, err := http.NewRequestWithContext(t.Context(), test.method, server.URL+test.url, body)
			must(t, err)
			r.ContentLength, r.Header = test.length, header
			if i == 0 {
				c := call(r)
				must(t, own.Do(t.Context(), c))
				must(t, c.Close())
			} else {
				r.Header = header.Clone()
				r.Header.Set("User-Agent", "") // how it is told to send none
				res, err := general.RoundTrip(r)
				must(t, err)
				must(t, res.Body.Close())
			}
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
	c := call(s.request("GET", "/", nil))
	must(t, s.transport.Do(t.Context(), c))
	c.Cancel()
	<-closed
	must(t, c.Close())
}

// A call that is cancelled before it begins does not begin, and one that waits for
// its connection does not wait on.
func TestCancellingBefore(t *testing.T) {
	dialling := make(chan struct{})
	s := newSite(t, downstream.Options{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(dialling)
		<-ctx.Done()
		return nil, ctx.Err()
	}}, answering(okAnswer))
	c := call(s.request("GET", "/", nil))
	go func() { <-dialling; c.Cancel() }()
	if err := s.transport.Do(t.Context(), c); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// A call that waits for its answer says so, and one that has it does not.
func TestWaits(t *testing.T) {
	for name, body := range map[string]io.Reader{"without a body": nil, "with a body": strings.NewReader("body")} {
		t.Run(name, func(t *testing.T) {
			answer := make(chan struct{})
			s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
				_, _, _ = read(in)
				<-answer
				_, _ = io.WriteString(conn, okAnswer)
			})
			c := call(s.request("POST", "/", body))
			if c.Waits() {
				t.Error("waits before it has begun")
			}
			go func() {
				for !c.Waits() {
					runtime.Gosched()
				}
				close(answer)
			}()
			must(t, s.transport.Do(t.Context(), c))
			if c.Waits() {
				t.Error("waits although the answer is there")
			}
			must(t, c.Close())
		})
	}
}
