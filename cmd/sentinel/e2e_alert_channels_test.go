package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert"
)

const (
	hookSecret = "a secret for tests only"
	hookToken  = "t0ken-for-tests-only"
)

// delivered is one request that a receiver got.
type delivered struct {
	url    string
	header http.Header
	body   string
}

// alertReceiver is where a channel leads to. What it answers can be changed.
type alertReceiver struct {
	*httptest.Server
	mu      sync.Mutex
	answer  func(w http.ResponseWriter) // guarded by mu; nil: all is taken
	got     []delivered                 // guarded by mu; all that came
	refused int                         // guarded by mu
}

func newReceiver(t *testing.T) *alertReceiver {
	a := new(alertReceiver)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		a.mu.Lock()
		answer := a.answer
		if answer != nil {
			a.refused++
			a.mu.Unlock()
			answer(w)
			return
		}
		defer a.mu.Unlock()
		a.got = append(a.got, delivered{r.URL.RequestURI(), r.Header, string(body)})
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *alertReceiver) answers(answer func(w http.ResponseWriter)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer, a.refused = answer, 0
}

func (a *alertReceiver) all() (got []delivered, refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]delivered(nil), a.got...), a.refused
}

// wait polls until something is so.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func hexHMAC(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// verify checks a webhook's signature as docs/alerts.md tells a receiver to.
func verify(t *testing.T, d delivered, secret string) alert.Body {
	t.Helper()
	stamp := d.header.Get("X-Sentinel-Timestamp")
	if got, want := d.header.Get("X-Sentinel-Signature"), "sha256="+hexHMAC(secret, stamp+"."+d.body); got != want {
		t.Errorf("signature: got %q, want %q", got, want)
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)).Abs(); err != nil || age > time.Minute {
		t.Errorf("timestamp %q is %v away, %v", stamp, age, err)
	}
	var b alert.Body
	if err := json.Unmarshal([]byte(d.body), &b); err != nil || b.ID != d.header.Get("X-Sentinel-Delivery") || b.Version != 1 {
		t.Errorf("%v in %s, %v", err, d.body, d.header)
	}
	return b
}

// alertSite is a Sentinel with a key bound at home.
type alertSite struct {
	*site
	t   *testing.T
	key string
}

func startAlertSite(t *testing.T, n int, more ...string) *alertSite {
	t.Helper()
	s := &alertSite{site: &site{data: t.TempDir()}, t: t, key: testKey(n)}
	s.gateway = startGateway(t, s.key).url
	s.restart(more...)
	s.use(homeIP, http.StatusOK)
	return s
}

func (s *alertSite) restart(more ...string) {
	s.t.Helper()
	s.start(s.t, append(more, "ALERT_THRESHOLD_COUNT=3", "ALERT_THRESHOLD_SECONDS=600")...)
}

func (s *alertSite) use(ip string, want int) {
	s.t.Helper()
	if got := call(s.t, from(s.t, ip), "GET", s.url+"/v1/models", s.key, nil); got.status != want {
		s.t.Fatalf("from %s: got %d, want %d", ip, got.status, want)
	}
}

// must runs a command that has to work.
func (s *alertSite) must(stdin string, args ...string) string {
	s.t.Helper()
	code, out, stderr := s.run(s.t, stdin, append([]string{"alerts"}, args...)...)
	if code != exitOK {
		s.t.Fatalf("alerts %s: got %d, %s", strings.Join(args, " "), code, stderr)
	}
	return out + stderr
}

