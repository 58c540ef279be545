package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// heldStore is a store that lets something happen while a binding is written.
type heldStore struct {
	store.Store
	during func(ctx context.Context)
}

func (s *heldStore) Bind(ctx context.Context, b store.Binding) (store.Binding, bool, error) {
	if s.during != nil {
		s.during(ctx)
	}
	return s.Store.Bind(ctx, b)
}

// Who breaks off at the moment of success has used the key: it is bound, although
// everybody knows by then that nobody waits for the answer.
func TestAttackBreakingOffAtTheMomentOfSuccess(t *testing.T) {
	for _, end := range []string{"close", "reset", "half-close"} {
		t.Run(end, func(t *testing.T) {
			gone, finished := make(chan struct{}), make(chan error, 1)
			held := &heldStore{Store: memory.New()}
			s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).Flush() // the head of a success
				<-r.Context().Done()                      // Sentinel has noticed, and says so
				close(gone)
			}), setup{store: held})
			var conn net.Conn
			ready := make(chan struct{})
			held.during = func(ctx context.Context) {
				<-ready
				tcp, _ := conn.(*net.TCPConn)
				switch end {
				case "half-close":
					_ = tcp.CloseWrite()
				case "reset":
					_ = tcp.SetLinger(0)
					_ = tcp.Close()
				default:
					_ = tcp.Close()
				}
				<-gone
				finished <- ctx.Err()
			}
			conn = s.raw(away, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: "+apiKey(1)+"\r\nContent-Length: 0\r\n\r\n")
			close(ready)
			if err := wait(t, "the binding to go on", finished); err != nil {
				t.Errorf("the binding was given up: %v", err)
			}
			s.wantGet(home, "/v1/models", apiKey(1), 403, "ip_not_allowed") // waits for the binding, whose lock is held
		})
	}
}

// A ban meets a request at every point of its way: what the downstream says after
// the ban was acknowledged never reaches the client.
func TestAttackUseAfterAnAcknowledgedBan(t *testing.T) {
	const rounds = 2000
	var acknowledged atomic.Pointer[chan struct{}]
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/late" {
			_ = http.NewResponseController(w).Flush()
			<-*acknowledged.Load()
			_, _ = io.WriteString(w, "late")
			return
		}
		ok(w, r)
	}), setup{})
	client := s.client(home)
	use := func(path string, n int) (int, string) {
		res, err := client.Do(s.request(http.MethodGet, path, apiKey(n), nil))
		if err != nil {
			return 0, "" // cut before the head was out
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body) // may be cut
		return res.StatusCode, string(body)
	}
	for n := range rounds {
		if status, _ := use("/v1/models", n); status != 200 {
			t.Fatalf("first use of key %d: got %d, want 200", n, status)
		}
		done, hash := make(chan struct{}), s.hash(apiKey(n))
		acknowledged.Store(&done)
		go func() {
			for range n % 40 { // meets the request a little later in each round
				runtime.Gosched()
			}
			if _, err := s.engine.Ban(context.Background(), hash); err != nil {
				t.Error(err)
			}
			close(done)
		}()
		if status, body := use("/v1/late", n); strings.Contains(body, "late") {
			t.Fatalf("round %d: got %d %q after the ban was acknowledged", n, status, body)
		}
		<-done
	}
}

