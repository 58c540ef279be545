package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

func TestFirstAcceptedUseBinds(t *testing.T) {
	s := newSite(t, http.HandlerFunc(ok), setup{})
	s.wantGet(home, "/v1/models", apiKey(1), 200, "")
	s.wantGet(home, "/v1/models", apiKey(1), 200, "")
	s.wantGet(away, "/v1/models", apiKey(1), 403, "ip_not_allowed")
	s.wantGet(away, "/", apiKey(1), 403, "ip_not_allowed") // on every path
	s.wantGet(away, "/v1/models", apiKey(2), 200, "")
	if n := s.bound(); n != 2 {
		t.Errorf("got %d bindings, want 2", n)
	}
}

func TestOnlySuccessOnAPathThatChecksKeysBinds(t *testing.T) {
	downstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/refused":
			w.WriteHeader(http.StatusUnauthorized)
		case "/v1/moved":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		case "/v1/broken":
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s := newSite(t, downstream, setup{})
	for path, status := range map[string]int{"/v1/refused": 401, "/v1/moved": 307, "/v1/broken": 500, "/": 200, "/api/status": 200} {
		s.wantGet(home, path, apiKey(1), status, "")
		if n := s.bound(); n != 0 {
			t.Errorf("after %s: got %d bindings, want 0", path, n)
		}
	}
	s.wantGet(away, "/v1/good", apiKey(1), 200, "")
	if n := s.bound(); n != 1 {
		t.Errorf("got %d bindings after a success, want 1", n)
	}
}

func TestBindOnRequestBindsBeforeForwarding(t *testing.T) {
	var s *site
	bound := -1
	s = newSite(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		bound, _ = s.store.CountBindings(context.Background())
		w.WriteHeader(http.StatusInternalServerError)
	}), setup{policy: func(p *engine.Policy) { p.BindOn = engine.BindOnRequest }})
	s.wantGet(home, "/v1/models", apiKey(1), 500, "")
	if bound != 1 {
		t.Errorf("the downstream was asked with %d keys bound, want 1", bound)
	}
	s.wantGet(away, "/v1/models", apiKey(1), 403, "ip_not_allowed")
}

// New API answers unknown paths with its page, and some refusals with 200.
func TestASuccessThatProvesNothingBindsNothing(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/page":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "<!doctype html>")
		case "/api/log/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"data":[],"success":`+r.URL.Query().Get("answer")+`}`)
		}
	}), setup{})
	for _, path := range []string{"/v1/page", "/api/log/token?answer=false", "/api/log/token?answer=nonsense"} {
		s.wantGet(home, path, apiKey(1), 200, "")
		if n := s.bound(); n != 0 {
			t.Errorf("after %s: got %d bindings, want 0", path, n)
		}
	}
	res, err := s.client(home).Do(s.request(http.MethodGet, "/api/log/token?answer=true", apiKey(1), nil))
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if want := `{"data":[],"success":true}`; string(body) != want || s.bound() != 1 {
		t.Errorf("got %q and %d bindings, want %q and 1", body, s.bound(), want)
	}
}

// Two addresses race for each of many new keys: one wins, and the other one
// never sees a byte of an answer.
func TestOneOfTwoRacersWins(t *testing.T) {
	const keys = 1000
	s := newSite(t, http.HandlerFunc(ok), setup{})
	clients := []*http.Client{s.client(home), s.client(away)}
	use := func(c *http.Client, n int) (status int, body string, reused bool) {
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}
		r := s.request(http.MethodPost, "/v1/chat/completions", apiKey(n), strings.NewReader("{}"))
		res, err := c.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		if err != nil {
			t.Error(err)
			return 0, "", reused
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		return res.StatusCode, string(text), reused && !res.Close
	}
	for n := range keys {
		var wg sync.WaitGroup
		var status [2]int
		var body [2]string
		for i, c := range clients {
			wg.Go(func() { status[i], body[i], _ = use(c, n) })
		}
		wg.Wait()
		winner := slices.Index(status[:], 200)
		if winner < 0 || status[1-winner] != 403 || body[winner] != "ok" || body[1-winner] == "ok" {
			t.Fatalf("key %d: got %v %q, want one 200 and one 403", n, status, body)
		}
	}
}

