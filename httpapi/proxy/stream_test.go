package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// eventStream sends an event for each number it is told, until the client goes.
func eventStream(tell <-chan int, gone chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case n := <-tell:
				_, _ = fmt.Fprintf(w, "data: %d\n\n", n)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				close(gone)
				return
			}
		}
	}
}

func readEvent(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	must(t, err)
	_, err = r.ReadString('\n')
	must(t, err)
	return strings.TrimSpace(line)
}

// Each event reaches the client before the next one is even sent.
func TestEventsPassOneByOneAndTheClientsGoingCancels(t *testing.T) {
	tell, gone := make(chan int), make(chan struct{})
	s := newSite(t, eventStream(tell, gone), setup{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, err := s.client(home).Do(s.request(http.MethodPost, "/v1/chat/completions", apiKey(1), strings.NewReader("{}")).WithContext(ctx))
	must(t, err) // the head came although no event was sent yet
	defer func() { _ = res.Body.Close() }()
	events := bufio.NewReader(res.Body)
	for n := range 10 {
		tell <- n
		if got, want := readEvent(t, events), fmt.Sprintf("data: %d", n); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	cancel()
	wait(t, "the downstream to see that the client has gone", gone)
}

func TestABanCutsAnOpenStream(t *testing.T) {
	changes := map[string]func(*engine.Engine, store.KeyHash) error{
		"ban": func(e *engine.Engine, h store.KeyHash) error { _, err := e.Ban(context.Background(), h); return err },
		"new rule": func(e *engine.Engine, h store.KeyHash) error {
			rule := store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
			_, err := e.SetRule(context.Background(), h, rule)
			return err
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			tell, gone := make(chan int), make(chan struct{})
			s := newSite(t, eventStream(tell, gone), setup{})
			res, err := s.client(home).Do(s.request(http.MethodGet, "/v1/events", apiKey(1), nil))
			must(t, err)
			defer func() { _ = res.Body.Close() }()
			events := bufio.NewReader(res.Body)
			tell <- 1
			readEvent(t, events)
			must(t, change(s.engine, s.hash(apiKey(1))))
			if _, err := io.ReadAll(events); err == nil {
				t.Error("the stream that was cut looks complete")
			}
			wait(t, "the downstream to be cancelled", gone)
			if status, _ := s.get(home, "/v1/models", apiKey(1)); status != 403 {
				t.Errorf("the next request: got %d, want 403", status)
			}
			recs := waitForIntercepts(t, s, 2)
			if recs[1].Reason != store.ReasonCut {
				t.Errorf("got reason %q for the cut, want %q", recs[1].Reason, store.ReasonCut)
			}
		})
	}
}

// waitForIntercepts returns the records, newest first, once there are n.
func waitForIntercepts(t *testing.T, s *site, n int) []store.Intercept {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		page, err := s.store.ListIntercepts(t.Context(), store.InterceptFilter{})
		must(t, err)
		if len(page.Records) >= n {
			return page.Records
		}
	}
	t.Fatalf("waited in vain for %d intercepts", n)
	return nil
}

// A client that does not read is cut all the same.
func TestABanCutsAStreamThatIsNotRead(t *testing.T) {
	ended := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}), setup{})
	conn := s.raw(home, "GET /v1/endless HTTP/1.1\r\nHost: h\r\nAuthorization: "+apiKey(1)+"\r\n\r\n")
	one := make([]byte, 1)
	_, err := io.ReadFull(conn, one)
	must(t, err)
	_, err = s.engine.Ban(t.Context(), s.hash(apiKey(1)))
	must(t, err)
	wait(t, "the downstream's answer to be broken off", ended)
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		_ = s.server.Shutdown(context.Background()) // returns when the handler has
	}()
	wait(t, "the handler to end", idle)
}

func webSocketEcho(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, msg, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, msg); err != nil {
			return
		}
	}
}

func (s *site) webSocket(from, key string) (*websocket.Conn, *http.Response, error) {
	s.t.Helper()
	c, res, err := websocket.Dial(s.t.Context(), s.url+"/v1/realtime", &websocket.DialOptions{
		HTTPClient: s.client(from), Subprotocols: []string{"realtime", "openai-insecure-api-key." + key},
	})
	if res != nil && res.Body != nil {
		s.t.Cleanup(func() { _ = res.Body.Close() })
	}
	return c, res, err
}

func TestWebSocket(t *testing.T) {
	s := newSite(t, http.HandlerFunc(webSocketEcho), setup{})
	c, _, err := s.webSocket(home, apiKey(1))
	must(t, err)
	defer func() { _ = c.CloseNow() }()
	for _, msg := range []string{"one", strings.Repeat("two", 5000)} {
		must(t, c.Write(t.Context(), websocket.MessageText, []byte(msg)))
		_, got, err := c.Read(t.Context())
		must(t, err)
		if string(got) != msg {
			t.Errorf("got %d bytes back, want the %d sent", len(got), len(msg))
		}
	}
	if _, res, err := s.webSocket(away, apiKey(1)); err == nil || res == nil || res.StatusCode != 403 {
		t.Errorf("from elsewhere: got %v, want 403 before the upgrade", res)
	}
	_, err = s.engine.Ban(t.Context(), s.hash(apiKey(1)))
	must(t, err)
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the banned key's WebSocket is still open")
	}
}

