package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	setupFor      = 30 * time.Minute
	setupFailures = 5
)

// setup is the one-time token with which the first account is made. It is in the
// memory of this process only: a new start makes another.
type setup struct {
	mu       sync.Mutex
	token    string // "" for none
	expires  time.Time
	failures int
}

// BeginSetup makes a one-time token with which Setup makes the first account,
// valid for 30 minutes or until used; an earlier one is void. It is of no use
// once there is an account.
func (a *Accounts) BeginSetup() (token string, expires time.Time) {
	s := &a.setup
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.expires, s.failures = rand.Text(), a.now().Add(setupFor), 0
	return s.token, s.expires
}

// Setup makes the first account, an admin. Returns ErrWrongSetup if the token is
// wrong, used or expired, was guessed at five times, or there are accounts; or a
// *FieldError for the name or the password, after which the token is still good.
func (a *Accounts) Setup(ctx context.Context, token, name, password string) (Account, error) {
	if !a.setup.takes(token, a.now()) {
		return Account{}, ErrWrongSetup
	}
	name, err := newName(name)
	if err != nil {
		return Account{}, err
	}
	if err := checkNewPassword(name, password); err != nil {
		return Account{}, err
	}
	account, err := a.create(ctx, name, Admin, password, func(all *shelved[accountRecord]) error {
		if len(all.byID) > 0 {
			return ErrWrongSetup
		}
		return nil
	})
	if errors.Is(err, store.ErrConflict) { // another node of the cluster was first
		err = ErrWrongSetup
	}
	if err == nil || errors.Is(err, ErrWrongSetup) {
		a.setup.end(token)
	}
	return account, err
}

// takes reports whether a token is the one of now, and counts it if not.
func (s *setup) takes(token string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" || !now.Before(s.expires) {
		return false
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) == 1 {
		return true
	}
	if s.failures++; s.failures >= setupFailures {
		s.token = ""
	}
	return false
}

// end makes a token void.
func (s *setup) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}
