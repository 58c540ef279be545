package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/seal"
	"github.com/key-ip-sentinel/sentinel/store"
)

// The kinds of the documents.
const (
	AccountKind = "account"
	TokenKind   = "token"
)

// keyBytes is how long Options.Key has to be.
const keyBytes = seal.KeyBytes

// Options is what New needs.
type Options struct {
	// Documents keeps accounts and tokens.
	Documents store.Documents
	// Key seals the secrets of second factors, so that a copy of the documents
	// alone does not give them. It has 32 bytes, from a place that is not in a
	// backup of the store. With another key the second factors that are there
	// cannot be checked any more, except by recovery codes.
	Key []byte
	// OldKeys are keys from before, whose second factors are good as well.
	OldKeys [][]byte
	// Issuer is what an authenticator shows beside the name of the account;
	// empty: "Key-IP Sentinel".
	Issuer string
	Logger *slog.Logger
	// Now is the clock; nil: time.Now. Waiting goes by the real clock.
	Now func() time.Time
	// OnLockout, unless nil, is called when failures have locked an account for
	// an address, for accounts that exist: what is typed as the name of one that
	// does not may be a password. It must not block.
	OnLockout func(name string, from netip.Addr)
	// Failures are those of all nodes of a cluster; nil: each process counts its own.
	Failures Failures

	cost cost // of new password hashes; zero: defaultCost
}

// ForTests returns the options with password hashes that cost next to nothing, and
// so guard nothing: a test that is not about their cost should not wait for it.
func ForTests(opts Options) Options {
	opts.cost = cost{memoryKiB: 64, passes: 1, lanes: 1}
	return opts
}

// Accounts is the accounts and API tokens of one store. All methods are safe
// for concurrent use.
type Accounts struct {
	accounts *shelf[accountRecord]
	tokens   *shelf[tokenRecord]
	hasher   *hasher
	sealer   *sealer
	guard    *guard
	setup    setup
	uses     *uses

	issuer    string
	logger    *slog.Logger
	now       func() time.Time
	onLockout func(name string, from netip.Addr)
}

// New returns the accounts that opts.Documents keeps. It reads them, so that
// what cannot be read stops the start.
func New(ctx context.Context, opts Options) (*Accounts, error) {
	if opts.Documents == nil || opts.Logger == nil {
		return nil, errors.New("accounts: no store or no logger given")
	}
	sealer, err := newSealer(opts.Key, opts.OldKeys)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Issuer == "" {
		opts.Issuer = "Key-IP Sentinel"
	}
	if opts.cost == (cost{}) {
		opts.cost = defaultCost
	}
	a := &Accounts{
		accounts: newShelf[accountRecord](opts.Documents, AccountKind, opts.Now),
		tokens:   newShelf[tokenRecord](opts.Documents, TokenKind, opts.Now),
		hasher:   newHasher(opts.cost), sealer: sealer,
		guard:  newGuard(opts.Now),
		issuer: opts.Issuer, logger: opts.Logger, now: opts.Now, onLockout: opts.OnLockout,
	}
	a.guard.failures = opts.Failures
	if _, err := a.accounts.read(ctx); err != nil {
		return nil, err
	}
	if _, err := a.tokens.read(ctx); err != nil {
		return nil, err
	}
	a.uses = startUses(a.writeUse, opts.Logger)
	return a, nil
}

// Close writes the last uses of API tokens that are not written yet, and stops
// writing them. A second call does nothing.
func (a *Accounts) Close(ctx context.Context) error { return a.uses.close(ctx) }

// Changed has accounts and tokens read again before they are next gone by: others have
// changed some. It does not wait.
func (a *Accounts) Changed() {
	a.accounts.expire()
	a.tokens.expire()
}

// storedNow is the time as documents have it.
func (a *Accounts) storedNow() time.Time { return store.StoredTime(a.now()) }
