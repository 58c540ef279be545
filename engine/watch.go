package engine

import (
	"errors"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Watcher hears of what may be worth an alert. Its methods must not block.
type Watcher interface {
	// Intercept tells of a record of refused requests, with how many of them came
	// since the last call for that record.
	Intercept(rec store.Intercept, added uint64)
	// Bound tells of a first use.
	Bound(b store.Binding)
	// UnknownKey tells that the downstream refused a key that has no binding.
	UnknownKey(from netip.Addr)
	// FirstUseHeld tells that a first use bound nothing, since its client IP is
	// most likely not its user's. hint is that of the key, why one of the reasons
	// below.
	FirstUseHeld(from netip.Addr, hint, why string)
	// ManyBindings tells that so many keys were bound from one address within an
	// hour that it may stand for many users.
	ManyBindings(from netip.Addr, count int)
	// KeyShared tells that several people seem to use one key.
	KeyShared(s SharedKey)
	// StoreHealth tells that the store failed, or with nil that it works.
	StoreHealth(err error)
	// DownstreamHealth tells that the downstream did not answer, or with nil that it
	// did.
	DownstreamHealth(err error)
}

// Why a first use was held.
const (
	HeldTrustedProxy     = "trusted_proxy"     // the client IP is a trusted proxy itself
	HeldContainerGateway = "container_gateway" // it is the gateway of the container network
	HeldBurst            = "burst"             // too many first uses from it at once
)

// SharedKey is a key that several people seem to use.
type SharedKey struct {
	Hash     store.KeyHash
	Hint     string
	Networks []netip.Prefix // that it was used from by turns
	Minutes  int            // for how long so far
	At       time.Time      // when that showed
}

// errNoAnswer is all that a watcher learns of a downstream that fails: the log
// has the cause.
var errNoAnswer = errors.New("the downstream does not answer")

// nobody is the Watcher of an engine without one.
type nobody struct{}

func (nobody) Intercept(store.Intercept, uint64)       {}
func (nobody) Bound(store.Binding)                     {}
func (nobody) UnknownKey(netip.Addr)                   {}
func (nobody) FirstUseHeld(netip.Addr, string, string) {}
func (nobody) ManyBindings(netip.Addr, int)            {}
func (nobody) KeyShared(SharedKey)                     {}
func (nobody) StoreHealth(error)                       {}
func (nobody) DownstreamHealth(error)                  {}
