package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// TestLogsCommands reads the log of one server, which ends and comes back.
func TestLogsCommands(t *testing.T) {
	c := startForCommands(t)
	key, other := testKey(9921), testKey(9922)
	for _, k := range []string{key, other} {
		if got := c.use(homeIP, k); got != http.StatusOK {
			t.Fatalf("first use: got %d", got)
		}
		if got := c.use(elsewhereIP, k); got != http.StatusForbidden {
			t.Fatalf("from elsewhere: got %d", got)
		}
	}
	for len(c.intercepts(t)) < 2 { // they are written within 250 ms
	}
	t.Run("tail", func(t *testing.T) { c.tail(t, key) })
	t.Run("export", func(t *testing.T) { c.exportLogs(t, key) })
	t.Run("follow", func(t *testing.T) { c.follow(t, key) })
}

// intercepts returns what a tail prints as JSON.
func (c commandLine) intercepts(t *testing.T, args ...string) []client.Intercept {
	t.Helper()
	return readIntercepts(t, c.ok(t, "", append([]string{"logs", "tail", "--output", "json"}, args...)...))
}

func readIntercepts(t *testing.T, lines string) []client.Intercept {
	t.Helper()
	var all []client.Intercept
	for line := range strings.Lines(lines) {
		var rec client.Intercept
		must(t, json.Unmarshal([]byte(line), &rec))
		all = append(all, rec)
	}
	return all
}

func (c commandLine) tail(t *testing.T, key string) {
	all := c.intercepts(t)
	if len(all) != 2 || all[0].ID >= all[1].ID || all[0].ClientIP != elsewhereIP || all[0].Path != "/v1/models" {
		t.Fatalf("got %+v, want the oldest first", all)
	}
	for args, want := range map[string]int{
		"--lines 1": 1, "--since 1h": 2, "--until 1h": 0, "--network 127.0.0.0/24": 2, "--network 10.0.0.0/8": 0, "--reason ip_not_allowed": 2,
		"--reason key_banned": 0, "--path /V1/": 2, "--path /v2/": 0, "--key " + all[0].Hash: 1, "--key " + strings.Repeat("0f", 32): 0,
	} {
		if got := len(c.intercepts(t, strings.Fields(args)...)); got != want {
			t.Errorf("%s: got %d, want %d", args, got, want)
		}
	}
	if last := c.intercepts(t, "--lines", "1")[0]; last.ID != all[1].ID {
		t.Errorf("of one line: got %+v, want the newest", last)
	}
	if got := readIntercepts(t, c.ok(t, key, "logs", "tail", "--output", "json", "--key", "-")); len(got) != 1 || got[0].Hash != all[0].Hash {
		t.Errorf("of a whole key: got %+v", got)
	}
	for name, args := range map[string][]string{"logs": {"logs", "tail"}, "the earlier name": {"intercepts", "tail"}} {
		if text := c.ok(t, "", args...); strings.Count(text, elsewhereIP) != 2 || !strings.HasPrefix(text, "TIME ") || strings.Contains(text, key) {
			t.Errorf("%s: got %s", name, text)
		}
	}
	for args, want := range map[string]string{
		"--lines 0": "want 1 to", "--follow --until 1h": "want one of them", "--reason bad": "key_banned", "--lines 100001": "want 1 to", "x": `not "x"`,
	} {
		if code, _, stderr := c.do(t, "", append([]string{"logs", "tail"}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d, %q, want %q", args, code, stderr, want)
		}
	}
}

func (c commandLine) exportLogs(t *testing.T, key string) {
	all := c.intercepts(t)
	path := filepath.Join(t.TempDir(), "refused.csv")
	c.ok(t, "", "logs", "export", path)
	file, err := os.Open(path)
	must(t, err)
	rows, err := csv.NewReader(file).ReadAll()
	must(t, err)
	must(t, file.Close())
	if len(rows) != 3 || rows[0][0] != "id" || len(rows[1]) != len(rows[0]) {
		t.Errorf("got %q", rows)
	}
	lines := readIntercepts(t, c.ok(t, key, "logs", "export", "--format", "jsonl", "--key", "-", "--reason", "ip_not_allowed"))
	if len(lines) != 1 || lines[0].ID != all[0].ID {
		t.Errorf("of a whole key: got %+v", lines)
	}
}

// follow has a tail outlive its server.
func (c commandLine) follow(t *testing.T, key string) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, errs, code := newLogBuffer(), newLogBuffer(), make(chan int, 1)
	ended := make(chan struct{})
	go func() {
		code <- run(ctx, []string{"logs", "tail", "--follow", "--lines", "1", "--output", "json", "--data-dir", c.dir}, strings.NewReader(""), out, errs)
		close(ended)
	}()
	sees := func(buffer *logBuffer, text string) {
		t.Helper()
		buffer.waitFor(t, ended, func(line string) (string, bool) { return line, strings.Contains(line, text) })
	}
	sees(out, elsewhereIP)
	c.stopAndWait()
	sees(errs, "waiting for it to come back")
	downstream, _ := slowDownstream(t)
	again := startServing(t, settingsFor(downstream, c.dir, "SENTINEL_HMAC_SECRET="+longSecret))
	sees(errs, "the server is back")
	if got := again.use("127.0.0.3", key); got != http.StatusForbidden {
		t.Fatalf("from elsewhere: got %d", got)
	}
	sees(out, `"clientIp":"127.0.0.3"`)
	interrupt()
	if got := <-code; got != exitOK {
		t.Errorf("interrupted: got %d, want %d: %s", got, exitOK, errs)
	}
	if text := out.String(); strings.Count(text, "\n") != 2 {
		t.Errorf("got %s, want each record once", text)
	}
	again.stopAndWait()
}

// TestFollowFromNowOn begins with nothing of what is there.
func TestFollowFromNowOn(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	serveAPI(t, func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case q.Get("newerThan") == "8":
			interrupt()
			list()(w, r)
		case q.Get("newerThan") == "7":
			list(`{"id":8,"path":"/new"}`)(w, r)
		case q.Has("newerThan"):
			t.Errorf("asked for %s", r.URL)
		default:
			list(`{"id":7,"path":"/old"}`)(w, r)
		}
	})
	var out, errs strings.Builder
	code := run(ctx, []string{"logs", "tail", "-f", "-n", "0", "-o", "json"}, strings.NewReader(""), &out, &errs)
	if code != exitOK || strings.Contains(out.String(), "/old") || strings.Count(out.String(), "/new") != 1 || errs.Len() != 0 {
		t.Errorf("got %d, %q, %q", code, out.String(), errs.String())
	}
}
