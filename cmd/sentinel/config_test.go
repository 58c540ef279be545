package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const testDownstream = "DOWNSTREAM_URL=http://127.0.0.1:3000"

// longSecret is long enough for no warning.
var longSecret = strings.Repeat("s3cret-", 6)

func load(t *testing.T, file string, environ ...string) (*Config, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadConfig(sources{environ: environ, envFile: path})
}

// faultsOf returns the lines of an error without the name of the file.
func faultsOf(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestEveryNameIsKnown(t *testing.T) {
	names := strings.Fields(`
		DOWNSTREAM_URL PG_DSN REDIS_ADDR REDIS_PASSWORD SENTINEL_HMAC_SECRET ADMIN_PASSWORD ADMIN_JWT_SECRET TRUSTED_PROXY_IPS
		SENTINEL_FAILSAFE_MODE APP_PORT ALERT_WEBHOOK_URL ALERT_THRESHOLD_COUNT ALERT_THRESHOLD_SECONDS ARCHIVE_DAYS
		ARCHIVE_SCHEDULER_LOCK_KEY UVICORN_WORKERS
		SENTINEL_LISTEN SENTINEL_ADMIN_LISTEN SENTINEL_DATA_DIR SENTINEL_TLS_CERT SENTINEL_TLS_KEY SENTINEL_REAL_IP_HEADER
		SENTINEL_PROXY_PROTOCOL SENTINEL_RATE_LIMIT SENTINEL_ADMIN_NETWORKS SENTINEL_SHUTDOWN_GRACE SENTINEL_BIND_DASHBOARD
		SENTINEL_CREDENTIAL_PROFILE SENTINEL_ANONYMOUS SENTINEL_BIND_ON SENTINEL_BIND_PREFIX_V4 SENTINEL_BIND_PREFIX_V6
		SENTINEL_MODE SENTINEL_MAX_BODY SENTINEL_LOG_LEVEL SENTINEL_LOG_FORMAT
		SENTINEL_NAT64 SENTINEL_RATE_BURST SENTINEL_CREDENTIAL_LOCATIONS SENTINEL_CREDENTIAL_CANONICAL SENTINEL_CREDENTIAL_HEADER
		SENTINEL_BIND_PATHS SENTINEL_CONNECT_TIMEOUT SENTINEL_RESPONSE_TIMEOUT SENTINEL_IDLE_TIMEOUT SENTINEL_H2C SENTINEL_CACHE_ENTRIES
		SENTINEL_PG_LISTEN_DSN SENTINEL_NODE_NAME SENTINEL_MAX_STALENESS SENTINEL_HMAC_SECRET_PREVIOUS SENTINEL_HMAC_SECRET_LOST REDIS_USERNAME REDIS_DB REDIS_MASTER_NAME REDIS_SENTINEL_PASSWORD REDIS_TLS REDIS_TLS_CA
		SENTINEL_METRICS SENTINEL_ARCHIVE_PURGE_DAYS SENTINEL_INTERCEPT_DAYS SENTINEL_COUNTER_DAYS SENTINEL_AUDIT_DAYS
		SENTINEL_PUBLIC_URL SENTINEL_SHARING_MINUTES SENTINEL_ALERT_LANGUAGE SENTINEL_BIND_RULE SENTINEL_BIND_GUARD SENTINEL_BIND_BURST SENTINEL_BIND_BURST_ACTION`)
	for _, name := range names {
		if settingNamed(name) == nil {
			t.Errorf("%s is not known", name)
		}
	}
	if len(names) != len(settings) {
		t.Errorf("got %d settings, want the %d names of this list", len(settings), len(names))
	}
}

func TestTableIsSound(t *testing.T) {
	flags := map[string]bool{"env-file": true, "help": true, "version": true}
	for _, s := range settings {
		switch {
		case flags[s.flag()]:
			t.Errorf("%s: flag --%s is taken", s.name, s.flag())
		case s.help.en == "" || s.help.zh == "" || s.value.name.zh == "" || s.example == "":
			t.Errorf("%s: a text or the example is missing", s.name)
		case s.unused.en != "" && s.unused.zh == "":
			t.Errorf("%s: the reason is in one language", s.name)
		}
		flags[s.flag()] = true
		for _, value := range []string{s.def, s.example} {
			if value == "" || value == s.example && s.secrecy >= verbatim {
				continue
			}
			if err := s.value.set(new(Config), value); err != nil {
				t.Errorf("%s: %q of its own row: %v", s.name, value, err)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	c, warnings, err := load(t, "", testDownstream)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("got %v, %v", warnings, err)
	}
	want := Config{
		DownstreamURL: c.DownstreamURL, Listen: ":7000", DataDir: "data", RealIPHeader: "X-Real-IP", CredentialProfile: "newapi",
		Mode: "enforce", BindOn: "accepted", BindPrefixV4: 32, BindPrefixV6: 64, BindGuard: "pass", BindBurst: 20, BindBurstAction: "alert", SharingMinutes: 5, Anonymous: "pass", FailsafeMode: "closed",
		MaxBodyBytes: 32 << 20, RateBurst: 20, ConnectTimeout: 10 * time.Second, IdleTimeout: 15 * time.Minute, ShutdownGrace: 30 * time.Second,
		MaxStaleness: time.Hour, CacheEntries: 150_000, LogLevel: slog.LevelInfo, LogFormat: "json", AlertThresholdCount: 5, AlertWindow: 5 * time.Minute, AlertLanguage: "en",
		ArchiveDays: 90, ArchivePurgeDays: 365, InterceptDays: 90, CounterDays: 400, Metrics: "admin", ArchiveSchedulerLockKey: 2026030502,
		appPort: 7000, given: c.given,
	}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got %+v\nwant %+v", *c, want)
	}
	if got := c.DownstreamURL.String(); got != "http://127.0.0.1:3000" {
		t.Errorf("downstream: got %s", got)
	}
	c, _, err = load(t, "", testDownstream, "STATE_DIRECTORY=/var/lib/sentinel:/var/lib/other")
	if err != nil || c.DataDir != "/var/lib/sentinel" {
		t.Errorf("under systemd: got %q, %v", c.DataDir, err)
	}
}

func TestValues(t *testing.T) {
	prefixes := func(texts ...string) []netip.Prefix {
		var ps []netip.Prefix
		for _, s := range texts {
			ps = append(ps, netip.MustParsePrefix(s))
		}
		return ps
	}
	tests := []struct {
		assignment string
		get        func(*Config) any
		want       any
	}{
		{"SENTINEL_MAX_BODY=0", func(c *Config) any { return c.MaxBodyBytes }, int64(0)},
		{"SENTINEL_MAX_BODY=1000", func(c *Config) any { return c.MaxBodyBytes }, int64(1000)},
		{"SENTINEL_MAX_BODY=64KB", func(c *Config) any { return c.MaxBodyBytes }, int64(64_000)},
		{"SENTINEL_MAX_BODY=2 gib", func(c *Config) any { return c.MaxBodyBytes }, int64(2 << 30)},
		{"SENTINEL_IDLE_TIMEOUT=90", func(c *Config) any { return c.IdleTimeout }, 90 * time.Second},
		{"SENTINEL_IDLE_TIMEOUT=1m30s", func(c *Config) any { return c.IdleTimeout }, 90 * time.Second},
		{"ALERT_THRESHOLD_SECONDS=60", func(c *Config) any { return c.AlertWindow }, time.Minute},
		{"SENTINEL_H2C=YES", func(c *Config) any { return c.H2C }, true},
		{"SENTINEL_H2C=off", func(c *Config) any { return c.H2C }, false},
		{"SENTINEL_MODE=Observe", func(c *Config) any { return c.Mode }, "observe"},
		{"SENTINEL_LOG_LEVEL=WARNING", func(c *Config) any { return c.LogLevel }, slog.LevelWarn},
		{"SENTINEL_LISTEN=[::1]:7000", func(c *Config) any { return c.Listen }, "[::1]:7000"},
		{"APP_PORT=8080", func(c *Config) any { return c.Listen }, ":8080"},
		{"TRUSTED_PROXY_IPS=10.0.0.0/8 ::1,192.168.1.7", func(c *Config) any { return c.TrustedProxies }, prefixes("10.0.0.0/8", "::1/128", "192.168.1.7/32")},
		{`TRUSTED_PROXY_IPS=["10.0.0.0/8", "::1"]`, func(c *Config) any { return c.TrustedProxies }, prefixes("10.0.0.0/8", "::1/128")},
		{"TRUSTED_PROXY_IPS=[]", func(c *Config) any { return len(c.TrustedProxies) }, 0},
		{"DOWNSTREAM_URL=https://gateway.example.com:8443/api/", func(c *Config) any { return c.DownstreamURL.String() }, "https://gateway.example.com:8443/api/"},
		{"DOWNSTREAM_URL= http://[::1]:3000 ", func(c *Config) any { return c.DownstreamURL.Host }, "[::1]:3000"},
		{"PG_DSN=postgresql+asyncpg://u:p%40ss@db/sentinel", func(c *Config) any { return c.PostgresDSN.Reveal() }, "postgresql+asyncpg://u:p%40ss@db/sentinel"},
		{"REDIS_ADDR=redis://:pw@redis:6379/0", func(c *Config) any { return c.RedisAddr.Reveal() }, "redis://:pw@redis:6379/0"},
		{"REDIS_ADDR=redis:6379", func(c *Config) any { return c.RedisAddr.Reveal() }, "redis:6379"},
		{"REDIS_PASSWORD=short", func(c *Config) any { return c.RedisPassword.Reveal() }, "short"},
		{"SENTINEL_HMAC_SECRET= " + longSecret + " ", func(c *Config) any { return c.HMACSecret.Reveal() }, " " + longSecret + " "},
		{"SENTINEL_REAL_IP_HEADER=CF-Connecting-IP", func(c *Config) any { return c.RealIPHeader }, "CF-Connecting-IP"},
		{"SENTINEL_BIND_PREFIX_V6=56", func(c *Config) any { return c.BindPrefixV6 }, 56},
	}
	for _, test := range tests {
		t.Run(test.assignment, func(t *testing.T) {
			environ := []string{test.assignment}
			if !strings.HasPrefix(test.assignment, "DOWNSTREAM_URL") {
				environ = append(environ, testDownstream)
			}
			c, _, err := load(t, "", environ...)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.get(c); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		assignment string
		want       string // a part of the only line
	}{
		{"SENTINEL_MAX_BODY=32XB", `SENTINEL_MAX_BODY="32XB": not a size; want bytes or KiB/MiB/GiB, e.g. 32MiB`},
		{"SENTINEL_MAX_BODY=-1", "not a size"},
		{"SENTINEL_MAX_BODY=9223372036854775807KiB", "too large"},
		{"SENTINEL_MAX_BODY=1.5GiB", "not a size"},
		{"SENTINEL_IDLE_TIMEOUT=soon", "not a duration"},
		{"SENTINEL_IDLE_TIMEOUT=-3s", "negative"},
		{"SENTINEL_IDLE_TIMEOUT=99999999999", "not a duration"},
		{"ALERT_THRESHOLD_SECONDS=0", "shorter than 1s"},
		{"SENTINEL_H2C=maybe", "neither true nor false"},
		{"SENTINEL_MODE=strict", "want enforce or observe, e.g. observe"},
		{"SENTINEL_LOG_LEVEL=loud", "unknown level"},
		{"APP_PORT=70000", "out of range; want a whole number from 1 to 65535"},
		{"APP_PORT=tcp://10.96.0.7:80", "Kubernetes"},
		{`APP_PORT="7000"`, "quotes"},
		{"SENTINEL_LISTEN=7000", "did you mean :7000?"},
		{"SENTINEL_LISTEN=127.0.0.1", "not host:port"},
		{"SENTINEL_LISTEN=127.0.0.1:http", "bad port"},
		{"SENTINEL_BIND_PREFIX_V4=33", "want a whole number from 1 to 32"},
		{"SENTINEL_BIND_PREFIX_V6=0", "want a whole number from 1 to 128"},
		{"TRUSTED_PROXY_IPS=10.0.0.1/8", `TRUSTED_PROXY_IPS: "10.0.0.1/8" has host bits set: did you mean 10.0.0.0/8`},
		{"TRUSTED_PROXY_IPS=[1]", "not a JSON list"},
		{"SENTINEL_REAL_IP_HEADER=Forwarded", "not supported"},
		{"SENTINEL_REAL_IP_HEADER=X Real IP", "want letters"},
		{"SENTINEL_PROXY_PROTOCOL=true", "TRUSTED_PROXY_IPS as well"},
		{"SENTINEL_TLS_CERT=/x.crt", "without SENTINEL_TLS_KEY"},
		{"SENTINEL_TLS_KEY=/x.key", "without SENTINEL_TLS_CERT"},
		{"SENTINEL_ADMIN_LISTEN=:7000", "one of its own"},
		{"SENTINEL_CREDENTIAL_PROFILE=azure", "want newapi, openai, litellm or generic"},
		{"SENTINEL_CREDENTIAL_PROFILE=generic", "SENTINEL_CREDENTIAL_LOCATIONS is missing"},
		{"SENTINEL_CREDENTIAL_LOCATIONS=header:X-Key", "want SENTINEL_CREDENTIAL_PROFILE=generic"},
		{"SENTINEL_CREDENTIAL_LOCATIONS=cookie:x", "want header:NAME"},
		{"SENTINEL_CREDENTIAL_CANONICAL=upper", "want bearer, trim"},
		{"SENTINEL_CREDENTIAL_HEADER=X-Key", "want SENTINEL_CREDENTIAL_PROFILE=litellm"},
		{"SENTINEL_CREDENTIAL_HEADER=X Key", "not a header name"},
		{"SENTINEL_BIND_PATHS=v1", "does not begin with /"},
		{"SENTINEL_DATA_DIR=a\tb", "control characters"},
		{"SENTINEL_RATE_LIMIT=-1", "out of range"},
		{"SENTINEL_CACHE_ENTRIES=0", "want a whole number, 1 or more"},
		{"ARCHIVE_SCHEDULER_LOCK_KEY=x", "not a number"},
		{"REDIS_ADDR=redis:x", "no host:port"},
		{"REDIS_ADDR=http://redis:6379", `for "http"`},
		{"REDIS_ADDR=redis://redis:6379/x", "number of the database"},
		{"REDIS_DB=-1", "out of range"},
		{"REDIS_TLS=maybe", "want"},
		{"REDIS_MASTER_NAME=my master", "has a space"},
		{"REDIS_USERNAME=a\tb", "control character"},
	}
	for _, test := range tests {
		t.Run(test.assignment, func(t *testing.T) {
			_, _, err := load(t, "", testDownstream, test.assignment)
			faults := faultsOf(err)
			if len(faults) != 1 || !strings.Contains(faults[0], test.want) {
				t.Fatalf("got %q, want one line with %q", faults, test.want)
			}
			if name, _, _ := strings.Cut(test.assignment, "="); !strings.Contains(faults[0], name) {
				t.Errorf("got %q, want %s named", faults[0], name)
			}
			if usage := (*usageError)(nil); !errors.As(err, &usage) {
				t.Errorf("got %T, want a usage error", err)
			}
		})
	}
}

func TestDownstreamURLFaults(t *testing.T) {
	tests := []struct{ url, want string }{
		{"", "DOWNSTREAM_URL is missing; want http:// or https://, a host and perhaps a path, e.g. http://127.0.0.1:3000"},
		{"gateway:3000", "no http:// or https://"},
		{"127.0.0.1:3000", "no http:// or https://"},
		{"gateway", "no http:// or https://"},
		{"ftp://gateway", `the scheme "ftp"`},
		{"http://", "no host"},
		{"http://gateway:99999", "bad port"},
		{"http://gateway:", "bad port"},
		{"http://gateway/?a=b", "a query"},
		{"http://gateway/#", "a fragment"},
		{"http://user:hunter2@gateway", "a user name"},
		{"http://user:hunter2@gate way", "not a URL"},
	}
	for _, test := range tests {
		_, _, err := load(t, "", "DOWNSTREAM_URL="+test.url)
		if faults := faultsOf(err); len(faults) != 1 || !strings.Contains(faults[0], test.want) || strings.Contains(faults[0], "hunter2") {
			t.Errorf("%q: got %q, want one line with %q", test.url, faults, test.want)
		}
	}
}

func TestSourcesInOrder(t *testing.T) {
	c, _, err := load(t, "DOWNSTREAM_URL=http://file\nSENTINEL_MAX_BODY=1\nSENTINEL_LISTEN=:1\n",
		"SENTINEL_MAX_BODY=2", "SENTINEL_LISTEN=", "HOME=/root")
	if err != nil {
		t.Fatal(err)
	}
	if c.DownstreamURL.Host != "file" || c.MaxBodyBytes != 2 || c.Listen != ":1" {
		t.Errorf("got %v, %d, %s, want the file's, the environment's, and the file's for an empty variable", c.DownstreamURL, c.MaxBodyBytes, c.Listen)
	}
	src := sources{
		flags:   map[string]string{"SENTINEL_MAX_BODY": "3", "SENTINEL_HMAC_SECRET": longSecret},
		environ: []string{testDownstream, "SENTINEL_MAX_BODY=bad"},
	}
	c, warnings, err := loadConfig(src)
	if err != nil || c.MaxBodyBytes != 3 {
		t.Fatalf("got %v, want the flag's value", err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "--hmac-secret: other users") {
		t.Errorf("got %q, want a warning of a secret in arguments", warnings)
	}
	src.flags["SENTINEL_DATA_DIR"] = ""
	if _, _, err = loadConfig(src); err == nil || !strings.Contains(err.Error(), "--data-dir: SENTINEL_DATA_DIR is empty") {
		t.Errorf("got %v, want a fault of the empty flag", err)
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, _, err := load(t, "POSTGRES_PASSWORD=hunter2\nSENTINEL_MAX_BDY=1\nsentinel_mode=observe\nAPP_PORT=x\nTRUSTED_PROXY_IPS=10.0.0.1/8,y\n", "SENTINEL_H2C=x")
	want := []string{
		`.env line 1: "POSTGRES_PASSWORD" is no setting; this file holds Sentinel's settings alone, and --env-file names another`,
		`.env line 2: "SENTINEL_MAX_BDY" is no setting; did you mean SENTINEL_MAX_BODY?`,
		`.env line 3: "sentinel_mode" is no setting; did you mean SENTINEL_MODE?`,
		`DOWNSTREAM_URL is missing; want http:// or https://, a host and perhaps a path, e.g. http://127.0.0.1:3000`,
		`.env line 4: APP_PORT="x": not a number; want a whole number from 1 to 65535, e.g. 7000`,
		`SENTINEL_H2C="x": neither true nor false; want true or false, e.g. true`,
		`.env line 5: TRUSTED_PROXY_IPS: "10.0.0.1/8" has host bits set: did you mean 10.0.0.0/8 or 10.0.0.1/32?`,
		`.env line 5: TRUSTED_PROXY_IPS: "y" is no IP address or prefix, such as 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32`,
	}
	got := faultsOf(err)
	for i := range got {
		if _, after, found := strings.Cut(got[i], string(filepath.Separator)+".env line"); found {
			got[i] = ".env line" + after
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		name, file string
		environ    []string
		want       []string // a part of each
	}{
		{"names of other programs", "", []string{"PATH=/bin", "PORT=1", "LISTEN=x"}, nil},
		{"unknown name", "", []string{"SENTINEL_RAET_LIMIT=5"}, []string{"did you mean SENTINEL_RATE_LIMIT?"}},
		{"names that commands read", "", []string{"SENTINEL_URL=https://sentinel.example.com", "SENTINEL_TOKEN=x"}, nil},
		{"names that Kubernetes sets", "", []string{"SENTINEL_SERVICE_HOST=10.0.0.1", "SENTINEL_PORT=tcp://10.0.0.1:7000"}, []string{"SENTINEL_PORT", "SENTINEL_SERVICE_HOST"}},
		{"name twice in the file", "APP_PORT=1\nAPP_PORT=2", nil, []string{"stands in line 1 already"}},
		{"expansion", "SENTINEL_DATA_DIR=${HOME}/x", nil, []string{"is not expanded"}},
		{"two ports", "", []string{"SENTINEL_LISTEN=:8080", "APP_PORT=7000"}, []string{`SENTINEL_LISTEN=":8080" counts, and APP_PORT="7000" does not`}},
		{"the same port twice", "", []string{"SENTINEL_LISTEN=127.0.0.1:7000", "APP_PORT=7000"}, nil},
		{"burst without limit", "", []string{"SENTINEL_RATE_BURST=5"}, []string{"no effect without SENTINEL_RATE_LIMIT"}},
		{"header without proxies", "", []string{"SENTINEL_REAL_IP_HEADER=X-Forwarded-For"}, []string{"no effect without TRUSTED_PROXY_IPS"}},
		{"everybody is trusted", "", []string{"TRUSTED_PROXY_IPS=0.0.0.0/0"}, []string{"trusts every address"}},
		{"nothing is held", "", []string{"SENTINEL_BIND_BURST_ACTION=hold", "SENTINEL_BIND_GUARD=off"}, []string{"no effect with SENTINEL_BIND_GUARD=off"}},
		{"nothing is a burst", "", []string{"SENTINEL_BIND_BURST_ACTION=hold", "SENTINEL_BIND_BURST=0"}, []string{"no effect with SENTINEL_BIND_BURST=0"}},
		{"new keys from anywhere", "", []string{"SENTINEL_BIND_RULE=sk-ci*=learn:3/24h, all"}, []string{"its binding protects nothing"}},
		{"some new keys from anywhere", "", []string{"SENTINEL_BIND_RULE=sk-ci*=all"}, nil},
		{"cluster settings without a cluster", "", []string{"SENTINEL_MAX_STALENESS=5m", "SENTINEL_PG_LISTEN_DSN=postgresql://u:p@db/x"}, []string{"SENTINEL_PG_LISTEN_DSN has no effect without PG_DSN", "SENTINEL_MAX_STALENESS has no effect without PG_DSN"}},
		{"earlier deployment", "", []string{"PG_DSN=postgresql://u:p@db/x", "REDIS_ADDR=redis:6379", "REDIS_PASSWORD=", "UVICORN_WORKERS=4"}, []string{"UVICORN_WORKERS: set, and not used: one process"}},
		{"redis without a cluster", "", []string{"REDIS_ADDR=redis:6379"}, []string{"REDIS_ADDR has no effect without PG_DSN"}},
		{"settings of redis without redis", "", []string{"REDIS_PASSWORD=x", "REDIS_DB=3", "REDIS_USERNAME="}, []string{"REDIS_PASSWORD has no effect without REDIS_ADDR", "REDIS_DB has no effect without REDIS_ADDR"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, warnings, err := load(t, test.file, append(test.environ, testDownstream)...)
			if err != nil || len(warnings) != len(test.want) {
				t.Fatalf("got %q, %v, want %q", warnings, err, test.want)
			}
			for i, w := range warnings {
				if !strings.Contains(w, test.want[i]) {
					t.Errorf("got %q, want %q in it", w, test.want[i])
				}
			}
		})
	}
}

// TestEarlierEnvFileWorks reads a file as the earlier deployment had it.
func TestEarlierEnvFileWorks(t *testing.T) {
	file := `# Key-IP Sentinel
DOWNSTREAM_URL=http://new-api:3000
PG_DSN=postgresql+asyncpg://sentinel:pa%23ss@postgres:5432/sentinel
REDIS_ADDR=redis://redis:6379
REDIS_PASSWORD='pa#ss$word'
SENTINEL_HMAC_SECRET=` + longSecret + `#$\
ADMIN_PASSWORD="` + longSecret + ` # 1"
ADMIN_JWT_SECRET=` + longSecret + `   # signs sessions
TRUSTED_PROXY_IPS=["172.16.0.0/12","127.0.0.1"]
SENTINEL_FAILSAFE_MODE=closed
APP_PORT=7000
UVICORN_WORKERS=4
ALERT_WEBHOOK_URL=
ALERT_THRESHOLD_COUNT=5
ALERT_THRESHOLD_SECONDS=300
ARCHIVE_DAYS=90
ARCHIVE_SCHEDULER_LOCK_KEY=2026030502
`
	c, warnings, err := load(t, strings.ReplaceAll(file, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{
		{c.HMACSecret.Reveal(), longSecret + `#$\`}, {c.AdminPassword.Reveal(), longSecret + " # 1"}, {c.AdminJWTSecret.Reveal(), longSecret},
		{c.RedisPassword.Reveal(), "pa#ss$word"}, {fmt.Sprint(c.TrustedProxies), "[172.16.0.0/12 127.0.0.1/32]"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("got %q, want %q", pair[0], pair[1])
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "UVICORN_WORKERS") {
		t.Errorf("got %q, want to be warned of what is not used", warnings)
	}
}

func TestLoadSomeJudgesWhatItNeeds(t *testing.T) {
	src := sources{environ: []string{"APP_PORT=8080", "SENTINEL_MAX_BODY=bad", "SENTINEL_TYPO=1"}}
	c, err := loadSome(src, "APP_PORT", "SENTINEL_LISTEN")
	if err != nil || c.Listen != ":8080" {
		t.Errorf("got %v, %v", c, err)
	}
	src.environ[0] = "APP_PORT=bad"
	if _, err = loadSome(src, "APP_PORT"); len(faultsOf(err)) != 1 {
		t.Errorf("got %v, want one fault", err)
	}
}
