// Package event tells whoever listens what happens in the engine, as it
// happens.
package event

import (
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// The types of events, with what their Data is.
const (
	TypeIntercept = "intercept" // store.Intercept: a new record
	TypeBinding   = "binding"   // Binding
	TypeSetting   = "setting"   // what the one who changes settings says
	TypeAlert     = "alert"     // Alert
	TypeNetwork   = "network"   // Network
	TypeBlocked   = "blocked"   // Blocked
	TypeException = "exception" // Exception
	TypeLagged    = "lagged"    // Lagged
)

// Event is one thing that happened.
type Event struct {
	ID   uint64    `json:"id"` // ascending, from 1 at each start
	At   time.Time `json:"at"` // milliseconds, UTC
	Type string    `json:"type"`
	Data any       `json:"data"`
}

// Alert tells what became of an alert.
type Alert struct {
	Change string `json:"change"` // opened, acknowledged or closed
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	// Whom it is about, of which most alerts have one.
	Hash       store.KeyHash `json:"hash,omitzero"`
	Hint       string        `json:"hint,omitempty"`
	Network    netip.Prefix  `json:"network,omitzero"`
	Account    string        `json:"account,omitempty"`
	Collective bool          `json:"collective,omitempty"` // about several that share it
	// Open is how many alerts are open now.
	Open int `json:"open"`
}

// Change is what became of a network, of blocked networks, or of an exception.
type Change string

// The changes.
const (
	Made    Change = "made"
	Changed Change = "changed"
	Removed Change = "removed"
	Ended   Change = "ended" // by itself, or by somebody
)

// Network tells of a change of a named network.
type Network struct {
	Change Change `json:"change"`
	Name   string `json:"name"`
}

// Blocked tells of a change of the blocked networks.
type Blocked struct {
	Change Change `json:"change"` // made, removed or ended
	Count  int    `json:"count"`  // of networks
}

// Exception tells of an exception that was made or has ended.
type Exception struct {
	Change Change        `json:"change"`
	ID     string        `json:"id,omitempty"` // empty: those of the key that were over
	Hash   store.KeyHash `json:"hash"`
	Hint   string        `json:"hint,omitempty"`
}

// Lagged stands in the place of events that a subscriber did not get.
type Lagged struct {
	Missed uint64 `json:"missed"` // how many, of all types
}

// Action is what became of a binding.
type Action string

// The actions.
const (
	Bound    Action = "bound"    // by a first use
	Learned  Action = "learned"  // its rule has taken another prefix
	Preset   Action = "preset"   // made by hand or by an import
	Edited   Action = "edited"   // has another rule, label or note
	Banned   Action = "banned"   // and perhaps edited as well
	Unbanned Action = "unbanned" // and perhaps edited as well
	Unbound  Action = "unbound"
	Restored Action = "restored" // from the archive
	Archived Action = "archived" // for want of use
)

// Binding tells of a change of one binding, or of many in one act.
type Binding struct {
	Action Action `json:"action"`
	// Of one binding, as it is after the change.
	Hash     store.KeyHash `json:"hash,omitzero"`
	Hint     string        `json:"hint,omitempty"`
	Label    string        `json:"label,omitempty"`
	ClientIP netip.Addr    `json:"clientIp,omitzero"` // whose first use bound the key
	Revision uint64        `json:"revision,omitempty"`
	// Count is how many bindings were changed in one act; then there is nothing
	// of a single one here.
	Count int `json:"count,omitempty"`
}
