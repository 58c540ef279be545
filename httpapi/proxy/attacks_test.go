package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/httpapi"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Tests of attacks that have worked on other proxies. In all of them the stolen
// key is bound to home, the attacker calls from away, and has a key of their own.
const (
	stolenKey = 9001
	ownKey    = 9002
)

// spy is a downstream that takes every key and keeps what it was sent.
type spy struct {
	mu   sync.Mutex
	seen []*http.Request // guarded by mu
}

func (d *spy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the trailers come after it
	kept := r.Clone(r.Context())
	kept.Trailer = r.Trailer.Clone()
	d.mu.Lock()
	d.seen = append(d.seen, kept)
	d.mu.Unlock()
	ok(w, r)
}

// take returns what was sent since the last call.
func (d *spy) take() []*http.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := d.seen
	d.seen = nil
	return seen
}

// last returns the one request that was sent since the last call.
func (d *spy) last(t *testing.T) *http.Request {
	t.Helper()
	seen := d.take()
	if len(seen) != 1 {
		t.Fatalf("the downstream was sent %d requests, want 1", len(seen))
	}
	return seen[0]
}

// attacked is a site where both keys are bound.
func attacked(t *testing.T, s setup) (*site, *spy) {
	t.Helper()
	d := new(spy)
	target := newSite(t, d, s)
	target.wantGet(home, "/v1/models", apiKey(stolenKey), 200, "")
	target.wantGet(away, "/v1/models", apiKey(ownKey), 200, "")
	d.take()
	return target, d
}

// bearing reports whether a key is anywhere in a request.
func bearing(r *http.Request, key string) bool {
	var all strings.Builder
	_ = r.Header.Write(&all) // a Builder takes everything
	_ = r.Trailer.Write(&all)
	key = strings.ToLower(strings.TrimPrefix(key, "sk-"))
	return strings.Contains(strings.ToLower(all.String()+r.RequestURI), key)
}

// talk sends bytes from away and returns the statuses of all answers until the
// connection ends. The last request must ask for that.
func (s *site) talk(text string) []int {
	s.t.Helper()
	var statuses []int
	br := bufio.NewReader(s.raw(away, text))
	for {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return statuses
		}
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		statuses = append(statuses, res.StatusCode)
		if err != nil {
			return statuses
		}
	}
}

// CVE-2020-28483: gin trusted the forwarding headers of every peer. Held: those
// of a stranger count neither here nor, rewritten, downstream.
func TestAttackForwardingHeadersOfAStranger(t *testing.T) {
	s, d := attacked(t, setup{trusted: "192.0.2.0/24"})
	claims := []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "X-Original-Forwarded-For"}
	for key, want := range map[int]int{stolenKey: 403, ownKey: 200} {
		r := s.request(http.MethodGet, "/v1/models", apiKey(key), nil)
		for _, name := range claims {
			r.Header.Set(name, home)
		}
		r.Header.Set("Forwarded", "for="+home)
		if status, _ := s.status(away, r); status != want {
			t.Errorf("got %d, want %d", status, want)
		}
	}
	got := d.last(t)
	for _, name := range claims {
		if lines := got.Header.Values(name); strings.Contains(strings.Join(lines, " "), home) {
			t.Errorf("%s reached the downstream as %q", name, lines)
		}
	}
}

// CVE-2024-45410 and CVE-2021-32813 (also golang/go 50580 and 53002): a client
// names the proxy's own headers in Connection, in any case, and they are removed
// after the proxy has set them. Held: Connection works on what the client sent.
func TestAttackConnectionNamesForwardingHeaders(t *testing.T) {
	names := []string{"X-Real-Ip", "x-real-ip", "X-REAL-IP", "X-Forwarded-For", "x-forwarded-for", "X-Forwarded-Host", "x-forwarded-proto"}
	for _, trusted := range []string{"", "127.0.0.2/32"} {
		s, d := attacked(t, setup{})
		want := away
		if trusted != "" {
			d = new(spy)
			s, want = newSite(t, d, setup{trusted: trusted}), "198.51.100.7"
		}
		for _, line := range append(names, strings.Join(names, ","), "close, "+strings.Join(names, " ,\t")) {
			head := "GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\nConnection: " + line + "\r\nX-Real-IP: 198.51.100.7\r\n\r\n"
			if got := s.talk(head); len(got) != 1 || got[0] != 200 {
				t.Fatalf("Connection: %s: got %v, want 200", line, got)
			}
			sent := d.last(t).Header
			if ip, list := sent.Values("X-Real-Ip"), sent.Values("X-Forwarded-For"); len(ip) != 1 || ip[0] != want || len(list) != 1 || list[0] != want {
				t.Errorf("Connection: %s: sent X-Real-Ip %q and X-Forwarded-For %q, want %s", line, ip, list, want)
			}
			if sent.Get("X-Forwarded-Host") != "h" || sent.Get("X-Forwarded-Proto") != "http" {
				t.Errorf("Connection: %s: sent host %q, proto %q", line, sent.Get("X-Forwarded-Host"), sent.Get("X-Forwarded-Proto"))
			}
		}
	}
}

