package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Arrive begins an exchange: it finds the client IP and holds it against the
// rate limit. The header is read as it came in, before hop-by-hop headers are
// taken out: what a proxy says to Sentinel is meant for this hop. cancel ends
// the exchange from another goroutine; it must not block.
func (e *Engine) Arrive(x *Exchange, r *http.Request, peer clientip.Peer, cancel func()) Decision {
	x.reset()
	x.request, x.peer, x.cancel = r, peer, cancel
	x.id, x.prefix = e.ids.Add(1), e.idPrefix
	x.ClientIP, x.ipErr = e.resolver.Resolve(peer, r.Header)
	if e.limiter == nil {
		return Decision{}
	}
	limited := x.ClientIP
	if x.ipErr != nil {
		limited = peer.Addr
	}
	if ok, after := e.limiter.Allow(limited, e.now()); !ok {
		e.usage.count(CountRateLimited)
		d := refuse(RateLimited)
		d.RetryAfter = after
		return e.carryOut(e.policy.Load(), x, d)
	}
	return Decision{}
}

// Admit decides whether the request of an exchange may be forwarded. Call it
// when the header is as it will be sent, and Done afterwards whatever the
// answer. sentPath is the decoded path that the downstream will see.
//
// A request with keys whose reading differs between versions of the downstream
// loses those that are not to be bound: x's request header is changed.
func (e *Engine) Admit(ctx context.Context, x *Exchange, sentPath string) Decision {
	d := e.admit(ctx, x, sentPath)
	x.admitted = d.Passes() && x.flying > 0
	return d
}

func (e *Engine) admit(ctx context.Context, x *Exchange, sentPath string) Decision {
	policy := e.policy.Load()
	req := credential.Request{
		Method: x.request.Method, Header: x.request.Header, Path: x.request.URL.Path, SentPath: sentPath, RawQuery: x.request.URL.RawQuery,
	}
	err := e.credentials.Read(&req, &x.keys)
	if d := e.readable(x, err); !d.Passes() {
		return e.carryOut(policy, x, d)
	}
	if e.credentials.RefusesPath(&req) {
		e.usage.count(CountDashboardRefused)
		return e.carryOut(policy, x, refuse(DashboardRefused))
	}
	if x.keys.Len() == 0 {
		if e.blocked.Blocks(x.ClientIP) {
			return e.refuseBlocked(policy, x)
		}
		if policy.Anonymous == AnonymousReject && !x.keys.Dashboard() {
			e.usage.count(CountCredentialRequired)
			return e.carryOut(policy, x, refuse(CredentialRequired))
		}
		e.usage.count(CountAnonymous)
		return Decision{}
	}
	e.warnOfUnnamedProxy(x)
	e.register(x)
	d := e.judgeAll(ctx, policy, x)
	switch {
	case !d.Passes() || x.unknown == 0 && !x.learning:
		return d
	case x.unknown != 0 && e.blocked.Blocks(x.ClientIP):
		return e.refuseBlocked(policy, x)
	case x.degraded || !x.ClientIP.IsValid():
		return d
	}
	return e.prepareBinding(ctx, policy, x, &req)
}

// refuseBlocked refuses what is not of a bound key: invented keys must not fill the
// records.
func (e *Engine) refuseBlocked(policy *Policy, x *Exchange) Decision {
	e.usage.count(CountBlocked)
	x.settled = true
	e.blockedCry.log(e.now(), func() {
		e.logger.Info("refused requests without a bound key from blocked networks", "client_ip", x.ClientIP, "request_id", x.RequestID())
	})
	return e.carryOut(policy, x, refuse(NetworkBlocked))
}

