package engine

import (
	"context"
	"errors"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// bindTimeout bounds a binding: the answer of the downstream waits for it.
	bindTimeout = 10 * time.Second
	// storeRetryAfter is what clients are told while the store is away.
	storeRetryAfter = 5 * time.Second
)

// Accept is called when the head of the downstream's answer is there, before
// any of it goes to the client; accepted says whether it proves that the key
// was accepted. If the decision refuses, the answer must not be passed on.
func (e *Engine) Accept(ctx context.Context, x *Exchange, accepted bool) Decision {
	if d, cut := x.Cut(); cut {
		return d
	}
	if x.pending {
		if !accepted {
			e.usage.count(CountUnbound)
		} else if d := e.bind(ctx, e.policy.Load(), x); !d.Passes() {
			x.admitted = false
			return d
		}
		x.pending = false
	}
	e.downstream.answered()
	x.answered.Store(true)
	// Either this sees a cut that came meanwhile, or the cut sees the answer.
	if d, cut := x.Cut(); cut {
		x.answered.Store(false)
		return d
	}
	if x.admitted {
		x.counted = true
		e.usage.count(CountAllowed)
	}
	return Decision{}
}

// KeyRefused notes that the downstream refused the unknown key of an exchange,
// as it does with invented ones. Call it before Accept.
func (e *Engine) KeyRefused(x *Exchange) {
	if x.pending {
		e.watcher.UnknownKey(x.ClientIP)
	}
}

// bind makes the primary key the client IP's, durably, or finds that another
// address was first.
func (e *Engine) bind(ctx context.Context, policy *Policy, x *Exchange) Decision {
	// On a goroutine of its own, since writing and logging take a deep stack:
	// the one that serves the request would keep it while the answer streams.
	decided := make(chan Decision)
	go func() {
		d := refuse(StoreUnavailable)
		defer func() {
			if v := recover(); v != nil { // as net/http does for the request's own
				e.logger.Error("binding panicked", "panic", v, "stack", string(debug.Stack()))
			}
			decided <- d
		}()
		d = e.bindNow(ctx, policy, x)
	}()
	d := <-decided
	if d.Passes() && x.degraded {
		e.usage.count(CountFailsafeOpen)
	}
	return d
}

func (e *Engine) bindNow(ctx context.Context, policy *Policy, x *Exchange) Decision {
	// Threat: who breaks the connection off at the right moment has used the
	// key and leaves it unbound. Answer: the client's going does not end this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bindTimeout)
	defer cancel()
	if x.held != "" {
		e.tellHeld(x)
		return Decision{}
	}
	primary := x.keys.Primary()
	hash := x.keys.Hash(primary)
	prefix, err := bindingPrefix(policy, x.ClientIP)
	if err != nil {
		e.storeFailed("cut client IP to a prefix", err)
		return refuse(InvalidClientIP)
	}
	if x.learning {
		return e.learn(ctx, policy, x, prefix)
	}
	if e.triesOlder() {
		if entry, err := e.findOlder(ctx, x, primary); err != nil {
			return e.failsafe(policy, x, "look up key", err)
		} else if entry != nil { // an older binding has come meanwhile
			return e.judgeBound(ctx, policy, x, primary)
		}
		e.moveArchived(ctx, x, primary)
	}
	now := store.StoredTime(e.now())
	b := store.Binding{
		Hash: hash, Hint: x.keys.Hint(primary), Status: store.StatusActive,
		FirstIP: x.ClientIP, CreatedAt: now, UpdatedAt: now, HashedWith: e.credentials.HashedWith(),
	}
	rule, done := e.ruleOfFirstUse(policy, b.Hint, prefix, now)
	defer done()
	b.Rule = rule
	created := false
	err = e.cache.Replace(hash, func() (store.Binding, error) {
		var err error
		b, created, err = e.store.Bind(ctx, b)
		return b, err
	})
	if err != nil {
		return e.failsafe(policy, x, "bind key", err)
	}
	if created {
		e.usage.count(CountBound)
		e.logger.Info("key bound", "hint", b.Hint, "prefix", prefix, "client_ip", x.ClientIP, "request_id", x.RequestID())
		e.reexamine(b)
		e.tellBound(b)
		e.countFirstUse(policy, x.ClientIP)
	} else if learns(b, now) {
		return e.learn(ctx, policy, x, prefix) // another address was faster, and its rule learns
	}
	return e.judgeBound(ctx, policy, x, primary)
}