// TestAlertsByCommand goes the way of an administrator who wants to be told.
func TestAlertsByCommand(t *testing.T) {
	s := startAlertSite(t, 9820)
	r := newReceiver(t)
	if out := s.must(r.URL+"/"+hookToken+"\n"+hookSecret+"\n", "channels", "add", "ops", "--type", "webhook", "--kinds", "key_refused,login_lockout"); strings.Contains(out, hookToken) || strings.Contains(out, hookSecret) {
		t.Errorf("secrets are shown: %s", out)
	}
	if out := s.must("", "channels", "test", "ops"); !strings.Contains(out, "took the message") {
		t.Errorf("got %s", out)
	}
	got, _ := r.all()
	if len(got) != 1 || got[0].url != "/"+hookToken {
		t.Fatalf("got %+v", got)
	}
	if b := verify(t, got[0], hookSecret); b.Event != alert.Tested || b.Alert != nil {
		t.Errorf("got %s", got[0].body)
	}

	for range 3 {
		s.use(elsewhereIP, http.StatusForbidden)
	}
	wait(t, "the alert", func() bool { got, _ = r.all(); return len(got) == 2 })
	b := verify(t, got[1], hookSecret)
	if b.Event != alert.Opened || b.Alert == nil || b.Alert.Kind != alert.KeyRefused || strings.Contains(got[1].body, s.key) {
		t.Errorf("got %s", got[1].body)
	}
	s.acknowledge(b.Alert.ID)
	wait(t, "the delivery to be written", func() bool {
		return strings.Contains(s.must("", "deliveries", "--channel", "ops", "--state", "delivered", "-o", "csv"), b.ID)
	})
	if code, _, stderr := s.run(t, "", "alerts", "deliveries", "retry", b.ID); code != exitRefused || !strings.Contains(stderr, "has arrived") {
		t.Errorf("retry of what has arrived: got %d, %s", code, stderr)
	}
	s.editChannel(r)
	for _, out := range []string{s.must("", "channels", "list", "-o", "json"), s.must("", "channels", "list"), s.must("", "channels", "show", "ops"), s.stderr.String()} {
		if strings.Contains(out, hookToken) || strings.Contains(out, hookSecret) {
			t.Errorf("secrets are shown: %s", out)
		}
	}
	s.must("", "channels", "remove", "ops")
	if code, _, stderr := s.run(t, "", "alerts", "channels", "show", "ops"); code != exitNotFound || !strings.Contains(stderr, `there is no channel "ops"`) {
		t.Errorf("after it was removed: got %d, %s", code, stderr)
	}
}

// acknowledge does so over the API, and then once more by command.
func (s *alertSite) acknowledge(id string) {
	t := s.t
	t.Helper()
	code, out, stderr := s.run(t, "", "token", "create", "helpdesk", "--role", "operator", "--expires", "1h")
	if code != exitOK {
		t.Fatalf("token: got %d, %s", code, stderr)
	}
	var answer struct{ AcknowledgedBy, State string }
	home, token := from(t, homeIP), strings.TrimSpace(out)
	if got := adminCall(t, home, http.MethodPost, s.api("/alerts/"+id+"/acknowledge"), token, nil, &answer); got != http.StatusOK || answer.AcknowledgedBy != "token:helpdesk" {
		t.Errorf("acknowledge: got %d, %+v", got, answer)
	}
	if got := adminCall(t, home, http.MethodPost, s.api("/alert-channels"), token, map[string]any{"id": "mine", "type": "slack", "enabled": true, "url": "http://127.0.0.1:1"}, nil); got != http.StatusForbidden {
		t.Errorf("an operator makes a channel: got %d, want 403", got)
	}
	if out := s.must("", "ack", id); !strings.Contains(out, "acknowledged by token:helpdesk") { // who was first
		t.Errorf("got %s", out)
	}
	if code, _, stderr := s.run(t, "", "alerts", "ack", "none"); code != exitNotFound || !strings.Contains(stderr, `there is no alert "none"`) {
		t.Errorf("ack of none: got %d, %s", code, stderr)
	}
	if out := s.must("", "show", id); !strings.Contains(out, "ip_not_allowed") || !strings.Contains(out, elsewhereIP+" ×") || !strings.Contains(out, id+".0.ops") {
		t.Errorf("got %s", out)
	}
	if out := s.must("", "list", "--state", "open", "--kind", "key_refused", "-o", "csv"); strings.Count(out, "\n") != 2 || !strings.Contains(out, id) {
		t.Errorf("got %s", out)
	}
}