// readable is the refusal of a request whose keys or client IP cannot be read.
func (e *Engine) readable(x *Exchange, credErr error) Decision {
	if credErr != nil {
		e.usage.count(CountInvalidCredential)
		d := Decision{Refused: InvalidCredential, Detail: credErr.Error()}
		var ce *credential.Error
		if errors.As(credErr, &ce) && ce.Kind == credential.Unprintable {
			d.Refused = InvalidAPIKey
		}
		return d
	}
	if x.ipErr == nil {
		return Decision{}
	}
	var ie *clientip.Error
	missing := errors.As(x.ipErr, &ie) && ie.Kind == clientip.Missing
	if missing && x.keys.Len() == 0 && !x.keys.Dashboard() {
		return Decision{} // a health check of the proxy itself
	}
	e.usage.count(CountInvalidClientIP)
	// The cause names the proxies in front of Sentinel, which is for the log.
	e.ipCry.log(e.now(), func() {
		e.logger.Warn("client IP cannot be told", "error", x.ipErr, "request_id", x.RequestID())
	})
	return refuse(InvalidClientIP)
}

// carryOut makes a refusal that does not come of a binding a note where
// Sentinel only observes.
func (e *Engine) carryOut(policy *Policy, x *Exchange, d Decision) Decision {
	if policy.Mode == ModeObserve {
		x.Observed = d.Refused
		return Decision{}
	}
	return d
}

func (e *Engine) register(x *Exchange) {
	if n := x.keys.Len() - inlineFlights; n > 0 {
		x.more = make([]flight, n) // flights are linked by pointer: never moved
	}
	for i := range x.keys.Len() {
		f := x.flight(i)
		f.hash, f.x, f.key = x.keys.Hash(i), x, i
		e.flights.add(f)
		x.flying++
	}
}

// judgeAll looks up every key. All bound ones must pass.
func (e *Engine) judgeAll(ctx context.Context, policy *Policy, x *Exchange) Decision {
	var bound [credential.MaxKeys]*bindcache.Entry
	for i := range x.keys.Len() {
		entry, err := e.lookUp(ctx, x.keys.Hash(i))
		if entry == nil && err == nil && e.triesOlder() {
			entry, err = e.findOlder(ctx, x, i)
		}
		switch {
		case err != nil:
			if d := e.lookupFailed(ctx, policy, x, err); !d.Passes() {
				return d
			}
			continue // the other keys are judged all the same
		case entry == nil:
			x.unknown |= 1 << i
			continue
		}
		v := e.judge(entry, x.ClientIP)
		switch {
		case v.refused == "" && !v.learns:
			bound[i] = entry
			continue
		case v.learns && i == x.keys.Primary():
			x.learning = true
			continue
		case v.learns: // the answer proves nothing of any other key
			v = refusedByRule(entry, x.ClientIP)
		}
		e.intercept(x, i, entry, interceptReason(v.refused), v.basis, policy.Mode == ModeObserve)
		if policy.Mode != ModeObserve {
			return refuse(v.refused)
		}
		x.Observed = v.refused
	}
	if x.degraded {
		e.usage.count(CountFailsafeOpen)
	}
	for i, entry := range bound[:x.keys.Len()] {
		if entry != nil {
			e.usage.touch(entry, x.ClientIP)
		}
		if entry != nil && x.olderKeys != nil && x.Observed == "" {
			e.moveLater(x, i)
		}
	}
	return Decision{}
}

