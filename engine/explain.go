package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Explanation says what would become of a request with a key from an address now,
// and why.
type Explanation struct {
	Passes  bool
	Refused Reason      // if it does not pass
	Basis   store.Basis // what the answer rests on; zero if the key has no binding and nothing speaks against it
	// Observed is set if it would be refused, were Sentinel not only observing.
	Observed bool

	Bound   bool
	Binding store.Binding // if it is bound
	// Learns is set if the rule would take the address, once the downstream has
	// accepted the key.
	Learns bool
	// Prefix is what a first use would bind the key to, or its rule would learn.
	Prefix netip.Prefix
	// Rule is the one that a first use would give the key.
	Rule store.Rule
	// Held is why a first use would bind nothing.
	Held string
	// Missing are networks that the rule names and that do not exist.
	Missing []string
}

// Explain says what would become of a request, and why. It changes nothing.
func (e *Engine) Explain(ctx context.Context, hash store.KeyHash, hint string, ip netip.Addr) (Explanation, error) {
	b, err := e.store.Binding(ctx, hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Explanation{}, fmt.Errorf("explain: %w", err)
	}
	var x Explanation
	if err != nil {
		x = e.explainFirstUse(hint, ip)
	} else if x, err = e.explainBound(b, ip); err != nil {
		return x, fmt.Errorf("explain: %w", err)
	}
	if x.Refused != "" && e.policy.Load().Mode == ModeObserve {
		x.Observed, x.Passes = true, true
	}
	return x, nil
}

func (e *Engine) explainFirstUse(hint string, ip netip.Addr) Explanation {
	policy := e.policy.Load()
	if p, blocked := e.blocked.Find(ip); blocked {
		return Explanation{Refused: NetworkBlocked, Basis: store.Basis{Kind: store.BasisBlocked, Name: p.String()}}
	}
	x := Explanation{Passes: true, Held: e.heldFirstUse(policy, ip)}
	if x.Held != "" && policy.Guard == GuardRefuse {
		x.Passes, x.Refused = false, FirstUseHeld
	}
	if p, err := bindingPrefix(policy, ip); err == nil && x.Held == "" {
		rule, done := e.ruleOfFirstUse(policy, hint, p, store.StoredTime(e.now()))
		done()
		x.Prefix, x.Rule = p, rule
	}
	return x
}

func (e *Engine) explainBound(b store.Binding, ip netip.Addr) (Explanation, error) {
	x := Explanation{Bound: true, Binding: b}
	entry, err := e.cache.NewEntry(b)
	if err != nil {
		return x, err
	}
	for _, name := range b.Rule.Networks {
		if _, err := e.networks.Get(name); err != nil {
			x.Missing = append(x.Missing, name)
		}
	}
	v := e.judge(entry, ip)
	x.Passes, x.Refused, x.Basis, x.Learns = v.refused == "", v.refused, v.basis, v.learns
	switch id, excepted := e.exceptions.Allows(b.Hash, ip); {
	case v.learns:
		policy := e.policy.Load()
		x.Basis = store.Basis{Kind: store.BasisRule, Name: string(store.RuleLearn)}
		x.Held = e.heldFirstUse(policy, ip)
		if x.Held != "" && policy.Guard == GuardRefuse {
			x.Passes, x.Refused = false, FirstUseHeld
		}
		x.Prefix, err = bindingPrefix(policy, ip)
	case x.Passes && excepted && (!entry.Covers(ip) || e.blocked.Blocks(ip)):
		x.Basis = store.Basis{Kind: store.BasisException, Name: id}
	case x.Passes:
		x.Basis = entry.Basis(ip)
	}
	return x, err
}