// editChannel changes one thing at a time; the others stay.
func (s *alertSite) editChannel(r *alertReceiver) {
	t := s.t
	t.Helper()
	var ch struct {
		Enabled, Signed bool
		Kinds           []string
		Language        string
		Target          string
	}
	show := func() {
		t.Helper()
		ch.Kinds, ch.Language = nil, ""
		must(t, json.Unmarshal([]byte(s.must("", "channels", "show", "ops", "-o", "json")), &ch))
	}
	s.must("", "channels", "edit", "ops", "--disabled", "--language", "zh")
	if show(); ch.Enabled || !ch.Signed || len(ch.Kinds) != 2 || ch.Language != "zh" || ch.Target != r.URL {
		t.Errorf("got %+v", ch)
	}
	s.must("", "channels", "edit", "ops", "--disabled=false", "--kinds", "all", "--no-secret")
	if show(); !ch.Enabled || ch.Signed || len(ch.Kinds) != 0 || ch.Language != "zh" {
		t.Errorf("got %+v", ch)
	}
	other := newReceiver(t)
	s.must(other.URL+"/x\n"+hookSecret, "channels", "edit", "ops", "--new-url", "--new-secret")
	if show(); !ch.Signed || ch.Target != other.URL {
		t.Errorf("got %+v", ch)
	}
	s.must("", "channels", "test", "ops")
	if got, _ := other.all(); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	} else {
		verify(t, got[0], hookSecret)
	}
	other.answers(func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) })
	if code, _, stderr := s.run(t, "", "alerts", "channels", "test", "ops"); code != exitFailure || !strings.Contains(stderr, "status 418") {
		t.Errorf("got %d, %s", code, stderr)
	}
}

// TestChannelsByCommandWithBadInput has every fault said with what was expected,
// and none of the secrets.
func TestChannelsByCommandWithBadInput(t *testing.T) {
	s := startAlertSite(t, 9821)
	add := func(args ...string) []string { return append([]string{"channels", "add", "x"}, args...) }
	mail := []string{"--type", "email", "--from", "a@example.com", "--to", "b@example.com"}
	tests := []struct {
		name, stdin string
		args        []string
		code        int
		want        string
	}{
		{"no type", "http://127.0.0.1/hidden", add(), exitUsage, "want webhook, feishu, dingtalk, wecom, slack or email"},
		{"unknown type", "http://127.0.0.1/hidden", add("--type", "pager"), exitUsage, `--type="pager"`},
		{"no ID", "http://127.0.0.1/hidden", []string{"channels", "add", "--type", "slack"}, exitUsage, "ID is missing"},
		{"bad ID", "http://127.0.0.1/hidden", []string{"channels", "add", "Not Good", "--type", "slack"}, exitRefused, "ID: "},
		{"the ID of the settings", "http://127.0.0.1/hidden", []string{"channels", "add", "env", "--type", "slack"}, exitRefused, `"env" is the channel of the settings`},
		{"no URL", "", add("--type", "slack"), exitUsage, "the URL is missing; write it to standard input, or set SENTINEL_CHANNEL_URL"},
		{"no URL to post to", "hidden", add("--type", "slack"), exitRefused, "the url: want an http:// or https:// URL"},
		{"more lines than there are secrets", "http://127.0.0.1/hidden\nhidden\n", add("--type", "slack"), exitUsage, "more than the URL"},
		{"a secret as an argument", "", add("--type", "webhook", "--secret", "hidden"), exitUsage, "unknown flag: --secret"},
		{"unknown kind", "http://127.0.0.1/hidden", add("--type", "slack", "--kinds", "key_refused,nothing"), exitUsage, `"nothing" is none; want all, or some of key_refused`},
		{"unknown language", "http://127.0.0.1/hidden", add("--type", "slack", "--language", "de"), exitUsage, "want en or zh"},
		{"mail flags of a chat", "http://127.0.0.1/hidden", add("--type", "slack", "--host", "smtp.example.com"), exitUsage, "--host is for channels of the type email"},
		{"mail without a server", "", add(mail...), exitUsage, "--host smtp.example.com"},
		{"a port that is none", "", add(append(mail, "--host", "h", "--port", "99999")...), exitUsage, "want 1 to 65535"},
		{"a password in the clear", "hidden", add(append(mail, "--host", "h", "--tls", "none", "--auth", "plain", "--username", "u")...), exitRefused, "--auth: without TLS"},
		{"no password", "", add(append(mail, "--host", "h", "--auth", "plain", "--username", "u")...), exitUsage, "the password is missing"},
		{"a sender that is none", "", add("--type", "email", "--host", "h", "--from", "nobody", "--to", "b@example.com"), exitRefused, "--from: want an address"},
		{"edit of none", "", []string{"channels", "edit", "none", "--disabled"}, exitNotFound, `there is no channel "none"`},
		{"test of none", "", []string{"channels", "test", "none"}, exitNotFound, `there is no channel "none"`},
		{"remove of none", "", []string{"channels", "remove", "none"}, exitNotFound, `there is no channel "none"`},
		{"unknown state", "", []string{"list", "--state", "gone"}, exitUsage, "want open or closed"},
		{"a whole key", "", []string{"list", "--text", s.key}, exitUsage, "--text"},
		{"unknown state of deliveries", "", []string{"deliveries", "--state", "sent"}, exitUsage, "want pending, delivered, failed or dropped"},
		{"retry of none", "", []string{"deliveries", "retry", "none"}, exitNotFound, `there is no delivery "none"`},
		{"unknown command", "", []string{"channels", "delte"}, exitUsage, "no command"},
	}
	for _, test := range tests {
		code, out, stderr := s.run(t, test.stdin, append([]string{"alerts"}, test.args...)...)
		if code != test.code || !strings.Contains(stderr, test.want) || strings.Contains(out+stderr, "hidden") || strings.Contains(stderr, s.key) {
			t.Errorf("%s: got %d, %q, want %d and %q", test.name, code, stderr, test.code, test.want)
		}
	}
	if out := s.must("", "channels", "list", "-o", "json"); strings.TrimSpace(out) != "" {
		t.Errorf("channels were made: %s", out)
	}
}

