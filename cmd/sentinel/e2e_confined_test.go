package main

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user without any rights, where the tests run as root.
const nobody = 65534

// confinement is a tree in which a user without rights can write to the data
// directory alone.
type confinement struct {
	t                       *testing.T
	root, work, data, other string
	binary                  string
}

func confine(t *testing.T) confinement {
	t.Helper()
	usedBinary = true
	built, err := binary()
	must(t, err)
	// Not t.TempDir, which other users cannot enter.
	root, err := os.MkdirTemp("", "sentinel-confined-")
	must(t, err)
	c := confinement{
		t: t, root: root, work: filepath.Join(root, "work"), data: filepath.Join(root, "data"), other: filepath.Join(root, "other"),
		binary: filepath.Join(root, "sentinel"),
	}
	t.Cleanup(func() {
		for _, dir := range []string{c.work, c.other} {
			_ = os.Chmod(dir, 0o700)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	program, err := os.ReadFile(built)
	must(t, err)
	must(t, os.WriteFile(c.binary, program, 0o755))
	must(t, os.Mkdir(c.data, 0o700))
	for _, dir := range []string{c.work, c.other} {
		must(t, os.Mkdir(dir, 0o755)) //nolint:gosec // G301: another user reads it
		must(t, os.Chmod(dir, 0o555))
	}
	must(t, os.Chmod(root, 0o755))
	if os.Getuid() == 0 {
		must(t, os.Chown(c.data, nobody, nobody))
	}
	return c
}

// apply makes a command run in there, without a home.
func (c confinement) apply(cmd *exec.Cmd) {
	cmd.Path, cmd.Dir = c.binary, c.work
	cmd.Env = append(cmd.Env, "TMPDIR="+c.work)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}

// files lists all of the tree but the data directory.
func (c confinement) files() []string {
	c.t.Helper()
	var paths []string
	must(c.t, filepath.WalkDir(c.root, func(path string, _ fs.DirEntry, err error) error {
		if path == c.data {
			return fs.SkipDir
		}
		paths = append(paths, path)
		return err
	}))
	return paths
}

// openElsewhere lists the files that a process has open and that are in neither
// the data directory nor the system's own.
func (c confinement) openElsewhere(pid string) []string {
	c.t.Helper()
	dir := filepath.Join("/proc", pid, "fd")
	entries, err := os.ReadDir(dir)
	must(c.t, err)
	var paths []string
	for _, e := range entries {
		path, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || !filepath.IsAbs(path) { // closed by now, or a socket or pipe
			continue
		}
		system := slices.ContainsFunc([]string{"/dev/", "/proc/", "/sys/"}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
		if !system && !strings.HasPrefix(path, c.data+"/") {
			paths = append(paths, path)
		}
	}
	return paths
}

// TestItNeedsNothingButTheDataDirectory runs Sentinel as a user without rights,
// who has no home and can write to the data directory alone.
func TestItNeedsNothingButTheDataDirectory(t *testing.T) {
	key := testKey(9600)
	gateway := startGateway(t, key)
	c := confine(t)
	before := c.files()
	p := startCommand(t, settingsFor(gateway.url, c.data), c.apply, "serve")
	url := "http://" + p.stderr.waitFor(t, p.ended, servingAt)
	if got := call(t, from(t, homeIP), "GET", url+"/v1/models", key, nil); got.status != http.StatusOK {
		t.Errorf("first use: got %d %s, want 200", got.status, got.body)
	}
	if got := call(t, from(t, elsewhereIP), "GET", url+"/v1/models", key, nil); got.status != http.StatusForbidden {
		t.Errorf("from elsewhere: got %d, want 403", got.status)
	}
	if paths := c.openElsewhere(pidOf(p)); len(paths) > 0 {
		t.Errorf("has files open outside the data directory: %q", paths)
	}
	if err := p.stop(); err != nil {
		t.Errorf("got %v after SIGTERM, want exit code 0", err)
	}
	if after := c.files(); !slices.Equal(before, after) {
		t.Errorf("left outside the data directory:\n%q\nthere was\n%q", after, before)
	}
	if warnings := linesWith(p.stderr.String(), `"level":"WARN"`); len(warnings) > 0 {
		t.Errorf("warned: %q", warnings)
	}

	// A second time, and then in a directory that cannot be written.
	p = startCommand(t, settingsFor(gateway.url, c.data), c.apply, "serve")
	url = "http://" + p.stderr.waitFor(t, p.ended, servingAt)
	if got := call(t, from(t, elsewhereIP), "GET", url+"/v1/models", key, nil); got.status != http.StatusForbidden {
		t.Errorf("after a restart, from elsewhere: got %d, want 403", got.status)
	}
	must(t, p.stop())
	p = startCommand(t, settingsFor(gateway.url, c.other), c.apply, "serve")
	p.endsWith(exitFailure, "cannot be written by this user")
	p = startCommand(t, settingsFor(gateway.url, filepath.Join(c.other, "data")), c.apply, "serve")
	p.endsWith(exitFailure, "SENTINEL_DATA_DIR")
}

// linesWith returns the lines that contain part.
func linesWith(text, part string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

// underFileLimit makes a command run under a limit on the length of files, in
// units of 1,024 bytes, which stands for the end of the disk.
func underFileLimit(units string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"bash", "-c", `ulimit -f ` + units + ` && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = bashPath
	}
}

const bashPath = "/bin/bash"

// TestDiskFull starts Sentinel where hardly anything can be written. What it
// knows goes on, new keys follow the failsafe setting, and it all comes back
// with the space.
func TestDiskFull(t *testing.T) {
	known, fresh, freshOpen := testKey(9610), testKey(9611), testKey(9612)
	gateway := startGateway(t, known, fresh, freshOpen)
	data := t.TempDir()
	setting := "SENTINEL_DATA_DIR=" + data
	home, elsewhere := from(t, homeIP), from(t, elsewhereIP)
	use := func(s sentinelProcess, client *http.Client, key string, want int) {
		t.Helper()
		if got := call(t, client, "GET", s.url+"/v1/models", key, nil); got.status != want {
			t.Errorf("got %d %s, want %d", got.status, got.body, want)
		}
	}

	first := startSentinel(t, gateway.url, setting)
	use(first, home, known, http.StatusOK)
	must(t, first.stop())

	for mode, key := range map[string]string{"closed": fresh, "open": freshOpen} {
		p := startCommand(t, settingsFor(gateway.url, data, "SENTINEL_FAILSAFE_MODE="+mode), underFileLimit("1"), "serve")
		full := sentinelProcess{process: p, url: "http://" + p.stderr.waitFor(t, p.ended, servingAt)}
		for range 3 {
			use(full, home, known, http.StatusOK)
			use(full, elsewhere, known, http.StatusForbidden)
			if mode == "open" {
				use(full, home, key, http.StatusOK)
				use(full, elsewhere, key, http.StatusOK)
				continue
			}
			refusedForNow(t, full.url, key)
		}
		_ = full.stop() // that the last records could not be written is an error
		if got := p.cmd.ProcessState.ExitCode(); got != exitOK && got != exitFailure {
			t.Errorf("%s: got exit code %d, want an orderly end", mode, got)
		}
		if strings.Contains(p.stderr.String(), "goroutine ") {
			t.Errorf("%s: it crashed", mode)
		}
	}

	again := startSentinel(t, gateway.url, setting)
	use(again, home, known, http.StatusOK)
	use(again, elsewhere, known, http.StatusForbidden)
	for _, key := range []string{fresh, freshOpen} { // neither was bound
		use(again, elsewhere, key, http.StatusOK)
		use(again, home, key, http.StatusForbidden)
	}
}

// refusedForNow wants a 503 that says when to come back.
func refusedForNow(t *testing.T, url, key string) {
	t.Helper()
	res, err := from(t, homeIP).Do(withKey(t, "GET", url+"/v1/models", key))
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), `"store_unavailable"`) {
		t.Errorf("got %d, Retry-After %q and %s, want 503 with both", res.StatusCode, res.Header.Get("Retry-After"), body)
	}
}
