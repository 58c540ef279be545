// Package exception keeps the exceptions of keys: this key from this network until
// a time, whatever its rule says. They end by themselves. All that run are in
// memory, by key; the store has each as a document, and keeps it for a while after
// its end, for whoever asks what was allowed.
package exception

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// Kind is that of the documents.
	Kind = "exception"

	// MaxRunning is how many exceptions may run at a time.
	MaxRunning = 10_000
	// MaxFor is how long one may run: what is to last belongs into the rule.
	MaxFor = 366 * 24 * time.Hour
	// MaxNoteBytes bounds the note.
	MaxNoteBytes = 1_024
	// keepEnded is how long an exception is kept after its end.
	keepEnded = 30 * 24 * time.Hour
	// maxEnded is how many of them are, the newest.
	maxEnded = 10_000
)

// State of an exception.
type State string

// The states.
const (
	Running State = "running"
	Ended   State = "ended"   // its time is over
	Revoked State = "revoked" // somebody ended it, or its key was unbound
)

// Exception lets a key be used from a network until a time.
type Exception struct {
	ID     string        `json:"id"`
	Hash   store.KeyHash `json:"hash"`
	Hint   string        `json:"hint"`
	Prefix netip.Prefix  `json:"prefix"`
	Until  time.Time     `json:"until"` // milliseconds, UTC, as the others
	Note   string        `json:"note,omitempty"`
	// InterceptID is the record of the refusal that it was made for; 0: none.
	InterceptID uint64    `json:"interceptId,omitempty"`
	By          string    `json:"by,omitempty"` // who made it
	CreatedAt   time.Time `json:"createdAt"`
	RevokedBy   string    `json:"revokedBy,omitempty"`
	RevokedAt   time.Time `json:"revokedAt,omitzero"`

	revision uint64
}

// StateAt returns the state at a time.
func (x Exception) StateAt(now time.Time) State {
	switch {
	case !x.RevokedAt.IsZero():
		return Revoked
	case !now.Before(x.Until):
		return Ended
	}
	return Running
}

// end is when it ended, or will.
func (x Exception) end() time.Time {
	if !x.RevokedAt.IsZero() {
		return x.RevokedAt
	}
	return x.Until
}

func (x Exception) validate(now time.Time) error {
	switch {
	case x.Hash.IsZero():
		return fmt.Errorf("%w: hash is empty", store.ErrInvalid)
	case len(x.Note) > MaxNoteBytes:
		return fmt.Errorf("%w: note of %d bytes, at most %d", store.ErrInvalid, len(x.Note), MaxNoteBytes)
	case !now.Before(x.Until):
		return fmt.Errorf("%w: until: %s is in the past", store.ErrInvalid, x.Until.UTC().Format(time.RFC3339))
	case x.Until.After(now.Add(MaxFor)):
		return fmt.Errorf("%w: until: %s is more than %d days ahead: what is to last belongs into the rule",
			store.ErrInvalid, x.Until.UTC().Format(time.RFC3339), MaxFor/(24*time.Hour))
	}
	return store.ValidatePrefix(x.Prefix)
}
