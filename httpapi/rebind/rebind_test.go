package rebind_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	page "github.com/key-ip-sentinel/sentinel/httpapi/rebind"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

var key = store.KeyHash{1}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is the page over a store in memory, with one bound key.
type site struct {
	t     testing.TB
	store *failingStore
	links *rebind.Links
	page  *page.Page
}

// failingStore fails one thing when told.
type failingStore struct {
	*memory.Store
	audit, bindings atomic.Bool
}

func (s *failingStore) AppendAudit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	if s.audit.Load() {
		return e, store.ErrUnavailable
	}
	return s.Store.AppendAudit(ctx, e)
}

func (s *failingStore) ReplaceBinding(ctx context.Context, b store.Binding) (store.Binding, error) {
	if s.bindings.Load() {
		return b, store.ErrUnavailable
	}
	return s.Store.ReplaceBinding(ctx, b)
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, store: &failingStore{Store: memory.New()}}
	quiet := slog.New(slog.DiscardHandler)
	resolver, err := clientip.New(clientip.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	must(t, err)
	keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte(strings.Repeat("secret for tests only ", 2))})
	must(t, err)
	e, err := engine.New(engine.Options{Store: s.store, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(), Logger: quiet, CacheEntries: 100})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close(context.Background())) })
	_, err = e.Preset(t.Context(), store.Binding{
		Hash: key, Hint: "<b>ab…9fQ2", Status: store.StatusActive, Rule: store.Rule{Kind: store.RuleAll},
	})
	must(t, err)
	s.links, err = rebind.New(t.Context(), rebind.Options{Store: s.store, Keys: e, Logger: quiet})
	must(t, err)
	s.page, err = page.New(page.Options{Links: s.links, Engine: e, Resolver: resolver, Audit: s.store, Logger: quiet})
	must(t, err)
	return s
}

func (s *site) link() string {
	s.t.Helper()
	_, token, err := s.links.Create(s.t.Context(), key, time.Hour, "local")
	must(s.t, err)
	return page.Base + token
}

func (s *site) visit(method, path, remote string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(form.Encode()))
	r.RemoteAddr = remote
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.page.ServeHTTP(w, r)
	return w
}

// TestThePageIsPlain: the policy lets its own style in and nothing else, and what
// it shows cannot be taken for markup.
func TestThePageIsPlain(t *testing.T) {
	s := newSite(t)
	w := s.visit("GET", s.link(), "[2001:db8:1:2::3]:4000", nil)
	body := w.Body.String()
	_, rest, _ := strings.Cut(body, "<style>")
	style, _, found := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	if policy := w.Header().Get("Content-Security-Policy"); !found || !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") ||
		!strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("got policy %s", policy)
	}
	for _, not := range []string{"<script", "<b>ab", "http://", "https://", " style=", "onclick"} {
		if strings.Contains(strings.Replace(body, style, "", 1), not) {
			t.Errorf("%q is in the page: %s", not, body)
		}
	}
	for _, want := range []string{"&lt;b&gt;ab…9fQ2", "2001:db8:1:2::3", "2001:db8:1:2::/64", `<html lang="en">`, "width=device-width", `<form method="post"`, "Link is good until"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in the page: %s", want, body)
		}
	}
	if head := s.visit("HEAD", s.link(), "203.0.113.9:1", nil); head.Code != 200 || head.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: got %d, %v", head.Code, head.Header())
	}
	if w := s.visit("DELETE", s.link(), "203.0.113.9:1", nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("DELETE: got %d, %v", w.Code, w.Header())
	}
}

func TestLanguages(t *testing.T) {
	s := newSite(t)
	path := s.link()
	for accept, want := range map[string]string{
		"": "en", "de": "en", "zh": "zh-CN", "zh-TW,en;q=0.5": "zh-CN", "en-GB,zh;q=0.9": "en", "fr, zh;q=0.2": "zh-CN", "zh;q=0, en": "en",
		"zh;q=x": "en", ";;;,,": "en", "en;q=0.1,zh-Hans;q=0.8": "zh-CN", strings.Repeat("zh;q=0.1,", 10000): "zh-CN",
	} {
		if w := s.visit("GET", path, "203.0.113.9:1", nil, "Accept-Language: "+accept); !strings.Contains(w.Body.String(), `<html lang="`+want+`">`) {
			t.Errorf("%.40q: want %s", accept, want)
		}
	}
}

func TestFormsThatDoNothing(t *testing.T) {
	s := newSite(t)
	path := s.link()
	for name, test := range map[string]struct {
		form    url.Values
		headers []string
		status  int
	}{
		"another site":        {nil, []string{"Sec-Fetch-Site: cross-site"}, 403},
		"another port":        {nil, []string{"Sec-Fetch-Site: same-site"}, 403},
		"an address not seen": {url.Values{"prefix": {"203.0.113.8/32"}}, nil, 409},
		"too large a form":    {url.Values{"prefix": {strings.Repeat("x", 5000)}}, nil, 400},
	} {
		if w := s.visit("POST", path, "203.0.113.9:1", test.form, test.headers...); w.Code != test.status {
			t.Errorf("%s: got %d, want %d", name, w.Code, test.status)
		}
	}
	if w := s.visit("POST", path, "203.0.113.9:1", url.Values{"prefix": {"203.0.113.9/32"}}); w.Code != http.StatusOK {
		t.Errorf("and then the page's own: got %d", w.Code)
	}
}

// TestFailuresSaySo: of a link that is used up the trail tells, and the page does
// not say that it went well.
func TestFailuresSaySo(t *testing.T) {
	s := newSite(t)
	path := s.link()
	s.store.bindings.Store(true)
	if w := s.visit("POST", path, "203.0.113.9:1", nil); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "203.0.113.9") {
		t.Errorf("a binding that cannot be written: got %d", w.Code)
	}
	s.store.bindings.Store(false)
	if w := s.visit("POST", path, "203.0.113.9:1", nil); w.Code != http.StatusGone {
		t.Errorf("again: got %d, want 410", w.Code)
	}
	trail, err := s.store.ListAudit(t.Context(), store.AuditFilter{})
	must(t, err)
	if len(trail.Entries) != 1 || trail.Entries[0].Actor != "rebind-link" || !strings.Contains(string(trail.Entries[0].After), `"failed":true`) {
		t.Errorf("got trail %+v", trail.Entries)
	}
	s.store.audit.Store(true)
	if w := s.visit("POST", s.link(), "203.0.113.9:1", nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a trail that cannot be written: got %d", w.Code)
	}
	if _, err := page.New(page.Options{}); err == nil {
		t.Error("a page of nothing")
	}
}
