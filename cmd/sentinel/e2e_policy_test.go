package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/store"
)

// runSentinel runs a command of the real binary to its end, in a directory of
// its own and without an environment.
func runSentinel(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	usedBinary = true
	path, err := binary()
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = t.TempDir(), []string{raceOptions}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// interceptsOf returns the records of a server once there are any.
func interceptsOf(t *testing.T, data string) []store.Intercept {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := client.Local(data)
	defer c.Close()
	for {
		var answer struct{ Items []store.Intercept }
		must(t, c.Do(ctx, "GET", "/logs", nil, &answer))
		if len(answer.Items) > 0 {
			return answer.Items
		}
	}
}

func TestRateLimit(t *testing.T) {
	key := testKey(9800)
	sentinel := startSentinel(t, startGateway(t, key).url, "SENTINEL_RATE_LIMIT=1", "SENTINEL_RATE_BURST=3")
	home := from(t, homeIP)
	for i := range 5 {
		res, err := home.Do(withKey(t, "GET", sentinel.url+"/v1/models", key))
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if i < 3 {
			if res.StatusCode != http.StatusOK {
				t.Errorf("request %d: got %d, want 200", i, res.StatusCode)
			}
			continue
		}
		after, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode != http.StatusTooManyRequests || err != nil || after < 1 || after > 60 || !strings.Contains(string(body), `"rate_limited"`) {
			t.Errorf("request %d: got %d, Retry-After %q, %s", i, res.StatusCode, res.Header.Get("Retry-After"), body)
		}
	}
	if got := call(t, from(t, elsewhereIP), "GET", sentinel.url+"/v1/models", key, nil); got.status != http.StatusForbidden {
		t.Errorf("another address: got %d, want a limit of its own, and 403", got.status)
	}
	if got := call(t, home, "GET", sentinel.url+"/health", key, nil); got.status != http.StatusOK {
		t.Errorf("health: got %d, want 200", got.status)
	}
}

func TestObserveRefusesNothingAndRecordsAll(t *testing.T) {
	key := testKey(9801)
	g := startGateway(t, key)
	data := t.TempDir()
	sentinel := startSentinel(t, g.url, "SENTINEL_MODE=observe", "SENTINEL_DATA_DIR="+data)
	for _, ip := range []string{homeIP, elsewhereIP} {
		if got := call(t, from(t, ip), "GET", sentinel.url+"/v1/models", key, nil); got.status != http.StatusOK {
			t.Errorf("from %s: got %d, want 200", ip, got.status)
		}
	}
	if recs := interceptsOf(t, data); len(recs) != 1 || !recs[0].Observed || recs[0].ClientIP.String() != elsewhereIP {
		t.Errorf("got records %+v, want one that says it was observed", recs)
	}
	must(t, sentinel.stop())
	enforcing := startSentinel(t, g.url, "SENTINEL_DATA_DIR="+data)
	if got := call(t, from(t, elsewhereIP), "GET", enforcing.url+"/v1/models", key, nil); got.status != http.StatusForbidden {
		t.Errorf("enforcing again, from elsewhere: got %d, want 403", got.status)
	}
}

func TestAnonymousRequests(t *testing.T) {
	key := testKey(9802)
	g := startGateway(t, key)
	for anonymous, want := range map[string]int{"pass": 200, "reject": 401} {
		sentinel := startSentinel(t, g.url, "SENTINEL_ANONYMOUS="+anonymous)
		res, err := from(t, homeIP).Get(sentinel.url + "/api/status")
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != want || want == 401 && !strings.Contains(string(body), `"credential_required"`) {
			t.Errorf("%s: got %d %s, want %d", anonymous, res.StatusCode, body, want)
		}
		if got := call(t, from(t, homeIP), "GET", sentinel.url+"/v1/models", key, nil); got.status != http.StatusOK {
			t.Errorf("%s, with a key: got %d, want 200", anonymous, got.status)
		}
		if code, _, errs := runSentinel(t, "", "healthcheck", "--listen", strings.TrimPrefix(sentinel.url, "http://")); code != exitOK {
			t.Errorf("%s, health: got %d, %s", anonymous, code, errs)
		}
	}
}

func TestMaxBody(t *testing.T) {
	key := testKey(9803)
	g := startGateway(t, key)
	sentinel := startSentinel(t, g.url, "SENTINEL_MAX_BODY=1KiB")
	announced := func(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
	chunked := func(n int) io.Reader { return struct{ io.Reader }{announced(n)} }
	for _, test := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"at the limit", announced(1024), 200},
		{"beyond it", announced(1025), 413},
		{"far beyond it", announced(8 << 20), 413},
		{"chunked at the limit", chunked(1024), 200},
		{"chunked beyond it", chunked(1025), 413},
		{"chunked far beyond it", chunked(8 << 20), 413},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := withKey(t, "POST", sentinel.url+"/v1/upload", key)
			sized, err := http.NewRequestWithContext(t.Context(), "POST", r.URL.String(), test.body)
			must(t, err)
			sized.Header = r.Header
			res, err := from(t, homeIP).Do(sized)
			must(t, err)
			body, err := io.ReadAll(res.Body)
			must(t, err)
			must(t, res.Body.Close())
			if res.StatusCode != test.status || test.status == 413 && !strings.Contains(string(body), `"body_too_large"`) {
				t.Errorf("got %d %s, want %d", res.StatusCode, body, test.status)
			}
		})
	}
}

