package engine_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// listener is a Watcher that remembers.
type listener struct {
	mu     sync.Mutex
	held   []string
	many   []int
	shared []engine.SharedKey
}

func (l *listener) FirstUseHeld(from netip.Addr, _, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, why+" "+from.String())
}

func (l *listener) ManyBindings(_ netip.Addr, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.many = append(l.many, count)
}

func (l *listener) KeyShared(s engine.SharedKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared = append(l.shared, s)
}

func (*listener) Intercept(store.Intercept, uint64) {}
func (*listener) Bound(store.Binding)               {}
func (*listener) UnknownKey(netip.Addr)             {}
func (*listener) StoreHealth(error)                 {}
func (*listener) DownstreamHealth(error)            {}

func listening(l *listener) func(*setup) { return func(s *setup) { s.Watcher = l } }

// TestFirstUseOfAProxyBindsNothing: the header of the trusted proxy names the
// proxy itself, as a wrong setting of it makes it.
func TestFirstUseOfAProxyBindsNothing(t *testing.T) {
	l := new(listener)
	r := newRig(t, listening(l), func(s *setup) { s.Gateways = []netip.Addr{netip.MustParseAddr("172.17.0.1")} })
	for range 2 {
		wantReason(t, "from the proxy", r.serve(trustedAt, request(t, pathChat, bearer(keyA), "X-Real-IP: 10.0.0.9"), true), "")
	}
	wantReason(t, "from the gateway", r.use("172.17.0.1:99", keyB), "")
	wantReason(t, "not accepted", r.serve("172.17.0.1:99", request(t, pathChat, bearer(keyC)), false), "")
	if bound := r.boundTo(keyA) + r.boundTo(keyB); bound != "" {
		t.Errorf("bound to %s", bound)
	}
	if want := []string{"trusted_proxy 10.0.0.9", "trusted_proxy 10.0.0.9", "container_gateway 172.17.0.1"}; !slices.Equal(l.held, want) {
		t.Errorf("told of %q, want %q", l.held, want)
	}
	r.wantCounts(map[string]uint64{"allowed": 4, "first_use_held": 3, "unbound": 1})
	wantReason(t, "from a client", r.serve(trustedAt, request(t, pathChat, bearer(keyA), "X-Real-IP: 192.0.2.1"), true), "")
	if bound := r.boundTo(keyA); bound != "192.0.2.1/32" {
		t.Errorf("bound to %q", bound)
	}
}

func TestFirstUseOfAProxyIsRefusedIfSo(t *testing.T) {
	refusing := policy(func(p *engine.Policy) { p.Guard = engine.GuardRefuse })
	r := newRig(t, refusing)
	fromProxy := func(key string) engine.Reason {
		return r.serve(trustedAt, request(t, pathChat, bearer(key), "X-Real-IP: 10.0.0.9"), true)
	}
	wantReason(t, "unknown key", fromProxy(keyA), engine.FirstUseHeld)
	wantReason(t, "where keys are not checked", r.serve(trustedAt, request(t, pathPublic, bearer(keyA), "X-Real-IP: 10.0.0.9"), true), "")
	_ = r.bound(keyB)
	r.setRule(keyB, store.Rule{Kind: store.RuleAll})
	wantReason(t, "bound key", fromProxy(keyB), "")
	observed := newRig(t, refusing, observing)
	wantReason(t, "observed", observed.serve(trustedAt, request(t, pathChat, bearer(keyA), "X-Real-IP: 10.0.0.9"), true), "")
	if bound := observed.boundTo(keyA); bound != "" {
		t.Errorf("bound to %q", bound)
	}
	off := newRig(t, policy(func(p *engine.Policy) { p.Guard = engine.GuardOff }))
	wantReason(t, "without guard", off.serve(trustedAt, request(t, pathChat, bearer(keyA), "X-Real-IP: 10.0.0.9"), true), "")
	if bound := off.boundTo(keyA); bound != "10.0.0.9/32" {
		t.Errorf("without guard: bound to %q", bound)
	}
}

func TestLearningHeedsTheGuard(t *testing.T) {
	l := new(listener)
	r := newRig(t, listening(l), newRules(t, "learn:3/24h")).bound(keyA)
	wantReason(t, "from the proxy", r.serve(trustedAt, request(t, pathChat, bearer(keyA), "X-Real-IP: 10.0.0.9"), true), "")
	if bound := r.boundTo(keyA); bound != "192.0.2.1/32" || len(l.held) != 1 {
		t.Errorf("bound to %q, told of %q", bound, l.held)
	}
}

func manyKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%048d", i)
	}
	return keys
}

func TestManyFirstUsesFromOneAddress(t *testing.T) {
	keys := manyKeys(6)
	limited := func(hold bool) func(*setup) {
		return policy(func(p *engine.Policy) { p.BurstLimit, p.BurstHold = 4, hold })
	}
	for _, c := range []struct {
		name   string
		hold   bool
		shared bool
		bound  int
		many   []int
		held   int
	}{
		{"told", false, false, 6, []int{5, 6}, 0},
		{"held", true, false, 4, nil, 2},
		{"shared network", true, true, 6, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := new(listener)
			r := newRig(t, listening(l), limited(c.hold))
			n := network.Network{Name: "office", Prefixes: prefixList("192.0.2.0/24"), Shared: c.shared}
			if _, _, err := r.PutNetwork(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			_ = r.bound(keys...)
			bound := 0
			for _, key := range keys {
				if r.boundTo(key) != "" {
					bound++
				}
			}
			if bound != c.bound || !slices.Equal(l.many, c.many) || len(l.held) != c.held {
				t.Errorf("%d bound, told of many: %v, held: %q", bound, l.many, l.held)
			}
		})
	}
}
