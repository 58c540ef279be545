package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Exception lets a key be used from a network until a time.
type Exception struct {
	ID          string    `json:"id"`
	Hash        string    `json:"hash"`
	Hint        string    `json:"hint"`
	Prefix      string    `json:"prefix"`
	Until       time.Time `json:"until"`
	State       string    `json:"state"` // running, ended, revoked
	Note        string    `json:"note"`
	InterceptID uint64    `json:"interceptId"`
	By          string    `json:"by"`
	CreatedAt   time.Time `json:"createdAt"`
	RevokedAt   time.Time `json:"revokedAt"`
	RevokedBy   string    `json:"revokedBy"`
}

// NewException is an exception that is to be made: of a key, of a hash, or of the
// record of a refusal.
type NewException struct {
	Key              string    `json:"key,omitempty"`
	Hash             string    `json:"hash,omitempty"`
	InterceptID      uint64    `json:"interceptId,omitempty"`
	Prefix           string    `json:"prefix,omitempty"`
	Until            time.Time `json:"until"`
	Note             string    `json:"note,omitempty"`
	ConfirmAnySource bool      `json:"confirmAnySource,omitempty"`
}

const exceptionsPath = "/exceptions"

// ExceptionFilter chooses exceptions; empty fields choose all.
type ExceptionFilter struct{ State, Hash, Text string }

// Exceptions returns the exceptions that a filter chooses, page by page, until
// limit have come; limit 0: all.
func (c *Client) Exceptions(ctx context.Context, f ExceptionFilter, limit int) iter.Seq2[Page[Exception], error] {
	q := url.Values{}
	setTexts(q, "state", f.State, "hash", f.Hash, "text", f.Text)
	return Pages[Exception](ctx, c, exceptionsPath, q, limit)
}

// CreateException makes an exception.
func (c *Client) CreateException(ctx context.Context, x NewException) (Item[Exception], error) {
	return send[Exception](ctx, c, Request{Method: http.MethodPost, Path: exceptionsPath}, x)
}

// EndException ends an exception before its time.
func (c *Client) EndException(ctx context.Context, id string) (Item[Exception], error) {
	return send[Exception](ctx, c, Request{Method: http.MethodDelete, Path: exceptionsPath + "/" + url.PathEscape(id)}, nil)
}

// Basis is what a decision rests on.
type Basis struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Explanation says whether a key would pass from an address, and why.
type Explanation struct {
	Passes   bool     `json:"passes"`
	Reason   string   `json:"reason"`
	Basis    Basis    `json:"basis"`
	Observed bool     `json:"observed"`
	Sentence string   `json:"sentence"`
	Bound    bool     `json:"bound"`
	Learns   bool     `json:"learns"`
	Prefix   string   `json:"prefix"`
	Held     string   `json:"held"`
	Missing  []string `json:"missing"`
}

// Explain asks what would become of a request with a key, or with one of a hash,
// from an address.
func (c *Client) Explain(ctx context.Context, key, hash, ip string) (Item[Explanation], error) {
	in := struct {
		Key  string `json:"key,omitempty"`
		Hash string `json:"hash,omitempty"`
		IP   string `json:"ip"`
	}{key, hash, ip}
	return send[Explanation](ctx, c, Request{Method: http.MethodPost, Path: "/explain"}, in)
}
