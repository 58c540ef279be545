package client

import (
	"context"
	"net/http"
	"time"
)

// ReplayRequest asks what rules would have refused.
type ReplayRequest struct {
	Since  time.Time      `json:"since"`
	Rule   *Rule          `json:"rule,omitempty"` // nil: every key has its own
	Rows   int            `json:"rows,omitempty"`
	Hashes []string       `json:"hashes,omitempty"`
	Filter *BindingFilter `json:"filter,omitempty"`
}

// Replay is what they would have refused.
type Replay struct {
	Since     time.Time `json:"since"`
	UsesSince time.Time `json:"usesSince"`
	Checked   int       `json:"checked"`

	Refused     uint64 `json:"refused"`
	Keys        int    `json:"keys"`
	RefusedThen uint64 `json:"refusedThen"`
	Passed      uint64 `json:"passed"`
	PassedKeys  int    `json:"passedKeys"`

	Rows      []ReplayRow     `json:"rows"`
	Omitted   uint64          `json:"omitted"`
	Uncertain UncertainReplay `json:"uncertain"`
}

// ReplayRow is requests of one key from one network on one day.
type ReplayRow struct {
	Hash    string    `json:"hash"`
	Hint    string    `json:"hint"`
	Label   string    `json:"label"`
	Network string    `json:"network"`
	Day     time.Time `json:"day"`
	Count   uint64    `json:"count"`
	Would   string    `json:"would"` // refuse, pass
	Did     string    `json:"did"`   // refuse, pass
}

// UncertainReplay is what nobody can tell.
type UncertainReplay struct {
	Requests   uint64 `json:"requests"`
	Unrecorded uint64 `json:"unrecorded"`
	Elsewhere  uint64 `json:"elsewhere"`
	Partly     uint64 `json:"partly"`
	Learning   uint64 `json:"learning"`
	Unbound    uint64 `json:"unbound"`
	Dropped    uint64 `json:"dropped"`

	UsesFrom        time.Time `json:"usesFrom"`
	InterceptsFrom  time.Time `json:"interceptsFrom"`
	UnknownNetworks []string  `json:"unknownNetworks"`
}

// Replay tells what rules would have refused.
func (c *Client) Replay(ctx context.Context, r ReplayRequest) (Item[Replay], error) {
	return send[Replay](ctx, c, Request{Method: http.MethodPost, Path: "/replay", Long: true}, r)
}
