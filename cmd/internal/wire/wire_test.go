package wire_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

func TestDoAgainstServer(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /plain", func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = io.WriteString(w, host+" "+r.Header.Get("Authorization"))
	})
	mux.HandleFunc("POST /chunked", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		for _, part := range []string{"got ", string(body), "."} {
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("GET /empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /close", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "bye")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	client := wire.NewClient(server.Listener.Addr().String(), netip.MustParseAddr("127.0.0.2"))
	defer func() { _ = client.Close() }()

	for _, test := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/plain", "", 200, "127.0.0.2 Bearer " + wire.Key("k", 7)},
		{"/chunked", `{"a":1}`, 201, `got {"a":1}.`},
		{"/empty", "", 204, ""},
		{"/close", "", 200, "bye"},
		{"/plain", "", 200, "127.0.0.2 Bearer " + wire.Key("k", 7)}, // over a new connection
		{"/nowhere", "", 404, "404 page not found\n"},
	} {
		a, err := client.Do(context.Background(), wire.AppendRequest(nil, test.path, wire.Key("k", 7), test.body))
		if err != nil {
			t.Fatalf("%s: %v", test.path, err)
		}
		if a.Status != test.status || string(a.Body) != test.want {
			t.Errorf("%s: got %d %q, want %d %q", test.path, a.Status, a.Body, test.status, test.want)
		}
		if !strings.HasPrefix(string(a.Raw), "HTTP/1.1 ") {
			t.Errorf("%s: raw answer %q", test.path, a.Raw)
		}
	}
}

func TestDoOfBrokenAnswers(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		status       int
	}{
		{"nothing", "", 0},
		{"half a status line", "HTTP/1.1 20", 0},
		{"other protocol", "SSH-2.0-x\r\n", 0},
		{"interim only", "HTTP/1.1 103 Early Hints\r\n\r\n", 0},
		{"head cut off", "HTTP/1.1 200 OK\r\nContent-Le", 200},
		{"body cut off", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 200},
		{"chunk cut off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", 200},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", 200},
		{"bad length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", 200},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", 200},
		{"upgrade", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				buf := make([]byte, 4096)
				_, _ = conn.Read(buf)
				_, _ = io.WriteString(conn, test.answer)
				_ = conn.Close()
			}()
			client := wire.NewClient(l.Addr().String(), netip.MustParseAddr("127.0.0.1"))
			a, err := client.Do(context.Background(), wire.AppendRequest(nil, "/", "k", ""))
			if err == nil {
				t.Errorf("got %d %q, want an error", a.Status, a.Body)
			}
			if a.Status != test.status {
				t.Errorf("got status %d, want %d", a.Status, test.status)
			}
		})
	}
}

func TestKeysAreDistinctAndOfTheRightShape(t *testing.T) {
	seen := make(map[string]bool)
	for _, series := range []string{"a", "b", "ab"} {
		for _, n := range []int{0, 1, 10, 999_999} {
			key := wire.Key(series, n)
			if len(key) != len("sk-")+48 || seen[key] {
				t.Errorf("key %q of series %q and number %d", key, series, n)
			}
			seen[key] = true
		}
	}
}

func TestAppendRequest(t *testing.T) {
	for _, test := range []struct {
		name, body string
		headers    []string
		want       string
	}{
		{"without a body", "", nil, "GET /p HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer k\r\nAccept: application/json\r\nUser-Agent: wire/1\r\n\r\n"},
		{
			"with headers", "{}", []string{"X-Real-IP: 192.0.2.1", "X-More: 1"},
			"POST /p HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer k\r\nAccept: application/json\r\nUser-Agent: wire/1\r\n" +
				"X-Real-IP: 192.0.2.1\r\nX-More: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		},
	} {
		got := string(wire.AppendRequest([]byte("before "), "/p", "k", test.body, test.headers...))
		if want := "before " + test.want; got != want {
			t.Errorf("%s: got %q, want %q", test.name, got, want)
		}
	}
}
