package main

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	loginKeyUse   = "key-ip-sentinel: digests of attempts to sign in"
	loginKeyBytes = 32
	// loginTimeout is how long a login waits for PostgreSQL.
	loginTimeout = time.Second
)

// failures returns what remembers failed logins for all nodes: Redis, and PostgreSQL where
// there is none or while that is away. Nil: this one runs alone.
func (n *node) failures() (account.Failures, error) {
	if n.cluster == nil {
		return nil, nil
	}
	key, err := hkdf.Key(sha256.New, []byte(n.secrets.HMACSecret.Reveal()), nil, loginKeyUse, loginKeyBytes)
	if err != nil {
		return nil, fmt.Errorf("digests of attempts to sign in: %w", err)
	}
	limits := store.LoginLimits{Failures: account.FailuresToLock, Window: account.FailureWindow, LockFor: account.LockFor}
	kept := keptLogins{store: n.cluster, key: key, limits: limits}
	if n.redis == nil {
		return kept, nil
	}
	return eitherLogins{n.redis.Logins(limits), kept}, nil
}

// keptLogins are account.Failures in the authority. What was typed as the name of an
// account may be a password, so names are there as keyed digests only.
type keptLogins struct {
	store  store.Logins
	key    []byte
	limits store.LoginLimits
}

func (k keptLogins) digest(name string) []byte {
	mac := hmac.New(sha256.New, k.key)
	_, _ = mac.Write([]byte(name)) // never fails
	return mac.Sum(nil)
}

// Begin is part of account.Failures.
func (k keptLogins) Begin(ctx context.Context, pair string) (attempt string, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	attempt = rand.Text()
	wait, err = k.store.BeginLogin(ctx, k.digest(pair), attempt, k.limits)
	return attempt, wait, err
}

// Failed is part of account.Failures.
func (k keptLogins) Failed(ctx context.Context, pair, attempt string) (locked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	return k.store.FailLogin(ctx, k.digest(pair), attempt, k.limits)
}

// Undone is part of account.Failures.
func (k keptLogins) Undone(ctx context.Context, pair, attempt string) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	return k.store.UndoLogin(ctx, k.digest(pair), attempt)
}

// Succeeded is part of account.Failures.
func (k keptLogins) Succeeded(ctx context.Context, pair string) error { return k.Forget(ctx, pair) }

// Count is part of account.Failures.
func (k keptLogins) Count(ctx context.Context, name string, more int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	return k.store.CountLogins(ctx, k.digest(name), more, k.limits.Window)
}

// Forget is part of account.Failures.
func (k keptLogins) Forget(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	return k.store.ForgetLogins(ctx, k.digest(name))
}

// eitherLogins go to the first, and while that is away to the second. What one of them
// has counted the other does not know.
type eitherLogins struct{ first, second account.Failures }

// secondMark begins the names of attempts that the second knows.
const secondMark = "-"

// of returns who knows an attempt, and what it is called there.
func (e eitherLogins) of(attempt string) (account.Failures, string) {
	if name, isSecond := strings.CutPrefix(attempt, secondMark); isSecond {
		return e.second, name
	}
	return e.first, attempt
}

// Begin is part of account.Failures.
func (e eitherLogins) Begin(ctx context.Context, pair string) (attempt string, wait time.Duration, err error) {
	if attempt, wait, err = e.first.Begin(ctx, pair); err == nil || ctx.Err() != nil {
		return attempt, wait, err
	}
	attempt, wait, err = e.second.Begin(ctx, pair)
	return secondMark + attempt, wait, err
}

// Failed is part of account.Failures.
func (e eitherLogins) Failed(ctx context.Context, pair, attempt string) (locked bool, err error) {
	f, attempt := e.of(attempt)
	return f.Failed(ctx, pair, attempt)
}

// Undone is part of account.Failures.
func (e eitherLogins) Undone(ctx context.Context, pair, attempt string) error {
	f, attempt := e.of(attempt)
	return f.Undone(ctx, pair, attempt)
}

// Succeeded is part of account.Failures.
func (e eitherLogins) Succeeded(ctx context.Context, pair string) error {
	if err := e.first.Succeeded(ctx, pair); err == nil || ctx.Err() != nil {
		return err
	}
	return e.second.Succeeded(ctx, pair)
}

// Count is part of account.Failures.
func (e eitherLogins) Count(ctx context.Context, name string, more int) (int, error) {
	if n, err := e.first.Count(ctx, name, more); err == nil || ctx.Err() != nil {
		return n, err
	}
	return e.second.Count(ctx, name, more)
}

// Forget is part of account.Failures.
func (e eitherLogins) Forget(ctx context.Context, name string) error {
	if err := e.first.Forget(ctx, name); err == nil || ctx.Err() != nil {
		return err
	}
	return e.second.Forget(ctx, name)
}
