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

// The reasons. The first two come of a binding, and are recorded as intercepts.
const (
	IPNotAllowed       Reason = "ip_not_allowed"
	KeyBanned          Reason = "key_banned"
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

// judge is the rule of one binding applied to one address: a pure function.
func judge(e *bindcache.Entry, ip netip.Addr) Reason {
	switch {
	case e.Banned:
		return KeyBanned
	case !e.Covers(ip):
		return IPNotAllowed
	default:
		return ""
	}
}

var details = map[Reason]string{
	IPNotAllowed:       "This API key is bound to another network address. Use it from there, or ask your administrator to change the binding.",
	KeyBanned:          "This API key has been banned by an administrator.",
	InvalidClientIP:    "Your network address cannot be told, because the proxy in front of this gateway does not say it properly. Your administrator finds the cause in the log.",
	CredentialRequired: "An API key is required.",
	DashboardRefused:   "This path may not be used with a dashboard session.",
	StoreUnavailable:   "This API key cannot be checked right now. Try again shortly.",
	RateLimited:        "Too many requests from your address. Slow down.",
}

func refuse(r Reason) Decision { return Decision{Refused: r, Detail: details[r]} }

// interceptReason is the reason as the record of a refused request has it.
func interceptReason(r Reason) store.Reason { return store.Reason(r) }
