package engine

import (
	"context"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Limit holds a request that is not forwarded against the rate limit, if there is
// one. If it is over, retryAfter is how long from now until the next one is not.
func (e *Engine) Limit(ip netip.Addr) (ok bool, retryAfter time.Duration) {
	if ok, retryAfter = e.limiter.Allow(ip, e.now()); !ok {
		e.usage.count(CountRateLimited)
	}
	return ok, retryAfter
}

// shut tells whoever wants to know that a key was unbound or banned.
func (e *Engine) shut(ctx context.Context, hash store.KeyHash) {
	if e.onShut != nil {
		e.onShut(ctx, hash)
	}
}
