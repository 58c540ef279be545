package engine_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
)

// loginToken is a login of New API's dashboard.
func loginToken() string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(`{"exp":4000000000}`)) + "." + encode([]byte("signature"))
}

func TestNewRefusesHalfOptions(t *testing.T) {
	r := newRig(t)
	for name, o := range map[string]engine.Options{
		"nothing": {},
		"no policy": {
			Store: r.store, Credentials: r.keys, Logger: slog.New(slog.DiscardHandler),
		},
	} {
		if e, err := engine.New(o); err == nil || e != nil {
			t.Errorf("%s: got %v, %v, want an error", name, e, err)
		}
	}
}

func TestEveryReason(t *testing.T) {
	cases := []struct {
		name   string
		setup  func(*setup)
		from   string
		target string
		header []string
		want   engine.Reason
		counts map[string]uint64 // beside those of the first uses
	}{
		{"bound, from home", nil, atHome, pathChat, []string{bearer(keyA)}, "", map[string]uint64{"allowed": 1}},
		{"bound, from elsewhere", nil, elsewhere, pathChat, []string{bearer(keyA)}, engine.IPNotAllowed, map[string]uint64{"intercepted": 1}},
		{"bound, from elsewhere, on a public path", nil, elsewhere, "/", []string{bearer(keyA)}, engine.IPNotAllowed, map[string]uint64{"intercepted": 1}},
		{"banned", nil, atHome, pathChat, []string{bearer(keyB)}, engine.KeyBanned, map[string]uint64{"intercepted": 1}},
		{"banned, from elsewhere", nil, elsewhere, pathChat, []string{bearer(keyB)}, engine.KeyBanned, map[string]uint64{"intercepted": 1}},
		{"no key", nil, elsewhere, pathChat, nil, "", map[string]uint64{"anonymous": 1}},
		{"no key, and none is refused", rejecting, atHome, pathChat, nil, engine.CredentialRequired, map[string]uint64{"credential_required": 1}},
		{"trusted proxy without the header", nil, trustedAt, pathChat, []string{bearer(keyA)}, engine.InvalidClientIP, map[string]uint64{"invalid_client_ip": 1}},
		{"health check of a trusted proxy", nil, trustedAt, "/", nil, "", map[string]uint64{"anonymous": 1}},
		{
			"malformed header without a key", nil, trustedAt, "/", []string{"X-Real-IP: 300.1.1.1"},
			engine.InvalidClientIP, map[string]uint64{"invalid_client_ip": 1},
		},
		{
			"dashboard login without the header", nil, trustedAt, "/api/user/self", []string{"Authorization: Bearer " + loginToken()},
			engine.InvalidClientIP, map[string]uint64{"invalid_client_ip": 1},
		},
		{"unix socket", nil, "@", pathChat, []string{bearer(keyA)}, engine.InvalidClientIP, map[string]uint64{"invalid_client_ip": 1}},
		{"unix socket without a key", nil, "@", pathChat, nil, engine.InvalidClientIP, map[string]uint64{"invalid_client_ip": 1}},
		{
			"repeated header", nil, atHome, pathChat, []string{bearer(keyA), bearer(keyA)},
			engine.InvalidCredential, map[string]uint64{"invalid_credential": 1},
		},
		{
			"broken query", nil, atHome, pathChat + "?key=%zz", []string{bearer(keyA)},
			engine.InvalidCredential, map[string]uint64{"invalid_credential": 1},
		},
		{
			"key outside ASCII", nil, atHome, pathChat, []string{bearer(keyA + "é")},
			engine.InvalidAPIKey, map[string]uint64{"invalid_credential": 1},
		},
		{"dashboard login", rejecting, elsewhere, "/api/user/self", []string{"Authorization: Bearer " + loginToken()}, "", map[string]uint64{"anonymous": 1}},
		{"playground", nil, elsewhere, "/pg/chat/completions", []string{"Authorization: Bearer " + loginToken()}, "", map[string]uint64{"anonymous": 1}},
		{
			"playground, refused", dashboards, elsewhere, "/pg/chat/completions", []string{"Authorization: Bearer " + loginToken()},
			engine.DashboardRefused, map[string]uint64{"dashboard_refused": 1},
		},
		{"beyond the limit", limited(2), atHome, pathChat, []string{bearer(keyA)}, engine.RateLimited, map[string]uint64{"rate_limited": 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(s *setup) {
				if c.setup != nil {
					c.setup(s)
				}
			}).bound(keyA, keyB)
			r.ban(keyB)
			before := r.Counts()
			f, d := r.send(c.from, request(t, c.target, c.header...))
			f.done()
			wantReason(t, c.name, d.Refused, c.want)
			if (d.Detail == "") != d.Passes() {
				t.Errorf("got detail %q with %q", d.Detail, d.Refused)
			}
			if strings.Contains(d.Detail, keyA) || strings.Contains(d.Detail, "192.0.2") {
				t.Errorf("the client is told %q", d.Detail)
			}
			for name, n := range r.Counts() {
				if n-before[name] != c.counts[name] {
					t.Errorf("count of %s: got %d, want %d", name, n-before[name], c.counts[name])
				}
			}
		})
	}
}

