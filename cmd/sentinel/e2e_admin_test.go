package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// adminCall calls the admin API over TCP, as a session or token if there is one,
// and puts the answer into out unless that is nil.
func adminCall(t *testing.T, client *http.Client, method, target, token string, in, out any) int {
	t.Helper()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		must(t, err)
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	must(t, err)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	must(t, err)
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			t.Errorf("%s %s: %v: %s", method, target, err, raw)
		}
	}
	return res.StatusCode
}

type sessionAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Account     struct{ Name, Role string }
}

// setupAddressIn returns the address that a first start prints.
func setupAddressIn(line string) (string, bool) {
	line = strings.TrimSpace(line)
	return line, strings.HasPrefix(line, "http") && strings.Contains(line, setupPage+"?token=")
}

// site is a Sentinel that a test restarts on its data.
type site struct {
	sentinelProcess
	data, gateway string
}

func (s *site) start(t *testing.T, more ...string) {
	t.Helper()
	s.sentinelProcess = startSentinel(t, s.gateway, append(more, "SENTINEL_DATA_DIR="+s.data)...)
}

// run runs a command on the site's data directory.
func (s *site) run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runSentinel(t, stdin, append(args, "--data-dir", s.data)...)
}

func (s *site) api(path string) string { return s.url + "/admin/api" + path }

// TestAdministration goes the way of an administrator: first start, setup,
// sessions, settings, tokens, restarts.
func TestAdministration(t *testing.T) {
	key, quiet := testKey(9900), testKey(9901)
	s := &site{data: t.TempDir(), gateway: startGateway(t, key, quiet).url}
	s.start(t)
	home := from(t, homeIP)

	link := s.stdout.waitFor(t, s.ended, setupAddressIn)
	if strings.Contains(s.stderr.String(), setupPage+"?token=") {
		t.Error("the setup address is in the log")
	}
	session := setUp(t, s, home, link)
	if !t.Run("reset-password ends sessions", func(t *testing.T) { session = resetPassword(t, s, home, session) }) {
		return
	}
	t.Run("settings", func(t *testing.T) { changeMode(t, s, home, session, key) })
	t.Run("tokens", func(t *testing.T) { useTokens(t, s, home) })
	if code, _, stderr := s.run(t, "", "settings", "set", "SENTINEL_LOG_LEVEL=error"); code != exitOK {
		t.Errorf("settings set: got %d, %s", code, stderr)
	}
	call(t, home, "GET", s.url+"/v1/models", quiet, nil)
	if code, _, stderr := s.run(t, "", "settings", "unset", "SENTINEL_LOG_LEVEL"); code != exitOK {
		t.Errorf("settings unset: got %d, %s", code, stderr)
	}

	must(t, s.stop())
	if log := s.stderr.String(); !strings.Contains(log, hintOf(key)) || strings.Contains(log, hintOf(quiet)) {
		t.Error("the log has no line of the first key bound, or has one after its level became error")
	}
	useAfterRestart(t, s, home, session, key)

	if code, _, stderr := s.run(t, testPassword+" three\n", "admin", "reset-password", "root"); code != exitOK {
		t.Errorf("reset-password without a server: got %d, %s", code, stderr)
	}
	s.start(t)
	if got := adminCall(t, home, http.MethodGet, s.api("/me"), session, nil, nil); got != http.StatusUnauthorized {
		t.Errorf("the session after that: got %d, want 401", got)
	}
	login := map[string]string{"username": "root", "password": testPassword + " three"}
	if got := adminCall(t, home, http.MethodPost, s.api("/login"), "", login, nil); got != http.StatusOK {
		t.Errorf("login with the new password: got %d", got)
	}
}

// useAfterRestart starts with the password of an earlier deployment, looks at
// what was kept, and stops again.
func useAfterRestart(t *testing.T, s *site, home *http.Client, session, key string) {
	t.Helper()
	s.start(t, "ADMIN_PASSWORD="+longSecret)
	if out := s.stdout.String(); out != "" {
		t.Errorf("a start with accounts printed %q", out)
	}
	if got := adminCall(t, home, http.MethodGet, s.api("/me"), session, nil, nil); got != http.StatusOK {
		t.Errorf("the session after a restart: got %d, want it to go on", got)
	}
	if got := call(t, from(t, elsewhereIP), "GET", s.url+"/v1/models", key, nil); got.status != http.StatusOK {
		t.Errorf("from elsewhere after a restart: got %d, want the runtime setting observe kept", got.status)
	}
	var earlier sessionAnswer
	if got := adminCall(t, home, http.MethodPost, s.api("/login"), "", map[string]string{"password": longSecret}, &earlier); got != http.StatusOK ||
		earlier.Account.Name != "admin" || earlier.TokenType != "bearer" || earlier.ExpiresIn < 28700 || earlier.ExpiresIn > 28800 {
		t.Errorf("login as in the earlier deployment: got %d, %+v", got, earlier)
	}
	if code, _, stderr := s.run(t, "", "settings", "unset", "SENTINEL_MODE"); code != exitOK {
		t.Errorf("settings unset: got %d, %s", code, stderr)
	}
	if got := call(t, from(t, elsewhereIP), "GET", s.url+"/v1/models", key, nil); got.status != http.StatusForbidden {
		t.Errorf("from elsewhere after the setting was taken back: got %d, want 403", got.status)
	}
	must(t, s.stop())
}