// prepareBinding sees to the key that the downstream would use, if it is one of
// those that are not bound, or its rule is to learn the client IP.
func (e *Engine) prepareBinding(ctx context.Context, policy *Policy, x *Exchange, req *credential.Request) Decision {
	if x.Observed != "" {
		return Decision{} // a refused request binds nothing, and this one would be
	}
	primary := x.keys.Primary()
	if x.keys.Ambiguous() && policy.Mode == ModeObserve {
		// What is only observed is not changed, and then its success proves
		// nothing of the primary key.
		e.usage.count(CountUnbound)
		return Decision{}
	}
	if x.keys.Ambiguous() && primary >= 0 {
		// Threat: versions of the downstream read different keys of this
		// request, so that its success would bind one key and spend another.
		// Answer: what is forwarded has one reading left.
		x.keys.StripOthers(req.Header, primary)
	}
	// What judgeAll found counts, and is not looked up again: a key that was
	// bound in between has not been judged.
	unknown := x.learning || primary >= 0 && x.unknown&(1<<primary) != 0
	x.byField = e.credentials.NeedsSuccessField(req)
	if !unknown || !x.byField && !e.credentials.ChecksKeys(req) {
		e.usage.count(CountUnbound)
		return Decision{}
	}
	x.held = e.heldFirstUse(policy, x.ClientIP)
	switch {
	case x.held != "" && policy.Guard == GuardRefuse:
		e.tellHeld(x)
		x.settled = true
		return e.carryOut(policy, x, refuse(FirstUseHeld))
	case policy.BindOn == BindOnRequest:
		return e.bind(ctx, policy, x)
	}
	if away := e.authorityAway(); away != nil {
		// What could not be bound afterwards is not asked for: the downstream would have
		// done the work, and the client not have its answer.
		d := e.failsafe(policy, x, "bind key", away)
		if d.Passes() {
			e.usage.count(CountFailsafeOpen)
		}
		return d
	}
	x.pending = true
	return Decision{}
}

// errDoubted is why no key is looked up at a node that was cut off for too long.
var errDoubted = fmt.Errorf("%w: this node was cut off from the authority for too long to go by what it knows", store.ErrUnavailable)

// lookUp returns the entry that a key is decided by, or nil if it has no binding.
func (e *Engine) lookUp(ctx context.Context, hash store.KeyHash) (*bindcache.Entry, error) {
	if e.authority != nil && e.authority.IsStale() {
		return nil, errDoubted
	}
	return e.cache.Get(ctx, hash)
}

// lookupFailed is the answer where a key could not be looked up: for want of the
// store, or because the exchange has ended meanwhile.
func (e *Engine) lookupFailed(ctx context.Context, policy *Policy, x *Exchange, err error) Decision {
	if d, cut := x.Cut(); cut {
		return d
	}
	if ctx.Err() != nil {
		e.usage.count(CountClientGone)
		return refuse(StoreUnavailable) // the client has gone: nobody sees it
	}
	return e.failsafe(policy, x, "look up key", err)
}

// failsafe is the answer where the store gave none.
func (e *Engine) failsafe(policy *Policy, x *Exchange, doing string, cause error) Decision {
	e.storeFailed(doing, cause)
	if policy.Failsafe == FailsafeOpen || policy.Mode == ModeObserve {
		x.degraded = true // counted once it is let pass
		return Decision{}
	}
	e.usage.count(CountFailsafeClosed)
	x.settled = true
	d := refuse(StoreUnavailable)
	d.RetryAfter = storeRetryAfter
	return d
}

func (e *Engine) warnOfUnnamedProxy(x *Exchange) {
	if x.peer.Trusted || !e.unnamed.Observe(x.peer, x.request.Header, x.keys.Hash(0), e.now) {
		return
	}
	e.logger.Warn("many keys arrive from one private address with forwarding headers: if it is a proxy of yours, "+
		"name it in TRUSTED_PROXY_IPS, or every key will be bound to the proxy",
		"peer", x.peer.Addr, "header", e.resolver.Options().Header, "setting", "TRUSTED_PROXY_IPS")
}

// Done ends an exchange: nothing can cut it any more, and x may be used again.
func (e *Engine) Done(x *Exchange) {
	for i := range x.flying {
		e.flights.remove(x.flight(i))
	}
	for _, f := range x.olderFlights {
		e.flights.remove(f)
	}
	x.flying, x.more, x.olderFlights = 0, nil, nil
	_, cut := x.Cut()
	switch {
	case cut && !x.settled:
		e.recordCut(x)
	case x.admitted && !cut && !x.counted:
		e.usage.count(CountAllowed) // passed on, and never answered
	}
	x.keys.Reset() // lets go of the request's strings
}
