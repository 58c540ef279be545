package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// newHomeIP is where the holder of a key has moved to.
const newHomeIP = "127.0.0.5"

// rebindSite is a site with a key that is bound to 127.0.0.1.
type rebindSite struct {
	*site
	key  string
	hash string
}

func startForRebind(t *testing.T, n int, more ...string) *rebindSite {
	t.Helper()
	key := testKey(n)
	s := &rebindSite{site: &site{data: t.TempDir(), gateway: startGateway(t, key).url}, key: key}
	s.start(t, more...)
	if got := s.use(t, homeIP); got != http.StatusOK {
		t.Fatalf("first use: got %d", got)
	}
	var b client.Binding
	code, out, stderr := s.run(t, key, "bindings", "show", "-", "--output", "json")
	if code != exitOK {
		t.Fatalf("show: got %d, %s", code, stderr)
	}
	must(t, json.Unmarshal([]byte(out), &b))
	s.hash = b.Hash
	return s
}

func (s *rebindSite) use(t *testing.T, ip string) int {
	t.Helper()
	return call(t, from(t, ip), "GET", s.url+"/v1/models", s.key, nil).status
}

// link makes one, and returns its path.
func (s *rebindSite) link(t *testing.T, flags ...string) string {
	t.Helper()
	code, out, stderr := s.run(t, "", append([]string{"bindings", "rebind-link", s.hash}, flags...)...)
	if code != exitOK || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "/sentinel/rebind/") || !strings.Contains(stderr, "SENTINEL_PUBLIC_URL") {
		t.Fatalf("rebind-link: got %d, %q, %s", code, out, stderr)
	}
	return strings.TrimSpace(out)
}

// visit opens or posts to a link, in English unless headers say otherwise.
func (s *rebindSite) visit(t *testing.T, method, path, ip string, form url.Values, headers ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(form.Encode()))
	must(t, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := from(t, ip).Do(r)
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	return res.StatusCode, string(body), res.Header
}

var formPrefix = regexp.MustCompile(`name="prefix" value="([^"]+)"`)

// TestARebindLinkLivesOnce goes its whole way.
func TestARebindLinkLivesOnce(t *testing.T) {
	s := startForRebind(t, 9720)
	path := s.link(t)
	status, page, header := s.visit(t, "GET", path, newHomeIP, nil)
	shown := formPrefix.FindStringSubmatch(page)
	if status != 200 || !strings.Contains(page, s.key[len(s.key)-4:]) || !strings.Contains(page, newHomeIP) || strings.Contains(page, s.key) || shown == nil {
		t.Fatalf("the page: got %d, %s", status, page)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow", "X-Frame-Options": "DENY"} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, page, _ := s.visit(t, "GET", path, newHomeIP, nil, "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8"); !strings.Contains(page, "将密钥绑定到此地址") {
		t.Errorf("in Chinese: got %s", page)
	}
	for _, method := range []string{"HEAD", "GET", "PUT", "OPTIONS"} {
		s.visit(t, method, path, newHomeIP, nil)
	}
	if got := s.use(t, newHomeIP); got != http.StatusForbidden {
		t.Errorf("looking at the page has let the key in: got %d", got)
	}
	form := url.Values{"prefix": {shown[1]}}
	if status, _, _ := s.visit(t, "POST", path, newHomeIP, form, "Sec-Fetch-Site: cross-site"); status != http.StatusForbidden {
		t.Errorf("posted by another site: got %d, want 403", status)
	}
	if status, page, _ := s.visit(t, "POST", path, elsewhereIP, form); status != http.StatusConflict || !strings.Contains(page, elsewhereIP) {
		t.Errorf("posted from an address that was not shown: got %d, %s", status, page)
	}
	if status, page, _ := s.visit(t, "POST", path, newHomeIP, form, "Sec-Fetch-Site: same-origin", "Origin: null"); status != 200 || !strings.Contains(page, newHomeIP) {
		t.Fatalf("posted: got %d, %s", status, page)
	}
	for ip, want := range map[string]int{newHomeIP: 200, homeIP: 403, elsewhereIP: 403} {
		if got := s.use(t, ip); got != want {
			t.Errorf("then from %s: got %d, want %d", ip, got, want)
		}
	}
	s.wantGone(t, "used", path)
	s.wantOnRecord(t)
}

// wantGone holds a link that is over against one that never was.
func (s *rebindSite) wantGone(t *testing.T, what, path string) {
	t.Helper()
	_, never, _ := s.visit(t, "GET", "/sentinel/rebind/"+strings.Repeat("A", 43), elsewhereIP, nil)
	for _, method := range []string{"GET", "POST"} {
		if status, page, _ := s.visit(t, method, path, elsewhereIP, nil); status != http.StatusGone || page != never || strings.Contains(page, elsewhereIP) {
			t.Errorf("%s, %s: got %d, %s, want 410 and the page of a link that never was", what, method, status, page)
		}
	}
}

