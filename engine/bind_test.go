package engine_test

import (
	"context"
	"net/http"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

func TestFirstUse(t *testing.T) {
	clock := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	r := newRig(t, at(clock))
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	if !f.Pending() || f.Answered() || !f.HasKeys() {
		t.Errorf("pending %v, answered %v, want a binding to come", f.Pending(), f.Answered())
	}
	if got := r.boundTo(keyA); got != "" {
		t.Errorf("bound to %q before the answer", got)
	}
	wantReason(t, "answer", f.accept(true).Refused, "")
	if f.Pending() || !f.Answered() {
		t.Errorf("pending %v, answered %v, want the answer to pass", f.Pending(), f.Answered())
	}
	b, err := r.store.Store.Binding(t.Context(), r.hash(keyA)) // before the end of the exchange
	if err != nil {
		t.Fatal(err)
	}
	f.done()
	at := clock.Truncate(time.Millisecond)
	_, hint, err := r.keys.HashKey(keyA)
	if err != nil || b.Hint != hint || b.Status != store.StatusActive || b.FirstIP != netip.MustParseAddr("192.0.2.1") || b.CreatedAt != at || b.UpdatedAt != at {
		t.Errorf("got %+v", b)
	}
	wantReason(t, "the same address", r.use(atHome, keyA), "")
	wantReason(t, "another one", r.use(elsewhere, keyA), engine.IPNotAllowed)
	r.wantCounts(map[string]uint64{"allowed": 2, "bound": 1, "intercepted": 1})
}

func TestNothingIsBound(t *testing.T) {
	cases := []struct {
		name     string
		setup    func(*setup)
		method   string
		target   string
		accepted bool
	}{
		{"by an answer that is no success", nil, http.MethodPost, pathChat, false},
		{"on a path that checks no keys", nil, http.MethodPost, pathPublic, true},
		{"by CORS", nil, http.MethodOptions, pathChat, true},
		{"on a path that checks no keys, before the answer", onRequest, http.MethodPost, pathPublic, true},
		{"by CORS, before the answer", onRequest, http.MethodOptions, pathChat, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			setups := []func(*setup){}
			if c.setup != nil {
				setups = append(setups, c.setup)
			}
			r := newRig(t, setups...)
			req := request(t, c.target, bearer(keyA))
			req.Method = c.method
			wantReason(t, c.name, r.serve(atHome, req, c.accepted), "")
			if got := r.boundTo(keyA); got != "" {
				t.Errorf("bound to %q", got)
			}
			wantReason(t, "first use", r.use(elsewhere, keyA), "")
			if got := r.boundTo(keyA); got != "198.51.100.7/32" {
				t.Errorf("bound to %q", got)
			}
			r.wantCounts(map[string]uint64{"allowed": 2, "unbound": 1, "bound": 1})
		})
	}
}

func TestBindOnRequest(t *testing.T) {
	r := newRig(t, onRequest)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	if f.Pending() || r.boundTo(keyA) != "192.0.2.1/32" {
		t.Errorf("pending %v, bound to %q, want it bound before the answer", f.Pending(), r.boundTo(keyA))
	}
	wantReason(t, "answer", f.accept(false).Refused, "")
	f.done()
	wantReason(t, "another address", r.use(elsewhere, keyA), engine.IPNotAllowed)
	// A path where the answer's body decides binds all the same.
	wantReason(t, "log", r.serve(atHome, request(t, "/api/log/token", bearer(keyB)), true), "")
	if got := r.boundTo(keyB); got != "192.0.2.1/32" {
		t.Errorf("bound to %q", got)
	}
	r.wantCounts(map[string]uint64{"allowed": 2, "bound": 2, "intercepted": 1})
}

