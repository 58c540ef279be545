package store

import (
	"context"
	"time"
)

// LoginLimits say what locks a pair of account and address.
type LoginLimits struct {
	Failures int           // of one pair, which lock it
	Window   time.Duration // within which they count
	LockFor  time.Duration
}

// Logins is how an authority remembers attempts to sign in for all nodes together. It is
// no part of the feed, goes by the clock of the authority, and may be lost at any time.
// Names are digests, and are any bytes.
//
// Errors are those of Store.
type Logins interface {
	// BeginLogin admits an attempt of a pair, or returns for how long there is none:
	// failures and attempts under way at all nodes count.
	BeginLogin(ctx context.Context, pair []byte, attempt string, limits LoginLimits) (wait time.Duration, err error)
	// FailLogin notes that an attempt has failed, and reports whether that locked the pair.
	FailLogin(ctx context.Context, pair []byte, attempt string, limits LoginLimits) (locked bool, err error)
	// UndoLogin forgets an attempt that has neither failed nor succeeded.
	UndoLogin(ctx context.Context, pair []byte, attempt string) error
	// ForgetLogins forgets what was counted by a name: the attempts of a pair that is not
	// locked, or a count.
	ForgetLogins(ctx context.Context, name []byte) error
	// CountLogins counts more of something by its name, and returns how many there are
	// within the window.
	CountLogins(ctx context.Context, name []byte, more int, window time.Duration) (int, error)
}
