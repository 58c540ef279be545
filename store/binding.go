package store

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"
)

// KeyHash is the HMAC-SHA256 of a canonical key: the only form in which a key
// is stored.
type KeyHash [32]byte

// String returns the hash as 64 lower-case hex digits.
func (h KeyHash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h is the zero hash, which no key has.
func (h KeyHash) IsZero() bool { return h == KeyHash{} }

// MarshalText returns the hash as String does.
func (h KeyHash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *KeyHash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("key hash of %d characters, want %d hex digits", len(text), hex.EncodedLen(len(h)))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("key hash: %w", err)
	}
	return nil
}

// ParseKeyHash reads 64 hex digits.
func ParseKeyHash(s string) (KeyHash, error) {
	var h KeyHash
	err := h.UnmarshalText([]byte(s))
	return h, err
}

// Status says whether a bound key may be used at all.
type Status string

// The two states of a binding.
const (
	StatusActive Status = "active"
	StatusBanned Status = "banned"
)

// Limits of a binding's texts, in bytes.
const (
	MaxHintBytes  = 64
	MaxLabelBytes = 256
	MaxNoteBytes  = 4096
)

// Binding ties a key to the addresses it may be used from.
type Binding struct {
	Hash   KeyHash `json:"hash"`
	Hint   string  `json:"hint"` // a few characters of the key, such as sk-ab…9fQ2
	Label  string  `json:"label,omitempty"`
	Note   string  `json:"note,omitempty"`
	Status Status  `json:"status"`
	Rule   Rule    `json:"rule"`

	// FirstIP is the client IP of the first use; the zero Addr for a binding
	// that was made by hand.
	FirstIP netip.Addr `json:"firstIp,omitzero"`
	// CreatedAt and UpdatedAt have millisecond precision, in UTC.
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	// ArchivedBefore is when an earlier binding of the key was archived; zero if
	// there was none.
	ArchivedBefore time.Time `json:"archivedBefore,omitzero"`

	// HashedWith tells which secret, and which spelling of the key, Hash was made with,
	// as credential.HashedWith has it; 0: not known.
	HashedWith uint32 `json:"hashedWith,omitempty"`

	// Revision is given by the store: every change of any binding takes a
	// higher one.
	Revision uint64 `json:"revision"`
}

// Validate returns an error that wraps ErrInvalid and names the first field
// that is wrong.
func (b Binding) Validate() error {
	switch {
	case b.Hash.IsZero():
		return fmt.Errorf("%w: hash is empty", ErrInvalid)
	case len(b.Hint) > MaxHintBytes:
		return fmt.Errorf("%w: hint of %d bytes, at most %d", ErrInvalid, len(b.Hint), MaxHintBytes)
	case len(b.Label) > MaxLabelBytes:
		return fmt.Errorf("%w: label of %d bytes, at most %d", ErrInvalid, len(b.Label), MaxLabelBytes)
	case len(b.Note) > MaxNoteBytes:
		return fmt.Errorf("%w: note of %d bytes, at most %d", ErrInvalid, len(b.Note), MaxNoteBytes)
	case b.Status != StatusActive && b.Status != StatusBanned:
		return fmt.Errorf("%w: status %q, want %q or %q", ErrInvalid, b.Status, StatusActive, StatusBanned)
	}
	return b.Rule.Validate()
}
