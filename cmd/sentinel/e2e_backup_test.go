package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// firstUses are clients that use one new key after the other.
type firstUses struct {
	clients sync.WaitGroup
	stop    chan struct{}
	enough  chan struct{} // closed once some keys are bound

	mu   sync.Mutex
	keys []string // bound, as the answers say
}

func startLoad(t *testing.T, url string, keys []string, clients int) *firstUses {
	t.Helper()
	const enough = 40
	load := &firstUses{stop: make(chan struct{}), enough: make(chan struct{})}
	for c := range clients {
		load.clients.Go(func() {
			home := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			defer home.CloseIdleConnections()
			for i := c; i < len(keys); i += clients {
				select {
				case <-load.stop:
					return
				default:
				}
				res, err := home.Do(withKey(t, "GET", url+"/v1/models", keys[i]))
				if err != nil || res.StatusCode != http.StatusOK || res.Body.Close() != nil {
					t.Errorf("first use: got %v, %v", res, err)
					return
				}
				load.mu.Lock()
				if load.keys = append(load.keys, keys[i]); len(load.keys) == enough {
					close(load.enough)
				}
				load.mu.Unlock()
			}
		})
	}
	return load
}

// bound returns the keys whose first use was answered.
func (l *firstUses) bound() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.keys)
}

// TestBackupUnderLoadAndRestore uses new keys without a pause while a backup is
// made, and looks for each one that was acknowledged before it in what is
// restored.
func TestBackupUnderLoadAndRestore(t *testing.T) {
	const clients, mostKeys = 4, 4000
	keys := make([]string, mostKeys)
	for i := range keys {
		keys[i] = testKey(i)
	}
	s := &site{data: t.TempDir(), gateway: startGateway(t, keys...).url}
	s.start(t)

	load := startLoad(t, s.url, keys, clients)
	<-load.enough
	before := load.bound()
	file := filepath.Join(t.TempDir(), "backup.db")
	code, out, stderr := s.run(t, "", "backup", "--with-secrets", "-o", "json", file)
	after := len(load.bound())
	close(load.stop)
	load.clients.Wait()
	var told struct{ Bytes, Bindings int }
	if err := json.Unmarshal([]byte(out), &told); code != exitOK || err != nil || told.Bindings < len(before) {
		t.Fatalf("backup: got %d, %q, %s, want at least %d bindings", code, out, stderr, len(before))
	}
	t.Logf("%d keys were bound before the backup, %d until its end, %d are in it", len(before), after, told.Bindings)
	if code, _, stderr := s.run(t, "", "backup", file); code != exitUsage || !strings.Contains(stderr, "--force") {
		t.Errorf("backup over a file: got %d, %s", code, stderr)
	}
	if code, _, stderr := s.run(t, "", "restore", file); code != exitFailure || !strings.Contains(stderr, "stop it first") {
		t.Errorf("restore beside the server: got %d, %s", code, stderr)
	}
	backupFromElsewhere(t, s)
	must(t, s.stop())
	for _, name := range []string{dataFileName, secretsName} { // the disk is lost
		must(t, os.Remove(filepath.Join(s.data, name)))
	}
	if code, _, stderr := s.run(t, "", "restore", "--with-secrets", file); code != exitOK {
		t.Fatalf("restore: got %d, %s", code, stderr)
	}
	s.start(t)
	away := from(t, elsewhereIP)
	for _, key := range before {
		if got := call(t, away, "GET", s.url+"/v1/models", key, nil); got.status != http.StatusForbidden {
			t.Fatalf("a key that was bound before the backup, from elsewhere: got %d, want 403", got.status)
		}
	}
}

// backupFromElsewhere makes one by URL, with API tokens.
func backupFromElsewhere(t *testing.T, s *site) {
	t.Helper()
	for role, want := range map[string]int{"admin": exitOK, "operator": exitRefused} {
		_, token, _ := s.run(t, "", "token", "create", role, "--role", role, "--expires", "1h")
		file := filepath.Join(t.TempDir(), "backup.db")
		environ := []string{"SENTINEL_URL=" + s.url, "SENTINEL_TOKEN=" + strings.TrimSpace(token)}
		p := startProcess(t, environ, "backup", file)
		<-p.ended
		if got := p.cmd.ProcessState.ExitCode(); got != want || missing(file) != (want != exitOK) {
			t.Errorf("as %s: got %d, %s, want %d", role, got, p.stderr, want)
		}
		p = startProcess(t, environ, "backup", "--with-secrets", file+"2")
		<-p.ended
		if got := p.cmd.ProcessState.ExitCode(); got != exitUsage || !strings.Contains(p.stderr.String(), "secrets are not sent") {
			t.Errorf("with secrets: got %d, %s", got, p.stderr)
		}
	}
}

// checkFindings runs `sentinel check` with an environment, and returns what it
// finds, "result check" by the words of the detail.
func checkFindings(t *testing.T, environ ...string) (code int, findings []finding) {
	t.Helper()
	p := startProcess(t, environ, "check", "--output", "json")
	<-p.ended
	var answer struct {
		Result string
		Checks []finding
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), &answer); err != nil {
		t.Fatalf("%v: %s%s", err, p.stdout, p.stderr)
	}
	return p.cmd.ProcessState.ExitCode(), answer.Checks
}

