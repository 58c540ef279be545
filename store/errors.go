package store

import (
	"errors"
	"fmt"
)

// Errors that callers branch on, with errors.Is.
var (
	// ErrNotFound means that there is no record of that key or name.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that the record has changed since it was read.
	ErrConflict = errors.New("changed meanwhile")
	// ErrInvalid means that the record given is not one that may be stored.
	ErrInvalid = errors.New("invalid record")
	// ErrUnavailable means that the medium does not answer or does not take
	// writes: disk full, connection lost, store closed.
	ErrUnavailable = errors.New("store unavailable")
	// ErrClosed means, as ErrUnavailable, that the store has been closed.
	ErrClosed = fmt.Errorf("%w: closed", ErrUnavailable)
	// ErrNotAsked goes with ErrUnavailable where the medium was known not to answer, and
	// so was not asked: nothing was changed.
	ErrNotAsked = errors.New("nothing was changed")
	// ErrLocked means that another process has the store open.
	ErrLocked = errors.New("in use by another process")
	// ErrForeign means that the file is not one of Sentinel's.
	ErrForeign = errors.New("not a Sentinel data file")
	// ErrDamaged means that the file is Sentinel's but cannot be read.
	ErrDamaged = errors.New("data file is damaged")
	// ErrNewer means that a newer Sentinel wrote the file.
	ErrNewer = errors.New("written by a newer version")
	// ErrFeedGone means that a Feed does not reach back to where a reader is.
	ErrFeedGone = errors.New("changes are no longer kept")
)
