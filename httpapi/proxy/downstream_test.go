package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// rawDownstream answers every connection with the same bytes and closes it.
func rawDownstream(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, answer)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestADownstreamThatBreaksOff(t *testing.T) {
	answers := map[string]string{
		"in a body of known length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
		"in a chunk":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc",
		"between chunks":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil, setup{downstream: rawDownstream(t, answer)})
			res, err := s.client(home).Do(s.request(http.MethodGet, "/", "", nil))
			if err != nil {
				return // cut before the head was out: as good
			}
			defer func() { _ = res.Body.Close() }()
			if body, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("got %q as a complete answer, want it cut", body)
			}
		})
	}
}

func TestADownstreamThatDoesNotAnswer(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, refused.Close())
	answers := map[string]struct {
		downstream string
		status     int
		code       string
	}{
		"nobody listens":   {"http://" + refused.Addr().String(), 502, "downstream_unreachable"},
		"closes at once":   {rawDownstream(t, ""), 502, "downstream_unreachable"},
		"no HTTP":          {rawDownstream(t, "220 mail.example ready\r\n"), 502, "downstream_unreachable"},
		"status below 1xx": {rawDownstream(t, "HTTP/1.1 042 No\r\nContent-Length: 0\r\n\r\n"), 502, "downstream_unreachable"},
		"unasked upgrade":  {rawDownstream(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), 502, "downstream_unreachable"},
	}
	for name, want := range answers {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil, setup{downstream: want.downstream})
			s.wantGet(home, "/v1/models", apiKey(1), want.status, want.code)
			if n := s.bound(); n != 0 {
				t.Errorf("got %d bindings, want 0", n)
			}
		})
	}
}
