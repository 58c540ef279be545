package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLooksLikeKey(t *testing.T) {
	for s, want := range map[string]bool{
		"9fQ2": false, "sk-ab…9fQ2": false, "sk-ab...9fQ2": false, "sk-": false, "sk-abcdefghijk": false, "sk-abcdefghijkl": true,
		testKey(1): true, testKey(1)[3:]: true, "Bearer " + testKey(1): true, "密钥": false,
	} {
		if got := looksLikeKey(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}

// TestAWholeKeyIsNoArgument gives one in every place that names a key or a hint.
func TestAWholeKeyIsNoArgument(t *testing.T) {
	key := testKey(1)
	asked := 0
	count := func(w http.ResponseWriter, r *http.Request) { asked++; list()(w, r) }
	for _, args := range [][]string{
		{"bindings", "show", key}, {"bindings", "set", key, "--label", "x"}, {"bindings", "ban", key}, {"bindings", "unban", "9fQ2", key},
		{"bindings", "unbind", key}, {"bindings", "archive", "restore", key}, {"bindings", "list", "--hint", key}, {"bindings", "list", "--text", key},
		{"bindings", "export", "--label", key}, {"logs", "tail", "--key", key}, {"logs", "export", "--key", key},
		{"bindings", "set", strings.Repeat("a", 64), "--create", "--rule", "all", "--hint", key},
		{"bindings", "set", "9fQ2", "--network", key}, {"bindings", "list", "--names-network", key},
	} {
		code, stdout, stderr := askServer(t, count, "", args...)
		if code != exitUsage || !strings.Contains(stderr, "everybody on this machine") || !strings.Contains(stderr, "give -") || strings.Contains(stdout+stderr, key) {
			t.Errorf("%v: got %d, %q, %q", args[:2], code, stdout, stderr)
		}
	}
	if asked != 0 {
		t.Errorf("the server was asked %d times", asked)
	}
}

func TestKeyOnStandardInput(t *testing.T) {
	key := testKey(2)
	for stdin, want := range map[string]string{
		"": "has no key", "\n \n": "has no key", "a\nb\n": "more than one line", strings.Repeat("x", 5000): "more than the",
	} {
		code, _, stderr := askServer(t, list(), stdin, "bindings", "show", "-")
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%.10q: got %d, %q", stdin, code, stderr)
		}
	}
	var body, query string
	code, _, stderr := askServer(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		body, query = string(raw), r.URL.String()
		_, _ = io.WriteString(w, `{"items":[],"total":0,"key":{"hash":"abc","hint":"sk-x"}}`)
	}, key+"\n", "bindings", "show", "-")
	if code != exitNotFound || !strings.Contains(stderr, "not bound") || !strings.Contains(stderr, "abc") || strings.Contains(stderr, key) {
		t.Errorf("a key that is not bound: got %d, %q", code, stderr)
	}
	if body != fmt.Sprintf(`{"key":%q}`, key) || query != "/admin/api/bindings/search" {
		t.Errorf("the server got %s with %s, want the key in the body alone", query, body)
	}
}

func TestHintOfSeveral(t *testing.T) {
	row := func(digit, hint string) string {
		return fmt.Sprintf(`{"hash":%q,"hint":%q,"label":"l\u001b[2J"}`, strings.Repeat(digit, 64), hint)
	}
	code, stdout, stderr := askServer(t, list(row("a", "sk-aa…9fQ2"), row("b", "sk-bb…9fQ2")), "", "bindings", "show", "9fQ2")
	if code != exitNotFound || stdout != "" || strings.Count(stderr, "\n") != 3 || strings.Contains(stderr, "\x1b") ||
		!strings.Contains(stderr, "2 bindings have a hint") || !strings.Contains(stderr, strings.Repeat("b", 64)+"  sk-bb…9fQ2") {
		t.Errorf("got %d, %q, %q, want both named", code, stdout, stderr)
	}
	many := make([]string, 30)
	for i := range many {
		many[i] = row("a", fmt.Sprintf("sk-%02d…9fQ2", i))
	}
	if code, _, stderr := askServer(t, list(many...), "", "bindings", "ban", "9fQ2"); code != exitNotFound || strings.Count(stderr, "\n") != listedMatches+2 {
		t.Errorf("got %d and %d lines, want %d and one that says that there are more", code, strings.Count(stderr, "\n"), listedMatches+1)
	}
	// One that is what was asked for counts, though others have it in them.
	var shown string
	code, _, stderr = askServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("hint") == "" {
			shown = r.URL.Path
			_, _ = io.WriteString(w, row("a", "a…b"))
			return
		}
		list(row("a", "a…b"), row("b", "a…bc"))(w, r)
	}, "", "bindings", "show", "a...b")
	if code != exitOK || !strings.HasSuffix(shown, strings.Repeat("a", 64)) {
		t.Errorf("got %d, %q, asked for %s", code, stderr, shown)
	}
}