// TestCheckGoesByWhatIsInForce: settings that were changed while the server ran
// count, also when it does not run any more.
func TestCheckGoesByWhatIsInForce(t *testing.T) {
	s := &site{data: t.TempDir(), gateway: startGateway(t).url}
	s.start(t)
	environ := []string{"SENTINEL_DATA_DIR=" + s.data, "DOWNSTREAM_URL=" + s.gateway, "SENTINEL_LISTEN=" + strings.TrimPrefix(s.url, "http://")}
	if _, findings := checkFindings(t, environ...); hasFinding(findings, checkOK, "mode", "") {
		t.Errorf("got %+v", findings)
	}
	if code, _, stderr := s.run(t, "", "settings", "set", "SENTINEL_MODE=observe", "TRUSTED_PROXY_IPS=10.7.0.0/16"); code != exitOK {
		t.Fatal(stderr)
	}
	for _, when := range []string{"running", "stopped"} {
		_, findings := checkFindings(t, environ...)
		if !hasFinding(findings, checkOK, "mode", "observes") || !hasFinding(findings, checkOK, "client IP", "of 1 trusted networks") {
			t.Errorf("%s: got %+v", when, findings)
		}
		if when == "running" {
			must(t, s.stop())
		}
	}
}

func hasFinding(findings []finding, result, check, text string) bool {
	return slices.ContainsFunc(findings, func(f finding) bool {
		return f.Result == result && f.Check == check && strings.Contains(f.Detail, text)
	})
}

// TestCheckFindsPlantedFaults plants one fault at a time.
func TestCheckFindsPlantedFaults(t *testing.T) {
	key := testKey(9950)
	s := &site{data: t.TempDir(), gateway: startGateway(t, key).url}
	s.start(t)
	if got := call(t, from(t, homeIP), "GET", s.url+"/v1/models", key, nil); got.status != http.StatusOK {
		t.Fatalf("first use: got %d", got.status)
	}
	address := strings.TrimPrefix(s.url, "http://")
	at := func(more ...string) []string {
		return append([]string{"DOWNSTREAM_URL=" + s.gateway, "SENTINEL_DATA_DIR=" + s.data, "SENTINEL_LISTEN=" + address}, more...)
	}
	// The address 127.0.0.1 is only this machine's, so nothing else is to be warned of.
	code, findings := checkFindings(t, at()...)
	for _, want := range [][3]string{
		{checkOK, "store", "1 bindings"}, {checkOK, "listen", "the server's that runs"}, {checkOK, "gateway", "401"}, {checkWarn, "accounts", "none yet"},
	} {
		if !hasFinding(findings, want[0], want[1], want[2]) {
			t.Errorf("beside the server: got %+v, want %q", findings, want)
		}
	}
	if code != exitOK {
		t.Errorf("beside the server: got exit code %d, %+v", code, findings)
	}
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	broken := t.TempDir()
	must(t, os.WriteFile(filepath.Join(broken, dataFileName), []byte(strings.Repeat("damaged ", 4096)), 0o600))
	other := makeData(t, 1)
	must(t, os.Remove(filepath.Join(other, secretsName)))
	tests := []struct {
		name    string
		environ []string
		want    [3]string
	}{
		{"bad setting", at("SENTINEL_MODE=lenient"), [3]string{checkFail, "settings", "want enforce or observe"}},
		{"other settings than the server's", at("SENTINEL_ANONYMOUS=reject"), [3]string{checkWarn, "settings", `"pass" in the server that runs, and "reject" here`}},
		{"another data directory, its port taken", at("SENTINEL_DATA_DIR=" + t.TempDir()), [3]string{checkFail, "listen", "another program has this port"}},
		{"gateway away", at("DOWNSTREAM_URL=http://127.0.0.1:1"), [3]string{checkFail, "downstream", "refused"}},
		{"gateway is Sentinel", at("DOWNSTREAM_URL=" + s.url), [3]string{checkFail, "downstream", "Sentinel itself"}},
		{"gateway is a web page", at("DOWNSTREAM_URL=" + page.URL), [3]string{checkWarn, "gateway", "is DOWNSTREAM_URL right?"}},
		{"gateway without its TLS", at("DOWNSTREAM_URL=" + strings.Replace(s.gateway, "http:", "https:", 1)), [3]string{checkFail, "gateway", "GET"}},
		{"data file damaged", at("SENTINEL_LISTEN=127.0.0.1:0", "SENTINEL_DATA_DIR="+broken), [3]string{checkFail, "store", "not a Sentinel data file"}},
		{"secret lost", at("SENTINEL_LISTEN=127.0.0.1:0", "SENTINEL_DATA_DIR="+other), [3]string{checkFail, "secrets", "is missing"}},
		{"another secret", at("SENTINEL_LISTEN=127.0.0.1:0", "SENTINEL_DATA_DIR="+other, "SENTINEL_HMAC_SECRET="+longSecret), [3]string{checkFail, "secrets", "another HMAC secret"}},
		{"data directory is a file", at("SENTINEL_LISTEN=127.0.0.1:0", "SENTINEL_DATA_DIR="+filepath.Join(broken, dataFileName)), [3]string{checkFail, "data directory", "is a file"}},
		{"certificate away", at("SENTINEL_TLS_CERT=/none.crt", "SENTINEL_TLS_KEY=/none.key"), [3]string{checkFail, "certificate", "none.crt"}},
		{"everybody is a trusted proxy", at("TRUSTED_PROXY_IPS=0.0.0.0/0"), [3]string{checkWarn, "client IP", "many public addresses"}},
		{"administration is open to all", at("SENTINEL_LISTEN=:0"), [3]string{checkWarn, "administration", "try to sign in"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, findings := checkFindings(t, test.environ...)
			if !hasFinding(findings, test.want[0], test.want[1], test.want[2]) {
				t.Errorf("got %+v, want %q", findings, test.want)
			}
			if test.want[0] == checkFail && code != exitFailure {
				t.Errorf("got exit code %d, want %d", code, exitFailure)
			}
		})
	}
}
