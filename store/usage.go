package store

import (
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
	LastUsed time.Time
	LastIP   netip.Addr
	Hits     uint64 // added to what is stored
}

// Counter is one count of one hour.
type Counter struct {
	Hour time.Time `json:"hour"` // start of the hour, UTC
	Name string    `json:"name"`
	N    uint64    `json:"n"`
}

// UsageBatch is what AddUsage writes in one step. A touch with an older
// LastUsed than the stored one adds its hits and leaves time and address.
type UsageBatch struct {
	Touches  []Touch
	Counters []Counter // N is added to what is stored
}