// hintOf is the end of a key, which its hint has.
func hintOf(key string) string { return key[len(key)-4:] + `"` }

// setUp makes the first account, and returns its session.
func setUp(t *testing.T, s *site, home *http.Client, link string) (session string) {
	t.Helper()
	u, err := url.Parse(link)
	must(t, err)
	if "http://"+u.Host != s.url || u.Path != setupPage {
		t.Errorf("got %s, want an address at %s", link, s.url)
	}
	if got := adminCall(t, home, http.MethodGet, link, "", nil, nil); got != http.StatusOK {
		t.Errorf("setup page: got %d", got)
	}
	code, out, stderr := s.run(t, "", "admin", "setup-link")
	if code != exitOK || strings.TrimSpace(out) == link {
		t.Errorf("setup-link: got %d, %q, %s, want another address", code, out, stderr)
	}
	again, err := url.Parse(strings.TrimSpace(out))
	must(t, err)
	order := map[string]string{"token": u.Query().Get("token"), "username": "root", "password": testPassword}
	if got := adminCall(t, home, http.MethodPost, s.api("/setup"), "", order, nil); got != http.StatusGone {
		t.Errorf("setup with the address before: got %d, want 410", got)
	}
	order["token"] = again.Query().Get("token")
	var made sessionAnswer
	if got := adminCall(t, home, http.MethodPost, s.api("/setup"), "", order, &made); got != http.StatusOK || made.Account.Role != "admin" {
		t.Fatalf("setup: got %d, %+v", got, made)
	}
	if got := adminCall(t, home, http.MethodPost, s.api("/setup"), "", order, nil); got != http.StatusGone {
		t.Errorf("setup once more: got %d, want 410", got)
	}
	if code, out, _ := s.run(t, "", "admin", "setup-link"); code != exitRefused || out != "" {
		t.Errorf("setup-link with an account: got %d, %q, want none", code, out)
	}
	return made.AccessToken
}

func resetPassword(t *testing.T, s *site, home *http.Client, session string) string {
	if got := adminCall(t, home, http.MethodGet, s.api("/me"), session, nil, nil); got != http.StatusOK {
		t.Errorf("before: got %d", got)
	}
	if code, _, stderr := s.run(t, testPassword+" two\n", "admin", "reset-password", "root"); code != exitOK {
		t.Fatalf("got %d, %s", code, stderr)
	}
	if got := adminCall(t, home, http.MethodGet, s.api("/me"), session, nil, nil); got != http.StatusUnauthorized {
		t.Errorf("the session after it: got %d, want 401", got)
	}
	var made sessionAnswer
	login := map[string]string{"username": "root", "password": testPassword}
	if got := adminCall(t, home, http.MethodPost, s.api("/login"), "", login, nil); got != http.StatusUnauthorized {
		t.Errorf("login with the old password: got %d, want 401", got)
	}
	login["password"] = testPassword + " two"
	if got := adminCall(t, home, http.MethodPost, s.api("/login"), "", login, &made); got != http.StatusOK {
		t.Errorf("login with the new password: got %d", got)
	}
	return made.AccessToken
}

func changeMode(t *testing.T, s *site, home *http.Client, session, key string) {
	away := from(t, elsewhereIP)
	call(t, home, "GET", s.url+"/v1/models", key, nil)
	if got := call(t, away, "GET", s.url+"/v1/models", key, nil); got.status != http.StatusForbidden {
		t.Fatalf("from elsewhere: got %d, want 403", got.status)
	}
	if code, _, stderr := s.run(t, "", "settings", "set", "SENTINEL_MODE=observe", "SENTINEL_AUDIT_DAYS=x"); code != exitRefused ||
		!strings.Contains(stderr, `sentinel: SENTINEL_AUDIT_DAYS: "x": not a number`) {
		t.Errorf("a bad value: got %d, %s", code, stderr)
	}
	if got := call(t, away, "GET", s.url+"/v1/models", key, nil); got.status != http.StatusForbidden {
		t.Errorf("after a change that was refused: got %d, want 403", got.status)
	}
	if code, _, stderr := s.run(t, "", "settings", "set", "SENTINEL_MODE=observe"); code != exitOK || !strings.Contains(stderr, "SENTINEL_MODE=observe (runtime)") {
		t.Fatalf("got %d, %s", code, stderr)
	}
	if got := call(t, away, "GET", s.url+"/v1/models", key, nil); got.status != http.StatusOK {
		t.Errorf("the next request: got %d, want it observed alone", got.status)
	}
	if code, out, _ := s.run(t, "", "settings", "get", "sentinel_mode"); code != exitOK || out != "observe\n" {
		t.Errorf("settings get: got %d, %q", code, out)
	}
	if code, _, stderr := s.run(t, "", "settings", "get", "SENTINEL_MOED"); code != exitNotFound || !strings.Contains(stderr, "did you mean SENTINEL_MODE?") {
		t.Errorf("settings get of none: got %d, %s", code, stderr)
	}
	var trail struct {
		Items []struct{ Action, Actor, Target string }
	}
	if got := adminCall(t, home, http.MethodGet, s.api("/audit?action=setting.change"), session, nil, &trail); got != http.StatusOK ||
		len(trail.Items) != 1 || trail.Items[0].Target != "setting:SENTINEL_MODE" || trail.Items[0].Actor != "local" {
		t.Errorf("audit trail: got %d, %+v, want the change", got, trail)
	}
}

