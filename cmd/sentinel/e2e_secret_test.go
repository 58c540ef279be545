package main

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const (
	firstSecret  = "the first secret of the tests, which is long"
	secondSecret = "the second secret of the tests, which is long"
)

// hashUnder returns the key hash of a key under a secret.
func hashUnder(t *testing.T, secret, key string) string {
	t.Helper()
	p := startCommand(t, []string{"SENTINEL_HMAC_SECRET=" + secret}, func(cmd *exec.Cmd) { cmd.Stdin = strings.NewReader(key) }, "hash")
	<-p.ended
	hash, _, ok := strings.Cut(p.stdout.String(), " ")
	if !ok {
		t.Fatalf("hash: %s%s", p.stdout, p.stderr)
	}
	return hash
}

// TestSecretIsChanged goes the way of docs/operations.md: bindings, bans and what was
// sealed outlive a new HMAC secret, and the one before is not needed in the end.
func TestSecretIsChanged(t *testing.T) {
	used, banned, idle, totpKey := testKey(9960), testKey(9961), testKey(9962), ""
	s := &site{data: t.TempDir(), gateway: startGateway(t, used, banned, idle).url}
	use := func(ip, key string) int {
		t.Helper()
		return call(t, from(t, ip), "GET", s.url+"/v1/models", key, nil).status
	}
	s.start(t, "SENTINEL_HMAC_SECRET="+firstSecret, "ADMIN_PASSWORD="+longSecret)
	for _, key := range []string{used, banned, idle} {
		if got := use(homeIP, key); got != http.StatusOK {
			t.Fatalf("first use: got %d", got)
		}
	}
	if code, _, stderr := s.run(t, banned, "bindings", "ban", "-"); code != exitOK {
		t.Fatal(stderr)
	}
	totpKey = s.enrol(t)
	link := s.linkFor(t, used)
	must(t, s.stop())

	// Another secret alone is refused, and says how to go on.
	p := startProcess(t, settingsFor(s.gateway, s.data, "SENTINEL_HMAC_SECRET="+secondSecret), "serve")
	p.endsWith(exitFailure, "SENTINEL_HMAC_SECRET_PREVIOUS")
	if got := p.stderr.String(); !strings.Contains(got, "bindings: 3") || !strings.Contains(got, "SENTINEL_HMAC_SECRET_LOST=") || strings.Contains(got, secondSecret) {
		t.Errorf("refused with %s", got)
	}
	both := []string{"SENTINEL_HMAC_SECRET=" + secondSecret, "SENTINEL_HMAC_SECRET_PREVIOUS=" + firstSecret}
	_, findings := checkFindings(t, settingsFor(s.gateway, s.data, both...)...)
	if !hasFinding(findings, checkOK, "secrets", "takes the place") || !hasFinding(findings, checkOK, "key hashes", "3 bindings are left under the secret from before") {
		t.Errorf("before the start: %+v", findings)
	}

	s.start(t, both...)
	for _, test := range []struct {
		name, ip, key string
		want          int
	}{
		{"bound, from elsewhere", elsewhereIP, used, http.StatusForbidden},
		{"banned, from home", homeIP, banned, http.StatusForbidden},
		{"bound, from home", homeIP, used, http.StatusOK},
	} {
		if got := use(test.ip, test.key); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
	wait(t, "the used key to be moved", func() bool { return s.boundUnder(t, used) == hashUnder(t, secondSecret, used) })
	if got := s.boundUnder(t, banned); got != hashUnder(t, firstSecret, banned) {
		t.Errorf("the banned key is under %s", got)
	}
	if got := use(elsewhereIP, used); got != http.StatusForbidden {
		t.Errorf("moved, from elsewhere: got %d", got)
	}
	if res, err := from(t, homeIP).Get(s.url + link); err != nil || res.StatusCode != http.StatusOK || res.Body.Close() != nil {
		t.Errorf("its re-bind link: %v, %v", res, err)
	}
	_, findings = checkFindings(t, settingsFor(s.gateway, s.data, append(both, "SENTINEL_LISTEN="+strings.TrimPrefix(s.url, "http://"))...)...)
	if !hasFinding(findings, checkOK, "key hashes", "2 bindings are left under the secret from before") {
		t.Errorf("while it runs: %+v", findings)
	}
	if got := call(t, from(t, homeIP), "GET", s.url+"/metrics", "", nil).body; strings.Contains(got, "sentinel_bindings_of_other_hashes") {
		t.Error("metrics are for everybody")
	}
	if code, _, stderr := s.run(t, banned, "bindings", "unban", "-"); code != exitOK {
		t.Errorf("unban by the whole key: %s", stderr)
	}
	if got := use(homeIP, banned); got != http.StatusOK {
		t.Errorf("unbanned: got %d", got)
	}
	wait(t, "the unbanned key to be moved", func() bool { return s.boundUnder(t, banned) == hashUnder(t, secondSecret, banned) })
	must(t, s.stop())

	s.start(t, "SENTINEL_HMAC_SECRET="+secondSecret)
	s.signIn(t, totpKey)
	for key, want := range map[string]int{used: http.StatusForbidden, banned: http.StatusForbidden, idle: http.StatusOK} {
		if got := use(elsewhereIP, key); got != want {
			t.Errorf("with the new secret alone, from elsewhere: got %d, want %d (the third was not used meanwhile)", got, want)
		}
	}
	s.stderr.waitFor(t, s.ended, func(line string) (string, bool) {
		return line, strings.Contains(line, "SENTINEL_HMAC_SECRET_PREVIOUS can name")
	})
}

// TestLostSecret starts without the secret that the data was made with, which has to be
// said in so many words.
func TestLostSecret(t *testing.T) {
	key := testKey(9965)
	s := &site{data: t.TempDir(), gateway: startGateway(t, key).url}
	s.start(t, "SENTINEL_HMAC_SECRET="+firstSecret)
	if got := call(t, from(t, homeIP), "GET", s.url+"/v1/models", key, nil).status; got != http.StatusOK {
		t.Fatalf("first use: got %d", got)
	}
	must(t, s.stop())
	p := startProcess(t, settingsFor(s.gateway, s.data, "SENTINEL_HMAC_SECRET="+secondSecret), "serve")
	<-p.ended
	_, mark, _ := strings.Cut(p.stderr.String(), "SENTINEL_HMAC_SECRET_LOST=")
	mark = mark[:min(8, len(mark))]
	for _, wrong := range []string{"00000000", "true", "*"} {
		p := startProcess(t, settingsFor(s.gateway, s.data, "SENTINEL_HMAC_SECRET="+secondSecret, "SENTINEL_HMAC_SECRET_LOST="+wrong), "serve")
		<-p.ended
		if p.cmd.ProcessState.ExitCode() == exitOK {
			t.Errorf("started with %s", wrong)
		}
	}
	s.start(t, "SENTINEL_HMAC_SECRET="+secondSecret, "SENTINEL_HMAC_SECRET_LOST="+mark)
	if got := call(t, from(t, elsewhereIP), "GET", s.url+"/v1/models", key, nil).status; got != http.StatusOK {
		t.Errorf("from elsewhere: got %d, want it bound anew", got)
	}
}

func (s *site) boundUnder(t *testing.T, key string) string {
	t.Helper()
	var b client.Binding
	code, out, stderr := s.run(t, key, "bindings", "show", "-", "--output", "json")
	if code != exitOK {
		t.Fatalf("show: got %d, %s", code, stderr)
	}
	must(t, json.Unmarshal([]byte(out), &b))
	return b.Hash
}

func (s *site) linkFor(t *testing.T, key string) string {
	t.Helper()
	code, out, stderr := s.run(t, key, "bindings", "rebind-link", "-")
	if code != exitOK {
		t.Fatal(stderr)
	}
	return strings.TrimSpace(out)
}

// enrol gives the account admin a second factor, and returns its secret.
func (s *site) enrol(t *testing.T) (secret string) {
	t.Helper()
	home := from(t, homeIP)
	session := s.signIn(t, "")
	var enrolment struct{ Secret string }
	if got := adminCall(t, home, http.MethodPost, s.api("/me/totp"), session, struct{}{}, &enrolment); got != http.StatusOK {
		t.Fatalf("begin second factor: got %d", got)
	}
	code, err := totp.GenerateCode(enrolment.Secret, time.Now())
	must(t, err)
	if got := adminCall(t, home, http.MethodPost, s.api("/me/totp/confirm"), session, map[string]string{"code": code}, nil); got != http.StatusOK {
		t.Fatalf("confirm second factor: got %d", got)
	}
	return enrolment.Secret
}

// signIn signs in, with a code that was not used yet if there is a second factor.
func (s *site) signIn(t *testing.T, secret string) (session string) {
	t.Helper()
	order := map[string]string{"username": firstAccount, "password": longSecret}
	if secret != "" {
		code, err := totp.GenerateCode(secret, time.Now().Add(30*time.Second))
		must(t, err)
		order["code"] = code
	}
	var answer sessionAnswer
	if got := adminCall(t, from(t, homeIP), http.MethodPost, s.api("/login"), "", order, &answer); got != http.StatusOK {
		t.Fatalf("sign in: got %d", got)
	}
	return answer.AccessToken
}
