package engine

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/engine/sharing"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Suspicions are the keys that several people seem to use.
func (e *Engine) Suspicions() *sharing.Watch { return e.sharing }

// watchSharing notes where a key was used from whose rule lets it be used from several
// networks. Networks that many share and that the rule names say nothing: everybody
// there may use the key.
func (e *Engine) watchSharing(entry *bindcache.Entry, t store.Touch) {
	if !entry.Roams() {
		return
	}
	note := func(ip netip.Addr) {
		if !e.networks.IsShared(ip) || !entry.NamesNetworkOf(ip) {
			e.sharing.Use(t.Hash, store.NetworkOf(ip))
		}
	}
	if t.FromLast() > 0 && t.LastIP.IsValid() {
		note(t.LastIP)
	}
	for _, a := range t.Addresses {
		note(a.IP)
	}
}

// writeSuspicions ends a minute of watchSharing.
func (e *Engine) writeSuspicions(ctx context.Context, now time.Time) error {
	told, err := e.sharing.End(ctx, now, e.policy.Load().SharingMinutes)
	for _, s := range told {
		e.watcher.KeyShared(SharedKey(s))
	}
	if err != nil {
		return fmt.Errorf("watch for shared keys: %w", err)
	}
	return nil
}
