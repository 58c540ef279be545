package engine

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/window"
)

// burstWindow is how long first uses of an address are counted together, and
// burstAddresses how many addresses are at a time.
const (
	burstWindow    = time.Hour
	burstAddresses = 10_000
)

// firstUses knows what tells that a first use is not from the client's own
// address.
type firstUses struct {
	gateways []netip.Addr

	mu     sync.Mutex
	counts *window.Counter[netip.Addr, struct{}]
}

func (f *firstUses) init(gateways []netip.Addr) {
	f.gateways = gateways
	f.counts = window.New[netip.Addr, struct{}](burstAddresses)
}

// heldFirstUse returns why a key must not be bound to an address, or nothing: a
// wrong setting of the real IP shows as clients that all have the address of a
// proxy, and would bind every key to it.
func (e *Engine) heldFirstUse(policy *Policy, ip netip.Addr) string {
	switch {
	case policy.Guard == GuardOff:
		return ""
	case e.resolver.Trusts(ip):
		return HeldTrustedProxy
	case slices.Contains(e.firstUses.gateways, ip):
		return HeldContainerGateway
	case policy.BurstHold && policy.BurstLimit > 0 && e.firstUsesFrom(ip, 0) >= policy.BurstLimit && !e.networks.IsShared(ip):
		return HeldBurst
	}
	return ""
}

// firstUsesFrom counts n more keys that an address has bound, and returns how many
// there were within the hour.
func (e *Engine) firstUsesFrom(ip netip.Addr, n uint64) int {
	f := &e.firstUses
	f.mu.Lock()
	defer f.mu.Unlock()
	count, _ := f.counts.Add(ip, e.now(), n, burstWindow)
	return int(min(count, 1<<30)) // #nosec G115 -- bounded
}

// countFirstUse tells of an address that binds more keys than a client has.
func (e *Engine) countFirstUse(policy *Policy, ip netip.Addr) {
	count := e.firstUsesFrom(ip, 1)
	if policy.BurstLimit > 0 && count > policy.BurstLimit && !e.networks.IsShared(ip) {
		e.watcher.ManyBindings(ip, count)
	}
}

// tellHeld tells of a first use that bound nothing.
func (e *Engine) tellHeld(x *Exchange) {
	e.usage.count(CountHeld)
	hint := x.keys.Hint(x.keys.Primary())
	e.watcher.FirstUseHeld(x.ClientIP, hint, x.held)
	e.heldCry.log(e.now(), func() {
		e.logger.Warn("first use of a key binds nothing: its address is not the client's own, see TRUSTED_PROXY_IPS and SENTINEL_REAL_IP_HEADER",
			"why", x.held, "client_ip", x.ClientIP, "hint", hint, "header", e.resolver.Options().Header, "request_id", x.RequestID())
	})
}