// Only a valid WebSocket handshake is an upgrade: anything else goes on as a
// plain request, without the upgrade.
func TestOtherUpgradesAreNotPassedOn(t *testing.T) {
	heads := map[string]string{
		"h2c":                   "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"without a key":         "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
		"version 8":             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAA\r\n",
		"several":               "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
		"its key is hop-by-hop": "Connection: Upgrade, Sec-WebSocket-Key\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
		"no Connection":         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
	}
	var got http.Header
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header.Clone(); ok(w, r) }), setup{})
	for name, head := range heads {
		t.Run(name, func(t *testing.T) {
			res := s.rawAnswer(home, "GET /v1/realtime HTTP/1.1\r\nHost: h\r\n"+head+"\r\n")
			if res.StatusCode != 200 {
				t.Errorf("got %d, want 200", res.StatusCode)
			}
			if got.Get("Upgrade") != "" || got.Get("Connection") != "" || got.Get("Http2-Settings") != "" {
				t.Errorf("the downstream was sent %v", got)
			}
		})
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	var got http.Header
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = r.Trailer.Clone()
		w.Header().Set("Trailer", "X-Announced")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Announced", "a")
		w.Header().Set(http.TrailerPrefix+"X-Not-Announced", "b")
	}), setup{})
	r := s.request(http.MethodPost, "/v1/trailers", apiKey(1), io.MultiReader(strings.NewReader("body")))
	r.Trailer = http.Header{"X-Checksum": {"c"}}
	res, err := s.client(home).Do(r)
	must(t, err)
	_, err = io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if got.Get("X-Checksum") != "c" {
		t.Errorf("the downstream got trailers %v, want X-Checksum", got)
	}
	if res.Trailer.Get("X-Announced") != "a" || res.Trailer.Get("X-Not-Announced") != "b" {
		t.Errorf("the client got trailers %v, want both", res.Trailer)
	}
}

// Informational answers pass, but not to who may yet lose the race for a key.
func TestInformationalAnswers(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	}), setup{})
	for i, want := range []int{0, 1} { // the first use is pending, the second is not
		hints := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil },
		})
		if status, _ := s.status(home, s.request(http.MethodGet, "/v1/hints", apiKey(1), nil).WithContext(ctx)); status != 200 {
			t.Fatalf("got %d, want 200", status)
		}
		if hints != want {
			t.Errorf("request %d: got %d informational answers, want %d", i, hints, want)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/unwanted" {
			w.WriteHeader(http.StatusExpectationFailed) // without reading: no 100 is sent
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(bytes.ToUpper(body))
	}), setup{})
	head := "POST %s HTTP/1.1\r\nHost: h\r\nAuthorization: " + apiKey(1) + "\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	conn := s.raw(home, fmt.Sprintf(head, "/v1/wanted"))
	br := bufio.NewReader(conn)
	line, err := br.ReadString('\n')
	must(t, err)
	if !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("got %q before the body was sent, want 100", line)
	}
	_, err = br.ReadString('\n')
	must(t, err)
	_, err = io.WriteString(conn, "body")
	must(t, err)
	res, err := http.ReadResponse(br, nil)
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if string(body) != "BODY" {
		t.Errorf("got %q, want %q", body, "BODY")
	}
	if res := s.rawAnswer(home, fmt.Sprintf(head, "/v1/unwanted")); res.StatusCode != 417 {
		t.Errorf("got %d first, want 417 without a 100 before it", res.StatusCode)
	}
}

// The answer begins before the body has been read to its end, and neither is
// cut short.
func TestAnAnswerMayBeginBeforeTheBodyEnds(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_, _ = io.WriteString(w, "first ")
		_ = rc.Flush()
		_, _ = io.Copy(w, r.Body)
	}), setup{})
	for range 50 {
		pr, pw := io.Pipe()
		res, err := s.client(home).Do(s.request(http.MethodPost, "/v1/duplex", apiKey(1), pr))
		must(t, err)
		first := make([]byte, 6)
		_, err = io.ReadFull(res.Body, first)
		must(t, err)
		text := strings.Repeat("second ", 10_000)
		go func() {
			_, _ = io.WriteString(pw, text)
			_ = pw.Close()
		}()
		rest, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if string(first) != "first " || string(rest) != text {
			t.Fatalf("got %q and %d bytes, want %q and %d bytes", first, len(rest), "first ", len(text))
		}
	}
}

// A downstream that answers without reading the body: its answer arrives whole.
func TestAnAnswerToABodyThatIsNotRead(t *testing.T) {
	// Go's client gives up when it cannot send its body, and may miss the answer
	// then, so bodies are no larger than what the sockets take.
	text := strings.Repeat("no thanks ", 1000)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, text)
	}), setup{})
	client := s.client(home)
	for n := range 100 {
		res, err := client.Do(s.request(http.MethodPost, "/v1/x", apiKey(1), bytes.NewReader(make([]byte, n*1000))))
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != 401 || string(body) != text {
			t.Fatalf("body of %d bytes: got %d and %d bytes, want 401 and %d", n*1000, res.StatusCode, len(body), len(text))
		}
	}
}

// A client that begins a body and stalls is refused at once, and let go.
func TestAStalledBodyHoldsNothingUp(t *testing.T) {
	asked := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/upload" {
			close(asked)
			_, _ = io.Copy(io.Discard, r.Body) // ends when the proxy gives up
			return
		}
		ok(w, r)
	}), setup{})
	s.wantGet(home, "/v1/models", apiKey(1), 200, "")
	head := "POST /v1/upload HTTP/1.1\r\nHost: h\r\nAuthorization: " + apiKey(1) + "\r\nContent-Length: 1000\r\n\r\nbegin"
	if res := s.rawAnswer(away, head); res.StatusCode != 403 {
		t.Errorf("got %d before the body had come, want 403", res.StatusCode)
	}
	conn := s.raw(home, head)
	wait(t, "the request to be forwarded", asked)
	_, err := s.engine.Ban(t.Context(), s.hash(apiKey(1)))
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 403 {
		t.Errorf("got %d after the ban, want 403", res.StatusCode)
	}
}
