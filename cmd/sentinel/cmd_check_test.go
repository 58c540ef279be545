package main

import (
	"strings"
	"testing"
)

func TestCheckPrintsALineForEachFinding(t *testing.T) {
	code, out, stderr := runCommand(t, "", "check", "--downstream-url", "gateway:3000", "--mode", "lenient")
	if code != exitFailure || strings.Count(out, "fail  settings        ") != 2 || !strings.Contains(stderr, "2 of 2 checks failed") {
		t.Errorf("got %d, %q, %q", code, out, stderr)
	}
	code, out, _ = runCommand(t, "", "check", "--output", "json", "--downstream-url", "gateway:3000")
	if code != exitFailure || !strings.Contains(out, `"result": "fail"`) {
		t.Errorf("as JSON: got %d, %q", code, out)
	}
	if code, _, stderr := runCommand(t, "", "check", "--output", "csv"); code != exitUsage || !strings.Contains(stderr, "want table or json") {
		t.Errorf("as CSV: got %d, %q", code, stderr)
	}
	if code, _, _ := runCommand(t, "", "check", "now"); code != exitUsage {
		t.Errorf("with a word: got %d", code)
	}
}

func TestCheckLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if code, out, _ := runCommand(t, "", "check", "--downstream-url", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--data-dir", dir); code != exitFailure ||
		!strings.Contains(out, "ok    store           none yet") {
		t.Errorf("got %d, %s", code, out)
	}
	if list := names(t, dir); len(list) > 0 {
		t.Errorf("got %q in the data directory, want nothing", list)
	}
}

func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"settings set SENTINEL_MO":      "SENTINEL_MODE=\n",
		"settings get sentinel_mo":      "SENTINEL_MODE\n",
		"admin create alice --role op":  "viewer\noperator\nadmin\n", // the shell chooses
		"token create ci --role viewer": "viewer\noperator\nadmin\n",
		"adm":                           "admin\t",
		"serve --data":                  "--data-dir\t",
	} {
		if code, out, stderr := runCommand(t, "", append([]string{"__complete"}, strings.Fields(args)...)...); code != exitOK || !strings.HasPrefix(out, want) {
			t.Errorf("%s: got %d, %q, %q, want %q first", args, code, out, stderr, want)
		}
	}
}

func TestCommandsWithoutAServer(t *testing.T) {
	dir := makeData(t, 1)
	for _, args := range []string{"settings get", "settings set SENTINEL_MODE=observe", "token list", "backup b.db", "compact", "admin setup-link"} {
		if code, out, stderr := runCommand(t, "", append(strings.Fields(args), "--data-dir", dir)...); code != exitUnreachable || out != "" || !strings.Contains(stderr, "no sentinel runs") {
			t.Errorf("%s: got %d, %q, %q, want %d", args, code, out, stderr, exitUnreachable)
		}
	}
}
