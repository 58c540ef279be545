package account

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// freeFailures is how many failures of one account, from anywhere within the
	// window, slow nobody.
	freeFailures = 20
	// delayStep is what each further one adds to the delay of every attempt.
	delayStep = 250 * time.Millisecond
	maxDelay  = 5 * time.Second

	// maxTrying is how many attempts of one address may be under way. Each waits
	// for a password hash: without a bound, one address that invents names would
	// put as many as it likes in line before everybody else.
	maxTrying = 16
	// maxWrongCodes is how many wrong codes of the authenticator may follow a right
	// password within the window, from anywhere, see tryCode.
	maxWrongCodes = 20
)

// guard decides whether an attempt on an account may be made, and when. It is
// the memory of one process: a start begins anew. In a cluster it asks Failures
// beside it, if there are any (failures.go).
//
// Names are counted whether or not there is such an account, so that the answer
// does not tell. What cannot be a name counts as one name, "".
type guard struct {
	now      func() time.Time
	started  time.Time
	seed     maphash.Seed
	failures Failures // of all nodes; nil: there are none

	mu       sync.Mutex
	pairs    *lockout
	accounts queue[tally] // failures from anywhere, by name
	codes    queue[tally] // wrong codes after right passwords, by name
	// trying is how many attempts of a pair, and of an address, are under way. It
	// has no more entries than twice the callers of the moment.
	trying map[uint64]int
}

// attemptKeys is under what an attempt counts.
type attemptKeys struct{ pair, account, source uint64 }

type pairKey struct {
	name string
	from netip.Prefix
}

func newGuard(now func() time.Time) *guard {
	return &guard{
		now: now, started: now(), seed: maphash.MakeSeed(), pairs: newLockout(),
		accounts: newQueue[tally](maxCounted), codes: newQueue[tally](maxCounted),
		trying: map[uint64]int{},
	}
}

// outcome is how an attempt ended.
type outcome int

const (
	undecided outcome = iota // neither counts nor resets: a failure of the store, a code that is still to come
	failed
	succeeded
)

// begin admits an attempt, after the delay that the account is due. Returns a
// *LockedError, or the error of a context that is done. Otherwise end has to be
// called once; it reports whether this attempt locked the pair.
func (g *guard) begin(ctx context.Context, name string, from netip.Addr) (end func(outcome) (locked bool), err error) {
	keys := g.keysOf(name, from)
	delay, err := g.admit(keys)
	if err != nil {
		return nil, err
	}
	everywhere, due, err := g.beginEverywhere(ctx, name, from)
	if err == nil {
		if err = wait(ctx, max(delay, due)); err != nil {
			everywhere.end(ctx, undecided)
		}
	}
	if err != nil {
		g.end(keys, undecided)
		return nil, err
	}
	return func(o outcome) bool {
		locked := g.end(keys, o)
		return everywhere.end(ctx, o) || locked
	}, nil
}

func (g *guard) keysOf(name string, from netip.Addr) attemptKeys {
	source := store.NetworkOf(from)
	return attemptKeys{
		pair:    maphash.Comparable(g.seed, pairKey{name, source}),
		account: g.accountKey(name),
		source:  maphash.Comparable(g.seed, source),
	}
}

func (g *guard) accountKey(name string) uint64 { return maphash.String(g.seed, name) }

// minute counts from the start of the guard, so that a wall clock that is set
// does not matter.
func (g *guard) minute(now time.Time) int64 { return int64(now.Sub(g.started) / time.Minute) }

func (g *guard) admit(keys attemptKeys) (delay time.Duration, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if rest := g.pairs.rest(keys.pair, now); rest > 0 {
		return 0, &LockedError{RetryAfter: rest}
	}
	// Attempts under way may all fail: without counting them, a thousand sent at
	// once would all be tried before the first failure locks the pair.
	if g.pairs.failures(keys.pair, now)+g.trying[keys.pair] >= pairFailures || g.trying[keys.source] >= maxTrying {
		return 0, &LockedError{RetryAfter: time.Second}
	}
	g.trying[keys.pair]++
	g.trying[keys.source]++
	count, _ := g.accounts.get(keys.account)
	return delayAfter(count.since(g.minute(now))), nil
}

func (g *guard) end(keys attemptKeys, o outcome) (locked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaveLocked(keys.pair)
	g.leaveLocked(keys.source)
	switch o {
	case failed:
		now := g.now()
		g.countLocked(&g.accounts, keys.account, g.minute(now))
		return g.pairs.fail(keys.pair, now)
	case succeeded:
		g.pairs.reset(keys.pair)
		g.codes.remove(keys.account)
	}
	return false
}

func (g *guard) leaveLocked(key uint64) {
	if g.trying[key]--; g.trying[key] <= 0 {
		delete(g.trying, key)
	}
}

func (g *guard) countLocked(q *queue[tally], key uint64, minute int64) {
	count, _ := q.get(key)
	q.put(key, count.add(minute))
	q.dropFront(func(t tally) bool { return t.since(minute) == 0 })
}

// tryCode admits a code of the authenticator after a right password. Codes have
// six digits, and whoever has the password and enough addresses could try them
// all, five from each; a delay does not help against attempts side by side. So
// after 20 wrong ones (RFC 4226, section 7.3, asks for such a limit) codes are not
// looked at until some of the 20 are older than the window. Only who knows the
// password can bring this about, and recovery codes work all the time. The
// attempt counts before it is known how it ends; a login that succeeds forgets all.
// Returns a *LockedError.
func (g *guard) tryCode(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	account, minute := g.accountKey(name), g.minute(g.now())
	count, _ := g.codes.get(account)
	if count.since(minute) >= maxWrongCodes {
		return &LockedError{RetryAfter: time.Minute}
	}
	g.countLocked(&g.codes, account, minute)
	return nil
}

func delayAfter(failures int) time.Duration {
	return min(maxDelay, max(0, time.Duration(failures-freeFailures))*delayStep)
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
