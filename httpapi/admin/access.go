package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

// Access is the settings that say who reaches administration.
type Access struct {
	ClientIP clientip.Options
	Networks []netip.Prefix // empty: every network
	// ProxyProtocol is set if connections of trusted proxies to administration
	// must begin with the PROXY protocol, and those of others must not.
	ProxyProtocol bool
}

// Equal reports whether both let the same callers in.
func (a Access) Equal(b Access) bool {
	return slices.Equal(a.ClientIP.Trusted, b.ClientIP.Trusted) && a.ClientIP.Header == b.ClientIP.Header &&
		a.ClientIP.NAT64 == b.ClientIP.NAT64 && slices.Equal(a.Networks, b.Networks) && a.ProxyProtocol == b.ProxyProtocol
}

type proxiedKey struct{}

// WithProxiedPeer notes the address of a proxy that has named another one as the
// peer of its connection, by the PROXY protocol.
func WithProxiedPeer(ctx context.Context, proxy string) context.Context {
	return context.WithValue(ctx, proxiedKey{}, proxy)
}

// lockOut returns a fault if a request like r, which was let in by the settings
// of now, would not be by those of then. It is the caller's very own request: its
// address is found out as the next one's will be. r is nil on the local socket,
// which is never shut out.
func lockOut(r *http.Request, now, then Access) error {
	if r == nil {
		return nil
	}
	before, err := clientip.New(now.ClientIP)
	if err != nil {
		return err
	}
	after, err := clientip.New(then.ClientIP)
	if err != nil {
		return err
	}
	proxied, isProxied := r.Context().Value(proxiedKey{}).(string)
	if !isProxied {
		proxied = r.RemoteAddr
	}
	if was, will := before.Peer(proxied), after.Peer(proxied); then.ProxyProtocol && was.Trusted != will.Trusted {
		return wouldLockOut("connections from %s would %s to begin with the PROXY protocol, and yours %s", will.Addr,
			choose(will.Trusted, "have", "no longer be expected"), choose(isProxied, "does", "does not"))
	}
	ip, err := after.Resolve(after.Peer(r.RemoteAddr), r.Header)
	if err != nil {
		return wouldLockOut("your address could not be told any more: %s", strings.TrimPrefix(err.Error(), "client IP: "))
	}
	networks, err := ipset.New(then.Networks)
	if err != nil {
		return err
	}
	if len(then.Networks) > 0 && !networks.Contains(ip) {
		return wouldLockOut("your address would be %s, which is in none of SENTINEL_ADMIN_NETWORKS (%s)", ip, listed(then.Networks))
	}
	return nil
}

func choose(yes bool, one, other string) string {
	if yes {
		return one
	}
	return other
}

func wouldLockOut(format string, args ...any) error {
	return faultf(http.StatusConflict, "would_lock_out",
		"after this change you could not reach administration from where you are: %s. Nothing was changed; send force to do it all the same",
		fmt.Sprintf(format, args...))
}

// maxListed is how many prefixes a text names.
const maxListed = 10

func listed(prefixes []netip.Prefix) string {
	var texts []string
	for _, p := range prefixes[:min(len(prefixes), maxListed)] {
		texts = append(texts, p.String())
	}
	if more := len(prefixes) - maxListed; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, ", ")
}
