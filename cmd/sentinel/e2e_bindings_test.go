package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

// commandLine speaks to one server.
type commandLine struct {
	*served
	dir string
}

// startForCommands runs a server whose data has two bindings that nobody has
// used for long.
func startForCommands(t *testing.T) commandLine {
	t.Helper()
	dir := t.TempDir()
	s, err := bolt.Open(filepath.Join(dir, dataFileName), bolt.Options{})
	must(t, err)
	must(t, engine.NoteSecret(t.Context(), s, engine.Secrets{Current: []byte(longSecret)}))
	long := time.Now().AddDate(0, 0, -200)
	for i := range 2 {
		_, _, err := s.Bind(t.Context(), store.Binding{
			Hash: store.KeyHash{0xfe, byte(i)}, Hint: fmt.Sprintf("sk-ol…old%d", i), Label: "of yore", Status: store.StatusActive,
			Rule: store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}}, CreatedAt: long, UpdatedAt: long,
		})
		must(t, err)
	}
	must(t, s.Close())
	downstream, _ := slowDownstream(t)
	t.Setenv(urlVariable, "")
	t.Setenv(tokenVariable, "")
	return commandLine{served: startServing(t, settingsFor(downstream, dir, "ARCHIVE_DAYS=90", "SENTINEL_HMAC_SECRET="+longSecret)), dir: dir}
}

// do runs a command on the machine of the server.
func (c commandLine) do(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return c.anywhere(t, stdin, append(args, "--data-dir", c.dir)...)
}

