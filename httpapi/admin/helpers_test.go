package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

const (
	nobody     = account.Role("")
	localToken = "local token for tests only"
	password   = "password for tests only"
	// clientIP is where the calls of a site come from, unless they say otherwise:
	// the test is a trusted proxy.
	clientIP = "198.51.100.7"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is an admin API on a real socket, over a store in memory.
type site struct {
	t        testing.TB
	server   *httptest.Server
	api      *admin.API
	store    *memory.Store
	engine   *engine.Engine
	keys     *credential.Reader
	accounts *account.Accounts
	alerts   *alert.Center
	settings *fakeSettings
	log      *syncBuffer
	tokens   map[account.Role]string // an API token of each role
	offset   atomic.Int64            // of the clock, see advance
}

// newSite starts one; change may replace parts of it before it starts.
func newSite(t testing.TB, change ...func(*admin.Options)) *site {
	t.Helper()
	s := &site{t: t, store: memory.New(), settings: newFakeSettings(), log: new(syncBuffer), tokens: make(map[account.Role]string)}
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	resolver, err := clientip.New(clientip.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	must(t, err)
	secret := []byte(strings.Repeat("secret for tests only ", 2))
	s.keys, err = credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: secret})
	must(t, err)
	s.engine, err = engine.New(engine.Options{
		Store: s.store, Resolver: resolver, Credentials: s.keys, Policy: engine.DefaultPolicy(), Logger: logger, CacheEntries: 1000, Now: s.now,
	})
	must(t, err)
	s.accounts, err = account.New(t.Context(), account.ForTests(account.Options{Documents: s.store, Key: secret[:32], Logger: logger, Now: s.now}))
	must(t, err)
	s.alerts, err = alert.New(t.Context(), alert.Options{
		Documents: s.store, Logger: logger, Node: "node-1", Key: secret[:32], Settings: alert.DefaultSettings(), Now: s.now,
	})
	must(t, err)
	s.alerts.PublishTo(s.engine.Events())
	opts := admin.Options{
		Engine: s.engine, Accounts: s.accounts, Alerts: s.alerts, Resolver: resolver, Store: s.store, Settings: s.settings, Logger: logger,
		JWTSecret: secret, LocalToken: localToken, Version: "v0.0.0-test", Node: "node-1", Now: s.now, SharesPublic: true,
	}
	opts.Rebind, err = rebind.New(t.Context(), rebind.Options{Store: s.store, Keys: s.engine, Logger: logger, Now: s.now})
	must(t, err)
	for _, c := range change {
		c(&opts)
	}
	s.api, err = admin.New(opts)
	must(t, err)
	for _, role := range []account.Role{account.Viewer, account.Operator, account.Admin} {
		_, s.tokens[role], err = s.accounts.CreateToken(t.Context(), account.NewToken{Name: string(role), Role: role, CreatedBy: "local"})
		must(t, err)
	}
	s.server = httptest.NewServer(s.api.Handler())
	t.Cleanup(func() {
		s.server.Close()
		if err := s.engine.Close(context.Background()); err != nil {
			t.Errorf("close engine: %v", err)
		}
		if err := s.accounts.Close(context.Background()); err != nil {
			t.Errorf("close accounts: %v", err)
		}
		if err := s.alerts.Close(context.Background()); err != nil {
			t.Errorf("close alerts: %v", err)
		}
	})
	return s
}

func (s *site) now() time.Time { return time.Now().Add(time.Duration(s.offset.Load())) }

// advance moves the clock of everything in the site.
func (s *site) advance(d time.Duration) { s.offset.Add(int64(d)) }

// answer is what came back.
type answer struct {
	t      testing.TB
	what   string // method and path
	status int
	header http.Header
	body   []byte
}

// call makes a request with the API token of a role. body is sent as JSON; a
// string or []byte is sent as it is, and nil is none. Headers are "Name: value".
func (s *site) call(role account.Role, method, path string, body any, headers ...string) *answer {
	s.t.Helper()
	return s.callAs(s.tokens[role], method, path, body, headers...)
}

// callAs makes a request with a bearer token; empty: none.
func (s *site) callAs(token, method, path string, body any, headers ...string) *answer {
	s.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		must(s.t, err)
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+admin.Base+path, reader)
	must(s.t, err)
	req.Header.Set("X-Real-IP", clientIP)
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return s.send(req)
}

// send makes a request, and holds what comes back against the OpenAPI document.
func (s *site) send(req *http.Request) *answer {
	s.t.Helper()
	res, err := s.server.Client().Do(req)
	must(s.t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	must(s.t, err)
	a := &answer{t: s.t, what: req.Method + " " + req.URL.Path, status: res.StatusCode, header: res.Header, body: raw}
	checkDocumented(s.t, s.api, req, a)
	checkWorded(s.t, a)
	return a
}

// spoken are warnings, as people read them.
type spoken []string

func (s *spoken) UnmarshalJSON(raw []byte) error {
	var list []struct {
		Row     int
		Message string
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	for _, one := range list {
		if one.Row > 0 {
			one.Message = fmt.Sprintf("row %d: %s", one.Row, one.Message)
		}
		*s = append(*s, one.Message)
	}
	return nil
}

// checkWorded holds that whatever is said for people has a code, by which it can
// be said in another language.
func checkWorded(t testing.TB, a *answer) {
	t.Helper()
	type said struct{ Message, Code string }
	var body struct {
		Errors, Warnings  []said
		FirstError, Error *said
	}
	if json.Unmarshal(a.body, &body) != nil {
		return // of another kind
	}
	for _, one := range []*said{body.FirstError, body.Error} {
		if one != nil {
			body.Errors = append(body.Errors, *one)
		}
	}
	for _, one := range append(body.Errors, body.Warnings...) {
		if one.Message != "" && one.Code == "" {
			t.Errorf("%s: %q is none of the fixed texts: add it to texts.go, and to the console", a.what, one.Message)
		}
	}
}

// want fails the test if the status is another one.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d %s, want %d", a.what, a.status, a.body, status)
	}
	return a
}

