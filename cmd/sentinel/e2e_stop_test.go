package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

func pidOf(p *process) string { return strconv.Itoa(p.cmd.Process.Pid) }

// endsWith waits until the process has ended by itself, with the exit code and
// one line that says why.
func (p *process) endsWith(code int, part string) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end", p.cmd.Args[1])
	}
	text := p.stderr.String()
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("got exit code %d, want %d", got, code)
	}
	if !strings.HasPrefix(text, "sentinel: ") || !strings.Contains(text, part) || strings.Count(text, "\n") != 1 {
		p.t.Errorf("got %q, want one line with %q", text, part)
	}
}

// heldStream is a downstream whose event streams end when told, and no sooner.
func heldStream(t *testing.T) (url string, finish chan struct{}) {
	t.Helper()
	finish = make(chan struct{})
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-finish:
			_, _ = io.WriteString(w, "data: last\n\n")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(d.Close)
	return d.URL, finish
}

// openStream begins a stream and takes the first event.
func openStream(t *testing.T, url string) *bufio.Reader {
	t.Helper()
	res, err := from(t, homeIP).Do(withKey(t, "POST", url+"/v1/chat/completions", testKey(9620)))
	must(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	events := bufio.NewReader(res.Body)
	for _, want := range []string{"data: first\n", "\n"} {
		if got, err := events.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	return events
}

// signal sends a signal and waits until the log says that it is obeyed.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	must(p.t, p.cmd.Process.Signal(s))
	p.stderr.waitFor(p.t, p.ended, func(line string) (string, bool) { return line, strings.Contains(line, `"msg":"stopping"`) })
}

func TestSIGTERMLetsAStreamFinish(t *testing.T) {
	for _, stop := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		downstream, finish := heldStream(t)
		sentinel := startSentinel(t, downstream)
		events := openStream(t, sentinel.url)
		sentinel.signal(stop)
		close(finish)
		if got, err := io.ReadAll(events); err != nil || string(got) != "data: last\n\n" {
			t.Errorf("%v: got %q, %v, want the last event and the end", stop, got, err)
		}
		<-sentinel.ended
		if sentinel.err != nil {
			t.Errorf("%v: got %v, want exit code 0", stop, sentinel.err)
		}
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	downstream, _ := heldStream(t)
	data := t.TempDir()
	sentinel := startSentinel(t, downstream, "SENTINEL_DATA_DIR="+data)
	events := openStream(t, sentinel.url)
	sentinel.signal(syscall.SIGTERM)
	must(t, sentinel.cmd.Process.Signal(syscall.SIGTERM))
	<-sentinel.ended
	if got := sentinel.cmd.ProcessState.ExitCode(); got != exitInterrupted {
		t.Errorf("got exit code %d, want %d", got, exitInterrupted)
	}
	if got, err := io.ReadAll(events); err == nil {
		t.Errorf("got %q as a complete answer, want it cut", got)
	}
	again := startSentinel(t, downstream, "SENTINEL_DATA_DIR="+data) // the binding was made
	if got := call(t, from(t, elsewhereIP), "GET", again.url+"/v1/models", testKey(9620), nil); got.status != http.StatusForbidden {
		t.Errorf("after a restart, from elsewhere: got %d, want 403", got.status)
	}
}

// TestStartsThatMustFailSayWhyInOneLine holds exit codes: 2 for what the user
// asked, 1 for what the machine could not do.
func TestStartsThatMustFailSayWhyInOneLine(t *testing.T) {
	downstream, _ := heldStream(t)
	running := t.TempDir()
	sentinel := startSentinel(t, downstream, "SENTINEL_DATA_DIR="+running)
	fresh := filepath.Join(t.TempDir(), "fresh")
	foreign := t.TempDir()
	content := strings.Repeat("no data file ", 1000)
	must(t, os.WriteFile(filepath.Join(foreign, dataFileName), []byte(content), 0o600))
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	tests := []struct {
		name string
		more []string // settings
		code int
		want string
	}{
		{"port in use", []string{"SENTINEL_LISTEN=" + strings.TrimPrefix(sentinel.url, "http://")}, exitFailure, "another program has this port"},
		{"administration's port in use", []string{"SENTINEL_ADMIN_LISTEN=" + strings.TrimPrefix(sentinel.url, "http://")}, exitFailure, "SENTINEL_ADMIN_LISTEN"},
		{"address of another machine", []string{"SENTINEL_LISTEN=192.0.2.1:7000"}, exitFailure, "SENTINEL_LISTEN"},
		{"locked directory", []string{"SENTINEL_DATA_DIR=" + running}, exitFailure, "stop the other sentinel"},
		{"foreign file", []string{"SENTINEL_DATA_DIR=" + foreign}, exitFailure, dataFileName},
		{"directory is a file", []string{"SENTINEL_DATA_DIR=" + file}, exitFailure, "SENTINEL_DATA_DIR"},
		{"no certificate", []string{"SENTINEL_TLS_CERT=" + file, "SENTINEL_TLS_KEY=" + file}, exitFailure, "certificate"},
		{"bad URL", []string{"DOWNSTREAM_URL=ftp://gateway"}, exitUsage, "DOWNSTREAM_URL"},
		{"no URL", []string{"DOWNSTREAM_URL="}, exitUsage, "DOWNSTREAM_URL"},
		{"host bits", []string{"TRUSTED_PROXY_IPS=10.0.0.1/8"}, exitUsage, "10.0.0.0/8"},
		{"placeholder", []string{"SENTINEL_HMAC_SECRET=replace-with-a-long-secret"}, exitUsage, "SENTINEL_HMAC_SECRET"},
		{"short secret", []string{"ADMIN_JWT_SECRET=short"}, exitUsage, "ADMIN_JWT_SECRET"},
		{"key without certificate", []string{"SENTINEL_TLS_KEY=" + file}, exitUsage, "SENTINEL_TLS_CERT"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			startProcess(t, settingsFor(downstream, fresh, test.more...), "serve").endsWith(test.code, test.want)
		})
	}
	t.Run("unknown flag", func(t *testing.T) {
		startProcess(t, settingsFor(downstream, fresh), "serve", "--lsiten", ":80").endsWith(exitUsage, "did you mean --listen?")
	})
	t.Run("unknown name in the file", func(t *testing.T) {
		must(t, os.WriteFile(file, []byte("SENTINEL_LISTN=:80\n"), 0o600))
		startProcess(t, settingsFor(downstream, fresh), "serve", "--env-file", file).endsWith(exitUsage, "did you mean SENTINEL_LISTEN?")
	})
	if _, err := os.Stat(fresh); !errors.Is(err, os.ErrNotExist) {
		t.Error("a start that failed left a data directory behind")
	}
	if got, err := os.ReadFile(filepath.Join(foreign, dataFileName)); err != nil || string(got) != content {
		t.Errorf("the foreign file was changed: %v", err)
	}
	if entries, err := os.ReadDir(foreign); err != nil || len(entries) != 1 {
		t.Errorf("beside the foreign file: %v, %v", entries, err)
	}
}

