package engine

import (
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Exchange is one request and its answer, from Arrive to Done. It may be used
// again after Done. Its methods and the engine's calls on it belong to the one
// goroutine that serves the request.
type Exchange struct {
	// ClientIP is the address that the decision uses. It is invalid where there
	// is none: then the request carries no key, or is refused, or is only
	// observed.
	ClientIP netip.Addr
	// Observed is why the request would have been refused, were Sentinel not
	// only observing.
	Observed Reason

	request *http.Request
	id      uint64
	prefix  string
	peer    clientip.Peer
	ipErr   error
	keys    credential.Set
	cancel  func()

	flights [inlineFlights]flight
	more    []flight // of the keys beyond, which hardly any request has
	flying  int

	olderKeys    []olderKey // those that are bound under another hash than today's
	olderFlights []*flight

	unknown  uint32 // bit i: key i was not bound when it was looked up
	learning bool   // the primary key's rule would take the client IP
	held     string // why the primary key is not to be bound to the client IP
	degraded bool   // of the keys at least one could not be looked up
	pending  bool   // the primary key is to be bound once it is accepted
	byField  bool   // accepted is only what says so in its body
	settled  bool   // recorded as an intercept, or counted as another refusal
	admitted bool   // with keys, and not refused since
	counted  bool   // as allowed
	answered atomic.Bool

	cut atomic.Pointer[cut] // set by whoever changes a binding
}

// cut is why a change of a binding ended an exchange.
type cut struct {
	decision Decision
	key      int // which of the exchange's keys
	entry    *bindcache.Entry
	basis    store.Basis
}

// inlineFlights is how many keys an exchange takes without another allocation.
const inlineFlights = 2

// flight returns the flight of key i.
func (x *Exchange) flight(i int) *flight {
	if i < inlineFlights {
		return &x.flights[i]
	}
	return &x.more[i-inlineFlights]
}

// HasKeys reports whether the request carries any key, bound or not.
func (x *Exchange) HasKeys() bool { return x.keys.Len() > 0 }

// Pending reports whether the answer of the downstream decides on a binding:
// until Accept, no byte of it may reach the client.
func (x *Exchange) Pending() bool { return x.pending }

// NeedsSuccessField reports whether an answer of 2xx proves that the key was
// accepted only if it is a JSON object with "success":true.
func (x *Exchange) NeedsSuccessField() bool { return x.pending && x.byField }

// Cut returns the decision of a change of a binding that ended this exchange
// while it was under way, and reports whether there was one.
func (x *Exchange) Cut() (Decision, bool) {
	if c := x.cut.Load(); c != nil {
		return c.decision, true
	}
	return Decision{}, false
}

// Answered reports whether Accept has let the answer pass. It is safe to call
// from cancel.
func (x *Exchange) Answered() bool { return x.answered.Load() }

// RequestID names the exchange in answers, records and the log.
func (x *Exchange) RequestID() string { return x.prefix + strconv.FormatUint(x.id, 36) }

func (x *Exchange) reset() {
	x.ClientIP, x.Observed = netip.Addr{}, ""
	x.request, x.peer, x.ipErr, x.cancel = nil, clientip.Peer{}, nil, nil
	x.flying, x.unknown, x.degraded, x.pending, x.byField = 0, 0, false, false, false
	x.learning, x.held = false, ""
	x.olderKeys, x.olderFlights = nil, nil
	x.settled, x.admitted, x.counted = false, false, false
	x.answered.Store(false)
	x.cut.Store(nil)
}
