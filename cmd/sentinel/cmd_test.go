package main

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

// runCommand runs the program in an empty directory without any setting in the
// environment.
func runCommand(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, s := range settings {
		if value, ok := os.LookupEnv(s.name); ok {
			t.Setenv(s.name, value) // to be put back at the end
			if err := os.Unsetenv(s.name); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out, errs strings.Builder
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		args string
		code int
		out  string // a part of standard output, or of standard error if the code is not 0
	}{
		{"version", exitOK, "go1"},
		{"--version", exitOK, "sentinel "},
		{"--help", exitOK, "--downstream-url"},
		{"help serve", exitOK, "--max-body"},
		{"settings", exitOK, "# Settings"},
		{"settings --language zh", exitOK, "# 配置项"},
		{"settings --language fr", exitUsage, "want en or zh"},
		{"completion bash", exitOK, "bash completion"},
		{"", exitUsage, "DOWNSTREAM_URL is missing"},
		{"serve", exitUsage, "DOWNSTREAM_URL is missing"},
		{"srve", exitUsage, `"srve" is no command; did you mean serve?`},
		{"frobnicate", exitUsage, `"frobnicate" is no command; see sentinel --help`},
		{"serve now", exitUsage, `not "now"`},
		{"version -x", exitUsage, "unknown shorthand flag"},
		{"serve --env-file missing.env", exitUsage, "missing.env"},
		{"serve --max-body", exitUsage, "needs an argument"},
		{"explain-ip", exitUsage, "--peer is missing"},
		{"explain-ip --peer 10.0.0.1:1 --header x", exitUsage, "not a header"},
		{"explain-ip --peer 10.0.0.1:1 --output xml", exitUsage, "want text or json"},
		{"explain-ip --peer 10.0.0.1:1 --trusted-proxy-ips 10.0.0.1/8", exitUsage, "host bits"},
		{"healthcheck --url ftp://x", exitUsage, "the scheme"},
		{"healthcheck --listen x", exitUsage, "SENTINEL_LISTEN"},
		{"hash", exitUsage, "SENTINEL_HMAC_SECRET is missing"},
		{"migrate from-legacy", exitUsage, "PG_DSN is missing: want that of the earlier deployment, such as postgresql://"},
		{"migrate bolt-to-postgres", exitUsage, "PG_DSN is missing: want that of the cluster, such as postgresql://"},
		{"migrate postgres-to-bolt -o csv", exitUsage, "want table or json"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := runCommand(t, "", strings.Fields(test.args)...)
			text := stdout
			if test.code != exitOK {
				text = stderr
				for line := range strings.Lines(stderr) {
					if !strings.HasPrefix(line, "sentinel: ") {
						t.Errorf("line %q does not say whose it is", line)
					}
				}
			}
			if code != test.code || !strings.Contains(text, test.out) {
				t.Errorf("got %d, %q, %q, want %d and %q", code, stdout, stderr, test.code, test.out)
			}
		})
	}
}

func TestUnknownFlagsAreReportedWithAllElse(t *testing.T) {
	code, _, stderr := runCommand(t, "", "serve", "--lsiten", ":80", "--max-body", "--x", "-q", "--nat64", "--MODE=observe", "--", "--not-a-flag")
	want := []string{
		"--lsiten is no flag; did you mean --listen?",
		"-q is no flag; see sentinel --help",
		"--MODE is no flag; did you mean --mode?",
		`serve takes flags only, and not "--not-a-flag"`,
	}
	// Words are refused before settings are read, so leave them out for the rest.
	if code != exitUsage || !strings.Contains(stderr, want[3]) {
		t.Errorf("got %d, %s", code, stderr)
	}
	code, _, stderr = runCommand(t, "", "serve", "--lsiten", ":80", "--max-body", "--x", "-q", "--nat64", "--MODE=observe")
	want[3] = `--max-body: SENTINEL_MAX_BODY="--x": not a size; want bytes or KiB/MiB/GiB, e.g. 32MiB`
	for _, line := range append(want, "DOWNSTREAM_URL is missing") {
		if !strings.Contains(stderr, "sentinel: "+line) {
			t.Errorf("got %s\nwant %s in it", stderr, line)
		}
	}
	if got := strings.Count(stderr, "\n"); code != exitUsage || got != len(want)+1 {
		t.Errorf("got code %d and %d lines, want %d: %s", code, got, len(want)+1, stderr)
	}
}

func TestExplainIP(t *testing.T) {
	args := []string{
		"explain-ip", "--peer", "10.0.0.7:51000", "--trusted-proxy-ips", "10.0.0.0/8", "--real-ip-header", "X-Forwarded-For",
		"--header", "X-Forwarded-For: 198.51.100.1, 203.0.113.9", "--header", "x-forwarded-for:10.0.0.8",
	}
	code, stdout, _ := runCommand(t, "", args...)
	if code != exitOK || !strings.Contains(stdout, "client IP: 203.0.113.9") {
		t.Errorf("got %d, %s", code, stdout)
	}
	code, stdout, _ = runCommand(t, "", append(args, "--output", "json")...)
	var e clientip.Explanation
	if err := json.Unmarshal([]byte(stdout), &e); code != exitOK || err != nil || e.ClientIP.String() != "203.0.113.9" {
		t.Errorf("got %d, %v, %s", code, err, stdout)
	}
}

