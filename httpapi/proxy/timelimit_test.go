package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
)

func TestTimeLimits(t *testing.T) {
	limits := map[string]func(*proxy.Options){
		"head": func(o *proxy.Options) { o.ResponseTimeout = 20 * time.Millisecond },
		"idle": func(o *proxy.Options) { o.IdleTimeout = 20 * time.Millisecond },
	}
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			gone := make(chan struct{})
			s := newSite(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				close(gone)
			}), setup{proxy: limit})
			s.wantGet(home, "/v1/models", apiKey(1), 504, "downstream_timeout")
			wait(t, "the downstream to be cancelled", gone)
		})
	}
}

// A downstream that takes the body and does not answer.
func TestTheHeadMayTakeTooLongBehindABody(t *testing.T) {
	gone := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		close(gone)
	}), setup{proxy: func(o *proxy.Options) { o.ResponseTimeout = 20 * time.Millisecond }})
	status, code := s.status(home, s.request(http.MethodPost, "/v1/x", apiKey(1), strings.NewReader("body")))
	if status != 504 || code != "downstream_timeout" {
		t.Errorf("got %d %q, want 504", status, code)
	}
	wait(t, "the downstream to be cancelled", gone)
}

// The time runs from the end of the request to the head of the answer, and not
// beyond either.
func TestTheResponseTimeoutIsOfTheHeadAlone(t *testing.T) {
	const limit = 200 * time.Millisecond
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "o")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(2 * limit) // a slow body, as the subject of the test
		_, _ = io.WriteString(w, "k")
	}), setup{proxy: func(o *proxy.Options) { o.ResponseTimeout = limit }})
	slow, w := io.Pipe()
	go func() {
		time.Sleep(2 * limit) // a slow request, likewise
		_, _ = io.WriteString(w, "body")
		_ = w.Close()
	}()
	if status, _ := s.status(home, s.request(http.MethodPost, "/v1/x", apiKey(1), slow)); status != 200 {
		t.Errorf("got %d, want 200", status)
	}
}

// A client that stops reading its answer holds it no longer than the limit.
func TestAnIdleClientIsLetGo(t *testing.T) {
	ended := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		for chunk := make([]byte, 64<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}), setup{proxy: func(o *proxy.Options) { o.IdleTimeout = 50 * time.Millisecond }})
	conn := s.raw(home, "GET /v1/endless HTTP/1.1\r\nHost: h\r\nAuthorization: "+apiKey(1)+"\r\n\r\n")
	_, err := io.ReadFull(conn, make([]byte, 1))
	must(t, err)
	wait(t, "the downstream to be cancelled", ended)
	must(t, s.server.Shutdown(t.Context())) // returns when the handler has
}

func TestAnIdleStreamIsEnded(t *testing.T) {
	tell, gone := make(chan int), make(chan struct{})
	s := newSite(t, eventStream(tell, gone), setup{proxy: func(o *proxy.Options) { o.IdleTimeout = 50 * time.Millisecond }})
	res, err := s.client(home).Do(s.request(http.MethodGet, "/v1/events", apiKey(1), nil))
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if _, err := io.ReadAll(res.Body); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the stream cut", err)
	}
	wait(t, "the downstream to be cancelled", gone)
}