func (c commandLine) anywhere(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// ok runs a command that must succeed, and returns what it prints.
func (c commandLine) ok(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	code, stdout, stderr := c.do(t, stdin, args...)
	if code != exitOK {
		t.Fatalf("%v: got %d, %q, %q", args, code, stdout, stderr)
	}
	return stdout
}

// bindings returns what a list prints as JSON.
func (c commandLine) bindings(t *testing.T, args ...string) []client.Binding {
	t.Helper()
	var all []client.Binding
	for line := range strings.Lines(c.ok(t, "", append([]string{"bindings", "list", "--output", "json"}, args...)...)) {
		var b client.Binding
		must(t, json.Unmarshal([]byte(line), &b))
		all = append(all, b)
	}
	return all
}

// TestBindingsCommands does with one server what an administrator does.
func TestBindingsCommands(t *testing.T) {
	c := startForCommands(t)
	key, other := testKey(9901), testKey(9902)
	if got := c.use(homeIP, key); got != http.StatusOK {
		t.Fatalf("first use: got %d", got)
	}
	t.Run("list", func(t *testing.T) { c.list(t) })
	t.Run("show", func(t *testing.T) { c.show(t, key) })
	t.Run("set", func(t *testing.T) { c.set(t, key, other) })
	t.Run("learn", func(t *testing.T) { c.learn(t, testKey(9903)) })
	t.Run("ban", func(t *testing.T) { c.ban(t, key, other) })
	t.Run("file", func(t *testing.T) { c.file(t, key) })
	t.Run("archive", func(t *testing.T) { c.archive(t) })
	t.Run("remote", func(t *testing.T) { c.remote(t) })
	t.Run("broken pipe", func(t *testing.T) { c.brokenPipe(t) })
	c.stopAndWait()
	if code, _, stderr := c.do(t, "", "bindings", "list"); code != exitUnreachable || !strings.Contains(stderr, "no sentinel runs") {
		t.Errorf("a server that is stopped: got %d, %q", code, stderr)
	}
}

func (c commandLine) list(t *testing.T) {
	all := c.bindings(t)
	if len(all) != 3 || all[0].Rule.Prefixes[0] != homeIP+"/32" || all[0].FirstIP != homeIP {
		t.Fatalf("got %+v, want the newest first", all)
	}
	for args, want := range map[string]int{
		"--label yore": 2, "--hint old1": 1, "--hint ...old1": 1, "--text OLD": 2, "--network 192.0.2.0/24": 2, "--network 127.0.0.1": 1, "--status active": 3,
		"--status banned": 0, "--rule single": 3, "--rule all": 0, "--created-since 1h": 1, "--created-before 100d": 2, "--unused-since 90d": 2,
		"--used-since 1w": -1, "--hits-below 1": -1, "--returned": 0, "--limit 2": 2, "--all": 3,
	} {
		if got := len(c.bindings(t, strings.Fields(args)...)); want >= 0 && got != want {
			t.Errorf("%s: got %d, want %d", args, got, want)
		}
	}
	oldest := c.bindings(t, "--sort", "created", "--order", "asc", "--limit", "1")
	if oldest[0].Label != "of yore" {
		t.Errorf("the oldest: got %+v", oldest[0])
	}
	if table := c.ok(t, "", "bindings", "list"); strings.Count(table, "\n") != 4 || !strings.HasPrefix(table, "HINT ") {
		t.Errorf("got %s", table)
	}
	if table := c.ok(t, "", "bindings", "list", "--output", "csv"); !strings.HasPrefix(table, "hint,label,") || !strings.Contains(table, ",192.0.2.7/32,") {
		t.Errorf("got %s", table)
	}
	if code, _, stderr := c.do(t, "", "bindings", "list", "--network", "10.0.0.1/8"); code != exitRefused || !strings.Contains(stderr, "did you mean 10.0.0.0/8") {
		t.Errorf("host bits: got %d, %q", code, stderr)
	}
}

func (c commandLine) show(t *testing.T, key string) {
	newest := c.bindings(t, "--limit", "1")[0]
	for name, text := range map[string]string{
		"key": c.ok(t, key, "bindings", "show", "-"), "hash": c.ok(t, "", "bindings", "show", newest.Hash),
		"upper-case hash": c.ok(t, "", "bindings", "show", strings.ToUpper(newest.Hash)), "hint": c.ok(t, "", "bindings", "show", newest.Hint),
	} {
		if !strings.Contains(text, newest.Hash) || !strings.Contains(text, homeIP+"/32") || strings.Contains(text, key) {
			t.Errorf("%s: got %s", name, text)
		}
	}
	var detail client.BindingDetail
	must(t, json.Unmarshal([]byte(c.ok(t, key, "bindings", "show", "-", "--output", "json")), &detail))
	if detail.Hash != newest.Hash {
		t.Errorf("got %+v", detail)
	}
	for ref, stdin := range map[string]string{"-": testKey(1), strings.Repeat("0f", 32): "", "zzzz": "", "old": ""} {
		if code, stdout, stderr := c.do(t, stdin, "bindings", "show", ref); code != exitNotFound || stdout != "" {
			t.Errorf("%s: got %d, %q, %q, want %d", ref, code, stdout, stderr, exitNotFound)
		}
	}
}

func (c commandLine) set(t *testing.T, key, other string) {
	text := c.ok(t, key, "bindings", "set", "-", "--prefix", homeIP, "--prefix", elsewhereIP, "--label", "密钥 \"一\"", "--note", "two\nlines")
	for _, want := range []string{"multiple", elsewhereIP + "/32", "密钥 \"一\"", "\n                 lines\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, want %q in it", text, want)
		}
	}
	if got := c.use(elsewhereIP, key); got != http.StatusOK {
		t.Errorf("from an address that is new in the rule: got %d", got)
	}
	if code, _, stderr := c.do(t, key, "bindings", "set", "-", "--prefix", "10.0.0.1/8"); code != exitRefused || !strings.Contains(stderr, "body.rule.prefixes[0]") {
		t.Errorf("host bits: got %d, %q", code, stderr)
	}
	if code, _, stderr := c.do(t, other, "bindings", "set", "-", "--label", "x"); code != exitNotFound {
		t.Errorf("a key that is not bound: got %d, %q", code, stderr)
	}
	args := []string{"bindings", "set", "-", "--create", "--prefix", "192.0.2.0/24", "--label", "ahead"}
	c.ok(t, other, args...)
	if got := c.use(homeIP, other); got != http.StatusForbidden {
		t.Errorf("a key that was bound ahead: got %d from elsewhere", got)
	}
	c.ok(t, other, append(args, "--rule", "multiple")...) // which is bound now
	hash := strings.Repeat("0a", 32)
	c.ok(t, "", "bindings", "set", hash, "--create", "--rule", "all", "--hint", "by hash")
	c.ok(t, "", "bindings", "set", hash, "--create", "--rule", "all", "--note", "again")
	for _, b := range c.bindings(t) {
		if b.Hash == hash && (b.Hint != "by hash" || b.Rule.Kind != "all" || b.Note != "again") || b.Label == "ahead" && b.Rule.Kind != "multiple" {
			t.Errorf("got %+v", b)
		}
	}
	if code, _, stderr := c.do(t, "", "bindings", "set", hash, "--prefix", "0.0.0.0/0"); code != exitRefused || !strings.Contains(stderr, "every IPv4 address") {
		t.Errorf("any source: got %d, %q", code, stderr)
	}
	c.ok(t, "", "bindings", "set", hash, "--prefix", "0.0.0.0/0", "--confirm-any-source")
	c.ok(t, "", "bindings", "unbind", hash)
	if code, _, _ := c.do(t, "", "bindings", "unbind", hash); code != exitNotFound {
		t.Errorf("unbind again: got %d, want %d", code, exitNotFound)
	}
}

