package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const apiToken = "token-for-tests-only"

// askServer runs a command against a server that a handler makes.
func askServer(t *testing.T, handler http.HandlerFunc, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	serveAPI(t, handler)
	code, stdout, stderr = runCommand(t, stdin, args...)
	if strings.Contains(stdout+stderr, apiToken) {
		t.Errorf("the token is shown: %s%s", stdout, stderr)
	}
	return code, stdout, stderr
}

// serveAPI has commands speak to a server that a handler makes.
func serveAPI(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv(urlVariable, server.URL)
	t.Setenv(tokenVariable, apiToken)
}

// refuse answers with a problem.
func refuse(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":"detail of %s","errors":[{"location":"body.x","message":"wrong"}]}`, status, code, code)
	}
}

func TestExitCodesOfTheAPI(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		args   string
		code   int
		text   string // in standard error
	}{
		{"not there", refuse(404, "not_found"), "bindings show " + strings.Repeat("a", 64), exitNotFound, "no binding has the key hash " + strings.Repeat("a", 64)},
		{"nothing has the hint", list(), "bindings show 9fQ2", exitNotFound, `no binding has a hint with "9fQ2"`},
		{"no such path", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "bindings list", exitRefused, "SENTINEL_ADMIN_NETWORKS"},
		{"not signed in", refuse(401, "unauthenticated"), "bindings list", exitRefused, "detail of unauthenticated"},
		{"not allowed", refuse(403, "forbidden"), "logs tail", exitRefused, "detail of forbidden"},
		{"in conflict", refuse(409, "conflict"), "bindings archive run", exitRefused, "detail of conflict"},
		{"changed meanwhile", refuse(412, "changed_meanwhile"), "bindings set " + strings.Repeat("a", 64) + " --label x", exitRefused, "detail of changed_meanwhile"},
		{"not valid", refuse(422, "invalid"), "bindings list", exitRefused, "sentinel: body.x: wrong"},
		{"too many", refuse(429, "locked"), "bindings list", exitRefused, "detail of locked"},
		{"sent elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		}, "bindings list", exitRefused, "elsewhere.example"},
		{"server's fault", refuse(500, "internal"), "bindings list", exitFailure, "detail of internal"},
		{"store away", refuse(503, "store_unavailable"), "bindings list", exitFailure, "detail of store_unavailable"},
		{"not Sentinel", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "bindings list", exitFailure, "not what the admin API answers"},
		{"goes away", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "bindings list", exitUnreachable, "cannot reach the server"},
		{"too late", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "bindings list --timeout 10ms", exitUnreachable, "no answer within 10ms"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := askServer(t, test.answer, "", strings.Fields(test.args)...)
			if code != test.code || !strings.Contains(stderr, test.text) || stdout != "" {
				t.Errorf("got %d, %q, %q, want %d and %q", code, stdout, stderr, test.code, test.text)
			}
		})
	}
}

