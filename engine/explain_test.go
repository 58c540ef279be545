package engine_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// TestExplainAgreesWithDecisions asks what would happen, and then lets it happen.
func TestExplainAgreesWithDecisions(t *testing.T) {
	const blockedFrom, proxyFrom = "203.0.113.9:1", "10.0.0.9:1"
	r := newRig(t, policy(func(p *engine.Policy) { p.Guard = engine.GuardRefuse }),
		func(s *setup) { s.ip.Trusted = nil; s.Gateways = []netip.Addr{netip.MustParseAddr("10.0.0.9")} })
	r.putNetwork("office", "198.51.100.0/24")
	keys := manyKeys(6)
	ruled, named, excepted, banned, learns, unknown := keys[0], keys[1], keys[2], keys[3], keys[4], keys[5]
	_ = r.bound(ruled, named, excepted, banned, learns)
	r.setRule(named, naming("office"))
	r.setRule(learns, learning(3, time.Hour, "192.0.2.1/32"))
	x := r.except(excepted, "198.51.100.7/32", time.Now().Add(time.Hour))
	r.ban(banned)
	r.block("203.0.113.0/24")
	rule := func(kind string) store.Basis { return store.Basis{Kind: store.BasisRule, Name: kind} }
	blocked := store.Basis{Kind: store.BasisBlocked, Name: "203.0.113.0/24"}
	for _, c := range []struct {
		key, from string
		refused   engine.Reason
		basis     store.Basis
	}{
		{ruled, atHome, "", rule("single")},
		{ruled, elsewhere, engine.IPNotAllowed, rule("single")},
		{ruled, blockedFrom, engine.NetworkBlocked, blocked},
		{named, elsewhere, "", store.Basis{Kind: store.BasisNetwork, Name: "office"}},
		{named, atHome, engine.IPNotAllowed, rule("multiple")},
		{excepted, elsewhere, "", store.Basis{Kind: store.BasisException, Name: x.ID}},
		{excepted, atHome, "", rule("single")},
		{banned, atHome, engine.KeyBanned, store.Basis{Kind: store.BasisBan}},
		{learns, proxyFrom, engine.FirstUseHeld, rule("learn")},
		{learns, elsewhere, "", rule("learn")},
		{unknown, blockedFrom, engine.NetworkBlocked, blocked},
		{unknown, proxyFrom, engine.FirstUseHeld, store.Basis{}},
		{unknown, elsewhere, "", store.Basis{}},
	} {
		got, err := r.Explain(t.Context(), r.hash(c.key), "sk-00…0000", netip.MustParseAddrPort(c.from).Addr())
		if err != nil {
			t.Fatal(err)
		}
		if got.Refused != c.refused || got.Passes != (c.refused == "") || got.Basis != c.basis {
			t.Errorf("explain %s… from %s: got %+v, want refusal %q by %+v", c.key[44:], c.from, got, c.refused, c.basis)
		}
		if happened := r.use(c.from, c.key); happened != c.refused {
			t.Errorf("%s… from %s: happened %q, want %q", c.key[44:], c.from, happened, c.refused)
		}
	}
}
