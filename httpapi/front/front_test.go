package front

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestWhoServes holds which requests are served here, and that a connection that was
// handed over stays where it is.
func TestWhoServes(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%s %v", r.URL.Path, byNetHTTP(r))
	}))
	plain := request("GET", "/plain")
	for name, test := range map[string]struct {
		text string
		by   bool // net/http
	}{
		"plain":             {plain, false},
		"with a body":       {request("POST", "/a", "Content-Length: 5", "BODY hello"), false},
		"closing":           {request("GET", "/a", "Connection: close"), false},
		"not taken":         {request("GET", "/admin/a"), true},
		"not taken, hidden": {request("GET", "/%61dmin/a"), true},
		"in chunks":         {request("POST", "/a", "Transfer-Encoding: chunked", "BODY 0\r\n\r\n"), true},
		"upgrade":           {request("GET", "/a", "Connection: Upgrade", "Upgrade: websocket"), true},
		"expects":           {request("POST", "/a", "Content-Length: 5", "Expect: 100-continue", "BODY hello"), true},
		"old":               {"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
		"two lengths":       {request("POST", "/a", "Content-Length: 5", "Content-Length: 5", "BODY hello"), true},
		"large head":        {request("GET", "/a", "X: "+strings.Repeat("x", 5000)), true},
		"many lines":        {request("GET", "/a", strings.Repeat("X: y\r\n", 60)+"Z: z"), true},
		"named hop by hop":  {request("GET", "/a", "Connection: X-Api-Key"), true},
	} {
		t.Run(name, func(t *testing.T) {
			all := s.answers(t, plain+test.text+plain, 1<<20, "GET", "GET", "GET")
			var bodies []string
			for _, a := range all {
				if a.status >= http.StatusOK {
					bodies = append(bodies, a.body)
				}
			}
			if len(bodies) < 2 || bodies[0] != "/plain false" || !strings.HasSuffix(bodies[1], fmt.Sprintf(" %v", test.by)) {
				t.Errorf("got %q, want net/http for the second: %v", bodies, test.by)
			}
			if len(bodies) == 3 && bodies[2] != fmt.Sprintf("/plain %v", test.by) {
				t.Errorf("got %q, want the third where the second was", bodies)
			}
		})
	}
}

// gone is a handler that waits until its client has gone.
func gone(watch bool, begun, ended chan<- struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if watch {
			w.(interface{ WatchClient() }).WatchClient()
		}
		if r.URL.Path != "/stalls" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		begun <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	})
}

func receive(t *testing.T, what string, from <-chan struct{}) {
	t.Helper()
	select {
	case <-from:
	case <-time.After(patience):
		t.Fatalf("%s: not after %v", what, patience)
	}
}

func TestClientsGoingIsNoticed(t *testing.T) {
	begun, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	s := serve(t, gone(true, begun, ended))
	get := request("GET", "/a")
	for name, text := range map[string]string{
		"no body": get, "body": request("POST", "/a", "Content-Length: 5", "BODY hello"), "with another behind": get + get, "second": "",
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			if text == "" {
				text = get
			}
			_, err := io.WriteString(c, text)
			must(t, err)
			receive(t, "the handler begins", begun)
			must(t, c.Close())
			receive(t, "the context is cancelled", ended)
		})
	}
}

// What a client sends while it is watched is its next request.
func TestWatchingTakesNothing(t *testing.T) {
	begun, proceed := make(chan struct{}, 1), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			w.(interface{ WatchClient() }).WatchClient()
			begun <- struct{}{}
			<-proceed
		}
		_, _ = fmt.Fprint(w, r.URL.Path, " ", r.Context().Err())
	}))
	for _, early := range []bool{false, true} {
		c := s.dial(t)
		_, err := io.WriteString(c, request("GET", "/first"))
		must(t, err)
		receive(t, "the handler begins", begun)
		if early {
			_, err = io.WriteString(c, request("GET", "/second"))
			must(t, err)
		}
		proceed <- struct{}{}
		r := bufio.NewReader(c)
		first, err := readAnswer(r, "GET")
		must(t, err)
		if !early {
			_, err = io.WriteString(c, request("GET", "/second"))
			must(t, err)
		}
		second, err := readAnswer(r, "GET")
		must(t, err)
		if first.body != "/first <nil>" || second.body != "/second <nil>" {
			t.Errorf("sent early %v: got %q and %q", early, first.body, second.body)
		}
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	got := make(chan string, 1)
	s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got <- fmt.Sprint(string(body), " ", err, " ", r.Context().Err())
	}))
	c := s.dial(t)
	_, err := io.WriteString(c, request("POST", "/a", "Content-Length: 10", "BODY hello"))
	must(t, err)
	must(t, c.CloseWrite())
	if text, want := <-got, "hello unexpected EOF context canceled"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
}

func TestSlowClientsAreCut(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for name, test := range map[string]struct {
		change  func(*Server)
		text    string
		answers int
	}{
		"half a head":                   {func(s *Server) { s.ReadHeaderTimeout = 50 * time.Millisecond }, "GET / HTTP/1.1\r\nHost:", 0},
		"half a head, behind a request": {func(s *Server) { s.ReadHeaderTimeout = 50 * time.Millisecond }, request("GET", "/") + "GET / HT", 1},
		"idle":                          {func(s *Server) { s.IdleTimeout = 50 * time.Millisecond }, request("GET", "/"), 1},
		"nothing at all":                {func(s *Server) { s.IdleTimeout = 50 * time.Millisecond }, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, ok, test.change).dial(t)
			_, err := io.WriteString(c, test.text)
			must(t, err)
			text, err := io.ReadAll(c) // until it is cut
			must(t, err)
			if got := strings.Count(string(text), "HTTP/1.1 200 OK"); got != test.answers {
				t.Errorf("got %q before the end, want %d answers", text, test.answers)
			}
		})
	}
}

