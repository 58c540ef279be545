package account

import (
	"context"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// What locks a pair of account and address, and for how long.
const (
	FailuresToLock = pairFailures
	FailureWindow  = window
	LockFor        = lockFor
)

// Failures remembers failed logins for all nodes of a cluster together, in counts that are
// over after FailureWindow. Each node keeps its own memory beside it, which is what counts
// when a call returns an error. A login waits for these calls: they take no longer than a
// moment.
type Failures interface {
	// Begin admits an attempt of a pair, and returns its name; or for how long there is
	// none, as FailuresToLock of them have failed or are under way, or the pair is locked.
	Begin(ctx context.Context, pair string) (attempt string, wait time.Duration, err error)
	// Failed says that an attempt has failed, and reports whether that locked the pair for
	// LockFor.
	Failed(ctx context.Context, pair, attempt string) (locked bool, err error)
	// Undone says that it has neither failed nor succeeded.
	Undone(ctx context.Context, pair, attempt string) error
	// Succeeded forgets the attempts of a pair that is not locked.
	Succeeded(ctx context.Context, pair string) error
	// Count counts more of something, and returns how many there are.
	Count(ctx context.Context, name string, more int) (int, error)
	// Forget forgets a count.
	Forget(ctx context.Context, name string) error
}

// attempt is one try, as all nodes know it.
type attempt struct {
	failures Failures
	name     string // of the account
	pair     string
	id       string // empty: the others do not know of it
}

func pairName(name string, from netip.Addr) string {
	return name + "\x00" + store.NetworkOf(from).String()
}

// beginEverywhere admits an attempt at all nodes, and returns the delay that failures at
// all of them make due. Returns a *LockedError.
func (g *guard) beginEverywhere(ctx context.Context, name string, from netip.Addr) (*attempt, time.Duration, error) {
	a := &attempt{failures: g.failures, name: name, pair: pairName(name, from)}
	if g.failures == nil {
		return a, 0, nil
	}
	id, rest, err := g.failures.Begin(ctx, a.pair)
	switch {
	case err != nil:
		return a, 0, ctx.Err() // this node's own memory counts
	case rest > 0:
		return nil, 0, &LockedError{RetryAfter: rest}
	}
	a.id = id
	count, err := g.failures.Count(ctx, "account:"+name, 0)
	if err != nil {
		return a, 0, nil //nolint:nilerr // this node's own memory counts
	}
	return a, delayAfter(count), nil
}

// end tells the other nodes how it ended, and reports whether it locked the pair. What they
// cannot be told they do not know, as while the servers that count are away: this node does.
func (a *attempt) end(ctx context.Context, o outcome) (locked bool) {
	if a.id == "" {
		return false
	}
	ctx = context.WithoutCancel(ctx) // whoever leaves has tried all the same
	switch o {
	case failed:
		locked, _ = a.failures.Failed(ctx, a.pair, a.id)
		_, _ = a.failures.Count(ctx, "account:"+a.name, 1)
	case succeeded:
		_ = a.failures.Succeeded(ctx, a.pair)
		_ = a.failures.Forget(ctx, "code:"+a.name)
	case undecided:
		_ = a.failures.Undone(ctx, a.pair, a.id)
	}
	return locked
}

// tryCodeEverywhere is tryCode for all nodes together.
func (g *guard) tryCodeEverywhere(ctx context.Context, name string) error {
	if err := g.tryCode(name); err != nil || g.failures == nil {
		return err
	}
	if count, err := g.failures.Count(ctx, "code:"+name, 1); err == nil && count > maxWrongCodes {
		return &LockedError{RetryAfter: time.Minute}
	}
	return nil
}
