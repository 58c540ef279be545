package engine

import (
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Reason is the machine-readable cause of a refusal, and the code that clients
// see.
type Reason string

// The reasons. The first three are recorded as intercepts if the key has a binding;
// the first two come of nothing else.
const (
	IPNotAllowed       Reason = "ip_not_allowed"
	KeyBanned          Reason = "key_banned"
	NetworkBlocked     Reason = "network_blocked" // nobody may come from there
	FirstUseHeld       Reason = "first_use_held"  // from an address that is not the client's own
	InvalidClientIP    Reason = "invalid_client_ip"
	InvalidCredential  Reason = "invalid_credential"    // cannot be read the way the downstream reads it
	InvalidAPIKey      Reason = "invalid_api_key"       // can be read, and cannot be a key
	CredentialRequired Reason = "credential_required"   // none, and SENTINEL_ANONYMOUS is reject
	DashboardRefused   Reason = "dashboard_not_allowed" // spends quota without a key
	StoreUnavailable   Reason = "store_unavailable"
	RateLimited        Reason = "rate_limited"
)

// Decision is the answer to one request. The zero Decision passes.
type Decision struct {
	// Refused is why the request must not be forwarded; empty if it may be.
	Refused Reason
	// Detail says what was wrong in a sentence for the client. It holds no
	// part of a key, and nothing of a binding.
	Detail string
	// RetryAfter is when it may be worth to try again; zero if not said.
	RetryAfter time.Duration
}

// Passes reports whether the request may be forwarded.
func (d Decision) Passes() bool { return d.Refused == "" }

// verdict is what is to be done with one key of a request. The zero verdict lets
// it pass.
type verdict struct {
	refused Reason
	basis   store.Basis // of a refusal
	learns  bool        // the rule does not cover the address, and would take it
}

// judge holds an address against one binding, the blocked networks and the
// exceptions.
func (e *Engine) judge(entry *bindcache.Entry, ip netip.Addr) verdict {
	if !entry.Banned && entry.Covers(ip) && !e.blocked.Blocks(ip) {
		return verdict{}
	}
	return e.judgeClosely(entry, ip)
}

// judgeClosely is judge where the rule alone does not let the address pass. A ban
// is stronger than an exception, which somebody made for this very key and
// network, and so is stronger than a blocked network, which is stronger than the
// rule.
//
//go:noinline
func (e *Engine) judgeClosely(entry *bindcache.Entry, ip netip.Addr) verdict {
	if entry.Banned {
		return verdict{refused: KeyBanned, basis: store.Basis{Kind: store.BasisBan}}
	}
	if _, ok := e.exceptions.Allows(entry.Hash, ip); ok {
		return verdict{}
	}
	if p, blocked := e.blocked.Find(ip); blocked {
		return verdict{refused: NetworkBlocked, basis: store.Basis{Kind: store.BasisBlocked, Name: p.String()}}
	}
	if entry.Covers(ip) {
		return verdict{} // it was blocked until now
	}
	if ip.IsValid() && entry.Learns(e.now()) {
		return verdict{learns: true}
	}
	return refusedByRule(entry, ip)
}

func refusedByRule(entry *bindcache.Entry, ip netip.Addr) verdict {
	return verdict{refused: IPNotAllowed, basis: entry.Basis(ip)}
}

var details = map[Reason]string{
	IPNotAllowed:       "This API key is bound to another network address. Use it from there, or ask your administrator to change the binding.",
	KeyBanned:          "This API key has been banned by an administrator.",
	NetworkBlocked:     "Requests from your network are not accepted here.",
	FirstUseHeld:       "This API key cannot be bound to your network address, since it is that of a proxy. Your administrator finds the cause in the console.",
	InvalidClientIP:    "Your network address cannot be told, because the proxy in front of this gateway does not say it properly. Your administrator finds the cause in the log.",
	CredentialRequired: "An API key is required.",
	DashboardRefused:   "This path may not be used with a dashboard session.",
	StoreUnavailable:   "This API key cannot be checked right now. Try again shortly.",
	RateLimited:        "Too many requests from your address. Slow down.",
}

func refuse(r Reason) Decision { return Decision{Refused: r, Detail: details[r]} }

// interceptReason is the reason as the record of a refused request has it.
func interceptReason(r Reason) store.Reason { return store.Reason(r) }