// learn has a rule learn two addresses, and gives it others.
func (c commandLine) learn(t *testing.T, key string) {
	text := c.ok(t, key, "bindings", "set", "-", "--create", "--learn", "2/1h", "--label", "learns")
	if !strings.Contains(text, "2/1h, from the first use on") {
		t.Errorf("got %s", text)
	}
	const third = "127.0.0.3"
	for _, step := range []struct {
		ip   string
		want int
	}{{homeIP, http.StatusOK}, {homeIP, http.StatusOK}, {elsewhereIP, http.StatusOK}, {third, http.StatusForbidden}, {homeIP, http.StatusOK}} {
		if got := c.use(step.ip, key); got != step.want {
			t.Errorf("from %s: got %d, want %d", step.ip, got, step.want)
		}
	}
	text = c.ok(t, key, "bindings", "show", "-")
	for _, want := range []string{"no more: it has 2 of 2 prefixes", homeIP + "/32", elsewhereIP + "/32"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, want %q in it", text, want)
		}
	}
	if got := len(c.bindings(t, "--rule", "learn")); got != 1 {
		t.Errorf("%d rules that learn", got)
	}
	code, _, stderr := c.do(t, key, "bindings", "set", "-", "--network", "nowhere")
	if code != exitRefused || !strings.Contains(stderr, `"nowhere", which does not exist`) || !strings.Contains(stderr, "body.rule.networks") {
		t.Errorf("a network that does not exist: got %d, %q", code, stderr)
	}
	code, _, stderr = c.do(t, key, "bindings", "set", "-", "--prefix", "127.0.0.0/8", "--prefix", homeIP)
	if code != exitOK || stderr != "sentinel: warning: "+homeIP+"/32 is within 127.0.0.0/8 and adds nothing\n" {
		t.Errorf("a prefix that adds nothing: got %d, %q", code, stderr)
	}
	c.ok(t, key, "bindings", "unbind", "-")
}

func (c commandLine) ban(t *testing.T, key, other string) {
	if text := c.ok(t, key, "bindings", "ban", "-"); text != "1 binding banned\n" {
		t.Errorf("got %q", text)
	}
	if got := c.use(homeIP, key); got != http.StatusForbidden {
		t.Errorf("banned: got %d", got)
	}
	if text := c.ok(t, "", "bindings", "ban", "--all-bindings", "--dry-run"); text != "3 bindings would be banned, 1 already banned\n" {
		t.Errorf("got %q", text)
	}
	if code, _, stderr := c.do(t, "", "bindings", "ban", "--all-bindings", "--yes", "--expect", "3"); code != exitRefused || !strings.Contains(stderr, "4 bindings now") {
		t.Errorf("another number: got %d, %q", code, stderr)
	}
	if got := len(c.bindings(t, "--status", "banned")); got != 1 {
		t.Errorf("after refusals %d are banned", got)
	}
	c.ok(t, "", "bindings", "ban", "--all-bindings", "--yes", "--expect", "4")
	if text := c.ok(t, "", "bindings", "unban", "--all-bindings", "--yes", "--output", "json"); !strings.Contains(text, `"changed": 4`) {
		t.Errorf("got %s", text)
	}
	if got := c.use(homeIP, key); got != http.StatusOK {
		t.Errorf("unbanned: got %d", got)
	}
	c.ok(t, other, "bindings", "unbind", "-")
	if got := c.use(homeIP, other); got != http.StatusOK {
		t.Errorf("unbound: got %d, want it bound anew", got)
	}
	c.ok(t, other, "bindings", "unbind", "-")
}