func TestSetRefuses(t *testing.T) {
	hash := strings.Repeat("a", 64)
	for args, want := range map[string]string{
		"":                                       "which key",
		"9fQ2":                                   "nothing to change",
		"9fQ2 9fQ3 --label x":                    "takes one key",
		"9fQ2 --rule some":                       "single, multiple, all or learn",
		"9fQ2 --rule all --prefix 10.0.0.0/8":    "takes no --prefix",
		"9fQ2 --rule single":                     "needs --prefix",
		"9fQ2 --label x --create":                "--create needs --prefix",
		"9fQ2 --rule all --create":               "a hint is not enough",
		"- --rule all --create --hint x":         "--hint goes with",
		hash + " --rule all --hint x":            "--hint goes with",
		"9fQ2 --label x --output csv":            "table or json",
		"9fQ2 --prefix 10.0.0.0/8 --rule=single": "", // is taken
		"9fQ2 --rule all --network office":       "takes no --prefix, --network",
		"9fQ2 --rule all --learn 3/24h":          "takes no --prefix",
		"9fQ2 --rule single --network office":    "want --rule multiple",
		"9fQ2 --rule multiple":                   "needs --prefix",
		"9fQ2 --rule learn":                      "e.g. --learn 3/24h",
		"9fQ2 --rule single --learn 3/24h":       "goes with --rule learn",
		"9fQ2 --learn 3":                         "such as 3/24h",
		"9fQ2 --learn 3/soon":                    "such as 90m, 24h or 7d",
		"9fQ2 --learn 0/24h":                     "want 1 to 64",
		"9fQ2 --learn 3/400d":                    "at most",
		"9fQ2 --network office":                  "",
		"9fQ2 --learn 3/24h":                     "",
	} {
		code, _, stderr := askServer(t, list(), "", append([]string{"bindings", "set"}, strings.Fields(args)...)...)
		if want == "" {
			if code != exitNotFound {
				t.Errorf("%s: got %d, %q, want the server asked", args, code, stderr)
			}
			continue
		}
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d, %q, want %q", args, code, stderr, want)
		}
	}
}

// TestSetRules looks at what the server gets for the flags of a rule.
func TestSetRules(t *testing.T) {
	hash := strings.Repeat("a", 64)
	for args, want := range map[string]string{
		"--prefix 10.0.0.1":                                  `{"kind":"single","prefixes":["10.0.0.1"]}`,
		"--prefix 10.0.0.1 --prefix ::1":                     `{"kind":"multiple","prefixes":["10.0.0.1","::1"]}`,
		"--network office --network @vpn":                    `{"kind":"multiple","networks":["office","vpn"]}`,
		"--rule multiple --network office --prefix 10.0.0.1": `{"kind":"multiple","prefixes":["10.0.0.1"],"networks":["office"]}`,
		"--learn 3/24h":                                      `{"kind":"learn","learn":{"limit":3,"withinSeconds":86400}}`,
		"--rule learn --learn 2/7d --network office":         `{"kind":"learn","networks":["office"],"learn":{"limit":2,"withinSeconds":604800}}`,
		"--rule all":                                         `{"kind":"all"}`,
	} {
		var sent string
		code, _, stderr := askServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				raw, _ := io.ReadAll(r.Body)
				sent = string(raw)
			}
			_, _ = fmt.Fprintf(w, `{"hash":%q,"revision":7,"rule":{"kind":"all"},"warnings":[{"message":"a \u001b[2J"},{"message":"b"}]}`, hash)
		}, "", append([]string{"bindings", "set", hash}, strings.Fields(args)...)...)
		if code != exitOK || sent != `{"rule":`+want+`}` {
			t.Errorf("%s: got %d, the server %s, want %s", args, code, sent, want)
		}
		if strings.Count(stderr, "sentinel: warning: ") != 2 || strings.Contains(stderr, "\x1b") {
			t.Errorf("%s: got %q, want both warnings", args, stderr)
		}
	}
}

func TestNetworksAreCompleted(t *testing.T) {
	answer := list(`{"name":"office"}`, `{"name":"office-2"}`, `{"name":"vpn"}`)
	for _, args := range [][]string{{"bindings", "set", "9fQ2", "--network", "of"}, {"bindings", "list", "--names-network", "of"}} {
		if _, out, _ := askServer(t, answer, "", append([]string{"__complete"}, args...)...); !strings.HasPrefix(out, "office\noffice-2\n:") {
			t.Errorf("%v: got %q", args, out)
		}
	}
	if code, out, _ := askServer(t, refuse(403, "forbidden"), "", "__complete", "bindings", "set", "9fQ2", "--network", ""); code != exitOK || !strings.HasPrefix(out, ":") {
		t.Errorf("refused: got %d, %q", code, out)
	}
}

