package store

import (
	"fmt"
	"net/netip"
	"time"
)

// Usage is what is known of a key's allowed requests.
type Usage struct {
	LastUsed time.Time  `json:"lastUsed,omitzero"` // milliseconds, UTC
	LastIP   netip.Addr `json:"lastIp,omitzero"`
	Hits     uint64     `json:"hits"`
}

// Touch is the use of one key since the last batch.
type Touch struct {
	Hash     KeyHash
	LastUsed time.Time // of the batch: up to 5 s after the use
	LastIP   netip.Addr
	Hits     uint64 // added to what is stored
}

// Counter is one count of one hour.
type Counter struct {
	Hour time.Time `json:"hour"` // start of the hour, UTC
	Name string    `json:"name"`
	N    uint64    `json:"n"`
}

// UsageChunk is how many touches AddUsage may write in one transaction.
const UsageChunk = 2_000

// UsageBatch is what AddUsage writes. A touch with an older LastUsed than the
// stored one adds its hits and leaves time and address.
type UsageBatch struct {
	Touches  []Touch
	Counters []Counter // N is added to what is stored
}

// UnfinishedError is the error of an AddUsage that has stored a part of its
// batch.
type UnfinishedError struct {
	// Rest is what was not stored, and can be added later. If Err is that of a
	// done context, the first UsageChunk touches of it may have been stored.
	Rest UsageBatch
	Err  error // why it was not
}

// Error says how much is left and why.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("usage of %d keys left to add: %v", len(e.Rest.Touches), e.Err)
}

// Unwrap returns the cause.
func (e *UnfinishedError) Unwrap() error { return e.Err }