// The same with credential headers: a decoy that is judged and not sent.
func TestAttackConnectionNamesCredentialHeaders(t *testing.T) {
	s, d := attacked(t, setup{})
	places := []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Mj-Api-Secret", "Sec-WebSocket-Protocol"}
	for _, decoy := range places {
		for _, named := range []string{decoy, strings.ToLower(decoy), strings.ToUpper(decoy)} {
			for _, place := range places {
				if place == decoy {
					continue
				}
				text := "GET /v1/models HTTP/1.1\r\nHost: h\r\n" + decoy + ": " + apiKey(ownKey) + "\r\n" + place + ": " + apiKey(stolenKey) +
					"\r\nConnection: " + named + ", close\r\n\r\n"
				if got := s.talk(text); len(got) != 1 || got[0] != 403 {
					t.Errorf("Connection: %s, stolen key in %s: got %v, want 403", named, place, got)
				}
			}
			if got := s.talk("GET / HTTP/1.1\r\nHost: h\r\n" + decoy + ": " + apiKey(stolenKey) + "\r\nConnection: " + named + ", close\r\n\r\n"); len(got) != 1 || got[0] != 200 {
				t.Errorf("Connection: %s: got %v, want 200", named, got)
			}
			if bearing(d.last(t), apiKey(stolenKey)) {
				t.Errorf("Connection: %s: the header was sent and not judged", named)
			}
		}
	}
}

// CVE-2026-39858: servers that turn header names into variables read X_Real_IP
// as X-Real-IP. Held: aliases are not sent, neither of forwarding headers nor of
// credentials, neither in the header nor in trailers.
func TestAttackHeaderAliases(t *testing.T) {
	s, d := attacked(t, setup{})
	for _, name := range []string{"X_Real_IP", "X-Real_Ip", "X.Real.IP", "X_Forwarded_For", "x_forwarded-for", "X_Api_Key", "X-Api_Key", "mj_api_secret", "X_Goog-Api-Key", "Sec_WebSocket_Protocol"} {
		value := apiKey(stolenKey)
		if strings.Contains(strings.ToLower(name), "real") || strings.Contains(strings.ToLower(name), "forwarded") {
			value = home
		}
		text := "POST /v1/messages HTTP/1.1\r\nHost: h\r\nAuthorization: " + apiKey(ownKey) + "\r\n" + name + ": " + value +
			"\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Kept, " + name + "\r\n\r\n0\r\nX-Kept: 1\r\n" + name + ": " + value + "\r\n\r\n"
		if got := s.talk(text); len(got) != 1 || got[0] != 200 {
			t.Fatalf("%s: got %v, want 200", name, got)
		}
		sent := d.last(t)
		if len(sent.Header.Values(name))+len(sent.Trailer.Values(name)) > 0 {
			t.Errorf("%s reached the downstream", name)
		}
		if sent.Trailer.Get("X-Kept") != "1" {
			t.Errorf("%s: other trailers are lost", name)
		}
	}
}

// noSettings is for an admin API that is not asked for any.
type noSettings struct{}

func (noSettings) List() []admin.Setting { return nil }

func (noSettings) Change(context.Context, admin.SettingsChange) (admin.ChangedSettings, error) {
	return admin.ChangedSettings{}, errors.ErrUnsupported
}