// A racer that waits for the downstream's answer is refused as soon as another
// address has bound the key, and its request to the downstream is cancelled.
func TestAPendingRacerIsCutWithARefusal(t *testing.T) {
	asked, cancelled := make(chan struct{}), make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/slow" {
			close(asked)
			<-r.Context().Done()
			close(cancelled)
			return
		}
		ok(w, r)
	}), setup{})
	type result struct {
		status int
		code   string
	}
	loser := make(chan result, 1)
	go func() {
		status, code := s.get(away, "/v1/slow", apiKey(1))
		loser <- result{status, code}
	}()
	wait(t, "the slow request to be forwarded", asked)
	s.wantGet(home, "/v1/models", apiKey(1), 200, "")
	if got, want := wait(t, "the loser's answer", loser), (result{403, "ip_not_allowed"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	wait(t, "the downstream to see the cancellation", cancelled)
}

func TestEveryBoundKeyMustPass(t *testing.T) {
	s := newSite(t, http.HandlerFunc(ok), setup{})
	stolen, own := apiKey(1), apiKey(2)
	s.wantGet(home, "/v1/models", stolen, 200, "")
	s.wantGet(away, "/v1/models", own, 200, "")
	places := map[string]func(r *http.Request){
		"own key in front":    func(r *http.Request) { r.Header.Set("Authorization", own); r.Header.Set("X-Api-Key", stolen) },
		"stolen key in front": func(r *http.Request) { r.Header.Set("Authorization", stolen); r.Header.Set("X-Api-Key", own) },
		"in the query":        func(r *http.Request) { r.Header.Set("Authorization", own); r.URL.RawQuery = "k%65y=" + stolen },
		"in the subprotocol": func(r *http.Request) {
			r.Header.Set("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key."+stolen)
		},
		"as Midjourney secret": func(r *http.Request) { r.Header.Set("Mj-Api-Secret", stolen) },
		"with a channel":       func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+stolen+"-17") },
		"as Google key":        func(r *http.Request) { r.Header.Set("Authorization", own); r.Header.Set("X-Goog-Api-Key", stolen) },
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			r := s.request(http.MethodGet, "/v1/chat/completions", "", nil)
			place(r)
			if status, code := s.status(away, r); status != 403 || code != "ip_not_allowed" {
				t.Errorf("got %d %q, want 403 ip_not_allowed", status, code)
			}
		})
	}
}

func TestOfTwoUnknownKeysOnlyTheUsedOneIsBound(t *testing.T) {
	s := newSite(t, http.HandlerFunc(ok), setup{})
	r := s.request(http.MethodPost, "/v1/messages", apiKey(1), nil)
	r.Header.Set("X-Api-Key", apiKey(2)) // which New API uses on this path
	if status, _ := s.status(home, r); status != 200 {
		t.Fatalf("got %d, want 200", status)
	}
	if _, err := s.store.Binding(t.Context(), s.hash(apiKey(2))); err != nil {
		t.Errorf("the used key is not bound: %v", err)
	}
	if _, err := s.store.Binding(t.Context(), s.hash(apiKey(1))); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the other key: got %v, want %v", err, store.ErrNotFound)
	}
}

// Where versions of the downstream would read different keys, only one is sent.
func TestAnAmbiguousRequestIsSentWithOneReading(t *testing.T) {
	var sent http.Header
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { sent = r.Header.Clone(); ok(w, r) }), setup{})
	r := s.request(http.MethodPost, "/v1/chat/completions", apiKey(1), nil)
	r.Header.Set("Sec-WebSocket-Protocol", "openai-insecure-api-key."+apiKey(2)) // New API reads it, One API does not
	if status, _ := s.status(home, r); status != 200 {
		t.Fatalf("got %d, want 200", status)
	}
	if got := sent.Get("Authorization"); got != "" {
		t.Error("the key that is not to be bound was sent as well")
	}
	if _, err := s.store.Binding(t.Context(), s.hash(apiKey(2))); err != nil {
		t.Errorf("the key that was sent is not bound: %v", err)
	}
}

func TestObserveRefusesNothing(t *testing.T) {
	s := newSite(t, http.HandlerFunc(ok), setup{policy: func(p *engine.Policy) { p.Mode = engine.ModeObserve }})
	s.wantGet(home, "/v1/models", apiKey(1), 200, "")
	s.wantGet(away, "/v1/models", apiKey(1), 200, "")
	if got := s.engine.Counts()["observed"]; got != 1 {
		t.Errorf("got %d observed, want 1", got)
	}
}

func TestAnonymous(t *testing.T) {
	s := newSite(t, http.HandlerFunc(ok), setup{})
	s.wantGet(home, "/", "", 200, "")
	s = newSite(t, http.HandlerFunc(ok), setup{policy: func(p *engine.Policy) { p.Anonymous = engine.AnonymousReject }})
	s.wantGet(home, "/", "", 401, "credential_required")
}

// failing is a store whose bindings cannot be reached.
type failing struct{ store.Store }

func (failing) Bind(context.Context, store.Binding) (store.Binding, bool, error) {
	return store.Binding{}, false, store.ErrUnavailable
}

func TestFailsafe(t *testing.T) {
	s := newSite(t, http.HandlerFunc(ok), setup{store: failing{memory.New()}})
	res, err := s.client(home).Do(s.request(http.MethodGet, "/v1/models", apiKey(1), nil))
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("closed: got %d with Retry-After %q, want 503 with one", res.StatusCode, res.Header.Get("Retry-After"))
	}
	s = newSite(t, http.HandlerFunc(ok), setup{
		store: failing{memory.New()}, policy: func(p *engine.Policy) { p.Failsafe = engine.FailsafeOpen },
	})
	s.wantGet(home, "/v1/models", apiKey(1), 200, "")
	if got := s.engine.Counts()["failsafe_open"]; got != 1 {
		t.Errorf("open: got %d counted, want 1", got)
	}
}
