package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

// Where the end-to-end tests connect from.
const (
	homeIP      = "127.0.0.1"
	elsewhereIP = "127.0.0.2"
)

// binary builds this command, once for all tests. With the race detector on,
// it is built with it too.
var binary = sync.OnceValues(func() (path string, err error) {
	dir, err := os.MkdirTemp("", "sentinel-e2e-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "sentinel")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return path, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// raceOptions has a binary with the race detector end when it is done, not a second
// later, as those that are built with it do.
const raceOptions = "GORACE=atexit_sleep_ms=0"

var usedBinary bool // set by startProcess; tests of this package do not run in parallel

// requireServers says that what is not installed is a failure.
var requireServers = os.Getenv("SENTINEL_REQUIRE_SERVERS") == "1"

// TestMain takes Sentinel's names out of the environment, which the commands under
// test would read.
func TestMain(m *testing.M) {
	for _, assignment := range os.Environ() {
		name, _, _ := strings.Cut(assignment, "=")
		if strings.HasPrefix(name, namePrefix) || settingNamed(name) != nil {
			_ = os.Unsetenv(name) // fails for a name that is none
		}
	}
	code := m.Run()
	if usedBinary {
		if path, _ := binary(); path != "" {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// process is a run of the real binary.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *logBuffer
	stderr *logBuffer
	ended  chan struct{} // closed once it has
	err    error         // how; valid once ended is closed
}

// startProcess runs the binary with nothing in its environment but what is
// given, in a working directory of its own. At the end of the test it is told
// to stop, and has to.
func startProcess(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	return startCommand(t, environ, nil, args...)
}

// startCommand does the same, after change, if not nil, has changed the command.
func startCommand(t *testing.T, environ []string, change func(cmd *exec.Cmd), args ...string) *process {
	t.Helper()
	usedBinary = true
	path, err := binary()
	must(t, err)
	p := &process{t: t, cmd: exec.Command(path, args...), stdout: newLogBuffer(), stderr: newLogBuffer(), ended: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + p.cmd.Dir, raceOptions}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if change != nil {
		change(p.cmd)
	}
	must(t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.stop() // a test that cares has called it
		if strings.Contains(p.stderr.String(), "WARNING: DATA RACE") {
			t.Errorf("%s has a data race", strings.Join(args, " "))
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s%s", strings.Join(args, " "), p.stdout, p.stderr)
		}
	})
	return p
}

// stop sends SIGTERM and returns the error of Wait.
func (p *process) stop() error {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		p.t.Errorf("%s did not end on SIGTERM", p.cmd.Args[1])
	}
	return p.err
}

// gatewayProcess is the demo's gateway as a process.
type gatewayProcess struct {
	*process
	url string
}

func startGateway(t *testing.T, keys ...string) gatewayProcess {
	t.Helper()
	return startGatewayWith(t, nil, keys...)
}

func startGatewayWith(t *testing.T, flags []string, keys ...string) gatewayProcess {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	must(t, os.WriteFile(file, []byte(strings.Join(keys, "\n")), 0o600))
	p := startProcess(t, nil, append([]string{"demo-gateway", "--keys-file", file}, flags...)...)
	addr := p.stdout.waitFor(t, p.ended, func(line string) (string, bool) { return strings.TrimSpace(line), true })
	return gatewayProcess{process: p, url: "http://" + addr}
}

// state asks the gateway what it has seen; until is empty or what to wait for.
func (g gatewayProcess) state(until string) gateway.State {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/debug/state?until="+until, nil)
	must(g.t, err)
	res, err := http.DefaultClient.Do(r)
	must(g.t, err)
	defer func() { _ = res.Body.Close() }()
	var state gateway.State
	must(g.t, json.NewDecoder(res.Body).Decode(&state))
	return state
}

// uses is how often the gateway has accepted the key, in whichever letters it
// keeps it.
func (g gatewayProcess) uses(key string) int {
	g.t.Helper()
	for seen, count := range g.state("").Keys {
		if strings.EqualFold(seen, strings.TrimPrefix(key, "sk-")) {
			return count
		}
	}
	return 0
}

// sentinelProcess is a Sentinel in front of a gateway.
type sentinelProcess struct {
	*process
	url string
}

// startSentinel runs one on a free port, and returns once it answers.
func startSentinel(t *testing.T, downstream string, more ...string) sentinelProcess {
	t.Helper()
	p := startProcess(t, settingsFor(downstream, t.TempDir(), more...), "serve")
	addr := p.stderr.waitFor(t, p.ended, servingAt)
	scheme := "http"
	for _, pair := range more {
		if strings.HasPrefix(pair, "SENTINEL_TLS_CERT=") {
			scheme = "https"
		}
	}
	return sentinelProcess{process: p, url: scheme + "://" + addr}
}

// servingAt takes the public address out of the line that says so.
func servingAt(line string) (addr string, ok bool) {
	var entry struct {
		Msg, Address string
	}
	if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != "serving" {
		return "", false
	}
	return entry.Address, entry.Address != ""
}

// logBuffer keeps what a process writes, and can be waited on.
type logBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer  // guarded by mu
	changed chan struct{} // guarded by mu; closed at the next change
}

func newLogBuffer() *logBuffer { return &logBuffer{changed: make(chan struct{})} }

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
	return b.text.Write(p)
}

func (b *logBuffer) String() string { text, _ := b.read(); return text }

func (b *logBuffer) read() (string, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String(), b.changed
}

// waitFor returns what find makes of the first whole line that it takes.
func (b *logBuffer) waitFor(t *testing.T, ended <-chan struct{}, find func(line string) (string, bool)) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		text, changed := b.read()
		for line := range strings.Lines(text) {
			if found, ok := find(line); ok && strings.HasSuffix(line, "\n") {
				return found
			}
		}
		select {
		case <-changed:
		case <-ended:
			t.Fatalf("the process ended without the line:\n%s", b)
		case <-deadline:
			t.Fatalf("the line did not come:\n%s", b)
		}
	}
}

// from returns a client that connects from the address, and keeps nothing open.
func from(t *testing.T, ip string) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// answer is one whole answer.
type answer struct {
	status  int
	length  int64 // as announced
	body    string
	trailer http.Header
}

// call sends a request with a key.
func call(t *testing.T, client *http.Client, method, url, key string, body io.Reader) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := client.Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	must(t, err)
	return answer{status: res.StatusCode, length: res.ContentLength, body: string(data), trailer: res.Trailer}
}