// An unbind followed by another's first use, with the old owner's stream open:
// it is cut before the new owner's answer begins.
func TestAttackUnbindAndRebind(t *testing.T) {
	streams := make(chan chan string, 1)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/events" {
			ok(w, r)
			return
		}
		_ = http.NewResponseController(w).Flush()
		tell := make(chan string)
		streams <- tell
		for text := range tell {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
	}), setup{})
	for n := range 200 {
		res, err := s.client(home).Do(s.request(http.MethodGet, "/v1/events", apiKey(n), nil))
		must(t, err)
		tell := wait(t, "the stream to begin", streams)
		tell <- "before\n"
		body := bufio.NewReader(res.Body)
		if _, err := body.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		_, err = s.engine.Unbind(t.Context(), s.hash(apiKey(n)), 0)
		must(t, err)
		s.wantGet(away, "/v1/models", apiKey(n), 200, "")
		tell <- "after\n"
		close(tell)
		if rest, err := io.ReadAll(body); err == nil || len(rest) > 0 {
			t.Fatalf("round %d: the old owner got %q, %v after the key was bound anew", n, rest, err)
		}
		_ = res.Body.Close()
		s.wantGet(home, "/v1/models", apiKey(n), 403, "ip_not_allowed")
	}
}

// Both racers' answers have begun downstream when neither has the key: one gets
// its answer, and the other one nothing of its own.
func TestAttackBothRacersAreAnsweredEarly(t *testing.T) {
	var round atomic.Pointer[sync.WaitGroup]
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun := round.Load()
		begun.Done()
		begun.Wait()
		w.Header().Set("Link", "</secret>")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "secret")
	}), setup{})
	clients := []*http.Client{s.client(home), s.client(away)}
	for n := range 300 {
		begun := new(sync.WaitGroup)
		begun.Add(len(clients))
		round.Store(begun)
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				res, err := c.Do(s.request(http.MethodGet, "/v1/models", apiKey(n), nil))
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = res.Body.Close() }()
				body, err := io.ReadAll(res.Body)
				switch secret := strings.Contains(string(body)+res.Header.Get("Link"), "secret"); {
				case err == nil && res.StatusCode == 200 && secret:
					won.Add(1)
				case err == nil && res.StatusCode == 403 && !secret:
					lost.Add(1)
				default:
					t.Errorf("key %d: got %d %q, %v", n, res.StatusCode, body, err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 1 {
			t.Fatalf("key %d: %d won and %d lost, want one each", n, won.Load(), lost.Load())
		}
	}
}

// settled waits until there are no more goroutines than there were.
func settled(t *testing.T, before int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-end:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, there were %d:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// Clients that stall, vanish, close one direction or never read leave nothing
// behind, once they have gone.
func TestAttackLeavesNothingBehind(t *testing.T) {
	asked := make(chan struct{}, 100)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/hang":
			asked <- struct{}{}
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		case "/v1/endless":
			asked <- struct{}{}
			for chunk := make([]byte, 32<<10); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		default:
			ok(w, r)
		}
	}), setup{})
	s.wantGet(home, "/v1/models", apiKey(1), 200, "")
	before := runtime.NumGoroutine() + 4 // connections that are kept open
	head := func(method, path, more string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n%s\r\n", method, path, apiKey(1), more)
	}
	texts := map[string]string{
		"half a head":              "GET /v1/mod",
		"waits for an answer":      head("GET", "/v1/hang", ""),
		"body that stalls":         head("POST", "/v1/hang", "Content-Length: 1000\r\n") + "begin",
		"chunk that stalls":        head("POST", "/v1/hang", "Transfer-Encoding: chunked\r\n") + "5\r\nbeg",
		"waits for 100":            head("POST", "/v1/hang", "Content-Length: 1000\r\nExpect: 100-continue\r\n"),
		"does not read":            head("GET", "/v1/endless", ""),
		"pipelined behind another": head("GET", "/v1/hang", "") + head("GET", "/v1/models", ""),
		"upgrade":                  head("GET", "/v1/hang", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
	}
	for name, text := range texts {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, half-closed %v", name, half), func(t *testing.T) {
				conn := s.raw(home, text)
				if strings.Contains(text, "\r\n\r\n") {
					wait(t, "the request to be forwarded", asked)
				}
				if tcp, ok := conn.(*net.TCPConn); ok && half {
					must(t, tcp.CloseWrite())
				}
				must(t, conn.Close())
				settled(t, before)
			})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("after all of them: %v", err)
	}
}
