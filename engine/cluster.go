package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Authority is what a node of a cluster knows of the store that the nodes share, and of
// its own copy of it. Away and IsStale are asked for every request, and must be cheap.
type Authority interface {
	// Away returns why it cannot be reached; nil if it can.
	Away() error
	// IsStale reports whether the copy was not level for so long that it is not to be
	// gone by any more.
	IsStale() bool
	// Lag returns how many changes the copy is known to be behind, and when it last had
	// all; zero: never.
	Lag() (behind uint64, level time.Time)
	// OutboxSize returns how much the node has gathered that is not there yet.
	OutboxSize(ctx context.Context) (store.OutboxSize, error)
}

// Cluster is how a node of a cluster stands to the authority.
type Cluster struct {
	Reachable bool   `json:"reachable"` // the authority is
	LastError string `json:"lastError,omitempty"`
	// Behind is how many changes this node is known not to have yet.
	Behind uint64 `json:"behind"`
	// Level is when this node last had all changes; zero: never.
	Level time.Time `json:"level,omitzero"`
	// Stale says that this was so long ago that keys are not decided by what this node
	// has, but as the failsafe mode says.
	Stale bool `json:"stale"`
	// Outbox is what this node has gathered and the authority does not have yet.
	Outbox store.OutboxSize `json:"outbox"`
}

// Authority returns what the node knows of the authority; nil if it is none of a cluster.
func (e *Engine) Authority() Authority { return e.authority }

// Cluster returns how the node stands to the authority, or false if it is none of a
// cluster. The error is that of the node's own store.
func (e *Engine) Cluster(ctx context.Context) (c Cluster, ok bool, err error) {
	if e.authority == nil {
		return c, false, nil
	}
	away := e.authority.Away()
	if c.Reachable = away == nil; away != nil {
		c.LastError = away.Error()
	}
	c.Stale = e.authority.IsStale()
	if c.Behind, c.Level = e.authority.Lag(); !c.Level.IsZero() {
		c.Level = store.StoredTime(c.Level)
	}
	if c.Outbox, err = e.authority.OutboxSize(ctx); err != nil {
		return c, true, fmt.Errorf("look at the outbox: %w", err)
	}
	return c, true, nil
}

// authorityAway returns why the authority cannot be reached; nil if it can, or there is
// none.
func (e *Engine) authorityAway() error {
	if e.authority == nil {
		return nil
	}
	return e.authority.Away()
}