// TestLostRace lets two addresses use a new key at once.
func TestLostRace(t *testing.T) {
	t.Run("the loser is cut before its answer", func(t *testing.T) {
		r := newRig(t)
		winner, loser := r.open(atHome, request(t, pathChat, bearer(keyA))), r.open(elsewhere, request(t, pathChat, bearer(keyA)))
		wantReason(t, "winner", winner.accept(true).Refused, "")
		if !loser.wasCancelled() || winner.wasCancelled() {
			t.Errorf("loser cancelled: %v, winner: %v", loser.wasCancelled(), winner.wasCancelled())
		}
		wantReason(t, "loser", loser.accept(true).Refused, engine.IPNotAllowed)
		if loser.Answered() {
			t.Error("the loser's answer passes")
		}
		winner.done()
		loser.done()
		if got := r.reasons(); got != "lost_race" {
			t.Errorf("recorded %q", got)
		}
	})
	t.Run("the loser finds the binding of another node", func(t *testing.T) {
		r := newRig(t)
		loser := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
		bindElsewhere(t, r, keyA)
		wantReason(t, "loser", loser.accept(true).Refused, engine.IPNotAllowed)
		if loser.Answered() {
			t.Error("the loser's answer passes")
		}
		loser.done()
		if got := r.reasons(); got != "lost_race" {
			t.Errorf("recorded %q", got)
		}
	})
	t.Run("before the answer", func(t *testing.T) {
		r := newRig(t, onRequest)
		// The look-up still misses; the binding is there when it comes to bind.
		r.store.set(func(s *faultyStore) {
			s.bind = func(store.KeyHash) error { bindElsewhere(t, r, keyA); return nil }
		})
		_, d := r.send(elsewhere, request(t, pathChat, bearer(keyA)))
		wantReason(t, "loser", d.Refused, engine.IPNotAllowed)
		if got := r.reasons(); got != "lost_race" {
			t.Errorf("recorded %q", got)
		}
	})
	t.Run("from one address both win", func(t *testing.T) {
		r := newRig(t)
		one, two := r.open(atHome, request(t, pathChat, bearer(keyA))), r.open(atHome, request(t, pathChat, bearer(keyA)))
		wantReason(t, "one", one.accept(true).Refused, "")
		wantReason(t, "two", two.accept(true).Refused, "")
		one.done()
		two.done()
		r.wantCounts(map[string]uint64{"allowed": 2, "bound": 1})
	})
	t.Run("an answer that was no success is cut as well", func(t *testing.T) {
		r := newRig(t)
		winner, other := r.open(atHome, request(t, pathChat, bearer(keyA))), r.open(elsewhere, request(t, pathChat, bearer(keyA)))
		wantReason(t, "other", other.accept(false).Refused, "")
		wantReason(t, "winner", winner.accept(true).Refused, "")
		if d, cut := other.Cut(); !cut || d.Refused != engine.IPNotAllowed {
			t.Errorf("got %+v, %v", d, cut)
		}
		winner.done()
		other.done()
		if got := r.reasons(); got != "stream_cut" {
			t.Errorf("recorded %q", got)
		}
	})
}

// bindElsewhere stores a binding to home as another node would.
func bindElsewhere(t *testing.T, r *rig, key string) {
	t.Helper()
	_, created, err := r.store.Store.Bind(context.Background(), store.Binding{
		Hash: r.hash(key), Status: store.StatusActive, Rule: single("192.0.2.1/32"),
	})
	if err != nil || !created {
		t.Fatalf("bind: created %v, %v", created, err)
	}
}

// TestUnboundInBetween has another node unbind a key between its binding and its
// judging.
func TestUnboundInBetween(t *testing.T) {
	r := newRig(t)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	var hash store.KeyHash
	r.store.set(func(s *faultyStore) {
		s.bind = func(store.KeyHash) error {
			r.FollowAll()
			return nil
		}
		s.binding = func(h store.KeyHash) error {
			hash = h
			return store.ErrNotFound
		}
	})
	wantReason(t, "answer", f.accept(true).Refused, "")
	if hash != r.hash(keyA) {
		t.Error("the binding was not looked up")
	}
	f.done()
}

// TestClientGoneWhileBinding sees that breaking off does not keep a used key
// unbound.
func TestClientGoneWhileBinding(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	f := r.open(atHome, request(t, pathChat, bearer(keyA)).WithContext(ctx))
	cancel()
	if d := r.Accept(ctx, &f.Exchange, true); !d.Passes() {
		t.Errorf("got %+v", d)
	}
	f.done()
	if got := r.boundTo(keyA); got != "192.0.2.1/32" {
		t.Errorf("bound to %q", got)
	}
}