// into reads the body.
func (a *answer) into(v any) *answer {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	return a
}

// fault is a problem as clients see it.
type fault struct {
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Code       string `json:"code"`
	RequestID  string `json:"requestId"`
	RetryAfter int    `json:"retryAfter"`
	Errors     []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// wantFault fails the test if the answer is not a problem with this status and
// this code, naming these fields; a code of "" is not looked at.
func (a *answer) wantFault(status int, code string, locations ...string) fault {
	a.t.Helper()
	a.want(status)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("%s: got content type %q of a problem", a.what, got)
	}
	var f fault
	a.into(&f)
	if f.Status != status || code != "" && f.Code != code || f.RequestID == "" {
		a.t.Errorf("%s: got %s, want status %d, code %q and a request ID", a.what, a.body, status, code)
	}
	for _, location := range locations {
		if !slices.ContainsFunc(f.Errors, func(e struct {
			Location string `json:"location"`
			Message  string `json:"message"`
		}) bool {
			return e.Location == location
		}) {
			a.t.Errorf("%s: got %s, want a fault of %s", a.what, a.body, location)
		}
	}
	return f
}

// account makes an account, whose password is password, and signs in.
func (s *site) account(name string, role account.Role) (session string) {
	s.t.Helper()
	_, err := s.accounts.Create(s.t.Context(), name, role, password)
	must(s.t, err)
	return s.login(name)
}

func (s *site) login(name string) (session string) {
	s.t.Helper()
	var out struct {
		AccessToken string `json:"access_token"`
	}
	s.call(nobody, "POST", "/login", map[string]any{"username": name, "password": password}).want(http.StatusOK).into(&out)
	return out.AccessToken
}

// trail returns the audit trail, oldest first.
func (s *site) trail() []store.AuditEntry {
	s.t.Helper()
	page, err := s.store.ListAudit(s.t.Context(), store.AuditFilter{Limit: store.MaxPage})
	must(s.t, err)
	slices.Reverse(page.Entries)
	return page.Entries
}

// wantTrail holds the actions of the audit trail since a length of it against
// those given, each as "actor action target".
func (s *site) wantTrail(since int, want ...string) {
	s.t.Helper()
	var got []string
	for _, e := range s.trail()[since:] {
		target, _, _ := strings.Cut(e.Target, "bulk:") // which goes on at random
		got = append(got, strings.TrimSpace(e.Actor+" "+e.Action+" "+target))
		if e.RequestID == "" || e.At.IsZero() {
			s.t.Errorf("entry without request ID or time: %+v", e)
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("got audit trail\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// query makes a query string of names and values.
func query(pairs ...string) string {
	v := url.Values{}
	for pair := range slices.Chunk(pairs, 2) {
		v.Add(pair[0], pair[1])
	}
	return "?" + v.Encode()
}

// fakeSettings is an admin.Settings with a few settings.
type fakeSettings struct {
	mu   sync.Mutex
	list []admin.Setting
}

func newFakeSettings() *fakeSettings {
	text := admin.Text{En: "text", Zh: "文字"}
	setting := func(name, value, typ string, runtime, secret bool) admin.Setting {
		return admin.Setting{
			Name: name, Value: value, IsSet: value != "", Source: "default", Default: value, Runtime: runtime, Secret: secret, Type: typ, Group: text, Help: text,
		}
	}
	return &fakeSettings{list: []admin.Setting{
		setting("SENTINEL_MODE", "enforce", "choice", true, false),
		setting("ARCHIVE_DAYS", "90", "number", true, false),
		setting("ALERT_WEBHOOK_SECRET", "secret for tests only", "secret", true, true),
		setting("SENTINEL_LISTEN", ":7000", "text", false, false),
	}}
}

func (f *fakeSettings) List() []admin.Setting {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

func (f *fakeSettings) Change(_ context.Context, change admin.SettingsChange) (result admin.ChangedSettings, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := slices.Clone(f.list)
	var faults []admin.SettingFault
	for name, value := range change.Values {
		i := slices.IndexFunc(changed, func(s admin.Setting) bool { return s.Name == name })
		switch {
		case i < 0:
			faults = append(faults, admin.SettingFault{Name: name, Fault: "there is no such setting"})
		case !changed[i].Runtime:
			faults = append(faults, admin.SettingFault{Name: name, Fault: "cannot be changed while the program runs: set it where the others are, and start again"})
		case value == nil:
			changed[i].Value, changed[i].Source = changed[i].Default, "default"
		case *value == "" || *value == "bad":
			faults = append(faults, admin.SettingFault{Name: name, Fault: "is empty"})
		default:
			changed[i].Value, changed[i].Source = *value, "runtime"
		}
	}
	if len(faults) > 0 {
		return result, &admin.SettingFaults{Faults: faults}
	}
	for i, s := range changed {
		if s.Value != f.list[i].Value || s.Source != f.list[i].Source {
			result.Before, result.After = append(result.Before, f.list[i]), append(result.After, s)
		}
	}
	f.list = changed
	return result, nil
}

// syncBuffer is a log that tests read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
