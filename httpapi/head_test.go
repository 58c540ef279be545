package httpapi_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi"
	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
)

// TestServersShareTheirLimits holds the ones that are documented.
func TestServersShareTheirLimits(t *testing.T) {
	s := httpapi.NewServer(httpapi.ServerOptions{Handler: http.NotFoundHandler(), Logger: quiet})
	if s.ReadHeaderTimeout != 15*time.Second {
		t.Errorf("slow heads are cut after %v, want 15s", s.ReadHeaderTimeout)
	}
	if s.WriteTimeout != 0 || s.ReadTimeout != 0 {
		t.Errorf("got write and read timeouts of %v and %v, want none: they would cut long streams", s.WriteTimeout, s.ReadTimeout)
	}
	if s.MaxHeaderBytes < proxy.MaxHeadBytes {
		t.Errorf("heads are cut at %d bytes, before the proxy can refuse them at %d", s.MaxHeaderBytes, proxy.MaxHeadBytes)
	}
}

// TestSlowHeadsAreCut sends half a head and waits: on a new connection, and on
// one that has had an answer.
func TestSlowHeadsAreCut(t *testing.T) {
	p := newAPI(t, nil, nil)
	server := httpapi.NewServer(httpapi.ServerOptions{Handler: p.api.Public(false), Proxies: p.api.Proxies, Logger: quiet})
	server.ReadHeaderTimeout /= 300 // 50 ms
	addr := serve(t, listen(t), server)
	for name, before := range map[string]string{"first request": "", "second request": "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			must(t, err)
			defer func() { _ = conn.Close() }()
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err = io.WriteString(conn, before+"GET /v1/models HTTP/1.1\r\nHost: h\r\nX-Slow: ")
			must(t, err)
			got, err := io.ReadAll(conn) // until it is cut
			must(t, err)
			if wantAnswer := before != ""; (len(got) > 0) != wantAnswer {
				t.Errorf("got %q before the end, want an answer: %v", got, wantAnswer)
			}
		})
	}
}
