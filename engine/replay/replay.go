// Package replay tells from what is recorded which requests a rule would have
// refused, before it is enforced.
//
// What was allowed is known by key, day and network (store.DayUse), and what was
// refused, or passed because Sentinel only observes, by the intercepts. Both are
// held against the rule as it is to be. What cannot be told from them is counted
// as uncertain, and in no other number.
package replay

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
)

// DefaultRows is how many rows an answer has unless told otherwise, and MaxRows how
// many it can have.
const (
	DefaultRows = 100
	MaxRows     = 1000
)

// Store is what a replay reads.
type Store interface {
	Binding(ctx context.Context, hash store.KeyHash) (store.Binding, error)
	ListBindings(ctx context.Context, after store.KeyHash, limit int) ([]store.Binding, error)
	FindBindings(ctx context.Context, q store.BindingQuery) (store.BindingPage, error)
	Usage(ctx context.Context, hash store.KeyHash) (store.Usage, error)
	ListIntercepts(ctx context.Context, f store.InterceptFilter) (store.InterceptPage, error)
}

// Query says what is to be replayed.
type Query struct {
	// Since is when it begins. What was allowed counts from the start of that day
	// on, in UTC.
	Since time.Time
	// Hashes are the keys; nil: those that Filter chooses, which as its zero value
	// are all.
	Hashes []store.KeyHash
	Filter store.BindingFilter
	// Rule is the rule as it would be, of all these keys; nil: each has its own.
	Rule *store.Rule
	Surroundings
	Rows int // at most this many; 0: DefaultRows
}

// Surroundings are what decides beside the rules, as it is now. Functions that are nil
// find nothing.
type Surroundings struct {
	// Networks finds the networks that rules name.
	Networks func(name string) (*ipset.Set, bool)
	// Exempts returns how much of a network an exception lets a key be used from,
	// whatever the rule.
	Exempts func(hash store.KeyHash, network netip.Prefix) ipset.Reach
	// Blocks reports whether nobody may come from an address, but for exceptions.
	Blocks func(ip netip.Addr) bool
}

// Result is what the rule would have done.
type Result struct {
	Since     time.Time // of intercepts
	UsesSince time.Time // of what was allowed
	Checked   int       // bindings

	// Refused is how many requests would have been refused, and Keys of how many
	// keys. RefusedThen of them were refused then as well.
	Refused     uint64
	Keys        int
	RefusedThen uint64
	// Passed is how many requests were refused and would have passed, and PassedKeys
	// of how many keys.
	Passed     uint64
	PassedKeys int

	// Rows tell of whom, those with most requests first. Requests of Refused and
	// Passed that no row tells of are in Omitted.
	Rows      []Row
	Omitted   uint64
	Uncertain Uncertain
}

// Row is requests of one key from one network on one day that would have been
// refused, or that were refused and would have passed.
type Row struct {
	Hash    store.KeyHash
	Hint    string
	Label   string
	Network netip.Prefix // as store.NetworkOf has it; the zero Prefix: unknown
	Day     time.Time    // its start, UTC
	Count   uint64
	Refused bool // would be; false: would pass
	Then    bool // was refused then
}

// Uncertain counts requests of which nobody can tell whether they would have been
// refused, and what else is not known.
type Uncertain struct {
	Unrecorded uint64 // allowed on days of which the networks were not kept yet
	Elsewhere  uint64 // allowed from more networks of a day than are kept
	Partly     uint64 // allowed from an IPv6 /64 of which the rule, or an exception, has a part
	Learning   uint64 // would have been refused, if the rule had not learnt their network
	Unbound    uint64 // refused, of keys that have no binding any more
	// Dropped is how many refusals could not be recorded since the start of the
	// server, whenever that was.
	Dropped uint64
	// UsesFrom and InterceptsFrom are since when there are records, if that is
	// later than what was asked for.
	UsesFrom       time.Time
	InterceptsFrom time.Time
	// UnknownNetworks are names of networks that rules have and nobody knows; they
	// let nothing pass.
	UnknownNetworks []string
}

// Requests returns how many requests are uncertain.
func (u Uncertain) Requests() uint64 {
	return u.Unrecorded + u.Elsewhere + u.Partly + u.Learning + u.Unbound + u.Dropped
}

// Run replays. It reads the store by pages, in memory that does not grow with the
// number of requests, and by no more than 32 bytes with each key chosen by a filter
// and 8 with each one of which requests would be refused. Returns
// store.ErrInvalid for a query without a time or with a rule that is none.
func Run(ctx context.Context, s Store, q Query, now time.Time) (Result, error) {
	switch {
	case q.Since.IsZero():
		return Result{}, fmt.Errorf("%w: since is not said", store.ErrInvalid)
	case q.Since.After(now):
		return Result{}, fmt.Errorf("%w: since %s is a time to come", store.ErrInvalid, q.Since.UTC().Format(time.RFC3339))
	case q.Rows < 0 || q.Rows > MaxRows:
		return Result{}, fmt.Errorf("%w: rows %d, want 1 to %d", store.ErrInvalid, q.Rows, MaxRows)
	case q.Rule != nil:
		if err := q.Rule.Validate(); err != nil {
			return Result{}, fmt.Errorf("rule: %w", err)
		}
	}
	if q.Rows == 0 {
		q.Rows = DefaultRows
	}
	r := newRun(s, q, now)
	if err := r.choose(ctx); err != nil {
		return Result{}, fmt.Errorf("choose bindings to replay: %w", err)
	}
	if err := r.allUses(ctx); err != nil {
		return Result{}, fmt.Errorf("replay uses: %w", err)
	}
	if err := r.intercepts(ctx); err != nil {
		return Result{}, fmt.Errorf("replay intercepts: %w", err)
	}
	return r.finish(), nil
}