// wantOnRecord looks for a link that was made and used in the list and in the
// audit trail, where nothing can be used once more.
func (s *rebindSite) wantOnRecord(t *testing.T) {
	t.Helper()
	code, out, stderr := s.run(t, "", "bindings", "rebind-link", s.hash, "--list", "--output", "json")
	var link shownRebindLink
	if code != exitOK || json.Unmarshal([]byte(out), &link) != nil || link.State != "used" || link.UsedFrom != newHomeIP || link.UsedFor != newHomeIP+"/32" || link.CreatedBy != "local" {
		t.Errorf("the list: got %d, %s%s", code, out, stderr)
	}
	local := client.Local(s.data)
	defer local.Close()
	var trail struct {
		Items []struct{ Actor, Action, Target, ClientIP string }
	}
	must(t, local.Do(t.Context(), http.MethodGet, "/audit?action=rebind.", nil, &trail))
	if len(trail.Items) != 2 || trail.Items[0].Actor != "rebind-link" || trail.Items[0].Action != "rebind.use" || trail.Items[0].ClientIP != newHomeIP ||
		trail.Items[0].Target != "binding:"+s.hash || trail.Items[1].Action != "rebind.create" || trail.Items[1].Actor != "local" {
		t.Errorf("the audit trail: got %+v", trail.Items)
	}
	if log := s.stderr.String(); !strings.Contains(log, "key bound by a re-bind link") || strings.Contains(log, "/sentinel/rebind/") {
		t.Error("the log does not say that a key was bound, or has a link in it")
	}
}

// TestRebindLinksEnd in every other way.
func TestRebindLinksEnd(t *testing.T) {
	s := startForRebind(t, 9721)
	ok := func(args ...string) {
		t.Helper()
		if code, _, stderr := s.run(t, "", args...); code != exitOK {
			t.Fatalf("%v: got %d, %s", args, code, stderr)
		}
	}
	short := s.link(t, "--for", "1s")
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if status, _, _ := s.visit(t, "GET", short, newHomeIP, nil); status == http.StatusGone {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the link does not end: got %d", status)
		}
	}
	s.wantGone(t, "late", short)
	for _, bad := range []string{"0s", "-1h", "31d", "1ms", "x"} {
		if code, _, stderr := s.run(t, "", "bindings", "rebind-link", s.hash, "--for", bad); code != exitUsage || !strings.Contains(stderr, "want a time from 1s to 30d") {
			t.Errorf("--for %s: got %d, %s", bad, code, stderr)
		}
	}
	live := s.link(t)
	token := strings.TrimPrefix(live, "/sentinel/rebind/")
	for name, other := range map[string]string{
		"tampered": flipped(token), "shorter": token[1:], "longer": token + "x", "of another case": strings.ToLower(token), "with a slash": token + "/", "none": "",
	} {
		s.wantGone(t, name, "/sentinel/rebind/"+other)
	}
	if status, _, _ := s.visit(t, "GET", live, newHomeIP, nil); status != 200 {
		t.Errorf("the link itself: got %d", status)
	}
	_, out, _ := s.run(t, "", "bindings", "rebind-link", s.hash, "--list", "--output", "csv")
	open := regexp.MustCompile(`(?m)^([0-9a-f]{16}),open,`).FindStringSubmatch(out)
	if open == nil {
		t.Fatalf("no open link in %s", out)
	}
	ok("bindings", "rebind-link", s.hash, "--revoke", open[1])
	s.wantGone(t, "revoked", live)

	live = s.link(t)
	ok("bindings", "ban", s.hash, "--yes")
	s.wantGone(t, "banned", live)
	if code, _, stderr := s.run(t, "", "bindings", "rebind-link", s.hash); code != exitRefused || !strings.Contains(stderr, "banned") {
		t.Errorf("a link for a banned key: got %d, %s", code, stderr)
	}
	ok("bindings", "unban", s.hash, "--yes")
	s.wantGone(t, "unbanned", live)

	live = s.link(t)
	ok("bindings", "unbind", s.hash, "--yes")
	s.wantGone(t, "unbound", live)
	s.use(t, homeIP)
	s.wantGone(t, "bound again", live)
	for ip, want := range map[string]int{homeIP: 200, newHomeIP: 403, elsewhereIP: 403} {
		if got := s.use(t, ip); got != want {
			t.Errorf("after all that, from %s: got %d, want %d", ip, got, want)
		}
	}
}

// flipped changes the middle character of a token.
func flipped(token string) string {
	b := []byte(token)
	if at := len(b) / 2; b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

// TestAKillLeavesNoUsableUsedLink kills the server right after the answer, and
// while it is being made.
func TestAKillLeavesNoUsableUsedLink(t *testing.T) {
	s := startForRebind(t, 9722)
	kill := func() {
		must(t, s.cmd.Process.Kill())
		<-s.ended
		s.start(t)
	}
	path := s.link(t)
	if status, _, _ := s.visit(t, "POST", path, newHomeIP, nil); status != 200 {
		t.Fatalf("posted: got %d", status)
	}
	kill()
	s.wantGone(t, "used before the kill", path)
	if got := s.use(t, newHomeIP); got != http.StatusOK {
		t.Errorf("from the new address: got %d, want what was answered kept", got)
	}
	for round := range 6 {
		path, target := s.link(t), "127.0.1."+string(rune('1'+round))
		client := from(t, target)
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+path, nil)
		must(t, err)
		answered := make(chan int, 1)
		go func() {
			res, err := client.Do(r)
			if err != nil {
				answered <- 0
				return
			}
			_ = res.Body.Close()
			answered <- res.StatusCode
		}()
		time.Sleep(time.Duration(round) * 400 * time.Microsecond) // another moment each round
		kill()
		status, moved := <-answered, s.use(t, target) == http.StatusOK
		again, _, _ := s.visit(t, "GET", path, elsewhereIP, nil)
		if moved && again != http.StatusGone || status == 200 && !moved {
			t.Errorf("round %d: answered %d, moved %v, and the link answers %d", round, status, moved, again)
		}
	}
}