// TestALostSecretsFileStopsTheStart would otherwise let everybody bind every key
// anew. It holds for data without any binding too: a secret is noted there.
func TestALostSecretsFileStopsTheStart(t *testing.T) {
	key := testKey(9630)
	gateway := startGateway(t, key)
	for name, bound := range map[string]bool{"with bindings": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			first := startSentinel(t, gateway.url, "SENTINEL_DATA_DIR="+data)
			if bound && call(t, from(t, homeIP), "GET", first.url+"/v1/models", key, nil).status != http.StatusOK {
				t.Fatal("the first use was refused")
			}
			must(t, first.stop())
			path := filepath.Join(data, secretsName)
			kept, err := os.ReadFile(path)
			must(t, err)
			must(t, os.Remove(path))
			for range 2 { // the first must not make the second succeed
				startProcess(t, settingsFor(gateway.url, data), "serve").endsWith(exitFailure, "set SENTINEL_HMAC_SECRET")
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Error("a new secrets file was written")
			}
			must(t, os.WriteFile(path, kept, 0o600))
			again := startSentinel(t, gateway.url, "SENTINEL_DATA_DIR="+data)
			want := map[bool]int{true: http.StatusForbidden, false: http.StatusOK}[bound]
			if got := call(t, from(t, elsewhereIP), "GET", again.url+"/v1/models", key, nil); got.status != want {
				t.Errorf("with the file restored, from elsewhere: got %d, want %d", got.status, want)
			}
		})
	}
}

// TestTheDirectoryIsFreeAfterAKill starts on what a killed process has left.
func TestTheDirectoryIsFreeAfterAKill(t *testing.T) {
	downstream, _ := heldStream(t)
	data := t.TempDir()
	killed := startSentinel(t, downstream, "SENTINEL_DATA_DIR="+data)
	must(t, killed.cmd.Process.Kill())
	<-killed.ended
	again := startSentinel(t, downstream, "SENTINEL_DATA_DIR="+data)
	if _, err := net.Dial("unix", filepath.Join(data, client.SocketName)); err != nil {
		t.Errorf("the socket of the one before is in the way: %v", err)
	}
	if err := again.stop(); err != nil {
		t.Error(err)
	}
}
