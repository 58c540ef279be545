package main

import (
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

// metricHead is the line that says what a metric is.
var metricHead = regexp.MustCompile(`(?m)^# HELP (sentinel_\S+)`)

// metricsServed returns the names that a node of a cluster and one that is alone
// have at /metrics once there is something to tell of everything.
func metricsServed(t *testing.T) []string {
	t.Helper()
	_, dsn := startPostgres(t)
	_, redis := startRedis(t)
	key := testKey(9790)
	gateway, receiver := startGateway(t, key), startReceiver(t)
	alone := startGuarded(t, gateway.url, t.TempDir(), "ALERT_WEBHOOK_URL="+receiver.URL, "ALERT_THRESHOLD_COUNT=2")
	one := startCluster(t, 1, gateway.url, dsn, redis)[0]
	one.awaitRedis()
	alone.becomes(homeIP, key, http.StatusOK)
	alone.becomes("127.0.0.66", key, http.StatusForbidden)
	alone.becomes("127.0.0.66", key, http.StatusForbidden)
	_, err := alone.api.RunArchive(t.Context())
	must(t, err)
	eventually(t, "an alert is open", func() bool { return strings.Contains(alone.metrics(), "\nsentinel_alerts_open{") })
	names := []string{"sentinel_other_total"} // of what this version does not have
	for _, found := range metricHead.FindAllStringSubmatch(alone.metrics()+one.metrics(), -1) {
		if !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	return names
}

// TestEveryMetricIsExplained holds pages, alert rules and dashboard against what
// is served.
func TestEveryMetricIsExplained(t *testing.T) {
	served := metricsServed(t)
	if len(served) < 37 {
		t.Errorf("found %d metrics", len(served))
	}
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
	line := regexp.MustCompile(`(?m)(?:^ *|[|(;&$] ?|sudo (?:-E |-u sentinel )?|docker exec sentinel |exec sentinel(?:-0 --)? |-0 -- |\./)sentinel ([a-z][^|;<>)#&\n]*)`)
	lines := 0
	for _, page := range docPages(t) {
		for _, fence := range shellFence.FindAllStringSubmatch(string(read(t, filepath.Join(repository, "docs", page))), -1) {
			for _, found := range line.FindAllStringSubmatch(fence[1], -1) {
				lines++
				checkCommandLine(t, root, "docs/"+page, strings.TrimSpace(found[1]))
			}
		}
	}
	if lines < 400 {
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