// TestOrderOfChecks sends requests with several faults: the first check that
// fails is the one that the client is told.
func TestOrderOfChecks(t *testing.T) {
	repeated := []string{bearer(keyA), bearer(keyB)}
	cases := []struct {
		name   string
		from   string
		target string
		header []string
		want   engine.Reason
	}{
		{"keys before the client IP", trustedAt, "/pg/x", repeated, engine.InvalidCredential},
		{"client IP before the path", trustedAt, "/pg/x", []string{bearer(keyA)}, engine.InvalidClientIP},
		{"path before the binding", elsewhere, "/pg/x", []string{bearer(keyA)}, engine.DashboardRefused},
		{"path before the lack of a key", elsewhere, "/pg/x", nil, engine.DashboardRefused},
		{"ban before the rule", elsewhere, pathChat, []string{bearer(keyB)}, engine.KeyBanned},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, dashboards, rejecting).bound(keyA, keyB)
			r.ban(keyB)
			wantReason(t, c.name, r.serve(c.from, request(t, c.target, c.header...), true), c.want)
		})
	}
	t.Run("rate limit before everything", func(t *testing.T) {
		r := newRig(t, limited(1))
		wantReason(t, "first", r.serve(atHome, request(t, pathChat, repeated...), true), engine.InvalidCredential)
		wantReason(t, "second", r.serve(atHome, request(t, pathChat, repeated...), true), engine.RateLimited)
	})
}

func TestRateLimit(t *testing.T) {
	clock := time.Unix(1_700_000_000, 0)
	r := newRig(t, limited(1), at(clock))
	anonymous := request(t, pathChat)
	if f, d := r.send(atHome, anonymous); !d.Passes() {
		t.Errorf("first: got %+v", d)
	} else {
		f.done()
	}
	f, d := r.send(atHome, anonymous)
	f.done()
	if d.Refused != engine.RateLimited || d.RetryAfter != time.Minute {
		t.Errorf("second: got %+v, want it limited for a minute", d)
	}
	wantReason(t, "another address", r.serve(elsewhere, anonymous, true), "")

	// Without a client IP, the peer's own address counts.
	broken := request(t, pathChat, "X-Real-IP: nowhere")
	wantReason(t, "unreadable, first", r.serve(trustedAt, broken, true), engine.InvalidClientIP)
	wantReason(t, "unreadable, second", r.serve(trustedAt, broken, true), engine.RateLimited)
	named := request(t, pathChat, "X-Real-IP: 203.0.113.9")
	wantReason(t, "readable, by the same peer", r.serve(trustedAt, named, true), "")
	r.wantCounts(map[string]uint64{"anonymous": 3, "rate_limited": 2, "invalid_client_ip": 1})
}

// TestClientIPIsTheHeaders sees that a binding is to who is behind the proxy.
func TestClientIPIsTheHeaders(t *testing.T) {
	r := newRig(t)
	through := func(ip string) *http.Request { return request(t, pathChat, bearer(keyA), "X-Real-IP: "+ip) }
	wantReason(t, "first use", r.serve(trustedAt, through("203.0.113.9"), true), "")
	if got := r.boundTo(keyA); got != "203.0.113.9/32" {
		t.Errorf("bound to %q", got)
	}
	wantReason(t, "somebody else behind the proxy", r.serve(trustedAt, through("203.0.113.10"), true), engine.IPNotAllowed)
	wantReason(t, "a claim without the proxy", r.serve(elsewhere, through("203.0.113.9"), true), engine.IPNotAllowed)
}

func TestInvalidClientIPIsLoggedWithItsCause(t *testing.T) {
	r := newRig(t)
	for range 3 {
		f, d := r.send(trustedAt, request(t, pathChat, bearer(keyA)))
		if strings.Contains(d.Detail, "10.0.0.1") {
			t.Errorf("the client is told %q", d.Detail)
		}
		f.done()
	}
	if log := r.log.String(); strings.Count(log, "10.0.0.1") != 1 || strings.Count(log, "client IP cannot be told") != 1 {
		t.Errorf("got log %q, want one line that names the proxy", log)
	}
}