// A connection that has said nothing yet has its time.
func TestNewConnectionsAreLeftAlone(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(s *Server) { s.ReadHeaderTimeout = 50 * time.Millisecond })
	fresh, slow := s.dial(t), s.dial(t)
	_, err := io.WriteString(slow, "GET / HTTP/1.1\r\n")
	must(t, err)
	_, err = io.ReadAll(slow) // cut: so there were looks enough
	must(t, err)
	_, err = io.WriteString(fresh, request("GET", "/"))
	must(t, err)
	_, err = readAnswer(bufio.NewReader(fresh), "GET")
	must(t, err)
}

// A request that is served is not cut for its length.
func TestServingIsNotIdle(t *testing.T) {
	proceed := make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-proceed
		_, _ = io.WriteString(w, "late")
	}), func(s *Server) { s.ReadHeaderTimeout, s.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond })
	c, other := s.dial(t), s.dial(t)
	_, err := io.WriteString(c, request("GET", "/", "Connection: close"))
	must(t, err)
	_, err = io.ReadAll(other) // cut: so there were looks enough
	must(t, err)
	close(proceed)
	a, err := readAnswer(bufio.NewReader(c), "GET")
	must(t, err)
	if a.body != "late" || !a.closes {
		t.Errorf("got %v", a)
	}
}

func TestShutdown(t *testing.T) {
	begun, proceed := make(chan struct{}, 1), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-proceed
		}
		_, _ = io.WriteString(w, "done")
	}))
	idleOne, fresh, slow := s.dial(t), s.dial(t), s.dial(t)
	_, err := io.WriteString(idleOne, request("GET", "/quick"))
	must(t, err)
	idleReader := bufio.NewReader(idleOne)
	_, err = readAnswer(idleReader, "GET")
	must(t, err)
	_, err = io.WriteString(slow, request("GET", "/slow"))
	must(t, err)
	receive(t, "the slow one begins", begun)

	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(background(t)) }()
	for _, c := range []io.Reader{idleReader, fresh} {
		if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
			t.Errorf("an idle connection ended with %q, %v", rest, err)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("shut down with %v before the request was over", err)
	default:
	}
	close(proceed)
	a, err := readAnswer(bufio.NewReader(slow), "GET")
	must(t, err)
	if a.body != "done" || !a.closes {
		t.Errorf("got %v, want the last answer of the connection", a)
	}
	must(t, <-ended)
}

func TestShutdownGivesUp(t *testing.T) {
	begun, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	s := serve(t, gone(false, begun, ended))
	c := s.dial(t)
	_, err := io.WriteString(c, request("GET", "/a"))
	must(t, err)
	receive(t, "the handler begins", begun)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("shut down without an error while a request was under way")
	}
	must(t, s.Close())
	receive(t, "the handler hears of it", ended)
}

// A panic ends its connection and no other, and is told; http.ErrAbortHandler is not.
func TestPanics(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/panic":
			panic("something is wrong")
		}
		_, _ = io.WriteString(w, "ok")
	}))
	for _, path := range []string{"/abort", "/panic"} {
		if got := s.answers(t, request("GET", path), 1<<20, "GET"); len(got) != 1 || !got[0].failed {
			t.Errorf("%s: got %v, want no answer", path, got)
		}
	}
	if got := s.answers(t, request("GET", "/"), 1<<20, "GET"); len(got) != 1 || got[0].body != "ok" {
		t.Errorf("afterwards got %v", got)
	}
	eventually(t, "the panic is told", func() bool { return strings.Contains(s.log.String(), "something is wrong") })
	if strings.Contains(s.log.String(), "abort") {
		t.Errorf("log has %q", s.log)
	}
}

// Deadlines that a handler has set are over with its request.
func TestDeadlinesAreOfOneRequest(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if r.URL.Path == "/limits" {
			must(t, c.SetWriteDeadline(time.Now().Add(time.Hour)))
			must(t, c.SetReadDeadline(longAgo))
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	got := s.answers(t, request("GET", "/limits")+request("GET", "/next", "Connection: close"), 1<<20, "GET", "GET")
	if len(got) != 2 || got[1].body != "/next" {
		t.Errorf("got %v", got)
	}
}

// An answer to a client that does not read ends when its deadline is moved.
func TestWriteDeadline(t *testing.T) {
	failed := make(chan struct{}, 1)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		must(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
		for large := make([]byte, 1<<20); ; {
			if _, err := w.Write(large); err != nil {
				failed <- struct{}{}
				return
			}
		}
	}))
	c := s.dial(t)
	_, err := io.WriteString(c, request("GET", "/"))
	must(t, err)
	receive(t, "it stops writing", failed)
}

// A client that still sends when it is refused can read why.
func TestRefusedWhileSending(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	const length = 4 << 20
	got := s.answers(t, request("POST", "/", fmt.Sprintf("Content-Length: %d", length), "BODY "+strings.Repeat("x", 300<<10)), 1<<16, "POST")
	if len(got) != 1 || got[0].status != http.StatusForbidden || !got[0].closes {
		t.Errorf("got %v", got)
	}
}

// So can one that sends all of it before it reads.
func TestRefusedBeforeAllIsSent(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	text := request("POST", "/", "Content-Length: 4194304", "BODY "+strings.Repeat("x", 4<<20))
	for range 10 {
		c := s.dial(t)
		_, err := io.WriteString(c, text)
		must(t, err)
		a, err := readAnswer(bufio.NewReader(c), "POST")
		must(t, err)
		if a.status != http.StatusForbidden || !a.closes {
			t.Errorf("got %v", a)
		}
		must(t, c.Close())
	}
}
