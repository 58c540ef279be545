package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// settingsProblem is a refusal of the settings, or what they answer.
type settingsProblem struct {
	Code, Detail string
	Errors       []struct{ Location, Message string }
	Warnings     []struct{ Name, Message string }
}

// adminToken makes an API token that may do everything.
func (s *site) adminToken(t *testing.T) string {
	t.Helper()
	code, out, stderr := s.run(t, "", "token", "create", "e2e", "--role", "admin", "--expires", "1h")
	if code != exitOK {
		t.Fatalf("token create: got %d, %s", code, stderr)
	}
	return strings.TrimSpace(out)
}

// set changes settings over TCP; more is what goes beside the values.
func (s *site) set(t *testing.T, from *http.Client, token string, values map[string]any, more ...string) (int, settingsProblem) {
	t.Helper()
	body := map[string]any{"values": values}
	for _, field := range more {
		body[field] = true
	}
	var p settingsProblem
	return adminCall(t, from, http.MethodPut, s.api("/settings"), token, body, &p), p
}

// TestNobodyLocksThemselvesOut tries to, from an address of its own.
func TestNobodyLocksThemselvesOut(t *testing.T) {
	s := &site{data: t.TempDir(), gateway: startGateway(t).url}
	s.start(t)
	token, home, away := s.adminToken(t), from(t, homeIP), from(t, elsewhereIP)
	for name, test := range map[string]struct {
		values map[string]any
		says   string
	}{
		"networks without the caller": {map[string]any{"SENTINEL_ADMIN_NETWORKS": "10.0.0.0/8, 192.168.0.0/16"},
			"your address would be 127.0.0.2, which is in none of SENTINEL_ADMIN_NETWORKS (10.0.0.0/8, 192.168.0.0/16)"},
		"a trusted caller without the header": {map[string]any{"TRUSTED_PROXY_IPS": "127.0.0.2"}, "trusted proxy 127.0.0.2 sent no X-Real-IP header"},
		"both at once":                        {map[string]any{"TRUSTED_PROXY_IPS": "127.0.0.9", "SENTINEL_ADMIN_NETWORKS": "127.0.0.9"}, "your address would be 127.0.0.2"},
	} {
		if got, p := s.set(t, away, token, test.values); got != http.StatusConflict || p.Code != "would_lock_out" || !strings.Contains(p.Detail, test.says) {
			t.Errorf("%s: got %d, %+v, want %q", name, got, p, test.says)
		}
	}
	if got, p := s.set(t, away, token, map[string]any{"SENTINEL_ADMIN_NETWORKS": "127.0.0.2, 127.0.0.0/30, 127.0.0.2"}); got != http.StatusOK ||
		len(p.Warnings) != 2 || p.Warnings[0].Message != "127.0.0.2/32 is inside 127.0.0.0/30, which is there too" || p.Warnings[1].Message != "127.0.0.2/32 is there twice" {
		t.Errorf("networks that overlap: got %d, %+v, want two warnings", got, p)
	}
	for _, name := range []string{"SENTINEL_ADMIN_NETWORKS", "TRUSTED_PROXY_IPS"} {
		for _, everything := range []string{"0.0.0.0/0", "::/0"} {
			if got, p := s.set(t, away, token, map[string]any{name: everything}, "force"); got != http.StatusUnprocessableEntity ||
				len(p.Errors) != 1 || p.Errors[0].Location != "body.values."+name || !strings.Contains(p.Errors[0].Message, "confirmAnySource") {
				t.Errorf("%s=%s: got %d, %+v, want to be asked", name, everything, got, p)
			}
		}
	}
	if got, p := s.set(t, away, token, map[string]any{"SENTINEL_ADMIN_NETWORKS": "0.0.0.0/0"}, "confirmAnySource"); got != http.StatusOK {
		t.Errorf("confirmed: got %d, %+v", got, p)
	}
	if got, p := s.set(t, away, token, map[string]any{"SENTINEL_ADMIN_NETWORKS": homeIP}, "force"); got != http.StatusOK {
		t.Errorf("forced: got %d, %+v", got, p)
	}
	if got := adminCall(t, away, http.MethodGet, s.api("/settings"), token, nil, nil); got != http.StatusNotFound {
		t.Errorf("after that: got %d, want 404 where administration was", got)
	}
	if got := adminCall(t, home, http.MethodGet, s.api("/settings"), token, nil, nil); got != http.StatusOK {
		t.Errorf("from the network that is left: got %d", got)
	}
	s.socketIsNeverShutOut(t, home, token)
}

