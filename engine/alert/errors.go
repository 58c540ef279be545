package alert

import "errors"

// Errors that callers branch on, with errors.Is. ErrNotFound and ErrConflict of
// package store come back too.
var (
	// ErrReadOnly means that a channel comes from the settings, and is changed
	// there.
	ErrReadOnly = errors.New("the channel comes from the settings")
	// ErrSealed means that the secrets of a channel were sealed with another key.
	ErrSealed = errors.New("the secrets of the channel were sealed with another key: enter them again")
	// ErrTooMany means that there are as many channels as there may be.
	ErrTooMany = errors.New("too many channels")
	// ErrDone means that a delivery has arrived, and cannot be tried again.
	ErrDone = errors.New("the delivery has arrived")
	// ErrClosed means that the Center is closed.
	ErrClosed = errors.New("alerts are closed")

	errStoreDown  = errors.New("the store has failed just now")
	errNotLeading = errors.New("another node takes care of alerts")
)

// FieldError is what is wrong with a field of an input.
type FieldError struct {
	Field string // as in JSON
	Fault string
}

// Error is part of error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Fault }
