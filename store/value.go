package store

import (
	"fmt"
	"net/netip"
	"time"
)

// MaxNameBytes is how long the name of a setting or a counter may be.
const MaxNameBytes = 255

// ValidateName returns an error that wraps ErrInvalid if a setting or a counter
// cannot have that name.
func ValidateName(name string) error {
	if name == "" || len(name) > MaxNameBytes {
		return fmt.Errorf("%w: name of %d bytes, want 1 to %d", ErrInvalid, len(name), MaxNameBytes)
	}
	return nil
}

// StoredTime returns t as a store gives it back: in UTC, cut to the millisecond.
func StoredTime(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// StoredHour returns the start of the hour of t, in UTC, as counters have it.
func StoredHour(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

// Stored returns b as a store gives it back: with its times as StoredTime makes
// them, and prefixes and networks of its own.
func (b Binding) Stored() Binding {
	b.CreatedAt, b.UpdatedAt = StoredTime(b.CreatedAt), StoredTime(b.UpdatedAt)
	if !b.ArchivedBefore.IsZero() {
		b.ArchivedBefore = StoredTime(b.ArchivedBefore)
	}
	if !b.Rule.Learn.Until.IsZero() {
		b.Rule.Learn.Until = StoredTime(b.Rule.Learn.Until)
	}
	b.Rule.Prefixes = append([]netip.Prefix(nil), b.Rule.Prefixes...)
	b.Rule.Networks = append([]string(nil), b.Rule.Networks...)
	return b
}