func (c commandLine) file(t *testing.T, key string) {
	dir := t.TempDir()
	bad, good := filepath.Join(dir, "bad.csv"), filepath.Join(dir, "good.csv")
	must(t, os.WriteFile(bad, []byte("key,label,prefixes\n"+testKey(9911)+",a,10.0.0.0/8\n"+testKey(9912)+",b,10.0.0.1/8\n"), 0o600))
	code, _, stderr := c.do(t, "", "bindings", "import", bad)
	if code != exitRefused || !strings.Contains(stderr, "row 2, column prefixes") || strings.Contains(stderr, testKey(9912)) || len(c.bindings(t)) != 3 {
		t.Errorf("a bad row: got %d, %q", code, stderr)
	}
	must(t, os.WriteFile(good, []byte("key,label,prefixes\n"+testKey(9911)+",'=a,10.0.0.0/8\n"+testKey(9912)+",b,10.0.0.1 2001:db8::/32\n"), 0o600))
	if text := c.ok(t, "", "bindings", "import", good, "--dry-run"); !strings.HasPrefix(text, "dry run") || !strings.Contains(text, "2 created") || len(c.bindings(t)) != 3 {
		t.Errorf("dry run: got %q", text)
	}
	if text := c.ok(t, "", "bindings", "import", good); text != "2 rows: 2 created, 0 replaced, 0 skipped\n" || len(c.bindings(t)) != 5 {
		t.Errorf("got %q", text)
	}
	if code, _, _ := c.do(t, "", "bindings", "import", good); code != exitRefused {
		t.Errorf("again: got %d, want %d", code, exitRefused)
	}
	if text := c.ok(t, "", "bindings", "import", good, "--on-conflict", "skip", "--output", "json"); !strings.Contains(text, `"skipped": 2`) {
		t.Errorf("got %s", text)
	}
	c.roundTrip(t, dir, key)
	c.ok(t, "", "bindings", "unbind", "--network", "10.0.0.0/8", "--yes")
}

// roundTrip exports in every format, and imports again what was changed since.
func (c commandLine) roundTrip(t *testing.T, dir, key string) {
	before := c.bindings(t)
	for _, format := range exportFormats {
		file := filepath.Join(dir, "all."+format)
		if out := c.ok(t, "", "bindings", "export", file); out != "" {
			t.Errorf("%s: got %q", format, out)
		}
		raw, err := os.ReadFile(file)
		must(t, err)
		if strings.Contains(string(raw), key) || string(raw) != c.ok(t, "", "bindings", "export", "--format", format) {
			t.Errorf("%s: the file is not what goes to standard output", format)
		}
		if code, _, stderr := c.do(t, "", "bindings", "export", file); code != exitFailure || !strings.Contains(stderr, "--force") {
			t.Errorf("%s over a file: got %d, %q", format, code, stderr)
		}
		c.ok(t, "", "bindings", "set", before[0].Hash, "--label", "changed since", "--note", "", "--rule", "all")
		if text := c.ok(t, "", "bindings", "import", file, "--on-conflict", "replace"); !strings.Contains(text, "1 replaced, 4 skipped") {
			t.Errorf("%s: got %q, want what has changed replaced", format, text)
		}
		after := c.bindings(t)
		for i := range after {
			if a, b := after[i], before[i]; a.Hash != b.Hash || a.Label != b.Label || a.Note != b.Note || fmt.Sprint(a.Rule) != fmt.Sprint(b.Rule) {
				t.Errorf("%s: got %+v, want %+v as before", format, a, b)
			}
		}
	}
	if text := c.ok(t, "", "bindings", "export", "--label", "yore", "-"); strings.Count(text, "\n") != 3 {
		t.Errorf("with a filter: got %s", text)
	}
	if text := c.ok(t, c.ok(t, "", "bindings", "export"), "bindings", "import", "-", "--format", "csv", "--on-conflict", "skip"); !strings.Contains(text, "5 skipped") {
		t.Errorf("through standard input: got %s", text)
	}
}

