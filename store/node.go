package store

import (
	"context"
	"time"
)

// NodeState is what a node of a cluster tells of itself.
type NodeState struct {
	// ID tells nodes apart, also those of one name. It stays the same over restarts.
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Address string    `json:"address"` // that requests come to
	Started time.Time `json:"started"`
	Leader  bool      `json:"leader,omitempty"`

	Position uint64 `json:"position"` // revision up to which its copy has everything
	Behind   uint64 `json:"behind"`   // revisions that it knows of and has not
	// Lag is how long ago its copy was known to be level. A node looks at least once a
	// second, so that less means nothing. Negative: it never was.
	Lag time.Duration `json:"lag"`
	// Ahead is how far its clock is ahead of that of the authority; nil: it does not know.
	Ahead *time.Duration `json:"ahead,omitempty"`
	// Waiting is how many batches of what it has gathered are not delivered yet.
	Waiting uint64 `json:"waiting,omitempty"`

	Authority Health `json:"authority"` // PostgreSQL, as the node sees it
	Redis     Health `json:"redis"`
}

// Health is how a node sees a server that it needs.
type Health struct {
	State HealthState `json:"state"`
	// Error is why it is not well, without anything secret.
	Error string `json:"error,omitempty"`
}

// HealthState says it in a word.
type HealthState string

// The states of health.
const (
	HealthNone HealthState = "none" // the node is not set to use such a server
	HealthGood HealthState = "ok"
	HealthAway HealthState = "away"
)

// NodeBeat is the last that a node has told of itself.
type NodeBeat struct {
	NodeState
	// Silence is how long ago that was, by the clock of the authority.
	Silence time.Duration `json:"silence"`
}

// NodeAge is for how long an authority knows a node that it does not hear of any more.
const NodeAge = 24 * time.Hour

// Roster is how an authority knows its nodes. It is no part of the feed.
//
// Errors are those of Store.
type Roster interface {
	// Beat tells that a node is there, and how it is, in place of what it told before.
	// It forgets the nodes that were not heard of for NodeAge.
	// Returns ErrInvalid if the ID is no name as ValidateName has them.
	Beat(ctx context.Context, n NodeState) error
	// Nodes returns all nodes in the order of their names, and then of their IDs.
	Nodes(ctx context.Context) ([]NodeBeat, error)
	// Time returns the time by the authority's clock.
	Time(ctx context.Context) (time.Time, error)
}