func useTokens(t *testing.T, s *site, home *http.Client) {
	create := func(name string, more ...string) string {
		code, out, stderr := s.run(t, "", append([]string{"token", "create", name}, more...)...)
		if code != exitOK || strings.Contains(stderr, strings.TrimSpace(out)) || strings.Count(out, "\n") != 1 {
			t.Fatalf("%s: got %d, %q, %s, want the token alone on standard output", name, code, out, stderr)
		}
		return strings.TrimSpace(out)
	}
	use := func(client *http.Client, token string) int {
		return adminCall(t, client, http.MethodGet, s.api("/bindings"), token, nil, nil)
	}
	here := create("here", "--role", "viewer", "--expires", "1h", "--networks", elsewhereIP)
	short := create("short", "--role", "viewer", "--expires", "5s")
	if got := use(home, short); got != http.StatusOK {
		t.Errorf("a new token: got %d", got)
	}
	if got := use(home, here); got != http.StatusForbidden {
		t.Errorf("from another network: got %d, want 403", got)
	}
	if got := use(from(t, elsewhereIP), here); got != http.StatusOK {
		t.Errorf("from its network: got %d", got)
	}
	if got := adminCall(t, from(t, elsewhereIP), http.MethodPost, s.api("/accounts"), here, map[string]string{}, nil); got != http.StatusForbidden {
		t.Errorf("beyond its role: got %d, want 403", got)
	}
	if code, out, _ := s.run(t, "", "token", "list", "-o", "csv"); code != exitOK || !strings.Contains(out, "here,viewer,"+elsewhereIP) {
		t.Errorf("token list: got %d, %q", code, out)
	}
	if code, _, _ := s.run(t, "", "token", "delete", "here"); code != exitOK || use(from(t, elsewhereIP), here) != http.StatusUnauthorized {
		t.Errorf("a deleted token still works, or was not deleted (%d)", code)
	}
	for end := time.Now().Add(patience); use(home, short) != http.StatusUnauthorized; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the token does not expire")
		}
	}
}

// TestWhoReachesAdministration has an admin listener of its own, and networks.
func TestWhoReachesAdministration(t *testing.T) {
	gateway := startGateway(t).url
	p := startSentinel(t, gateway, "SENTINEL_ADMIN_LISTEN=127.0.0.1:0", "SENTINEL_ADMIN_NETWORKS="+homeIP)
	admin := "http://" + p.stderr.waitFor(t, p.ended, func(line string) (string, bool) {
		var entry struct {
			Address string `json:"admin_address"`
		}
		return entry.Address, json.Unmarshal([]byte(line), &entry) == nil && entry.Address != ""
	})
	public := startSentinel(t, gateway, "SENTINEL_METRICS=public", "SENTINEL_ADMIN_NETWORKS="+homeIP)
	tests := []struct {
		name, from, url string
		status          int
	}{
		{"setup, on the admin address", homeIP, admin + "/admin/api/setup", 200},
		{"from another network", elsewhereIP, admin + "/admin/api/setup", 404},
		{"setup page from another network", elsewhereIP, admin + setupPage, 404},
		{"setup, on the public address", homeIP, p.url + "/admin/api/setup", 404},
		{"metrics, on the admin address", homeIP, admin + "/metrics", 200},
		{"metrics from another network", elsewhereIP, admin + "/metrics", 404},
		{"health from another network", elsewhereIP, admin + "/health", 200},
		{"public metrics", homeIP, public.url + "/metrics", 200},
		{"public metrics from another network", elsewhereIP, public.url + "/metrics", 404},
		{"setup where there is one address", homeIP, public.url + "/admin/api/setup", 200},
	}
	for _, test := range tests {
		res, err := from(t, test.from).Get(test.url)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != test.status || test.status == 200 && strings.HasSuffix(test.url, "/metrics") && !bytes.Contains(body, []byte("sentinel_build_info")) {
			t.Errorf("%s: got %d, want %d: %.200s", test.name, res.StatusCode, test.status, body)
		}
	}
	res, err := from(t, homeIP).Get(p.url + "/metrics")
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if bytes.Contains(body, []byte("sentinel_build_info")) {
		t.Error("metrics are on the public address unasked")
	}
}
