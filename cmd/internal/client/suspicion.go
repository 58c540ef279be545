package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Suspicion is a key that several people seem to use.
type Suspicion struct {
	Hash     string         `json:"hash"`
	Hint     string         `json:"hint"`
	Label    string         `json:"label"`
	Bound    bool           `json:"bound"`
	First    time.Time      `json:"first"`
	Last     time.Time      `json:"last"`
	Minutes  int            `json:"minutes"`
	Evidence []SharedMinute `json:"evidence"` // the newest first
}

// SharedMinute is a minute in which it was used from several networks.
type SharedMinute struct {
	Minute   time.Time `json:"minute"`
	Networks []string  `json:"networks"`
}

// Suspicions returns all keys that several people seem to use, and how many more the
// server had no room for.
func (c *Client) Suspicions(ctx context.Context) (list []Item[Suspicion], beyond uint64, err error) {
	var answer struct {
		Items  []json.RawMessage `json:"items"`
		Beyond uint64            `json:"beyond"`
	}
	if err := c.Do(ctx, http.MethodGet, "/suspicions", nil, &answer); err != nil {
		return nil, 0, err
	}
	for _, raw := range answer.Items {
		item := Item[Suspicion]{Raw: raw}
		if err := json.Unmarshal(raw, &item.Value); err != nil {
			return nil, 0, answerFault(c.place, err)
		}
		list = append(list, item)
	}
	return list, answer.Beyond, nil
}

// DismissSuspicion removes one.
func (c *Client) DismissSuspicion(ctx context.Context, hash string) error {
	return c.Do(ctx, http.MethodDelete, "/suspicions/"+hash, nil, nil)
}
