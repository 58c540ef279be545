package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// patience bounds a wait for something that must happen.
const patience = 30 * time.Second

func testKey(n int) string { return "sk-" + strings.Repeat(fmt.Sprintf("sErv%04d", n), 6) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// served is a Sentinel that runs in the test's process.
type served struct {
	t    *testing.T
	url  string
	stop context.CancelFunc
	end  chan error
}

// settingsFor returns the least that serve needs, and more settings over it.
func settingsFor(downstream, dataDir string, more ...string) []string {
	return append([]string{
		"DOWNSTREAM_URL=" + downstream, "SENTINEL_LISTEN=127.0.0.1:0", "SENTINEL_DATA_DIR=" + dataDir,
	}, more...)
}

func configFrom(t *testing.T, environ []string) *Config {
	t.Helper()
	cfg, _, err := loadConfig(sources{environ: environ, envFile: filepath.Join(t.TempDir(), "none")})
	must(t, err)
	return cfg
}

func startServing(t *testing.T, environ []string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	addr := make(chan net.Addr, 1)
	s := &served{t: t, stop: cancel, end: make(chan error, 1)}
	cfg := configFrom(t, environ)
	go func() {
		s.end <- serve(ctx, cfg, serveEnv{stderr: io.Discard, ready: func(a net.Addr) { addr <- a }})
	}()
	t.Cleanup(cancel)
	select {
	case a := <-addr:
		s.url = "http://" + a.String()
	case err := <-s.end:
		t.Fatalf("serve ended: %v", err)
	case <-time.After(patience):
		t.Fatal("serve did not get ready")
	}
	return s
}

// ended waits for serve to return.
func (s *served) ended() error {
	s.t.Helper()
	select {
	case err := <-s.end:
		return err
	case <-time.After(patience):
		s.t.Fatal("serve did not end")
		return nil
	}
}

func (s *served) stopAndWait() {
	s.t.Helper()
	s.stop()
	if err := s.ended(); err != nil {
		s.t.Errorf("serve: %v", err)
	}
}

// use sends a request with a key from an address and returns the status.
func (s *served) use(from, key string) int {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: d.DialContext}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/v1/models", nil)
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	must(s.t, err)
	must(s.t, res.Body.Close())
	return res.StatusCode
}

// slowDownstream answers at once, except on /v1/slow: there it sends a line,
// and the end of the body only when told.
func slowDownstream(t *testing.T) (url string, finish chan struct{}) {
	t.Helper()
	finish = make(chan struct{})
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/slow":
			_, _ = io.WriteString(w, "begin\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-finish:
				_, _ = io.WriteString(w, "end\n")
			case <-r.Context().Done():
			}
		case "/v1/realtime":
			c, err := websocket.Accept(w, r, nil)
			if err == nil {
				_, _, _ = c.Read(r.Context())
				_ = c.CloseNow()
			}
		}
	}))
	t.Cleanup(d.Close)
	return d.URL, finish
}

func openSlow(t *testing.T, s *served) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/slow", nil)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	body := bufio.NewReader(res.Body)
	line, err := body.ReadString('\n')
	must(t, err)
	if line != "begin\n" {
		t.Fatalf("got %q, want the beginning", line)
	}
	return body
}

func TestStoppingLetsRunningAnswersFinish(t *testing.T) {
	downstream, finish := slowDownstream(t)
	s := startServing(t, settingsFor(downstream, t.TempDir()))
	body := openSlow(t, s)
	s.stop()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			break // no new connections are taken
		}
		_ = conn.Close()
		if time.Now().After(end) {
			t.Fatal("new connections are still taken")
		}
	}
	close(finish)
	rest, err := io.ReadAll(body)
	if err != nil || string(rest) != "end\n" {
		t.Errorf("got %q, %v, want the end", rest, err)
	}
	if err := s.ended(); err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestStoppingEndsWhatOutlivesTheGracePeriod(t *testing.T) {
	downstream, _ := slowDownstream(t)
	s := startServing(t, settingsFor(downstream, t.TempDir(), "SENTINEL_SHUTDOWN_GRACE=50ms"))
	body := openSlow(t, s)
	ws, res, err := websocket.Dial(t.Context(), s.url+"/v1/realtime", nil)
	must(t, err)
	if res.Body != nil {
		_ = res.Body.Close()
	}
	defer func() { _ = ws.CloseNow() }()
	s.stopAndWait()
	if rest, err := io.ReadAll(body); err == nil {
		t.Errorf("got %q as a complete answer, want it cut", rest)
	}
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the WebSocket is still open")
	}
}