// list answers with a page of these items.
func list(items ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"items":[%s],"total":%d}`, strings.Join(items, ","), len(items))
	}
}

func TestNobodyAtTheAddress(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	t.Setenv(urlVariable, server.URL)
	t.Setenv(tokenVariable, apiToken)
	for _, command := range []string{"bindings list", "bindings export", "logs tail --follow", "bindings ban 9fQ2"} {
		code, stdout, stderr := runCommand(t, "", strings.Fields(command)...)
		if code != exitUnreachable || stdout != "" || !strings.Contains(stderr, server.URL) || strings.Contains(stderr, apiToken) {
			t.Errorf("%s: got %d, %q, %q", command, code, stdout, stderr)
		}
	}
}

func TestNoServerOnTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr := runCommand(t, "", "bindings", "list", "--data-dir", dir)
	if code != exitUnreachable || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "no sentinel runs") {
		t.Errorf("got %d, %q", code, stderr)
	}
	t.Setenv("SENTINEL_DATA_DIR", dir)
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"bindings", "list"}, strings.NewReader(""), &out, &errs); code != exitUnreachable || !strings.Contains(errs.String(), dir) {
		t.Errorf("from the environment: got %d, %q", code, errs.String())
	}
}

func TestWhichServer(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		args        []string
		code        int
		text        string
	}{
		{"both flags", nil, []string{"--url", "http://127.0.0.1:1", "--data-dir", "x"}, exitUsage, "want one of them"},
		{"no token", nil, []string{"--url", "http://127.0.0.1:1"}, exitUsage, tokenVariable},
		{"token without a URL", nil, []string{"--token-file", "x"}, exitUsage, "--url"},
		{"token file that is not there", nil, []string{"--url", "http://127.0.0.1:1", "--token-file", "missing"}, exitUsage, "--token-file"},
		{"URL that is none", map[string]string{tokenVariable: apiToken}, []string{"--url", "sentinel.example.com"}, exitUsage, "http://"},
		{"password in the URL", map[string]string{tokenVariable: apiToken}, []string{"--url", "http://x:hidden@example.com"}, exitUsage, "user name"},
		{"certificates that are none", map[string]string{tokenVariable: apiToken}, []string{"--url", "https://127.0.0.1:1", "--ca-file", os.DevNull}, exitUsage, "BEGIN CERTIFICATE"},
		{"token that is none", map[string]string{tokenVariable: "hidden hidden"}, []string{"--url", "http://127.0.0.1:1"}, exitUsage, tokenVariable + ": the token has spaces"},
		{"token file that is none", nil, []string{"--url", "http://127.0.0.1:1", "--token-file", os.DevNull}, exitUsage, "--token-file"},
		{"negative timeout", nil, []string{"--timeout", "-1s"}, exitUsage, "--timeout"},
		{"flag over environment", map[string]string{urlVariable: "http://127.0.0.1:1", tokenVariable: apiToken}, []string{"--data-dir", "/nonexistent"}, exitUnreachable, "/nonexistent"},
		{"unknown form", nil, []string{"--output", "xml"}, exitUsage, "table, json or csv"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(urlVariable, "")
			t.Setenv(tokenVariable, "")
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			code, _, stderr := runCommand(t, "", append([]string{"bindings", "list"}, test.args...)...)
			if code != test.code || !strings.Contains(stderr, test.text) || strings.Contains(stderr, "hidden") || strings.Contains(stderr, apiToken) {
				t.Errorf("got %d, %q, want %d and %q", code, stderr, test.code, test.text)
			}
		})
	}
}

func TestTokenComesFromTheFile(t *testing.T) {
	var got atomic.Value
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("Authorization"))
		list()(w, r)
	}))
	defer server.Close()
	dir := t.TempDir()
	tokens, ca := filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")
	must(t, os.WriteFile(tokens, []byte(apiToken+"\n"), 0o600))
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	t.Setenv(tokenVariable, "another-token")
	code, _, stderr := runCommand(t, "", "bindings", "list", "--url", server.URL, "--token-file", tokens, "--ca-file", ca)
	if code != exitOK || stderr != "" || got.Load() != "Bearer "+apiToken {
		t.Errorf("got %d, %q, and the server %v", code, stderr, got.Load())
	}
}

// TestTokenInTheClearIsWarnedOf asks for a name that is not there: what is said
// is said before.
func TestTokenInTheClearIsWarnedOf(t *testing.T) {
	t.Setenv(tokenVariable, apiToken)
	for address, want := range map[string]bool{"http://sentinel.invalid": true, "http://127.0.0.1:1": false} {
		_, _, stderr := runCommand(t, "", "bindings", "list", "--url", address)
		if got := strings.Contains(stderr, "unencrypted"); got != want {
			t.Errorf("%s: got %q", address, stderr)
		}
	}
}

func TestProblemIsNoUsageOfItsOwn(t *testing.T) {
	err := fmt.Errorf("while: %w", &client.Problem{Status: 409, Code: "x"})
	if exitCodeOf(err) != exitRefused || exitCodeOf(errors.Join(notFoundf("a"), notFoundf("b"))) != exitNotFound || exitCodeOf(nil) != exitOK {
		t.Error("wrapped errors lose their exit codes")
	}
}
