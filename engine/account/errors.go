package account

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers branch on, with errors.Is. Beside them the methods return
// those of package store: ErrNotFound, ErrConflict and ErrUnavailable.
var (
	// ErrWrongLogin means that there is no such account, or that it is disabled,
	// or that the password is another: which of these is not told.
	ErrWrongLogin = errors.New("wrong name or password")
	// ErrCodeNeeded means that the password is right, and that a code of the
	// second factor has to come with it.
	ErrCodeNeeded = errors.New("code of the second factor needed")
	// ErrWrongCode means that the code is not one of now, or was used before.
	ErrWrongCode = errors.New("wrong or used code")
	// ErrEnded means that a session has ended: its account is gone or disabled,
	// or its password, role or second factor has changed.
	ErrEnded = errors.New("session has ended")

	// ErrWrongToken means that there is no such API token.
	ErrWrongToken = errors.New("unknown API token")
	// ErrExpired means that the API token was valid once.
	ErrExpired = errors.New("API token has expired")
	// ErrNetwork means that the API token may not be used from this address.
	ErrNetwork = errors.New("API token may not be used from this address")

	// ErrWrongSetup means that the setup token is wrong, used or expired, or that
	// there are accounts already.
	ErrWrongSetup = errors.New("setup is over, or its token is wrong, used or expired")
	// ErrLastAdmin means that the change would leave no enabled admin.
	ErrLastAdmin = errors.New("the last enabled admin has to stay")

	// ErrSecondFactorOn means that the account has a second factor, which has to
	// be switched off before another is enrolled.
	ErrSecondFactorOn = errors.New("second factor is on already")
	// ErrSecondFactorOff means that the account has no second factor.
	ErrSecondFactorOff = errors.New("second factor is off")
	// ErrNoEnrolment means that no enrolment was begun, or that it has expired.
	ErrNoEnrolment = errors.New("no enrolment was begun, or it has expired")
	// ErrSealed means that the secret of a second factor was sealed with another
	// key than the one of now. Recovery codes still work.
	ErrSealed = errors.New("secret of the second factor was sealed with another key")
)

// LockedError means that an account is locked for an address, whatever the
// password.
type LockedError struct {
	// RetryAfter is the rest of the time, more than zero.
	RetryAfter time.Duration
}

// Error is part of error.
func (e *LockedError) Error() string {
	return fmt.Sprintf("too many failures, locked for %s", (e.RetryAfter + time.Second - 1).Truncate(time.Second))
}

// FieldError means that a value cannot be taken. It never holds the value.
type FieldError struct {
	Field string // as in JSON: "name", "password", "role", "networks", "expiresAt"
	Fault string
}

// Error is part of error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Fault }

// errUnchanged is what an edit returns when there is nothing to write.
var errUnchanged = errors.New("unchanged")