// socketIsNeverShutOut shuts everybody else out by it, and lets them in again.
func (s *site) socketIsNeverShutOut(t *testing.T, home *http.Client, token string) {
	t.Helper()
	if code, _, stderr := s.run(t, "", "settings", "set", "SENTINEL_ADMIN_NETWORKS=10.0.0.0/8, 10.1.0.0/16"); code != exitOK ||
		!strings.Contains(stderr, "warning: SENTINEL_ADMIN_NETWORKS: 10.1.0.0/16 is inside 10.0.0.0/8") {
		t.Errorf("over the socket: got %d, %s", code, stderr)
	}
	if got := adminCall(t, home, http.MethodGet, s.api("/settings"), token, nil, nil); got != http.StatusNotFound {
		t.Errorf("everybody else: got %d, want 404", got)
	}
	must(t, s.stop())
	s.start(t) // what was kept holds
	if got := adminCall(t, home, http.MethodGet, s.api("/settings"), token, nil, nil); got != http.StatusNotFound {
		t.Errorf("after a restart: got %d, want 404", got)
	}
	if code, _, stderr := s.run(t, "", "settings", "set", "TRUSTED_PROXY_IPS=::/0"); code != exitRefused || !strings.Contains(stderr, "--confirm-any-source") {
		t.Errorf("everybody trusted: got %d, %s, want to be asked", code, stderr)
	}
	if code, _, stderr := s.run(t, "", "settings", "unset", "SENTINEL_ADMIN_NETWORKS"); code != exitOK {
		t.Errorf("taken back: got %d, %s", code, stderr)
	}
	file := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(file, []byte(token), 0o600))
	remote := []string{"settings", "set", "SENTINEL_ADMIN_NETWORKS=10.0.0.0/8", "--url", s.url, "--token-file", file}
	if code, _, stderr := runSentinel(t, "", remote...); code == exitOK || !strings.Contains(stderr, "your address would be 127.0.0.1") {
		t.Errorf("by URL: got %d, %s, want to be told", code, stderr)
	}
	if code, _, stderr := runSentinel(t, "", append(remote, "--force")...); code != exitOK {
		t.Errorf("by URL with --force: got %d, %s", code, stderr)
	}
}

// TestThePROXYProtocolLocksNobodyOut has a load balancer at 127.0.0.1, and a
// caller at 127.0.0.2.
func TestThePROXYProtocolLocksNobodyOut(t *testing.T) {
	s := &site{data: t.TempDir(), gateway: startGateway(t).url}
	s.start(t, "SENTINEL_PROXY_PROTOCOL=true", "TRUSTED_PROXY_IPS=127.0.0.1")
	token := s.adminToken(t)
	put := func(trusted string) string {
		body := `{"values":{"TRUSTED_PROXY_IPS":"` + trusted + `"}}`
		return fmt.Sprintf("PUT /admin/api/settings HTTP/1.1\r\nHost: h\r\nX-Real-IP: 198.51.100.9\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", token, len(body), body)
	}
	const named = "PROXY TCP4 198.51.100.9 127.0.0.1 4000 80\r\n"
	for _, test := range []struct {
		name, from, text string
		status           int
		says             string
	}{
		{"a caller that would have to speak it", elsewhereIP, put("127.0.0.1, 127.0.0.2"), 409, "connections from 127.0.0.2 would have to begin with the PROXY protocol, and yours does not"},
		{"a balancer that would no longer be asked", homeIP, named + put("127.0.0.9"), 409, "connections from 127.0.0.1 would no longer be expected to begin with the PROXY protocol, and yours does"},
		{"others trusted as well", homeIP, named + put("127.0.0.1, 127.0.0.9"), 200, ""},
	} {
		res := sendRaw(t, s.url, test.from, test.text)
		if res == nil {
			t.Errorf("%s: no answer", test.name)
			continue
		}
		body, err := io.ReadAll(res.Body)
		must(t, err)
		if res.StatusCode != test.status || !strings.Contains(string(body), test.says) {
			t.Errorf("%s: got %d %s, want %d", test.name, res.StatusCode, body, test.status)
		}
	}
	if code, _, stderr := s.run(t, "", "settings", "set", "TRUSTED_PROXY_IPS=127.0.0.9"); code != exitOK {
		t.Fatalf("over the socket: got %d, %s", code, stderr)
	}
	args := []string{"healthcheck", "--listen", strings.TrimPrefix(s.url, "http://"), "--proxy-protocol", "--trusted-proxy-ips", homeIP}
	if code, _, errs := runSentinel(t, "", args...); code != exitOK {
		t.Errorf("healthcheck, which knows the settings of the start alone: got %d, %s", code, errs)
	}
}