func TestHash(t *testing.T) {
	key := strings.Repeat("a1B2", 12)
	code, first, stderr := runCommand(t, "sk-"+key+"\n", "hash", "--hmac-secret", longSecret)
	if code != exitOK || len(strings.Fields(first)) != 2 || strings.Contains(first, key) {
		t.Fatalf("got %d, %q, %q, want hash and hint", code, first, stderr)
	}
	if _, again, _ := runCommand(t, "Bearer "+key, "hash", "--hmac-secret", longSecret); again != first {
		t.Errorf("another spelling: got %q, want %q", again, first)
	}
	dir := t.TempDir()
	if _, err := loadSecrets(dir, &Config{}, false); err != nil {
		t.Fatal(err)
	}
	if code, kept, stderr := runCommand(t, key, "hash", "--data-dir", dir); code != exitOK || kept == first {
		t.Errorf("with the kept secret: got %d, %q, %q", code, kept, stderr)
	}
	if code, _, _ := runCommand(t, "", "hash", "--hmac-secret", longSecret); code != exitUsage {
		t.Errorf("without a key: got %d, want %d", code, exitUsage)
	}
}

func TestHealthURL(t *testing.T) {
	tests := []struct{ listen, cert, want string }{
		{":7000", "", "http://127.0.0.1:7000/health"},
		{"0.0.0.0:7000", "", "http://127.0.0.1:7000/health"},
		{"[::]:7000", "", "http://[::1]:7000/health"},
		{"[::1]:7000", "", "http://[::1]:7000/health"},
		{"10.0.0.1:443", "x.crt", "https://10.0.0.1:443/health"},
		{"sentinel.example.com:7000", "", "http://sentinel.example.com:7000/health"},
	}
	for _, test := range tests {
		if got := healthURL(&Config{Listen: test.listen, TLSCert: test.cert}); got != test.want {
			t.Errorf("%s: got %s, want %s", test.listen, got, test.want)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	status := http.StatusOK
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	for _, args := range [][]string{
		{"--listen", plain.Listener.Addr().String()},
		{"--url", plain.URL + "/health"},
		{"--listen", secure.Listener.Addr().String(), "--tls-cert", "x.crt", "--tls-key", "x.key"},
	} {
		if code, _, stderr := runCommand(t, "", append([]string{"healthcheck"}, args...)...); code != exitOK {
			t.Errorf("%v: got %d, %s", args, code, stderr)
		}
	}
	status = http.StatusServiceUnavailable
	if code, _, stderr := runCommand(t, "", "healthcheck", "--listen", plain.Listener.Addr().String()); code != exitFailure || !strings.Contains(stderr, "503") {
		t.Errorf("unhealthy: got %d, %s", code, stderr)
	}
	plain.Close()
	if code, _, _ := runCommand(t, "", "healthcheck", "--listen", plain.Listener.Addr().String()); code != exitFailure {
		t.Errorf("nobody there: got %d, want %d", code, exitFailure)
	}
}

// TestHealthcheckSpeaksPROXY has a listener that wants the PROXY protocol of
// this machine.
func TestHealthcheckSpeaksPROXY(t *testing.T) {
	for _, test := range []struct{ trusted, want string }{
		{"127.0.0.0/8", "PROXY UNKNOWN\r\n"},
		{"10.0.0.0/8", "GET /health HTTP/1.1\r\n"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan string, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			r := bufio.NewReader(conn)
			line, _ := r.ReadString('\n')
			first <- line
			for line != "\r\n" && err == nil {
				line, err = r.ReadString('\n')
			}
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		}()
		code, _, stderr := runCommand(t, "", "healthcheck", "--listen", l.Addr().String(), "--proxy-protocol", "--trusted-proxy-ips", test.trusted)
		if got := <-first; code != exitOK || got != test.want {
			t.Errorf("trusting %s: got %d, %s, first line %q, want %q", test.trusted, code, stderr, got, test.want)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSettingsComeFromTheFileInTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile(".env", []byte("TRUSTED_PROXY_IPS=10.0.0.0/8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.env")
	if err := os.WriteFile(other, []byte("TRUSTED_PROXY_IPS=192.168.0.0/16\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	explain := func(args ...string) string {
		var out, errs strings.Builder
		args = append([]string{"explain-ip", "--peer", "10.0.0.7:1", "--header", "X-Real-IP: 203.0.113.9"}, args...)
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != exitOK {
			t.Fatalf("got %d, %s", code, errs.String())
		}
		return out.String()
	}
	if got := explain(); !strings.Contains(got, "client IP: 203.0.113.9") {
		t.Errorf("got %s, want the proxy of .env trusted", got)
	}
	if got := explain("--env-file", other); !strings.Contains(got, "client IP: 10.0.0.7") {
		t.Errorf("got %s, want the other file to count", got)
	}
}