// TestCommandsBesideARunningServer asks it and its data directory what a user
// would ask.
func TestCommandsBesideARunningServer(t *testing.T) {
	key := testKey(9804)
	g := startGateway(t, key)
	data := t.TempDir()
	sentinel := startSentinel(t, g.url, "SENTINEL_DATA_DIR="+data)
	if got := call(t, from(t, homeIP), "GET", sentinel.url+"/v1/models", key, nil); got.status != http.StatusOK {
		t.Fatalf("first use: got %d, want 200", got.status)
	}
	call(t, from(t, elsewhereIP), "GET", sentinel.url+"/v1/models", key, nil)
	rec := interceptsOf(t, data)[0]

	code, out, errs := runSentinel(t, key+"\n", "hash", "--data-dir", data)
	if want := rec.Hash.String() + "  " + rec.Hint + "\n"; code != exitOK || out != want {
		t.Errorf("hash: got %d, %q, %q, want %q, as recorded", code, out, errs, want)
	}
	code, out, errs = runSentinel(t, "", "intercepts", "tail", "--data-dir", data)
	if code != exitOK || !strings.Contains(out, elsewhereIP) || !strings.Contains(out, rec.Hint) {
		t.Errorf("intercepts tail: got %d, %q, %q", code, out, errs)
	}
	code, out, errs = runSentinel(t, "", "explain-ip", "--peer", elsewhereIP+":4000", "--header", "X-Real-IP: 203.0.113.9")
	if code != exitOK || !strings.Contains(out, "client IP: "+rec.ClientIP.String()+"\n") {
		t.Errorf("explain-ip: got %d, %q, %q, want %s, as recorded", code, out, errs, rec.ClientIP)
	}
	code, out, errs = runSentinel(t, "", "version")
	if code != exitOK || !strings.HasPrefix(out, "sentinel ") || errs != "" {
		t.Errorf("version: got %d, %q, %q", code, out, errs)
	}

	health := []string{"healthcheck", "--listen", strings.TrimPrefix(sentinel.url, "http://")}
	if code, out, errs := runSentinel(t, "", health...); code != exitOK || out+errs != "" {
		t.Errorf("healthcheck: got %d, %q, %q, want 0 and no word", code, out, errs)
	}
	must(t, sentinel.stop())
	if code, _, errs := runSentinel(t, "", health...); code != exitFailure || strings.Count(errs, "\n") != 1 {
		t.Errorf("healthcheck of a stopped server: got %d, %q, want 1 and one line", code, errs)
	}
}
