//go:build !race

package proxy_test

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
)

// sparing is a downstream that answers every request, and allocates nothing for it.
func sparing(t *testing.T, answer string) string {
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
				buf, text := make([]byte, 4<<10), []byte(answer)
				for n := 0; ; {
					m, err := conn.Read(buf[n:])
					if err != nil {
						return
					}
					if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
						_, _ = conn.Write(text)
						n = 0
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// discarding is a client that looks at nothing but the status.
type discarding struct {
	header http.Header
	status int
}

func (w *discarding) Header() http.Header           { return w.header }
func (w *discarding) WriteHeader(status int)        { w.status = status }
func (w *discarding) Write(buf []byte) (int, error) { return len(buf), nil }

// What the proxy, the engine and the way to the downstream allocate for an allowed
// request, without the server's own: the text of the head with its values, the
// lines that are added, and the client IP in one of them.
func TestAnAllowedRequestAllocatesLittle(t *testing.T) {
	for name, answer := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 2\r\n\r\n{}",
		"chunks": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil, setup{downstream: sparing(t, answer)})
			s.wantGet(home, "/v1/models", apiKey(1), 200, "")
			r := httptest.NewRequestWithContext(proxy.ConnContext(t.Context(), nil), http.MethodGet, "/v1/models", nil)
			r.RemoteAddr = home + ":1"
			r.Header.Set("Authorization", "Bearer "+apiKey(1))
			r.Header.Set("User-Agent", "test")
			w := &discarding{header: make(http.Header)}
			got := testing.AllocsPerRun(500, func() {
				clear(w.header)
				s.server.Handler.ServeHTTP(w, r)
				if w.status != 200 {
					t.Fatalf("got %d, want 200", w.status)
				}
			})
			if got > 4 {
				t.Errorf("got %v allocations, want 4 at most", got)
			}
		})
	}
}