func TestBindingsOutliveARestart(t *testing.T) {
	downstream, _ := slowDownstream(t)
	dir := filepath.Join(t.TempDir(), "deep", "data")
	s := startServing(t, settingsFor(downstream, dir))
	if got := s.use("127.0.0.1", testKey(1)); got != 200 {
		t.Fatalf("got %d, want 200", got)
	}
	s.stopAndWait()
	s = startServing(t, settingsFor(downstream, dir))
	if got := s.use("127.0.0.2", testKey(1)); got != 403 {
		t.Errorf("from elsewhere after a restart: got %d, want 403", got)
	}
	if got := s.use("127.0.0.1", testKey(1)); got != 200 {
		t.Errorf("after a restart: got %d, want 200", got)
	}
	s.stopAndWait()

	other := settingsFor(downstream, dir, "SENTINEL_HMAC_SECRET="+strings.Repeat("another secret ", 4))
	err := serve(t.Context(), configFrom(t, other), serveEnv{stderr: io.Discard})
	if !errors.Is(err, engine.ErrOtherSecret) {
		t.Errorf("with another secret: got %v, want %v", err, engine.ErrOtherSecret)
	}
}

func TestStartsThatMustFail(t *testing.T) {
	downstream, _ := slowDownstream(t)
	running := t.TempDir()
	s := startServing(t, settingsFor(downstream, running))
	defer s.stopAndWait()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("x"), 0o600))
	foreign := t.TempDir()
	must(t, os.WriteFile(filepath.Join(foreign, dataFileName), []byte(strings.Repeat("no data file ", 1000)), 0o600))
	fresh := filepath.Join(t.TempDir(), "fresh")
	tests := []struct {
		name    string
		environ []string
		is      error
		text    string
	}{
		{"port in use", settingsFor(downstream, fresh, "SENTINEL_LISTEN="+strings.TrimPrefix(s.url, "http://")), nil, "SENTINEL_LISTEN"},
		{"data directory in use", settingsFor(downstream, running), store.ErrLocked, "SENTINEL_DATA_DIR"},
		{"data directory is a file", settingsFor(downstream, file), nil, "SENTINEL_DATA_DIR"},
		{"foreign file", settingsFor(downstream, foreign), store.ErrForeign, dataFileName},
		{"no certificate", settingsFor(downstream, fresh, "SENTINEL_TLS_CERT="+fresh+".pem", "SENTINEL_TLS_KEY="+fresh+".key"), os.ErrNotExist, "pem"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := serve(t.Context(), configFrom(t, test.environ), serveEnv{stderr: io.Discard})
			switch {
			case err == nil:
				t.Fatal("serve started")
			case test.is != nil && !errors.Is(err, test.is):
				t.Errorf("got %v, want %v", err, test.is)
			case !strings.Contains(err.Error(), test.text):
				t.Errorf("got %q, want %q in it", err, test.text)
			case strings.Contains(err.Error(), "\n"):
				t.Errorf("got %q, want one line", err)
			}
		})
	}
	if _, err := os.Stat(fresh); !errors.Is(err, os.ErrNotExist) {
		t.Error("a start that failed left a data directory behind")
	}
}

func TestTheDataDirectoryIsPrivate(t *testing.T) {
	downstream, _ := slowDownstream(t)
	dir := filepath.Join(t.TempDir(), "data")
	s := startServing(t, settingsFor(downstream, dir))
	defer s.stopAndWait()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) < 4 {
		t.Errorf("got %d files, want data, secrets, token and socket", len(entries))
	}
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, want nothing for others", e.Name(), info.Mode().Perm())
		}
	}
}

func TestInterceptsTail(t *testing.T) {
	downstream, _ := slowDownstream(t)
	dir := t.TempDir()
	s := startServing(t, settingsFor(downstream, dir))
	s.use("127.0.0.1", testKey(1))
	s.use("127.0.0.2", testKey(1))
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var out, errs strings.Builder
		code := run(t.Context(), []string{"intercepts", "tail", "--data-dir", dir}, strings.NewReader(""), &out, &errs)
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
		if strings.Contains(out.String(), "ip_not_allowed") && strings.Contains(out.String(), "127.0.0.2") {
			if strings.Contains(out.String(), testKey(1)[3:20]) {
				t.Error("the key is shown")
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the intercept is not listed: %s", out.String())
		}
	}
	s.stopAndWait()
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"intercepts", "tail", "--data-dir", dir}, strings.NewReader(""), &out, &errs); code != exitUnreachable ||
		!strings.Contains(errs.String(), "no sentinel runs") {
		t.Errorf("without a server: got exit code %d and %q", code, errs.String())
	}
}