func TestBindingCoversPrefix(t *testing.T) {
	cases := []struct {
		from   string
		change func(*engine.Policy)
		want   string
		covers string // what must pass afterwards
	}{
		{"192.0.2.1:1", nil, "192.0.2.1/32", "192.0.2.1:2"},
		{"192.0.2.1:1", func(p *engine.Policy) { p.PrefixV4 = 24 }, "192.0.2.0/24", "192.0.2.200:1"},
		{"[::ffff:192.0.2.1]:1", nil, "192.0.2.1/32", "192.0.2.1:1"},
		{"[2001:db8:1:2:3:4:5:6]:1", nil, "2001:db8:1:2::/64", "[2001:db8:1:2::9]:1"},
		{"[2001:db8:1:2:3:4:5:6]:1", func(p *engine.Policy) { p.PrefixV6 = 48 }, "2001:db8:1::/48", "[2001:db8:1:ffff::]:1"},
		{"[fe80::1%eth0]:1", nil, "fe80::/64", "[fe80::2%eth1]:1"},
		{"[64:ff9b::c000:201]:1", nil, "64:ff9b::c000:201/128", "[64:ff9b::c000:201]:2"},
	}
	for _, c := range cases {
		t.Run(c.from+" to "+c.want, func(t *testing.T) {
			p := engine.DefaultPolicy()
			if c.change != nil {
				c.change(&p)
			}
			r := newRig(t, policy(func(q *engine.Policy) { *q = p }))
			wantReason(t, "first use", r.use(c.from, keyA), "")
			if got := r.boundTo(keyA); got != c.want {
				t.Errorf("bound to %q, want %q", got, c.want)
			}
			wantReason(t, "use from "+c.covers, r.use(c.covers, keyA), "")
			wantReason(t, "use from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
		})
	}
}

func TestGenericProfileBindsOnItsPaths(t *testing.T) {
	locations, err := credential.ParseLocations("header:X-Token")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(s *setup) {
		s.keys = credential.Options{Profile: credential.ProfileGeneric, Secret: secret, Locations: locations, BindPaths: []string{"/api/"}}
	})
	for target, want := range map[string]string{"/public": "", "/api/x": "192.0.2.1/32"} {
		wantReason(t, target, r.serve(atHome, request(t, target, "X-Token: "+keyA), true), "")
		if got := r.boundTo(keyA); got != want {
			t.Errorf("after %s: bound to %q, want %q", target, got, want)
		}
		if want != "" {
			if _, err := r.Unbind(t.Context(), r.hash(keyA), 0); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSetPolicy(t *testing.T) {
	r := newRig(t)
	bad := r.Policy()
	bad.Mode, bad.PrefixV4 = "sometimes", 33
	if err := r.SetPolicy(bad); err == nil {
		t.Error("an invalid policy was taken")
	}
	if !reflect.DeepEqual(r.Policy(), engine.DefaultPolicy()) {
		t.Errorf("an invalid policy left %+v", r.Policy())
	}
	_ = r.bound(keyA)
	wantReason(t, "enforced", r.use(elsewhere, keyA), engine.IPNotAllowed)
	p := r.Policy()
	p.Mode, p.PrefixV4 = engine.ModeObserve, 16
	if err := r.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	wantReason(t, "observed", r.use(elsewhere, keyA), "")
	wantReason(t, "first use", r.use(elsewhere, keyB), "")
	if got := r.boundTo(keyB); got != "198.51.0.0/16" {
		t.Errorf("bound to %q", got)
	}
}

func TestPolicyValidate(t *testing.T) {
	for name, change := range map[string]func(*engine.Policy){
		"mode":      func(p *engine.Policy) { p.Mode = "" },
		"failsafe":  func(p *engine.Policy) { p.Failsafe = "ajar" },
		"bind on":   func(p *engine.Policy) { p.BindOn = "never" },
		"anonymous": func(p *engine.Policy) { p.Anonymous = "PASS" },
		"v4 of 0":   func(p *engine.Policy) { p.PrefixV4 = 0 },
		"v4 of 33":  func(p *engine.Policy) { p.PrefixV4 = 33 },
		"v6 of 0":   func(p *engine.Policy) { p.PrefixV6 = 0 },
		"v6 of 129": func(p *engine.Policy) { p.PrefixV6 = 129 },
	} {
		p := engine.DefaultPolicy()
		change(&p)
		if p.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
