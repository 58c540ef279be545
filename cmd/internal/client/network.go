package client

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Network is a network with a name.
type Network struct {
	Name        string    `json:"name"`
	Note        string    `json:"note"`
	Prefixes    []string  `json:"prefixes"` // of a list, the first
	PrefixCount int       `json:"prefixCount"`
	Shared      bool      `json:"shared"`
	Bindings    int       `json:"bindings"` // whose rules name it
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
	Revision    uint64    `json:"revision"`
	Warnings    []Warning `json:"warnings"`
}

// NetworkInput is what a network is to be.
type NetworkInput struct {
	Name             string   `json:"name,omitempty"` // of a new one
	Note             string   `json:"note,omitempty"`
	Prefixes         []string `json:"prefixes"`
	Shared           bool     `json:"shared,omitempty"`
	ConfirmAnySource bool     `json:"confirmAnySource,omitempty"`
}

const networksPath = "/networks"

func networkPath(name string) string { return networksPath + "/" + url.PathEscape(name) }

func ifMatch(revision uint64) http.Header {
	return http.Header{"If-Match": {strconv.Quote(strconv.FormatUint(revision, 10))}}
}

// Networks returns all named networks, or those that have an address of within.
func (c *Client) Networks(ctx context.Context, within string) ([]Item[Network], error) {
	q := url.Values{}
	setTexts(q, "network", within)
	page, err := List[Network](ctx, c, networksPath, q)
	return page.Items, err
}

// Network returns one network with all of its prefixes.
func (c *Client) Network(ctx context.Context, name string) (Item[Network], error) {
	return get[Network](ctx, c, networkPath(name))
}

// CreateNetwork makes a network.
func (c *Client) CreateNetwork(ctx context.Context, in NetworkInput) (Item[Network], error) {
	return send[Network](ctx, c, Request{Method: http.MethodPost, Path: networksPath}, in)
}

// ReplaceNetwork changes a network that has the revision still.
func (c *Client) ReplaceNetwork(ctx context.Context, name string, revision uint64, in NetworkInput) (Item[Network], error) {
	in.Name = ""
	return send[Network](ctx, c, Request{Method: http.MethodPut, Path: networkPath(name), Header: ifMatch(revision), Long: true}, in)
}

// DeletedNetwork says what became of the rules that named a network.
type DeletedNetwork struct {
	Changed  int       `json:"changed"`
	Warnings []Warning `json:"warnings"`
}

// DeleteNetwork deletes a network; rules is refuse, inline or drop.
func (c *Client) DeleteNetwork(ctx context.Context, name, rules string) (Item[DeletedNetwork], error) {
	r := Request{Method: http.MethodDelete, Path: networkPath(name), Query: url.Values{}, Long: true}
	setTexts(r.Query, "rules", rules)
	return send[DeletedNetwork](ctx, c, r, nil)
}

// Blocked is a network that nobody may come from.
type Blocked struct {
	Prefix    string    `json:"prefix"`
	Note      string    `json:"note"`
	Until     time.Time `json:"until"` // zero: for ever
	By        string    `json:"by"`
	CreatedAt time.Time `json:"createdAt"`
}

// BlockOptions are what holds for all networks of a call.
type BlockOptions struct {
	Note             string    `json:"note,omitempty"`
	Until            time.Time `json:"until,omitzero"`
	ConfirmAnySource bool      `json:"confirmAnySource,omitempty"`
	Force            bool      `json:"force,omitempty"`
}

// BlockResult counts what became of the networks.
type BlockResult struct {
	Added    int       `json:"added"`
	Replaced int       `json:"replaced"`
	Total    int       `json:"total"`
	Warnings []Warning `json:"warnings"`
}

const blockedPath = "/blocked-networks"

// BlockedNetworks returns the blocked networks that have a text, and an address of
// within, page by page, until limit have come; limit 0: all.
func (c *Client) BlockedNetworks(ctx context.Context, text, within string, limit int) iter.Seq2[Page[Blocked], error] {
	q := url.Values{}
	setTexts(q, "text", text, "network", within)
	return Pages[Blocked](ctx, c, blockedPath, q, limit)
}

// Block blocks networks, all of them or none.
func (c *Client) Block(ctx context.Context, prefixes []string, o BlockOptions) (Item[BlockResult], error) {
	type one struct {
		Prefix string `json:"prefix"`
	}
	in := struct {
		Networks []one `json:"networks"`
		BlockOptions
	}{BlockOptions: o}
	for _, p := range prefixes {
		in.Networks = append(in.Networks, one{p})
	}
	return send[BlockResult](ctx, c, Request{Method: http.MethodPost, Path: blockedPath, Long: true}, in)
}

// ImportBlocked blocks the networks of a list, all of them or none.
func (c *Client) ImportBlocked(ctx context.Context, list io.Reader, o BlockOptions) (Item[BlockResult], error) {
	r := Request{
		Method: http.MethodPost, Path: blockedPath + "/import", Query: url.Values{}, Body: list, Long: true,
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
	}
	setTexts(r.Query, "note", o.Note)
	setTime(r.Query, "until", o.Until)
	for name, on := range map[string]bool{"confirmAnySource": o.ConfirmAnySource, "force": o.Force} {
		if on {
			r.Query.Set(name, "true")
		}
	}
	return send[BlockResult](ctx, c, r, nil)
}

// UnblockResult counts what became of the networks.
type UnblockResult struct {
	Removed int      `json:"removed"`
	Missing []string `json:"missing"` // some of those that were not blocked
	Total   int      `json:"total"`
}

// Unblock ends the blocking of networks.
func (c *Client) Unblock(ctx context.Context, prefixes []string) (Item[UnblockResult], error) {
	in := struct {
		Prefixes []string `json:"prefixes"`
	}{prefixes}
	return send[UnblockResult](ctx, c, Request{Method: http.MethodPost, Path: blockedPath + "/remove", Long: true}, in)
}

// ExportBlocked returns the blocked networks as a list, one a line.
func (c *Client) ExportBlocked(ctx context.Context) (*Response, error) {
	return c.Stream(ctx, Request{Path: blockedPath + "/export", Long: true})
}
