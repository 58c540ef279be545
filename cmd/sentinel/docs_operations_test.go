package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const monitoringFiles = "docs/monitoring"

// metricNamed finds names of metrics in a text.
var metricNamed = regexp.MustCompile(`\bsentinel_[a-z_]*[a-z]\b`)

// metricsServed returns the names that a running server has at /metrics, or that
// the program has for them where there is nothing to count yet.
func metricsServed(t *testing.T) []string {
	t.Helper()
	sentinel := startSentinel(t, startGateway(t).url, "SENTINEL_METRICS=public")
	res, err := http.Get(sentinel.url + "/metrics")
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	names := []string{
		"sentinel_other_total", "sentinel_alerts_open", "sentinel_alert_channel_up", // with labels of what there is
		"sentinel_alert_deliveries_total", "sentinel_alert_deliveries_pending", "sentinel_housekeeping_last_seconds",
		// Of a node of a cluster.
		"sentinel_authority_up", "sentinel_copy_level_seconds", "sentinel_copy_behind_changes", "sentinel_copy_stale",
		"sentinel_outbox_batches", "sentinel_outbox_bytes", "sentinel_outbox_dropped_total", "sentinel_leader", "sentinel_clock_ahead_seconds", "sentinel_redis_up",
	}
	for _, found := range regexp.MustCompile(`(?m)^# HELP (sentinel_\S+)`).FindAllStringSubmatch(string(body), -1) {
		if !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	if res.StatusCode != http.StatusOK || len(names) < 20 {
		t.Fatalf("got %s, %d metrics", res.Status, len(names))
	}
	return names
}

// TestEveryMetricIsExplained holds pages, alert rules and dashboard against what
// is served.
func TestEveryMetricIsExplained(t *testing.T) {
	served := metricsServed(t)
	for _, page := range []string{"docs/operations.md", "docs/zh/operations.md", monitoringFiles + "/alerts.yml", monitoringFiles + "/dashboard.json"} {
		named := metricNamed.FindAllString(string(read(t, filepath.Join(repository, page))), -1)
		for _, name := range named {
			if !slices.Contains(served, name) {
				t.Errorf("%s speaks of %s, which is no metric", page, name)
			}
		}
		for _, name := range served {
			if strings.HasSuffix(page, ".md") && !slices.Contains(named, name) {
				t.Errorf("%s does not explain %s", page, name)
			}
		}
	}
}

func TestAlertRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		const message = "missing: promtool, which checks the alert rules: apt-get install prometheus"
		if requireServers {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = filepath.Join(repository, monitoringFiles)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestPagesNameCommandsThatAreThere runs through the command lines of all pages.
func TestPagesNameCommandsThatAreThere(t *testing.T) {
	root := newRootCommand(nil)
	root.InitDefaultCompletionCmd("completion")
	line := regexp.MustCompile(`(?m)(?:^|[|(;&$] ?|sudo (?:-E |-u sentinel )?|docker exec sentinel |exec sentinel(?:-0 --)? |-0 -- |\./)sentinel ([a-z][^|;<>)#&\n]*)`)
	lines := 0
	for _, page := range docPages(t) {
		for _, fence := range shellFence.FindAllStringSubmatch(strings.ReplaceAll(string(read(t, filepath.Join(repository, "docs", page))), "\n  ", "\n"), -1) {
			for _, found := range line.FindAllStringSubmatch(fence[1], -1) {
				lines++
				checkCommandLine(t, root, "docs/"+page, strings.TrimSpace(found[1]))
			}
		}
	}
	if lines < 150 {
		t.Errorf("found %d command lines", lines)
	}
}

// TestPagesHaveSettingsThatStart gives the program every piece of code that is
// settings and nothing else, as a file of settings.
func TestPagesHaveSettingsThatStart(t *testing.T) {
	assignment := regexp.MustCompile(`^[A-Z_]+=\S`)
	files := 0
	for _, page := range docPages(t) {
		for _, fence := range shellFence.FindAllStringSubmatch(string(read(t, filepath.Join(repository, "docs", page))), -1) {
			text := strings.TrimSpace(fence[1])
			if !allLines(text, assignment.MatchString) || strings.Contains(text, "…") {
				continue
			}
			files++
			dir := t.TempDir()
			text = strings.ReplaceAll(text, "/etc/key-ip-sentinel", dir)
			newAuthority(t).issue(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
			file := filepath.Join(dir, "env")
			if !strings.Contains(text, "DOWNSTREAM_URL=") {
				text += "\nDOWNSTREAM_URL=http://127.0.0.1:3000"
			}
			must(t, os.WriteFile(file, []byte(text), 0o600))
			if _, warnings, err := loadConfig(sources{envFile: file, envFileNamed: true}); err != nil || len(warnings) > 0 {
				t.Errorf("docs/%s:\n%s\n%v, %q", page, text, err, warnings)
			}
		}
	}
	if files < 10 {
		t.Errorf("found %d", files)
	}
}

func allLines(text string, holds func(string) bool) bool {
	for line := range strings.Lines(text) {
		if !holds(strings.TrimSpace(line)) {
			return false
		}
	}
	return true
}