// TestChannelSecretsFromTheEnvironment: standard input is not read then.
func TestChannelSecretsFromTheEnvironment(t *testing.T) {
	s := startAlertSite(t, 9822)
	r := newReceiver(t)
	path, err := binary()
	must(t, err)
	cmd := exec.Command(path, "alerts", "channels", "add", "ops", "--type", "webhook", "--data-dir", s.data)
	cmd.Env = []string{channelURLVariable + "=" + r.URL, channelSecretVariable + "=" + hookSecret, raceOptions}
	read, write, err := os.Pipe() // on which nothing ever comes
	must(t, err)
	defer func() { _, _ = read.Close(), write.Close() }()
	cmd.Stdin = read
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.must("", "channels", "test", "ops")
	if got, _ := r.all(); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	} else {
		verify(t, got[0], hookSecret)
	}
}

// TestCheckLooksAtChannels says what does not reach anybody.
func TestCheckLooksAtChannels(t *testing.T) {
	s := startAlertSite(t, 9823)
	r := newReceiver(t)
	check := func() string {
		_, out, _ := s.run(t, "", "check", "--downstream-url", s.gateway, "--listen", strings.TrimPrefix(s.url, "http://"))
		return out
	}
	if out := check(); !strings.Contains(out, "ok    alerts          no channel") {
		t.Errorf("got %s", out)
	}
	r.answers(func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })
	s.must(r.URL, "channels", "add", "ops", "--type", "webhook")
	for range 3 {
		s.use(elsewhereIP, http.StatusForbidden)
	}
	wait(t, "an attempt", func() bool { _, refused := r.all(); return refused > 0 })
	wait(t, "check to tell of it", func() bool {
		return strings.Contains(check(), "fail  alerts          channel ops fails, and 1 deliveries wait for it: answered with status 502")
	})
	r.answers(nil)
	s.must("", "channels", "test", "ops")
	wait(t, "the delivery", func() bool { got, _ := r.all(); return len(got) == 2 })
	wait(t, "check to be content", func() bool {
		return strings.Contains(check(), "ok    alerts          1 of 1 channels can send; 0 deliveries wait")
	})
}
