package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

// legacySchema is what the earlier deployment had.
const legacySchema = `
CREATE TABLE token_bindings (id bigserial PRIMARY KEY, token_hash varchar(64) UNIQUE NOT NULL, token_display varchar(20) NOT NULL, bound_ip cidr NOT NULL,
    binding_mode varchar(16) NOT NULL DEFAULT 'single', allowed_ips jsonb NOT NULL DEFAULT '[]', status smallint NOT NULL DEFAULT 1,
    first_used_at timestamptz NOT NULL DEFAULT now(), last_used_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE intercept_logs (id bigserial PRIMARY KEY, token_hash varchar(64) NOT NULL, token_display varchar(20) NOT NULL, bound_ip cidr NOT NULL,
    attempt_ip inet NOT NULL, alerted boolean NOT NULL DEFAULT false, intercepted_at timestamptz NOT NULL DEFAULT now())`

// legacyHash is how the earlier deployment hashed a key: as it was sent.
func legacyHash(secret, key string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(key))
	return hex.EncodeToString(mac.Sum(nil))
}

// migrate runs `sentinel migrate` with a report in JSON.
func (s *site) migrate(t *testing.T, environ []string, args ...string) (code int, report legacyReport, stderr string) {
	t.Helper()
	p := startProcess(t, append(slices.Clip(environ), "SENTINEL_DATA_DIR="+s.data), append([]string{"migrate"}, append(args, "-o", "json")...)...)
	<-p.ended
	if text := p.stdout.String(); text != "" {
		if err := json.Unmarshal([]byte(text), &report); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	return p.cmd.ProcessState.ExitCode(), report, p.stderr.String()
}

func wantLegacy(t *testing.T, what string, got legacyReport, bindings, intercepts legacyCounts) {
	t.Helper()
	if got.Bindings != bindings || got.Intercepts != intercepts {
		t.Errorf("%s: got %+v and %+v, want %+v and %+v", what, got.Bindings, got.Intercepts, bindings, intercepts)
	}
}

// TestMigrateFromLegacy takes tables of the earlier deployment over: its keys pass from
// where they were bound to, and from nowhere else.
func TestMigrateFromLegacy(t *testing.T) {
	db, dsn := startPostgres(t)
	bound, banned, several := testKey(9970), testKey(9971), testKey(9972)
	db.Exec(t, "cluster", legacySchema)
	insert := func(hash, ip, mode, allowed string, status int) {
		db.Exec(t, "cluster", fmt.Sprintf(`INSERT INTO token_bindings (token_hash, token_display, bound_ip, binding_mode, allowed_ips, status) VALUES ('%s', 'sk-…', '%s', '%s', '%s', %d)`,
			hash, ip, mode, allowed, status))
	}
	insert(legacyHash(firstSecret, bound), homeIP, "single", "[]", 1)
	insert(legacyHash(firstSecret, banned), homeIP, "single", "[]", 2)
	insert(legacyHash(firstSecret, several), "192.0.2.1", "multiple", `["`+homeIP+`", "10.0.0.0/8"]`, 1)
	insert("no hash", homeIP, "single", "[]", 1)
	db.Exec(t, "cluster", `INSERT INTO intercept_logs (token_hash, token_display, bound_ip, attempt_ip) VALUES ('`+legacyHash(firstSecret, bound)+`', 'sk-…', '`+homeIP+`', '198.51.100.7')`)

	s := &site{data: filepath.Join(t.TempDir(), "data"), gateway: startGateway(t, bound, banned, several).url}
	environ := []string{"PG_DSN=" + dsn, "SENTINEL_HMAC_SECRET=" + firstSecret}
	code, report, _ := s.migrate(t, environ, "from-legacy", "--dry-run")
	wantLegacy(t, "dry run", report, legacyCounts{4, 3, 0, 1}, legacyCounts{1, 1, 0, 0})
	if code != exitFailure || !missing(s.data) || len(report.Refused) != 1 || report.Refused[0].Row != 4 || len(report.Columns) != 2 {
		t.Errorf("dry run: got %d, %+v", code, report)
	}
	if code, _, stderr := s.migrate(t, environ[:1:1], "from-legacy"); code != exitUsage || !strings.Contains(stderr, "SENTINEL_HMAC_SECRET is missing") || !missing(s.data) {
		t.Errorf("without the secret: got %d, %s", code, stderr)
	}
	if code, _, stderr := s.migrate(t, environ, "from-legacy", "--schema", "other"); code != exitFailure || !strings.Contains(stderr, "--schema") {
		t.Errorf("another schema: got %d, %s", code, stderr)
	}
	code, report, stderr := s.migrate(t, environ, "from-legacy")
	wantLegacy(t, "first run", report, legacyCounts{4, 3, 0, 1}, legacyCounts{1, 1, 0, 0})
	if code != exitFailure || !strings.Contains(stderr, "1 rows cannot") {
		t.Errorf("with a row that cannot be taken: got %d, %s", code, stderr)
	}
	db.Exec(t, "cluster", `DELETE FROM token_bindings WHERE token_hash = 'no hash'`)
	code, report, stderr = s.migrate(t, environ, "from-legacy")
	wantLegacy(t, "second run", report, legacyCounts{3, 0, 3, 0}, legacyCounts{1, 0, 1, 0})
	if code != exitOK {
		t.Errorf("second run: got %d, %s", code, stderr)
	}

	s.start(t, "SENTINEL_HMAC_SECRET="+firstSecret)
	use := func(ip, key string) int { return call(t, from(t, ip), "GET", s.url+"/v1/models", key, nil).status }
	for _, test := range []struct {
		name, ip, key string
		want          int
	}{
		{"bound, from elsewhere", elsewhereIP, bound, http.StatusForbidden},
		{"bound, spelled otherwise, from elsewhere", elsewhereIP, strings.TrimPrefix(bound, "sk-"), http.StatusForbidden},
		{"banned, from home", homeIP, banned, http.StatusForbidden},
		{"several, from elsewhere", elsewhereIP, several, http.StatusForbidden},
		{"bound, from home", homeIP, bound, http.StatusOK},
		{"several, from home", homeIP, several, http.StatusOK},
	} {
		if got := use(test.ip, test.key); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
	wait(t, "the key to be moved", func() bool { return s.boundUnder(t, bound) == hashUnder(t, firstSecret, bound) })
	if got := use(elsewhereIP, bound); got != http.StatusForbidden {
		t.Errorf("moved, from elsewhere: got %d", got)
	}
	if code, _, stderr := s.migrate(t, environ, "from-legacy"); code != exitFailure || !strings.Contains(stderr, "stop the other sentinel") {
		t.Errorf("beside the server: got %d, %s", code, stderr)
	}
	must(t, s.stop())
	insert(legacyHash(firstSecret, testKey(9973)), homeIP, "single", "[]", 1)
	_, report, _ = s.migrate(t, environ, "from-legacy")
	wantLegacy(t, "after the keys were moved, with one more", report, legacyCounts{4, 1, 3, 0}, legacyCounts{1, 0, 1, 0})
	if got := bindingsIn(t, dataFileOf(s.data)); got != 4 {
		t.Errorf("%d bindings, want 4", got)
	}
}

// TestMigrateFromLegacyIsKilled kills it again and again: no row is lost, and none is
// there twice. A start on what is half done is refused.
func TestMigrateFromLegacyIsKilled(t *testing.T) {
	const bindings, intercepts = 12_000, 12_000
	db, dsn := startPostgres(t)
	db.Exec(t, "cluster", legacySchema)
	db.Exec(t, "cluster", fmt.Sprintf(`INSERT INTO token_bindings (token_hash, token_display, bound_ip) SELECT encode(sha256(n::text::bytea), 'hex'), 'sk-…', '192.0.2.1' FROM generate_series(1, %d) n`, bindings))
	db.Exec(t, "cluster", fmt.Sprintf(`INSERT INTO intercept_logs (token_hash, token_display, bound_ip, attempt_ip, intercepted_at)
SELECT encode(sha256(n::text::bytea), 'hex'), 'sk-…', '192.0.2.1', '198.51.100.7', now() - n * interval '1 second' FROM generate_series(1, %d) n`, intercepts))
	s := &site{data: t.TempDir(), gateway: "http://127.0.0.1:1"}
	environ := []string{"PG_DSN=" + dsn, "SENTINEL_HMAC_SECRET=" + firstSecret, "SENTINEL_DATA_DIR=" + s.data}
	kills, refused := 0, false
	for delay := 60 * time.Millisecond; ; delay += delay / 4 {
		p := startProcess(t, environ, "migrate", "from-legacy")
		select {
		case <-p.ended:
		case <-time.After(delay):
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
		if p.cmd.ProcessState.ExitCode() == exitOK {
			break
		}
		if kills++; kills > 40 {
			t.Fatal("it never ended")
		}
		if !refused && !missing(dataFileOf(s.data)) && bindingsIn(t, dataFileOf(s.data)) > 0 {
			p := startProcess(t, settingsFor(s.gateway, s.data, "SENTINEL_HMAC_SECRET="+firstSecret), "serve")
			<-p.ended
			refused = p.cmd.ProcessState.ExitCode() == exitFailure && strings.Contains(p.stderr.String(), "not finished")
		}
	}
	if kills == 0 || !refused {
		t.Errorf("killed %d times, a start was refused: %v", kills, refused)
	}
	_, report, _ := s.migrate(t, environ[:2:2], "from-legacy")
	wantLegacy(t, "once more", report, legacyCounts{bindings, 0, bindings, 0}, legacyCounts{intercepts, 0, intercepts, 0})
	if got := bindingsIn(t, dataFileOf(s.data)); got != bindings {
		t.Errorf("%d bindings, want %d", got, bindings)
	}
	seen := map[string]int{}
	file, err := bolt.Open(dataFileOf(s.data), bolt.Options{})
	must(t, err)
	defer func() { must(t, file.Close()) }()
	for f := (store.InterceptFilter{Limit: store.MaxPage}); ; {
		page, err := file.ListIntercepts(t.Context(), f)
		must(t, err)
		for _, rec := range page.Records {
			seen[rec.RequestID]++
		}
		if f.Before = page.Next; f.Before == 0 {
			break
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("intercept %s is there %d times", id, n)
		}
	}
	if len(seen) != intercepts {
		t.Errorf("%d intercepts, want %d", len(seen), intercepts)
	}
}
