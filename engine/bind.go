package engine

import (
	"context"
	"net/netip"
	"runtime/debug"
	"time"

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
	primary := x.keys.Primary()
	hash := x.keys.Hash(primary)
	prefix, err := bindingPrefix(policy, x.ClientIP)
	if err != nil {
		e.storeFailed("cut client IP to a prefix", err)
		return refuse(InvalidClientIP)
	}
	now := e.now().UTC().Truncate(time.Millisecond)
	b := store.Binding{
		Hash: hash, Hint: x.keys.Hint(primary), Status: store.StatusActive,
		Rule:    store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{prefix}},
		FirstIP: x.ClientIP, CreatedAt: now, UpdatedAt: now,
	}
	created := false
	err = e.cache.Change(hash, func() error {
		var err error
		b, created, err = e.store.Bind(ctx, b)
		return err
	})
	if err != nil {
		return e.failsafe(policy, x, "bind key", err)
	}
	if created {
		e.usage.count(CountBound)
		e.logger.Info("key bound", "hint", b.Hint, "prefix", prefix, "client_ip", x.ClientIP, "request_id", x.RequestID())
		e.reexamine(b)
		e.tellBound(b)
	}
	return e.judgeBound(ctx, policy, x, primary)
}

// judgeBound judges a key that has just been bound, by this exchange or by a
// faster one.
func (e *Engine) judgeBound(ctx context.Context, policy *Policy, x *Exchange, i int) Decision {
	entry, err := e.cache.Get(ctx, x.keys.Hash(i))
	if err != nil {
		return e.failsafe(policy, x, "look up key", err)
	}
	if entry == nil {
		return Decision{} // unbound again by an administrator meanwhile
	}
	why := judge(entry, x.ClientIP)
	if why == "" {
		e.usage.touch(entry, x.ClientIP)
		return Decision{}
	}
	reason := interceptReason(why)
	if why == IPNotAllowed {
		reason = store.ReasonLostRace
	}
	e.intercept(x, i, entry, reason, policy.Mode == ModeObserve)
	if policy.Mode == ModeObserve {
		x.Observed = why
		return Decision{}
	}
	return refuse(why)
}

// nat64 holds all of IPv4 behind translators, RFC 6052: one /64 of it would
// cover everybody.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// bindingPrefix is what a first use from ip binds its key to.
func bindingPrefix(policy *Policy, ip netip.Addr) (netip.Prefix, error) {
	switch {
	case ip.Is4():
		return ip.Prefix(policy.PrefixV4)
	case nat64.Contains(ip):
		return ip.Prefix(ip.BitLen())
	default:
		return ip.Prefix(policy.PrefixV6)
	}
}