// CVE-2022-24112: a proxy's internal API believed that requests came from the
// proxy itself. Held: no header and no spelling of a path that is proxied gets
// into the admin API, and none that is admitted there gets proxied.
func TestAttackInternalReentry(t *testing.T) {
	var handler atomic.Pointer[http.Handler]
	var inner http.Handler
	s, d := attacked(t, setup{server: func(srv *http.Server) {
		inner = srv.Handler
		handler.Store(&inner)
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load()).ServeHTTP(w, r) })
	}})
	resolver, err := clientip.New(clientip.Options{})
	must(t, err)
	quiet := slog.New(slog.DiscardHandler)
	accounts, err := account.New(t.Context(), account.ForTests(account.Options{Documents: s.store, Key: make([]byte, 32), Logger: quiet}))
	must(t, err)
	t.Cleanup(func() { must(t, accounts.Close(context.Background())) })
	alerts, err := alert.New(t.Context(), alert.Options{Documents: s.store, Logger: quiet, Key: make([]byte, 32), Settings: alert.DefaultSettings()})
	must(t, err)
	t.Cleanup(func() { must(t, alerts.Close(context.Background())) })
	administration, err := admin.New(admin.Options{
		Engine: s.engine, Accounts: accounts, Alerts: alerts, Resolver: resolver, Store: s.store, Settings: noSettings{}, Logger: quiet,
		JWTSecret: []byte("secret for tests only"), LocalToken: "a token for tests",
	})
	must(t, err)
	api, err := httpapi.New(httpapi.Options{
		Engine: s.engine, Resolver: resolver, Store: s.store, Proxy: inner, Admin: administration, Logger: quiet,
		AdminNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	must(t, err)
	public := api.Public(true)
	handler.Store(&public)
	const claims = "X-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Original-URL: /admin/api/logs\r\nX-Rewrite-URL: /admin/api/logs\r\nConnection: close\r\n\r\n"
	for target, want := range map[string]int{
		"/admin/api/logs": 404, "/%61dmin/api/logs": 404, "/admin%2Fapi/logs": 404, "http://127.0.0.1/admin/api/logs": 404, // not of the networks
		"/": 200, "//admin/api/logs": 200, "/x/../admin/api/logs": 200, "/ADMIN/api/logs": 200, "/admin;x/api/logs": 200, // the downstream's
	} {
		if got := s.talk("GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + claims); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %v, want %d", target, got, want)
		}
		if sent := d.take(); (want == 200) != (len(sent) == 1) {
			t.Errorf("%s: the downstream was sent %d requests", target, len(sent))
		} else if want == 200 && (sent[0].Header.Get("X-Original-Url") != "" || sent[0].Header.Get("X-Rewrite-Url") != "" || sent[0].Header.Get("X-Real-Ip") != away) {
			t.Errorf("%s: the downstream was sent %v", target, sent[0].Header)
		}
	}
	r := s.request(http.MethodGet, "/admin/api/logs", apiKey(ownKey), nil)
	if status, _ := s.status(home, r); status != 401 {
		t.Errorf("with an API key for a token: got %d, want 401", status)
	}
}

// CVE-2024-24790: ::ffff:127.0.0.1 was not what 127.0.0.1 is. Held: an address
// has one form, whatever its spelling, and what has none is refused.
func TestAttackSpellingsOfAnAddress(t *testing.T) {
	d := new(spy)
	s := newSite(t, d, setup{trusted: "127.0.0.0/8"})
	use := func(ip string) int {
		r := s.request(http.MethodGet, "/v1/models", apiKey(stolenKey), nil)
		r.Header["X-Real-IP"] = []string{ip}
		status, _ := s.status(home, r)
		return status
	}
	for _, ip := range []string{"192.0.2.7", "::ffff:192.0.2.7", "::FFFF:c000:207", "[::ffff:c000:0207]:443", "0:0:0:0:0:ffff:192.0.2.7", "192.0.2.7:1", "::ffff:192.0.2.7%eth0"} {
		if got := use(ip); got != 200 {
			t.Errorf("%s: got %d, want 200", ip, got)
		} else if sent := d.last(t).Header.Get("X-Real-Ip"); sent != "192.0.2.7" {
			t.Errorf("%s: sent as %q", ip, sent)
		}
	}
	for _, ip := range []string{"192.0.2.8", "::192.0.2.7", "64:ff9b::c000:207", "::ffff:0:192.0.2.7", "2002:c000:207::"} {
		if got := use(ip); got != 403 {
			t.Errorf("%s: got %d, want 403", ip, got)
		}
	}
	for _, ip := range []string{"192.0.2.007", "0300.0.2.7", "0xc0000207", "3221225991", "192.0.519", "@", "", "unix:", "::ffff:192.0.2.7%", "192.0.2.7, 192.0.2.7", "localhost"} {
		if got := use(ip); got != 400 {
			t.Errorf("%q: got %d, want 400", ip, got)
		}
	}
	if sent := d.take(); len(sent) != 0 {
		t.Errorf("%d refused requests reached the downstream", len(sent))
	}
	b, err := s.store.Binding(t.Context(), s.hash(apiKey(stolenKey)))
	if want := netip.MustParsePrefix("192.0.2.7/32"); err != nil || b.Rule.Kind != store.RuleSingle || b.Rule.Prefixes[0] != want {
		t.Errorf("got %v, %v, want a binding to %v", b.Rule, err, want)
	}
}