func TestSeveralKeys(t *testing.T) {
	mj := func(key string) string { return "Mj-Api-Secret: " + key }
	goog := func(key string) string { return "X-Goog-Api-Key: " + key }
	cases := []struct {
		name   string
		from   string
		header []string
		want   engine.Reason
		bound  string // to what keyC is bound afterwards
	}{
		{"two bound ones from home", atHome, []string{bearer(keyA), mj(keyB)}, "", ""},
		{"two bound ones from elsewhere", elsewhere, []string{bearer(keyA), mj(keyB)}, engine.IPNotAllowed, ""},
		{"a decoy of one's own before a stolen key", elsewhere, []string{bearer(keyC), mj(keyA)}, engine.IPNotAllowed, ""},
		{"a decoy of one's own behind a stolen key", elsewhere, []string{bearer(keyA), mj(keyC)}, engine.IPNotAllowed, ""},
		{"bound first, unknown behind", atHome, []string{bearer(keyA), goog(keyC)}, "", ""},
		{"unknown first, bound behind", atHome, []string{bearer(keyC), goog(keyA)}, "", "192.0.2.1/32"},
		{"unknown, where the downstream reads another", elsewhere, []string{"Authorization: Bearer sk-xxx", mj(keyC)}, "", ""},
		{"unknown, behind a dummy that some versions read", elsewhere, []string{"Sec-WebSocket-Protocol: xxx", bearer(keyC)}, "", "198.51.100.7/32"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t).bound(keyA, keyB)
			wantReason(t, c.name, r.serve(c.from, request(t, pathChat, c.header...), true), c.want)
			if got := r.boundTo(keyC); got != c.bound {
				t.Errorf("the unknown key is bound to %q, want %q", got, c.bound)
			}
			if c.bound != "" && r.boundTo("xxx") != "" {
				t.Error("the dummy was bound as well")
			}
		})
	}
}

// manyHeader carries n distinct keys, in the parts of one header.
func manyHeader(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, "openai-insecure-api-key."+strings.Repeat(fmt.Sprintf("k%03d", i), 12))
	}
	return "Sec-WebSocket-Protocol: " + strings.Join(parts, ", ")
}

func TestMostKeys(t *testing.T) {
	last := strings.Repeat(fmt.Sprintf("k%03d", credential.MaxKeys-1), 12)
	r := newRig(t).bound(last)
	wantReason(t, "16 keys from home", r.serve(atHome, request(t, pathPublic, manyHeader(credential.MaxKeys)), true), "")
	wantReason(t, "16 keys from elsewhere", r.serve(elsewhere, request(t, pathPublic, manyHeader(credential.MaxKeys)), true), engine.IPNotAllowed)
	wantReason(t, "17 keys", r.serve(atHome, request(t, pathPublic, manyHeader(credential.MaxKeys+1)), true), engine.InvalidCredential)

	// All 16 are found by a change.
	f := r.open(atHome, request(t, pathChat, manyHeader(credential.MaxKeys)))
	r.ban(last)
	if d, cut := f.Cut(); !cut || d.Refused != engine.KeyBanned || !f.wasCancelled() {
		t.Errorf("got %+v, %v", d, cut)
	}
	f.done()
	if n, err := r.store.CountBindings(context.Background()); err != nil || n != 1 {
		t.Errorf("got %d bindings, %v", n, err)
	}
}

// TestAmbiguousIsStripped sends two keys of which versions of the downstream
// use different ones: what goes on has one reading.
func TestAmbiguousIsStripped(t *testing.T) {
	ambiguous := func() *http.Request { return request(t, pathChat, bearer(keyA), "X-Goog-Api-Key: "+keyB) }
	t.Run("enforce", func(t *testing.T) {
		r, req := newRig(t), ambiguous()
		wantReason(t, "first use", r.serve(atHome, req, true), "")
		if len(req.Header["Authorization"]) != 1 || len(req.Header["X-Goog-Api-Key"]) != 0 {
			t.Errorf("sent %v, want the Authorization alone", req.Header)
		}
		if a, b := r.boundTo(keyA), r.boundTo(keyB); a == "" || b != "" {
			t.Errorf("bound to %q and %q, want the first alone", a, b)
		}
	})
	t.Run("observe", func(t *testing.T) {
		r, req := newRig(t, observing), ambiguous()
		wantReason(t, "first use", r.serve(atHome, req, true), "")
		if len(req.Header["Authorization"]) != 1 || len(req.Header["X-Goog-Api-Key"]) != 1 {
			t.Errorf("sent %v, want all of it", req.Header)
		}
		if b := r.boundTo(keyB); b != "" {
			t.Errorf("the other key is bound to %q", b)
		}
	})
	t.Run("both bound", func(t *testing.T) {
		r, req := newRig(t).bound(keyA, keyB), ambiguous()
		wantReason(t, "later use", r.serve(atHome, req, true), "")
		if len(req.Header) != 2 {
			t.Errorf("sent %v, want all of it", req.Header)
		}
	})
}