// learn adds the client IP's prefix to the rule of the primary key, durably, or
// finds that the rule takes no more.
func (e *Engine) learn(ctx context.Context, policy *Policy, x *Exchange, prefix netip.Prefix) Decision {
	primary := x.keys.Primary()
	now := store.StoredTime(e.now())
	learned := false
	apply := func(b *store.Binding) {
		learned = learns(*b, now) && !slices.Contains(b.Rule.Prefixes, prefix)
		if !learned {
			return
		}
		b.Rule = b.Rule.Clone()
		b.Rule.Prefixes = append(b.Rule.Prefixes, prefix)
		if b.Rule.Learn.Until.IsZero() {
			b.Rule.Learn.Until = now.Add(b.Rule.Learn.Within)
		}
	}
	_, after, err := e.change(ctx, "learn network", x.hash(primary), 0, apply)
	if errors.Is(err, store.ErrNotFound) && x.older(primary) >= 0 { // moved meanwhile
		x.forgetOlder(primary)
		_, after, err = e.change(ctx, "learn network", x.hash(primary), 0, apply)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Decision{} // unbound by an administrator meanwhile
	case err != nil:
		return e.failsafe(policy, x, "learn network", err)
	case learned:
		e.usage.count(CountLearned)
		e.logger.Info("rule learned a network", "hint", after.Hint, "prefix", prefix, "client_ip", x.ClientIP,
			"prefixes", len(after.Rule.Prefixes), "of", after.Rule.Learn.Limit, "request_id", x.RequestID())
		e.tellBinding(event.Learned, after)
	}
	return e.judgeBound(ctx, policy, x, primary)
}

// learns reports whether the rule of a binding takes another prefix.
func learns(b store.Binding, now time.Time) bool {
	return b.Status == store.StatusActive && b.Rule.Learns(now)
}

// judgeBound judges a key that has just been bound, by this exchange or by a
// faster one.
func (e *Engine) judgeBound(ctx context.Context, policy *Policy, x *Exchange, i int) Decision {
	entry, err := e.entryOf(ctx, x, i)
	if err != nil {
		return e.failsafe(policy, x, "look up key", err)
	}
	if entry == nil {
		return Decision{} // unbound again by an administrator meanwhile
	}
	v := e.judge(entry, x.ClientIP)
	if v.learns {
		v = refusedByRule(entry, x.ClientIP) // the rule was changed meanwhile
	}
	if v.refused == "" {
		e.usage.touch(entry, x.ClientIP)
		e.moveLater(x, i)
		return Decision{}
	}
	reason := interceptReason(v.refused)
	if v.refused == IPNotAllowed {
		reason = store.ReasonLostRace
	}
	e.intercept(x, i, entry, reason, v.basis, policy.Mode == ModeObserve)
	if policy.Mode == ModeObserve {
		x.Observed = v.refused
		return Decision{}
	}
	return refuse(v.refused)
}

// BindingPrefix is what a first use from ip binds its key to now.
func (e *Engine) BindingPrefix(ip netip.Addr) (netip.Prefix, error) {
	return bindingPrefix(e.policy.Load(), ip)
}

// bindingPrefix is what a first use from ip binds its key to.
func bindingPrefix(policy *Policy, ip netip.Addr) (netip.Prefix, error) {
	switch {
	case ip.Is4():
		return ip.Prefix(policy.PrefixV4)
	case store.NAT64.Contains(ip):
		return ip.Prefix(ip.BitLen())
	default:
		return ip.Prefix(policy.PrefixV6)
	}
}
