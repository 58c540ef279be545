package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// A target whose path is judged as another one than is sent.
func TestAttackTargetsWithTwoReadings(t *testing.T) {
	d := new(spy)
	s := newSite(t, d, setup{})
	for _, target := range []string{
		"http://h?x=/v1/chat/completions", "http://h?/v1/chat/completions", "http:x/v1/chat/completions", "x:y/v1/chat/completions", "http://h?x=/pg/chat/completions",
	} {
		s.talk("POST " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\nAuthorization: " + apiKey(1) + "\r\n\r\n")
		for _, r := range d.take() {
			if r.URL.Path != "/" {
				t.Errorf("%s was sent as %s, and %d keys are bound", target, r.RequestURI, s.bound())
			}
		}
	}
}

// New API has /:mode/mj for every mode: api and the empty one check keys, and
// the pictures of mj, v1 and suno are public.
func TestAttackMidjourneyModes(t *testing.T) {
	d := new(spy)
	s := newSite(t, d, setup{})
	for _, path := range []string{"/mj/mj/image/1", "/v1/mj/image/1", "/v1beta/mj/image/1", "/suno/mj/image/1", "/jimeng/mj/image/1", "/api/mj/image/1", "//mj/image/1", "/api/mj/self", "/api/mj/"} {
		s.wantGet(home, path, apiKey(1), 200, "")
		if n := s.bound(); n != 0 {
			t.Errorf("%s: got %d bindings, want 0", path, n)
			_, err := s.engine.Unbind(t.Context(), s.hash(apiKey(1)), 0)
			must(t, err)
		}
	}
	for n, path := range []string{"/api/mj/submit/imagine", "//mj/submit/imagine", "/mj/mj/submit/imagine", "/v1/mj/submit/imagine", "/api/mj/task/1/fetch"} {
		s.wantGet(home, path, apiKey(10+n), 200, "")
		if got := s.bound(); got != n+1 {
			t.Errorf("%s: got %d bindings, want %d", path, got, n+1)
		}
	}
}

// What a client sends over a WebSocket after the ban was acknowledged does not
// reach the downstream.
func TestAttackWebSocketAfterABan(t *testing.T) {
	open, got := make(chan *websocket.Conn), make(chan string)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		open <- c
		_, msg, _ := c.Read(context.Background()) // ends when the proxy closes
		got <- string(msg)
	}), setup{})
	for n := range 1000 {
		c, _, err := s.webSocket(home, apiKey(n))
		must(t, err)
		d := wait(t, "the WebSocket", open)
		_, err = s.engine.Ban(t.Context(), s.hash(apiKey(n)))
		must(t, err)
		_ = c.Write(t.Context(), websocket.MessageText, []byte("late")) // may be cut already
		if msg := wait(t, "the downstream to be cut", got); msg != "" {
			t.Fatalf("round %d: %q reached the downstream", n, msg)
		}
		_ = d.Write(context.Background(), websocket.MessageText, []byte("late"))
		if _, msg, err := c.Read(t.Context()); err == nil {
			t.Fatalf("round %d: %q reached the client", n, msg)
		}
		_ = c.CloseNow()
	}
}

// A ban cuts a stream while its request body comes to its end: the connection
// ends, although net/http may be about to read on.
func TestAttackBodyThatEndsWithABan(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_ = rc.Flush()
		body := bufio.NewReader(r.Body)
		_, _ = body.ReadString('\n')
		started <- struct{}{}
		_, _ = io.Copy(io.Discard, body)
		ended <- struct{}{}
	}), setup{})
	client := s.client(home)
	for n := range 600 {
		pr, pw := io.Pipe()
		go func() { _, _ = io.WriteString(pw, "one\n") }()
		res, err := client.Do(s.request(http.MethodPost, "/v1/duplex", apiKey(n), pr))
		must(t, err)
		wait(t, "the body to begin", started)
		_, err = s.engine.Ban(t.Context(), s.hash(apiKey(n)))
		must(t, err)
		go func() { _, _ = io.WriteString(pw, "two\n"); _ = pw.Close() }()
		wait(t, "the downstream to be cut", ended)
		cut := make(chan struct{})
		go func() { defer close(cut); _, _ = io.Copy(io.Discard, res.Body) }()
		wait(t, "the client to be cut", cut)
		_ = res.Body.Close()
		_ = pr.Close()
	}
}