func (c commandLine) archive(t *testing.T) {
	if text := c.ok(t, "", "bindings", "archive", "list", "--output", "csv"); strings.Count(text, "\n") != 1 {
		t.Errorf("before: got %s", text)
	}
	text := c.ok(t, "", "bindings", "archive", "run")
	if !strings.HasPrefix(text, "2 bindings archived") {
		t.Fatalf("got %q", text)
	}
	if text := c.ok(t, "", "bindings", "archive", "list"); strings.Count(text, "of yore") != 2 || !strings.HasPrefix(text, "ARCHIVED ") {
		t.Errorf("got %s", text)
	}
	if text := c.ok(t, "", "bindings", "archive", "list", "--hint", "old0", "--archived-since", "1h", "--output", "json"); strings.Count(text, "\n") != 1 {
		t.Errorf("with a filter: got %s", text)
	}
	for _, ref := range []string{"old", "zzzz", strings.Repeat("0f", 32)} {
		if code, _, stderr := c.do(t, "", "bindings", "archive", "restore", ref); code != exitNotFound {
			t.Errorf("restore %s: got %d, %q, want %d", ref, code, stderr, exitNotFound)
		}
	}
	if code, _, stderr := c.do(t, testKey(1), "bindings", "archive", "restore", "-"); code != exitNotFound {
		t.Errorf("restore a key that never was: got %d, %q", code, stderr)
	}
	if text := c.ok(t, "", "bindings", "archive", "restore", "old0", store.KeyHash{0xfe, 1}.String()); strings.Count(text, "restored\n") != 2 {
		t.Errorf("got %q", text)
	}
	if got := len(c.bindings(t, "--label", "yore")); got != 2 {
		t.Errorf("after the restore: got %d", got)
	}
}

// remote uses a token, over TCP.
func (c commandLine) remote(t *testing.T) {
	var token struct{ Secret string }
	must(t, json.Unmarshal([]byte(c.ok(t, "", "token", "create", "reader", "--role", "viewer", "--expires", "1d", "--output", "json")), &token))
	t.Setenv(urlVariable, c.url)
	t.Setenv(tokenVariable, token.Secret)
	code, stdout, stderr := c.anywhere(t, "", "bindings", "list", "--output", "json")
	if code != exitOK || strings.Count(stdout, "\n") != len(c.bindings(t)) {
		t.Errorf("list: got %d, %q, %q", code, stdout, stderr)
	}
	if code, _, stderr := c.anywhere(t, "", "bindings", "ban", "--all-bindings", "--yes"); code != exitRefused || !strings.Contains(stderr, "operator") {
		t.Errorf("ban with a viewer's token: got %d, %q", code, stderr)
	}
	t.Setenv(tokenVariable, apiToken)
	if code, _, stderr := c.anywhere(t, "", "bindings", "list"); code != exitRefused || strings.Contains(stderr, apiToken) {
		t.Errorf("a token that is none: got %d, %q", code, stderr)
	}
}

// brokenPipe has the reader of the real program's output go.
func (c commandLine) brokenPipe(t *testing.T) {
	usedBinary = true
	path, err := binary()
	must(t, err)
	for _, args := range []string{"bindings list", "bindings export", "bindings list --output csv"} {
		r, w, err := os.Pipe()
		must(t, err)
		must(t, r.Close())
		p := startCommandWith(t, path, w, append(strings.Fields(args), "--data-dir", c.dir)...)
		must(t, w.Close())
		if err := p.Wait(); err != nil {
			t.Errorf("%s: got %v, want no error", args, err)
		}
	}
}

// startCommandWith runs a program that writes to a file.
func startCommandWith(t *testing.T, path string, stdout *os.File, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir, cmd.Env, cmd.Stdout = t.TempDir(), []string{raceOptions}, stdout
	must(t, cmd.Start())
	return cmd
}
