package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// answering answers each request with a document, and keeps what was asked.
func answering(answer string, asked *string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked = r.Method + " " + r.URL.Path + " " + string(body)
		_, _ = io.WriteString(w, answer)
	}
}

func TestReplayAsks(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	var asked string
	for _, test := range []struct {
		args []string
		want client.ReplayRequest // but for the time
	}{
		{nil, client.ReplayRequest{Rows: 100}},
		{[]string{"--rows", "7", "--label", "x"}, client.ReplayRequest{Rows: 7, Filter: &client.BindingFilter{Label: "x"}}},
		{[]string{"--key", hash, "--rule", "all"}, client.ReplayRequest{Rows: 100, Hashes: []string{hash}, Rule: &client.Rule{Kind: "all"}}},
		{[]string{"--prefix", "10.0.0.7", "--network", "office"}, client.ReplayRequest{
			Rows: 100, Rule: &client.Rule{Kind: "multiple", Prefixes: []string{"10.0.0.7"}, Networks: []string{"office"}},
		}},
	} {
		code, _, stderr := askServer(t, answering(`{}`, &asked), "", append([]string{"replay"}, test.args...)...)
		body, isReplay := strings.CutPrefix(asked, "POST /admin/api/replay ")
		var got client.ReplayRequest
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != exitOK || !isReplay {
			t.Errorf("%v: got %d, %q, asked %q", test.args, code, stderr, asked)
			continue
		}
		if ago := time.Since(got.Since); ago < 7*24*time.Hour || ago > 8*24*time.Hour {
			t.Errorf("%v: since %v", test.args, got.Since)
		}
		got.Since = time.Time{}
		have, err := json.Marshal(got)
		must(t, err)
		want, err := json.Marshal(test.want)
		must(t, err)
		if string(have) != string(want) {
			t.Errorf("%v: asked %s, want %s", test.args, have, want)
		}
	}
}

func TestReplayRefusesBadFlags(t *testing.T) {
	asked := "nothing"
	for _, args := range [][]string{
		{"--since", "tomorrow"}, {"--rows", "0"}, {"--rows", "1001"}, {"--key", "ab", "--label", "x"}, {"--rule", "some"}, {"--rule", "single"},
		{"--key", testKey(1)}, {"--key", ""}, {"--output", "csv"}, {"word"},
	} {
		code, stdout, stderr := askServer(t, answering(`{}`, &asked), "", append([]string{"replay"}, args...)...)
		if code != exitUsage || stdout != "" || stderr == "" || strings.Contains(stderr, testKey(1)) {
			t.Errorf("%v: got %d, %q, %q", args, code, stdout, stderr)
		}
	}
	if asked != "nothing" {
		t.Errorf("the server was asked %s", asked)
	}
}

func TestReplayTells(t *testing.T) {
	var asked string
	answer := `{"since":"2026-03-16T00:00:00Z","refused":1037,"keys":4,"refusedThen":1,"passed":2,"passedKeys":1,"omitted":1034,
		"rows":[{"hint":"sk-\u001b[2J","label":"l","network":"192.0.2.1/32","day":"2026-03-17T00:00:00Z","count":3,"would":"refuse","did":"pass"}],
		"uncertain":{"elsewhere":5,"unrecorded":1,"partly":2,"learning":3,"unbound":4,"dropped":6,"usesFrom":"2026-03-01T00:00:00Z",
		"interceptsFrom":"2026-03-02T00:00:00Z","unknownNetworks":["off\u001bice"]}}`
	code, stdout, stderr := askServer(t, answering(answer, &asked), "", "replay", "--since", "monday")
	if code != exitFailure || stderr != "" || strings.Contains(stdout, "\x1b") {
		t.Errorf("got %d, %q, %q", code, stdout, stderr)
	}
	for _, want := range []string{
		"This would have refused 1,037 requests of 4 keys since ", "1 of them was refused then as well.", "2 requests of 1 key were refused, and would have passed.",
		"Uncertain: 1 request let pass on days", "Uncertain: 5 requests let pass from further networks", "before 2026-03-01 is not kept", "no network of the name",
		"2026-03-17", "192.0.2.1 ", "refused   passed", "… and 1,034 requests more",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got %q, want %q in it", stdout, want)
		}
	}
	if first, _, _ := strings.Cut(stdout, "\n"); !strings.HasPrefix(first, "This would have refused") {
		t.Errorf("the first line is %q", first)
	}
}

func TestSuspicionsAreShownAndDismissed(t *testing.T) {
	var asked string
	hash := strings.Repeat("ab", 32)
	answer := `{"items":[{"hash":"` + hash + `","hint":"sk-x\u001b[2J","label":"l","minutes":7,"first":"2026-03-17T00:00:00Z","last":"2026-03-17T01:00:00Z",
		"evidence":[{"minute":"2026-03-17T01:00:00Z","networks":["192.0.2.1/32","2001:db8::/64"]}]}],"total":1,"beyond":3}`
	code, stdout, stderr := askServer(t, answering(answer, &asked), "", "suspicions", "list")
	if code != exitOK || !strings.Contains(stdout, "192.0.2.1 2001:db8::/64") || strings.Contains(stdout, "\x1b") || !strings.Contains(stderr, "3 keys") {
		t.Errorf("got %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, _ = askServer(t, answering(answer, &asked), "", "suspicions", "list", "--output", "csv")
	if code != exitOK || !strings.Contains(stdout, "192.0.2.1 2001:db8::/64,"+hash) {
		t.Errorf("csv: got %d, %q", code, stdout)
	}
	code, _, stderr = askServer(t, answering(``, &asked), "", "suspicions", "dismiss", hash)
	if code != exitOK || !strings.HasPrefix(asked, "DELETE /admin/api/suspicions/"+hash) {
		t.Errorf("dismiss: got %d, %q, asked %q", code, stderr, asked)
	}
	none := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"status":404,"code":"not_found","detail":"there is none of that name"}`)
	}
	if code, _, stderr = askServer(t, none, "", "suspicions", "dismiss", hash); code != exitNotFound || !strings.Contains(stderr, "no suspicion") {
		t.Errorf("dismiss of none: got %d, %q", code, stderr)
	}
	if code, _, _ = askServer(t, none, "", "suspicions", "dismiss", testKey(1)); code != exitUsage {
		t.Errorf("dismiss of a whole key: got %d", code)
	}
}