func TestDashboardToken(t *testing.T) {
	token := strings.Repeat("tK9_", 8)
	login := func() *http.Request { return request(t, "/api/user/self", "Authorization: Bearer "+token) }
	r := newRig(t, dashboards)
	f := r.open(atHome, login())
	if !f.Pending() || !f.NeedsSuccessField() {
		t.Errorf("pending %v, needs success field %v, want both", f.Pending(), f.NeedsSuccessField())
	}
	wantReason(t, "answer", f.accept(true).Refused, "")
	f.done()
	wantReason(t, "from elsewhere", r.serve(elsewhere, login(), true), engine.IPNotAllowed)
	wantReason(t, "from home", r.serve(atHome, login(), true), "")
}

func TestNeedsSuccessField(t *testing.T) {
	r := newRig(t)
	f := r.open(atHome, request(t, "/api/log/token", bearer(keyA)))
	if !f.Pending() || !f.NeedsSuccessField() {
		t.Errorf("pending %v, needs success field %v, want both", f.Pending(), f.NeedsSuccessField())
	}
	wantReason(t, "answer", f.accept(true).Refused, "")
	if f.NeedsSuccessField() {
		t.Error("still needs the field after the answer")
	}
	f.done()
	f = r.open(atHome, request(t, "/api/log/token", bearer(keyA)))
	if f.Pending() || f.NeedsSuccessField() {
		t.Error("a bound key needs the field")
	}
	f.done()
	f = r.open(atHome, request(t, pathChat, bearer(keyB)))
	if !f.Pending() || f.NeedsSuccessField() {
		t.Error("another path needs the field")
	}
	f.done()
}

func TestUnnamedProxyIsWarnedOfOnce(t *testing.T) {
	r := newRig(t)
	for n := range 20 {
		key := strings.Repeat(fmt.Sprintf("u%03d", n), 12)
		_ = r.serve("192.168.7.7:40000", request(t, pathChat, bearer(key), "X-Forwarded-For: 203.0.113.9"), true)
		_ = r.serve(trustedAt, request(t, pathChat, bearer(key), "X-Real-IP: 192.168.7.7", "X-Forwarded-For: 203.0.113.9"), true)
	}
	log := r.log.String()
	if n := strings.Count(log, "setting=TRUSTED_PROXY_IPS"); n != 1 {
		t.Errorf("got %d warnings, want 1", n)
	}
	if !strings.Contains(log, "peer=192.168.7.7") || !strings.Contains(log, "level=WARN") {
		t.Errorf("got log %q", log)
	}
}

func TestRequestIDs(t *testing.T) {
	r := newRig(t)
	seen := map[string]bool{}
	x := new(engine.Exchange)
	for range 100 {
		r.Arrive(x, request(t, "/"), r.Peer(atHome), func() {})
		seen[x.RequestID()] = true
		r.Done(x)
	}
	if len(seen) != 100 {
		t.Errorf("got %d different IDs of 100 requests", len(seen))
	}
}

func TestExchangeIsUsedAgain(t *testing.T) {
	r := newRig(t).bound(keyA)
	x := new(engine.Exchange)
	run := func(from string, req *http.Request) engine.Decision {
		d := r.Arrive(x, req, r.Peer(from), func() {})
		if d.Passes() {
			d = r.Admit(req.Context(), x, req.URL.Path)
		}
		return d
	}
	wantReason(t, "first", run(atHome, request(t, pathChat, bearer(keyA))).Refused, "")
	r.ban(keyA)
	r.Done(x)
	if x.HasKeys() {
		t.Error("has keys after its end")
	}
	wantReason(t, "second", run(atHome, request(t, "/")).Refused, "")
	if d, cut := x.Cut(); cut || x.HasKeys() || x.Pending() || x.Answered() || x.Observed != "" {
		t.Errorf("the earlier request shows: %+v", d)
	}
	r.Done(x)
}