// CVE-2026-40575 and GHSA-5hvv-m4w4-gf6v: requests that called themselves health
// checks, by User-Agent or by a forwarded URI, were let through unchecked. Held:
// nothing that a client says of itself or of its request changes the decision.
func TestAttackHealthChecks(t *testing.T) {
	s, d := attacked(t, setup{})
	for _, line := range []string{
		"User-Agent: GoogleHC/1.0", "User-Agent: kube-probe/1.29", "User-Agent: ELB-HealthChecker/2.0", "User-Agent: Amazon-Route53-Health-Check-Service",
		"X-Forwarded-Uri: /health", "X-Original-URI: /ready", "X-Original-URL: /health", "X-Rewrite-Url: /health", "X-Forwarded-Path: /health",
		"X-Forwarded-Method: OPTIONS", "X-HTTP-Method-Override: OPTIONS", "X-Forwarded-Host: localhost", "X-Auth-Request-Redirect: /health",
	} {
		if got := s.talk("GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: " + apiKey(stolenKey) + "\r\n" + line + "\r\n\r\n"); len(got) != 1 || got[0] != 403 {
			t.Errorf("%s: got %v, want 403", line, got)
		}
	}
	if sent := d.take(); len(sent) != 0 {
		t.Errorf("%d requests reached the downstream", len(sent))
	}
}

// CVE-2026-39825 and golang/go 54663: what a proxy does not parse, the server
// behind it does: parameters beyond a number, or ones with a ';' or a broken
// escape. Held: a query that could be read in two ways is refused.
func TestAttackQueries(t *testing.T) {
	s, d := attacked(t, setup{})
	stolen, own := apiKey(stolenKey), apiKey(ownKey)
	for name, tt := range map[string]struct {
		query  string
		status int
	}{
		"many, then the key":     {strings.Repeat("a=1&", 999) + "key=" + stolen, 403},
		"one too many":           {strings.Repeat("a=1&", 1000) + "key=" + stolen, 400},
		"one too many, empty":    {strings.Repeat("&", 1000) + "key=" + stolen, 400},
		"far too many, no key":   {strings.Repeat("&", 20_000), 400},
		"semicolon":              {"a=1;key=" + stolen, 400},
		"semicolon at the end":   {"key=" + stolen + ";", 400},
		"broken escape before":   {"a=%zz&key=" + stolen, 400},
		"broken escape inside":   {"key=%zz" + stolen, 400},
		"half an escape":         {"key=" + stolen + "%", 400},
		"twice, own first":       {"key=" + own + "&key=" + stolen, 403},
		"twice, own last":        {"key=" + stolen + "&key=" + own, 403},
		"encoded name":           {"k%65y=" + stolen, 403},
		"all encoded":            {"%6B%65%79=" + url.QueryEscape(stolen), 403},
		"spaces around":          {"key=+" + stolen + "%20", 403},
		"NUL at the end":         {"key=" + stolen + "%00", 401},
		"NUL in front":           {"key=%00" + stolen, 401},
		"full-width letters":     {"key=%EF%BD%93k-" + strings.TrimPrefix(stolen, "sk-"), 401},
		"own key, stolen header": {"key=" + own, 403},
		"empty names":            {"=x&=&&key=" + stolen, 403},
		"second question mark":   {"a?key=1&key=" + stolen, 403},
	} {
		header := own
		if strings.HasSuffix(name, "header") {
			header = stolen
		}
		got := s.talk("GET /v1/models?" + tt.query + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: " + header + "\r\n\r\n")
		if len(got) != 1 || got[0] != tt.status {
			t.Errorf("%s: got %v, want %d", name, got, tt.status)
		}
	}
	for _, r := range d.take() {
		t.Errorf("%q reached the downstream", r.RequestURI)
	}
}
