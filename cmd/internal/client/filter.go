package client

import (
	"net/url"
	"strconv"
	"time"
)

// BindingFilter chooses bindings that are all of what its fields say. The zero
// filter chooses all.
type BindingFilter struct {
	Text          string    `json:"text,omitempty"`
	Hint          string    `json:"hint,omitempty"`
	Label         string    `json:"label,omitempty"`
	Network       string    `json:"network,omitempty"`
	NamesNetwork  string    `json:"namesNetwork,omitempty"`
	Status        string    `json:"status,omitempty"`
	Rule          string    `json:"rule,omitempty"`
	CreatedSince  time.Time `json:"createdSince,omitzero"`
	CreatedBefore time.Time `json:"createdBefore,omitzero"`
	UsedSince     time.Time `json:"usedSince,omitzero"`
	UsedBefore    time.Time `json:"usedBefore,omitzero"`
	IdleSince     time.Time `json:"idleSince,omitzero"` // neither bound nor used at this time or later
	HitsBelow     uint64    `json:"hitsBelow,omitempty"`
	Returned      bool      `json:"returned,omitempty"`
	// All must be set where the server wants it said that all are meant.
	All bool `json:"all,omitempty"`
}

// IsZero reports whether the filter chooses all, or would without All.
func (f BindingFilter) IsZero() bool {
	f.All = false
	return f == BindingFilter{}
}

// Query returns the filter as the parameters of a list; All is none of them.
func (f BindingFilter) Query() url.Values {
	q := url.Values{}
	setTexts(q, "text", f.Text, "hint", f.Hint, "label", f.Label, "network", f.Network, "namesNetwork", f.NamesNetwork,
		"status", f.Status, "rule", f.Rule)
	setTime(q, "createdSince", f.CreatedSince)
	setTime(q, "createdBefore", f.CreatedBefore)
	setTime(q, "usedSince", f.UsedSince)
	setTime(q, "usedBefore", f.UsedBefore)
	setTime(q, "idleSince", f.IdleSince)
	if f.HitsBelow > 0 {
		q.Set("hitsBelow", strconv.FormatUint(f.HitsBelow, 10))
	}
	if f.Returned {
		q.Set("returned", "true")
	}
	return q
}

// LogFilter chooses intercepts.
type LogFilter struct {
	Since, Until time.Time
	Hash         string
	Network      string
	Reason       string
	Path         string
}

// Query returns the filter as the parameters of a list.
func (f LogFilter) Query() url.Values {
	q := url.Values{}
	setTime(q, "since", f.Since)
	setTime(q, "until", f.Until)
	setTexts(q, "hash", f.Hash, "network", f.Network, "reason", f.Reason, "path", f.Path)
	return q
}

// setTexts sets parameters, given as name and value by turns, that have a value.
func setTexts(q url.Values, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
}

func setTime(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}