// TestShownRules has a rule of each kind, as a list and as a file have it.
func TestShownRules(t *testing.T) {
	row := func(rule string) string { return `{"hash":"a","hint":"sk-x","rule":` + rule + `}` }
	for rule, want := range map[string][2]string{
		`{"kind":"all"}`: {"anywhere", ",all,,"},
		`{"kind":"multiple","prefixes":["10.0.0.0/8"],"networks":["a","b","c"]}`:                                                {"10.0.0.0/8 @a @b and 1 more", ",multiple,10.0.0.0/8 @a @b @c,"},
		`{"kind":"multiple","prefixes":[],"networks":["office"]}`:                                                               {"@office", ",multiple,'@office,"},
		`{"kind":"learn","prefixes":[],"learn":{"limit":3,"withinSeconds":86400}}`:                                              {"learn:3/24h", ",learn:3/24h,,"},
		`{"kind":"learn","prefixes":["10.0.0.1/32"],"learn":{"limit":3,"withinSeconds":60,"until":"2026-01-02T03:04:05.006Z"}}`: {"10.0.0.1/32", ",learn:3/1m,10.0.0.1/32,"},
	} {
		if _, table, _ := askServer(t, list(row(rule)), "", "bindings", "list"); !strings.Contains(table, want[0]) {
			t.Errorf("%s: got %s, want %q", rule, table, want[0])
		}
		_, file, _ := askServer(t, list(row(rule)), "", "bindings", "list", "--output", "csv")
		if !strings.Contains(file, want[1]) || strings.Contains(rule, "until") != strings.Contains(file, ",2026-01-02T03:04:05.006Z,") {
			t.Errorf("%s: got %s, want %q", rule, file, want[1])
		}
	}
}

