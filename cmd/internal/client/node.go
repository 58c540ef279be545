package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Node is one node of the cluster.
type Node struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Self       bool      `json:"self"`  // it is the one that answered
	State      string    `json:"state"` // here or lost
	SeenAt     time.Time `json:"seenAt"`
	Leader     bool      `json:"leader"`
	Version    string    `json:"version"`
	Address    string    `json:"address"`
	StartedAt  time.Time `json:"startedAt"`
	Position   uint64    `json:"position"`
	Behind     uint64    `json:"behind"`
	LagSeconds *float64  `json:"lagSeconds"`        // nil: never level
	Clock      *float64  `json:"clockAheadSeconds"` // of its own before that of PostgreSQL; nil: not known
	Waiting    uint64    `json:"waiting"`
	PostgreSQL Health    `json:"postgresql"`
	Redis      Health    `json:"redis"`
}

// Health is how a node sees a server that it needs.
type Health struct {
	State string `json:"state"` // none, ok or away
	Error string `json:"error,omitempty"`
}

// Nodes returns all nodes, and whether the others are as the authority tells now.
func (c *Client) Nodes(ctx context.Context) (list []Item[Node], isCurrent bool, err error) {
	var answer struct {
		Items   []json.RawMessage `json:"items"`
		Current bool              `json:"current"`
	}
	if err := c.Do(ctx, http.MethodGet, "/nodes", nil, &answer); err != nil {
		return nil, false, err
	}
	for _, raw := range answer.Items {
		item := Item[Node]{Raw: raw}
		if err := json.Unmarshal(raw, &item.Value); err != nil {
			return nil, false, answerFault(c.place, err)
		}
		list = append(list, item)
	}
	return list, answer.Current, nil
}