// TestTrustedProxiesChangeWhileItRuns has a proxy at 127.0.0.1, on a connection
// that stays open, and a stream.
func TestTrustedProxiesChangeWhileItRuns(t *testing.T) {
	held, finish := heldStream(t)
	u, err := url.Parse(held)
	must(t, err)
	streams := httputil.NewSingleHostReverseProxy(u)
	downstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // others are answered at once
			streams.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(downstream.Close)
	data := t.TempDir()
	sentinel := startSentinel(t, downstream.URL, "SENTINEL_DATA_DIR="+data, "SENTINEL_BIND_ON=request")
	stream := openStream(t, sentinel.url) // binds its key to 127.0.0.1
	local := client.Local(data)
	t.Cleanup(local.Close)
	set := func(values map[string]any) {
		t.Helper()
		must(t, local.Do(t.Context(), http.MethodPut, settingsPath, map[string]any{"values": values}, nil))
	}
	conn := keepConnection(t, sentinel.url)
	ask := func(name string, key int, headers string, want int) {
		t.Helper()
		if got := conn.ask(t, testKey(key), headers); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
	ask("nobody is trusted, and it is bound to the peer", 9711, "X-Real-IP: 198.51.100.7\r\n", 200)
	set(map[string]any{"TRUSTED_PROXY_IPS": homeIP})
	ask("trusted: the header counts", 9711, "X-Real-IP: 198.51.100.7\r\n", 403)
	ask("another key is bound to what it says", 9712, "X-Real-IP: 198.51.100.7\r\n", 200)
	ask("and not to the peer", 9712, "X-Real-IP: 127.0.0.1\r\n", 403)
	set(map[string]any{"SENTINEL_REAL_IP_HEADER": "X-Forwarded-For"})
	ask("another header", 9712, "X-Real-IP: 198.51.100.8\r\nX-Forwarded-For: 203.0.113.1, 198.51.100.7\r\n", 200)
	ask("which is missing", 9712, "X-Real-IP: 198.51.100.7\r\n", 400)
	set(map[string]any{"TRUSTED_PROXY_IPS": nil, "SENTINEL_REAL_IP_HEADER": nil})
	ask("nobody is trusted again", 9712, "X-Real-IP: 198.51.100.7\r\nX-Forwarded-For: 198.51.100.7\r\n", 403)
	ask("and the peer counts", 9711, "X-Real-IP: 198.51.100.7\r\n", 200)
	close(finish)
	if got, err := stream.ReadString('\n'); err != nil || got != "data: last\n" {
		t.Errorf("the stream that was open all the time: got %q, %v", got, err)
	}
}

// keptConnection is a connection that requests go over one after the other.
type keptConnection struct {
	net.Conn
	answers *bufio.Reader
}

func keepConnection(t *testing.T, address string) keptConnection {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(homeIP)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", u.Host)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return keptConnection{conn, bufio.NewReader(conn)}
}

// ask sends a request with a key and header lines, and returns the status.
func (c keptConnection) ask(t *testing.T, key, headers string) int {
	t.Helper()
	_, err := c.Write([]byte("HEAD /v1/models HTTP/1.1\r\nHost: sentinel\r\nAuthorization: Bearer " + key + "\r\n" + headers + "\r\n"))
	must(t, err)
	res, err := http.ReadResponse(c.answers, &http.Request{Method: http.MethodHead})
	must(t, err)
	must(t, res.Body.Close())
	return res.StatusCode
}

// TestTheDoctorTellsWhatTheServerDoes, with settings that were changed while it
// ran.
func TestTheDoctorTellsWhatTheServerDoes(t *testing.T) {
	s := &site{data: t.TempDir(), gateway: startGateway(t).url}
	s.start(t)
	token, away := s.adminToken(t), from(t, elsewhereIP)
	if got, p := s.set(t, away, token, map[string]any{"TRUSTED_PROXY_IPS": "127.0.0.7", "SENTINEL_REAL_IP_HEADER": "X-Forwarded-For"}); got != http.StatusOK {
		t.Fatalf("got %d, %+v", got, p)
	}
	var d struct {
		ClientIP     string
		OtherHeaders []string
		Steps        []struct{ Address, TrustedBy string }
	}
	if got := adminCall(t, away, http.MethodGet, s.api("/ip-doctor"), token, nil, &d); got != http.StatusOK || d.ClientIP != elsewhereIP ||
		!slices.Contains(d.OtherHeaders, "Authorization") {
		t.Errorf("of the caller: got %d, %+v", got, d)
	}
	pasted := map[string]any{"peer": "127.0.0.7:4000", "headers": "X-Forwarded-For: 203.0.113.1, 198.51.100.9, 127.0.0.7\nAuthorization: Bearer " + testKey(9713)}
	if got := adminCall(t, away, http.MethodPost, s.api("/ip-doctor"), token, pasted, &d); got != http.StatusOK || d.ClientIP != "198.51.100.9" ||
		len(d.Steps) != 3 || d.Steps[1].TrustedBy != "127.0.0.7/32" {
		t.Errorf("pasted: got %d, %+v", got, d)
	}
	if got := adminCall(t, away, http.MethodPost, s.api("/ip-doctor"), "", pasted, nil); got != http.StatusUnauthorized {
		t.Errorf("without signing in: got %d, want 401", got)
	}
	explain := []string{"explain-ip", "--running", s.data, "--peer", "127.0.0.7:4000", "--header", "X-Forwarded-For: 198.51.100.9", "--header", "X-Real-IP: 198.51.100.8"}
	for more, want := range map[string]string{"": "198.51.100.9", "--real-ip-header=X-Real-IP": "198.51.100.8", "--trusted-proxy-ips=10.0.0.0/8": "127.0.0.7"} {
		args := explain
		if more != "" {
			args = append(slices.Clone(explain), more)
		}
		if code, out, errs := runSentinel(t, "", args...); code != exitOK || !strings.Contains(out, "client IP: "+want+"\n") {
			t.Errorf("explain-ip %s: got %d, %s%s, want %s", more, code, out, errs, want)
		}
	}
}