// TestShownLearning has rules that learn, have yet to begin, and are done.
func TestShownLearning(t *testing.T) {
	hash := strings.Repeat("a", 64)
	for rule, want := range map[string]string{
		`"prefixes":[],"learn":{"limit":2,"withinSeconds":60}`:                                                           "2/1m, from the first use on",
		`"prefixes":["10.0.0.1/32"],"learn":{"limit":2,"withinSeconds":60,"until":"2926-01-02T03:04:05Z"}`:               "2/1m, until 2926-",
		`"prefixes":["10.0.0.1/32"],"learn":{"limit":2,"withinSeconds":60,"until":"2026-01-02T03:04:05Z"}`:               "no more, since 2026-",
		`"prefixes":["10.0.0.1/32","10.0.0.2/32"],"learn":{"limit":2,"withinSeconds":60,"until":"2926-01-02T03:04:05Z"}`: "no more: it has 2 of 2 prefixes",
	} {
		_, text, stderr := askServer(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"hash":%q,"revision":7,"rule":{"kind":"learn","networks":["office"],%s}}`, hash, rule)
		}, "", "bindings", "show", hash)
		if !strings.Contains(text, "Learns           "+want) || !strings.Contains(text, "@office") {
			t.Errorf("%s: got %s%s, want %q", rule, text, stderr, want)
		}
	}
}

func TestBulkRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                                    "which bindings",
		"9fQ2 --label x":                      "not both",
		"9fQ2 --all-bindings":                 "not both",
		"--label x --all-bindings":            "want one of them",
		"--label x --expect=-1":               "--expect",
		"--label x":                           "no terminal to confirm on",
		"- -":                                 "standard input has one key",
		"--unused-since tomorrow":             "not a time",
		"--label x --yes --output csv":        "table or json",
		"--all-bindings --yes=false --expect": "needs an argument",
	} {
		asked := 0
		code, _, stderr := askServer(t, func(http.ResponseWriter, *http.Request) { asked++ }, "", append([]string{"bindings", "unbind"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(stderr, want) || asked > 0 {
			t.Errorf("%s: got %d, %q, want %q and the server not asked", args, code, stderr, want)
		}
	}
}

func TestBulkSaysWhatBecameOfThem(t *testing.T) {
	tests := []struct {
		answer string
		args   string
		code   int
		text   string
	}{
		{`{"matched":1,"changed":1}`, "--label x --yes", exitOK, "1 binding banned\n"},
		{`{"matched":1500,"changed":1200,"unchanged":300}`, "--label x --yes", exitOK, "1,200 bindings banned, 300 already banned\n"},
		{`{"matched":2,"changed":2}`, "--label x --dry-run", exitOK, "2 bindings would be banned\n"},
		{`{"matched":2,"changed":1,"missing":1}`, "--label x --yes", exitNotFound, "1 of the 2 keys are not bound"},
		{`{"matched":2,"changed":1,"failed":1,"firstError":{"message":"disk\u001b[2J"}}`, "--label x --yes", exitFailure, `1 binding could not be changed: disk\x1b[2J`},
	}
	for _, test := range tests {
		var sent struct {
			Act    string
			DryRun bool
			Filter map[string]any
			Expect *int
		}
		code, stdout, stderr := askServer(t, func(w http.ResponseWriter, r *http.Request) {
			must(t, json.NewDecoder(r.Body).Decode(&sent))
			_, _ = io.WriteString(w, test.answer)
		}, "", append([]string{"bindings", "ban"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.text) {
			t.Errorf("%s: got %d, %q, %q, want %d, %q", test.answer, code, stdout, stderr, test.code, test.text)
		}
		if sent.Act != "ban" || sent.DryRun != strings.Contains(test.args, "--dry-run") || len(sent.Filter) != 1 || sent.Expect != nil {
			t.Errorf("the server got %+v", sent)
		}
	}
}

// TestExportThatBreaksOff has the server go in the middle of a file.
func TestExportThatBreaksOff(t *testing.T) {
	breaks := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hash,hint\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	path := filepath.Join(t.TempDir(), "out.csv")
	code, _, stderr := askServer(t, breaks, "", "bindings", "export", path)
	if entries, err := os.ReadDir(filepath.Dir(path)); code != exitUnreachable || !strings.Contains(stderr, "middle of the answer") || len(entries) != 0 || err != nil {
		t.Errorf("to a file: got %d, %q, and %v, %v, want no file", code, stderr, entries, err)
	}
	code, stdout, _ := askServer(t, breaks, "", "logs", "export")
	if code != exitUnreachable || stdout != "hash,hint\n" {
		t.Errorf("to standard output: got %d, %q, want what came and exit code %d", code, stdout, exitUnreachable)
	}
}

func TestFormatOfAFile(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"import x.txt", "--format is missing"}, {"import x.csv --format xml", "csv or json"}, {"import", "wants one file"},
		{"import a.csv b.csv", "wants one file"}, {"import missing.csv", "missing.csv"}, {"import x.csv --on-conflict ask", "refuse, skip or replace"},
		{"export a b", "writes one file"}, {"export x --format xml", "csv, json or jsonl"}, {"export --output json", "--format"},
	} {
		code, _, stderr := askServer(t, list(), "", append([]string{"bindings"}, strings.Fields(test.args)...)...)
		if code != exitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: got %d, %q, want %q", test.args, code, stderr, test.want)
		}
	}
	for path, want := range map[string]string{"a.csv": "csv", "a.JSON": "json", "a.jsonl": "jsonl", "a": "csv", "": "csv"} {
		if got, err := formatOf("", path, exportFormats, "csv"); got != want || err != nil {
			t.Errorf("export to %q: got %q, %v, want %q", path, got, err, want)
		}
	}
	if got, err := formatOf("", "a.jsonl", importFormats, ""); got != "json" || err != nil {
		t.Errorf("import of JSON Lines: got %q, %v", got, err)
	}
}

func TestListRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"--limit 0": "want 1 or more", "--limit 5 --all": "want one of them", "--sort name": "--sort", "--order up": "--order",
		"--created-since soon": "not a time", "--hits-below=-1": "invalid argument", "x": `not "x"`,
	} {
		if code, _, stderr := askServer(t, list(), "", append([]string{"bindings", "list"}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d, %q, want %q", args, code, stderr, want)
		}
	}
	for args, want := range map[string]string{
		"bindings frob": "no command of sentinel bindings", "bindings lst": "did you mean list", "logs frob": "see sentinel logs --help",
	} {
		if code, _, stderr := runCommand(t, "", strings.Fields(args)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d, %q, want %q", args, code, stderr, want)
		}
	}
	if code, stdout, _ := runCommand(t, "", "bindings"); code != exitOK || !strings.Contains(stdout, "KEYREF names a key") {
		t.Errorf("without a command: got %d, %q, want help", code, stdout)
	}
}

// TestListEndsInTheMiddle has the server go after the first page.
func TestListEndsInTheMiddle(t *testing.T) {
	code, stdout, stderr := askServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") != "" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"items":[{"hash":"a","hint":"first"}],"next":"x"}`)
	}, "", "bindings", "list", "--all")
	if code != exitUnreachable || !strings.Contains(stdout, "first") || !strings.Contains(stderr, "cannot reach") {
		t.Errorf("got %d, %q, %q, want the first page and the error", code, stdout, stderr)
	}
}
