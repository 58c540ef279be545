package engine

import (
	"errors"
	"net/netip"

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
	// StoreHealth tells that the store failed, or with nil that it works.
	StoreHealth(err error)
	// DownstreamHealth tells that the downstream did not answer, or with nil that it
	// did.
	DownstreamHealth(err error)
}

// errNoAnswer is all that a watcher learns of a downstream that fails: the log
// has the cause.
var errNoAnswer = errors.New("the downstream does not answer")

// nobody is the Watcher of an engine without one.
type nobody struct{}

func (nobody) Intercept(store.Intercept, uint64) {}
func (nobody) Bound(store.Binding)               {}
func (nobody) UnknownKey(netip.Addr)             {}
func (nobody) StoreHealth(error)                 {}
func (nobody) DownstreamHealth(error)            {}
