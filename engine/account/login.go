package account

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Credentials is what somebody gives to sign in.
type Credentials struct {
	Name     string
	Password string
	// Code is one of the authenticator, or a recovery code, or empty.
	Code string
	// From is the client IP; the zero Addr for none, as of a Unix socket.
	From netip.Addr
}

// Login checks credentials and notes the time. It takes the time of a password
// hash whether or not there is such an account, and as long again if the hash
// of the password is to be made anew, because its cost has changed.
//
// Returns ErrWrongLogin; ErrCodeNeeded if only the code is missing, which counts
// neither as a failure nor as a success; ErrWrongCode; a *LockedError after five
// failures within 15 minutes from one address, or the /64 of an IPv6 address,
// even if everything is right. After more than 20 failures of an account from
// anywhere, attempts on it wait, up to 5 s and until ctx is done; they are never
// locked for that. Only after 20 wrong codes that came with the right password is
// it a *LockedError from anywhere, for codes of the authenticator, not for recovery
// codes. An address with 16 attempts under way has a *LockedError of a second.
// Failures are counted in the memory of this process, and at all nodes if Options has
// Failures.
func (a *Accounts) Login(ctx context.Context, c Credentials) (Account, error) {
	var account Account
	err := a.attempt(ctx, c.Name, c.From, func(name string) (err error) {
		account, err = a.login(ctx, name, c)
		return err
	})
	return account, err
}

// CheckPassword checks the password of somebody who is signed in, before an act
// that asks for it. It counts for the lockout as Login does, and returns the
// same errors, except those of the second factor.
func (a *Accounts) CheckPassword(ctx context.Context, name, password string, from netip.Addr) error {
	return a.attempt(ctx, name, from, func(name string) error {
		_, _, err := a.checkPassword(ctx, name, password)
		return err
	})
}

// attempt does one try at the account of a name, which is "" if it cannot be one,
// and counts how it ended.
func (a *Accounts) attempt(ctx context.Context, name string, from netip.Addr, try func(name string) error) error {
	name, _ = canonicalName(name)
	end, err := a.guard.begin(ctx, name, from)
	if err != nil {
		return err
	}
	result := undecided
	defer func() {
		if end(result) {
			a.tellLockout(name, from)
		}
	}()
	err = try(name)
	switch {
	case err == nil:
		result = succeeded
	case errors.Is(err, ErrWrongLogin), errors.Is(err, ErrWrongCode):
		result = failed
	}
	return err
}

func (a *Accounts) tellLockout(name string, from netip.Addr) {
	if _, known := a.accounts.current.Load().byID[name]; !known {
		return
	}
	a.logger.Warn("account locked for an address after failed logins", "account", name, "client_ip", from, "for", lockFor)
	if a.onLockout != nil {
		a.onLockout(name, from)
	}
}

func (a *Accounts) login(ctx context.Context, name string, c Credentials) (Account, error) {
	rec, outdated, err := a.checkPassword(ctx, name, c.Password)
	if err != nil {
		return Account{}, err
	}
	var use codeUse
	if rec.TOTP != nil {
		if use, err = a.checkCode(ctx, rec, c.Code); err != nil {
			return Account{}, err
		}
	}
	rehashed := ""
	if outdated {
		if rehashed, err = a.hasher.hash(ctx, c.Password); err != nil {
			return Account{}, err
		}
	}
	changed, err := a.accounts.change(ctx, name, func(_ *shelved[accountRecord], now *accountRecord) error {
		// What was checked must still be what counts. Another password makes
		// another generation; a hash made anew does not.
		if now.Disabled || now.Generation != rec.Generation {
			return ErrWrongLogin
		}
		if err := use.spend(now); err != nil {
			return err
		}
		if rehashed != "" {
			now.Password = rehashed
		}
		now.LastLogin = a.storedNow()
		return nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Account{}, ErrWrongLogin
	case errors.Is(err, store.ErrUnavailable) && rec.TOTP == nil:
		// A full disk must not keep out who comes to make room. With a second
		// factor it does, as a code that is not written down works again.
		a.logger.Warn("login not written down", "account", name, "error", err)
		return rec.account(), nil
	case err != nil:
		return Account{}, err
	}
	return changed.account(), nil
}

// checkPassword returns the enabled account of a name with that password, and
// whether its hash should be made anew; ErrWrongLogin if there is none.
func (a *Accounts) checkPassword(ctx context.Context, name, password string) (rec accountRecord, outdated bool, err error) {
	all, err := a.accounts.readWithin(ctx, refuseAfter)
	if err != nil {
		return accountRecord{}, false, err
	}
	entry := all.byID[name] // the zero entry has the hash of nobody
	right, outdated, err := a.hasher.verify(ctx, entry.value.Password, password)
	if err != nil {
		return accountRecord{}, false, err
	}
	if !right || entry.value.Disabled {
		return accountRecord{}, false, ErrWrongLogin
	}
	return entry.value, outdated, nil
}

// Session returns the account of a session that was made with a generation of
// it. It is answered from memory, which is at most a second behind the changes
// of other nodes and never behind those of this one. Returns ErrEnded if the
// account is gone, disabled or of another generation.
func (a *Accounts) Session(ctx context.Context, name string, generation uint64) (Account, error) {
	name, _ = canonicalName(name)
	for _, age := range []time.Duration{freshFor, refuseAfter} {
		all, err := a.accounts.readWithin(ctx, age)
		if err != nil {
			return Account{}, err
		}
		rec := all.byID[name].value
		if rec.Name != "" && !rec.Disabled && rec.Generation == generation {
			return rec.account(), nil
		}
	}
	return Account{}, ErrEnded
}
