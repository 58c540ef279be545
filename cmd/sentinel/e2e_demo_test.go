package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestDemoOnce(t *testing.T) {
	p := startProcess(t, nil, "demo", "--once", "--listen", "127.0.0.1:0")
	<-p.ended
	if p.err != nil {
		t.Fatal(p.err)
	}
	if out := p.stdout.String(); strings.Contains(out, "UNEXPECTED") || !strings.Contains(out, `"code": "ip_not_allowed"`) {
		t.Errorf("got\n%s", out)
	}
	if left, err := os.ReadDir(p.cmd.Dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

var triedLine = regexp.MustCompile(`(?m)^  # (.*: (\d{3})\b.*)\n  (curl .*)$`)

// TestDemoCommandLines runs the command lines that the demo prints: each has to
// give the status that stands above it.
func TestDemoCommandLines(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		unavailable(t, "curl is not on PATH", "install curl")
	}
	p := startProcess(t, nil, "demo", "--listen", "127.0.0.1:0")
	p.stdout.waitFor(t, p.ended, func(line string) (string, bool) { return line, strings.HasPrefix(line, "Ctrl-C") })
	lines := triedLine.FindAllStringSubmatch(p.stdout.String(), -1)
	if len(lines) != 4 {
		t.Errorf("got %d command lines, want 4", len(lines))
	}
	for _, line := range lines {
		what, want, command := line[1], line[2], line[3]
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command+" --max-time 20 -o /dev/null -w '%{http_code}'").CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s: got %s, %v", what, out, err)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("got %v after SIGTERM, want exit code 0", err)
	}
	if left, err := os.ReadDir(p.cmd.Dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemoIntoAPipeThatCloses is sentinel demo | head -1.
func TestDemoIntoAPipeThatCloses(t *testing.T) {
	p := startCommand(t, nil, func(cmd *exec.Cmd) {
		cmd.Args = []string{"sh", "-c", `"$0" demo --listen 127.0.0.1:0 | head -1`, cmd.Path}
		cmd.Path = "/bin/sh"
	}, "demo")
	<-p.ended
	if got := p.stdout.String(); got != "Key-IP Sentinel: a demo\n" {
		t.Errorf("got %q", got)
	}
	if got := p.stderr.String(); got != "" {
		t.Errorf("got %q, want no word: the reader has seen enough", got)
	}
	if left, err := os.ReadDir(p.cmd.Dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
