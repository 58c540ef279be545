package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

var alertPages = []string{"docs/alerts.md", "docs/zh/alerts.md"}

func readPage(t *testing.T, page string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, page))
	must(t, err)
	return string(raw)
}

// TestAlertPagesAreComplete wants every kind of alert, every kind of channel and
// every command named, and no command that is none.
func TestAlertPagesAreComplete(t *testing.T) {
	root := newRootCommand(nil)
	for _, page := range alertPages {
		text := readPage(t, page)
		for _, k := range alert.Kinds() {
			if !strings.Contains(text, "| `"+string(k)+"` |") {
				t.Errorf("%s does not tell of %s", page, k)
			}
		}
		for _, typ := range send.Types() {
			if !strings.Contains(text, "--type "+string(typ)) {
				t.Errorf("%s does not tell how to make a channel of the type %s", page, typ)
			}
		}
		for _, header := range []string{send.HeaderDelivery, send.HeaderTimestamp, send.HeaderSignature} {
			if !strings.Contains(text, "| `"+header+"` |") {
				t.Errorf("%s does not tell of %s", page, header)
			}
		}
		for _, fence := range shellFence.FindAllStringSubmatch(text, -1) {
			for _, found := range invocation.FindAllStringSubmatch(strings.ReplaceAll(fence[1], "\\\n", " "), -1) {
				checkCommandLine(t, root, page, strings.Split(found[1], "\n")[0])
			}
		}
	}
}

// TestAlertPagesShowTheWebhook reads the example as a webhook's body, of which it
// may have no field that there is not.
func TestAlertPagesShowTheWebhook(t *testing.T) {
	example := regexp.MustCompile("(?s)```json\n(.*?)```")
	for _, page := range alertPages {
		found := example.FindStringSubmatch(readPage(t, page))
		if found == nil {
			t.Fatalf("%s shows no webhook", page)
		}
		text := strings.ReplaceAll(found[1], `"900f77ae…"`, `"`+strings.Repeat("ab", 32)+`"`)
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		var b alert.Body
		if err := dec.Decode(&b); err != nil || b.Alert == nil || b.Alert.Kind != alert.KeyRefused || len(b.Alert.Evidence.Addresses) != 1 {
			t.Errorf("%s: %v in %s", page, err, text)
		}
	}
}

// TestAlertPagesVerifySignatures runs what the pages tell receivers to do, on a
// request as it is sent.
func TestAlertPagesVerifySignatures(t *testing.T) {
	body := `{"version":1,"text":"密钥"}`
	stamp := fmt.Sprint(time.Now().Unix())
	signature := "sha256=" + hexHMAC(hookSecret, stamp+"."+body)
	for _, page := range alertPages {
		text := readPage(t, page)
		t.Run(page+" python", func(t *testing.T) { verifyWithPython(t, text, stamp, signature, body) })
		t.Run(page+" openssl", func(t *testing.T) {
			line := regexp.MustCompile("(?m)^(\\{ printf .*openssl dgst [^#\n]*)").FindString(text)
			if _, err := exec.LookPath("openssl"); err != nil || line == "" {
				skipWithout(t, "openssl", line)
			}
			cmd := exec.Command("bash", "-c", line)
			cmd.Dir = t.TempDir()
			must(t, os.WriteFile(filepath.Join(cmd.Dir, "body.json"), []byte(body), 0o600))
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TIMESTAMP=" + stamp, "SECRET=" + hookSecret}
			if out, err := cmd.CombinedOutput(); err != nil || "sha256="+strings.Fields(string(out) + " -")[0] != signature {
				t.Errorf("got %s, %v, want %s", out, err, signature)
			}
		})
	}
}

func skipWithout(t *testing.T, program, example string) {
	t.Helper()
	if requireServers || example == "" {
		t.Fatalf("%s is not there, or the page has no example with it", program)
	}
	t.Skipf("%s is not installed", program)
}

func verifyWithPython(t *testing.T, page, stamp, signature, body string) {
	found := regexp.MustCompile("(?s)```python\n(.*?)```").FindStringSubmatch(page)
	if _, err := exec.LookPath("python3"); err != nil || found == nil {
		skipWithout(t, "python3", strings.Join(found, ""))
	}
	quoted := func(s string) string { raw, _ := json.Marshal(s); return string(raw) }
	check := func(stamp, signature, body string) string {
		t.Helper()
		program := found[1] + fmt.Sprintf("\nprint(verify(%s.encode(), {%q: %q, %q: %q}, %s.encode()))\n",
			quoted(hookSecret), send.HeaderTimestamp, stamp, send.HeaderSignature, signature, quoted(body))
		out, err := exec.Command("python3", "-c", program).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	old := fmt.Sprint(time.Now().Add(-time.Hour).Unix())
	for name, got := range map[string][2]string{
		"as sent":           {check(stamp, signature, body), "True"},
		"another body":      {check(stamp, signature, body+" "), "False"},
		"another signature": {check(stamp, "sha256="+hexHMAC("other", stamp+"."+body), body), "False"},
		"an old one":        {check(old, "sha256="+hexHMAC(hookSecret, old+"."+body), body), "False"},
		"without signature": {check(stamp, "", body), "False"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %s, want %s", name, got[0], got[1])
		}
	}
}