// TestOfManyPostsOneWins: whoever has the link at the same time.
func TestOfManyPostsOneWins(t *testing.T) {
	s := startForRebind(t, 9723)
	path := s.link(t)
	ips := []string{"127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14", "127.0.0.15", "127.0.0.16"}
	statuses := make([]int, len(ips))
	var racers sync.WaitGroup
	for i, ip := range ips {
		client := from(t, ip)
		racers.Go(func() {
			res, err := client.Post(s.url+path, "application/x-www-form-urlencoded", nil)
			if err == nil {
				statuses[i] = res.StatusCode
				_ = res.Body.Close()
			}
		})
	}
	racers.Wait()
	won := 0
	for i, status := range statuses {
		want := http.StatusForbidden
		if status == http.StatusOK {
			won++
			want = http.StatusOK
		} else if status != http.StatusGone {
			t.Errorf("%s: got %d, want 200 or 410", ips[i], status)
		}
		if got := s.use(t, ips[i]); got != want {
			t.Errorf("%s, answered %d: its requests get %d", ips[i], status, got)
		}
	}
	if won != 1 {
		t.Errorf("%d have won", won)
	}
}

// TestARebindLinkNeedsARealClientIP: not a proxy's, which everybody behind it
// has.
func TestARebindLinkNeedsARealClientIP(t *testing.T) {
	s := startForRebind(t, 9724)
	path := s.link(t)
	if code, _, stderr := s.run(t, "", "settings", "set", "TRUSTED_PROXY_IPS=127.0.0.0/29"); code != exitOK {
		t.Fatal(stderr)
	}
	for name, test := range map[string]struct{ header, says string }{
		"missing":   {"X-Other: x", "cannot be told"},
		"malformed": {"X-Real-IP: unknown", "cannot be told"},
		"a proxy's": {"X-Real-IP: " + elsewhereIP, "address of a proxy"},
	} {
		for _, method := range []string{"GET", "POST"} {
			if status, page, _ := s.visit(t, method, path, homeIP, nil, test.header); status != http.StatusBadRequest || !strings.Contains(page, test.says) {
				t.Errorf("%s, %s: got %d, %s, want %q", name, method, status, page, test.says)
			}
		}
	}
	if status, page, _ := s.visit(t, "POST", path, homeIP, nil, "X-Real-IP: 198.51.100.9"); status != 200 || !strings.Contains(page, "198.51.100.9") {
		t.Errorf("what the proxy says: got %d, %s", status, page)
	}
}

// TestRebindLinksBesideAnAdminAddress are on the public address alone, and count
// as requests.
func TestRebindLinksBesideAnAdminAddress(t *testing.T) {
	s := startForRebind(t, 9725, "SENTINEL_ADMIN_LISTEN=127.0.0.1:0", "SENTINEL_RATE_LIMIT=1", "SENTINEL_RATE_BURST=3")
	if code, _, stderr := s.run(t, "", "settings", "set", "SENTINEL_PUBLIC_URL="+s.url+"/"); code != exitOK {
		t.Fatal(stderr)
	}
	code, out, stderr := s.run(t, "", "bindings", "rebind-link", s.hash)
	link, found := strings.CutPrefix(strings.TrimSpace(out), s.url+"/sentinel/")
	if code != exitOK || !found {
		t.Fatalf("got %d, %q, %s, want a whole link", code, out, stderr)
	}
	admin := s.stderr.waitFor(t, s.ended, func(line string) (string, bool) {
		var entry struct {
			Admin string `json:"admin_address"`
		}
		return entry.Admin, json.Unmarshal([]byte(line), &entry) == nil && entry.Admin != ""
	})
	if got := call(t, from(t, homeIP), "GET", "http://"+admin+"/sentinel/"+link, "", nil); got.status != http.StatusNotFound {
		t.Errorf("at the admin address: got %d, want 404", got.status)
	}
	for i := range 5 {
		want := http.StatusGone
		if i >= 3 {
			want = http.StatusTooManyRequests
		}
		if status, _, header := s.visit(t, "POST", "/sentinel/rebind/guess", elsewhereIP, nil); status != want || want == 429 && header.Get("Retry-After") == "" {
			t.Errorf("guess %d: got %d, want %d", i, status, want)
		}
	}
	if status, _, _ := s.visit(t, "POST", "/sentinel/"+link, newHomeIP, nil); status != 200 {
		t.Errorf("the link: got %d", status)
	}
}
