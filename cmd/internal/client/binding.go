package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Rule says where a key may be used from.
type Rule struct {
	Kind     string   `json:"kind"` // single, multiple, all, learn
	Prefixes []string `json:"prefixes,omitempty"`
	Networks []string `json:"networks,omitempty"` // names
	Learn    *Learn   `json:"learn,omitempty"`    // of learn only
	// ConfirmAnySource must be set for a rule with 0.0.0.0/0 or ::/0; it is only
	// sent.
	ConfirmAnySource bool `json:"confirmAnySource,omitempty"`
}

// Learn is how a rule learns.
type Learn struct {
	Limit         int       `json:"limit"`
	WithinSeconds int64     `json:"withinSeconds"`
	Until         time.Time `json:"until,omitzero"` // zero before the first use; sent so, it begins anew
}

// Binding is one row of a list.
type Binding struct {
	Hash   string `json:"hash"`
	Hint   string `json:"hint"`
	Label  string `json:"label"`
	Note   string `json:"note"`
	Status string `json:"status"`
	Rule   Rule   `json:"rule"`

	FirstIP        string    `json:"firstIp"`
	CreatedAt      time.Time `json:"createdAt"`
	UpdatedAt      time.Time `json:"updatedAt"`
	ArchivedBefore time.Time `json:"archivedBefore"`
	Revision       uint64    `json:"revision"`

	Usage Usage `json:"usage"`

	Warnings []Warning `json:"warnings"` // of the rule that was sent, in the answer to it
}

// Usage is how a key is used. Lists have no history.
type Usage struct {
	LastUsed  time.Time    `json:"lastUsed"`
	LastIP    string       `json:"lastIp"`
	Hits      uint64       `json:"hits"`
	Days      []DayUse     `json:"days"`
	Addresses []AddressUse `json:"addresses"`
}

// DayUse is what was counted of a key on one day.
type DayUse struct {
	Day     time.Time `json:"day"`
	Allowed uint64    `json:"allowed"`
	Refused uint64    `json:"refused"`
}

// AddressUse is an address that a key was used from.
type AddressUse struct {
	IP    string    `json:"ip"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// BindingEdit changes a binding; nil fields stay as they are.
type BindingEdit struct {
	Label  *string `json:"label,omitempty"`
	Note   *string `json:"note,omitempty"`
	Status *string `json:"status,omitempty"`
	Rule   *Rule   `json:"rule,omitempty"`
}

// NewBinding is a binding that is made ahead of the first use: of a key, or of
// a hash.
type NewBinding struct {
	Key    string `json:"key,omitempty"`
	Hash   string `json:"hash,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Label  string `json:"label,omitempty"`
	Note   string `json:"note,omitempty"`
	Status string `json:"status,omitempty"`
	Rule   Rule   `json:"rule"`
}

// Bindings returns the bindings that a filter chooses, page by page, until limit
// have come; limit 0: all. The order is one that the server knows.
func (c *Client) Bindings(ctx context.Context, f BindingFilter, sort, order string, limit int) iter.Seq2[Page[Binding], error] {
	q := f.Query()
	setTexts(q, "sort", sort, "order", order)
	return Pages[Binding](ctx, c, "/bindings", q, limit)
}

// KeySearch is what the server knows of a whole key.
type KeySearch struct {
	Bindings []Binding `json:"items"` // at most one
	Key      struct {
		Hash string `json:"hash"`
		Hint string `json:"hint"`
	} `json:"key"`
}

// FindKey returns the binding of a whole key, if there is one, and its hash. The
// key is in the body of the request, and so in no log on the way.
func (c *Client) FindKey(ctx context.Context, key string) (KeySearch, error) {
	in := struct {
		Key string `json:"key"`
	}{key}
	item, err := send[KeySearch](ctx, c, Request{Method: http.MethodPost, Path: "/bindings/search"}, in)
	return item.Value, err
}

func bindingPath(hash string) string { return "/bindings/" + url.PathEscape(hash) }

// Binding returns everything that is known of a binding.
func (c *Client) Binding(ctx context.Context, hash string) (Item[BindingDetail], error) {
	return get[BindingDetail](ctx, c, bindingPath(hash))
}

// EditBinding changes a binding if it has the revision still; 0: any.
func (c *Client) EditBinding(ctx context.Context, hash string, revision uint64, edit BindingEdit) (Item[Binding], error) {
	r := Request{Method: http.MethodPatch, Path: bindingPath(hash)}
	if revision != 0 {
		r.Header = http.Header{"If-Match": {strconv.Quote(strconv.FormatUint(revision, 10))}}
	}
	return send[Binding](ctx, c, r, edit)
}

// CreateBinding binds a key ahead of its first use.
func (c *Client) CreateBinding(ctx context.Context, b NewBinding) (Item[Binding], error) {
	return send[Binding](ctx, c, Request{Method: http.MethodPost, Path: "/bindings"}, b)
}

// BulkRequest is one act on many bindings.
type BulkRequest struct {
	Hashes []string       `json:"hashes,omitempty"`
	Filter *BindingFilter `json:"filter,omitempty"`
	Act    string         `json:"act"` // ban, unban, unbind, edit
	Edit   *BindingEdit   `json:"edit,omitempty"`
	DryRun bool           `json:"dryRun,omitempty"`
	Expect *int           `json:"expect,omitempty"`
}

// BulkResult counts what became of the bindings.
type BulkResult struct {
	Matched    int     `json:"matched"`
	Changed    int     `json:"changed"`
	Unchanged  int     `json:"unchanged"`
	Missing    int     `json:"missing"`
	Failed     int     `json:"failed"`
	FirstError Failure `json:"firstError"`

	Warnings []Warning `json:"warnings"` // of the rule that was sent
}

// Bulk does one act to many bindings.
func (c *Client) Bulk(ctx context.Context, r BulkRequest) (Item[BulkResult], error) {
	return send[BulkResult](ctx, c, Request{Method: http.MethodPost, Path: "/bindings/bulk", Long: true}, r)
}

// ImportOptions of Import.
type ImportOptions struct {
	Format     string // csv, json
	OnConflict string // refuse, skip, replace
	DryRun     bool
	// ConfirmAnySource must be set for rules with 0.0.0.0/0 or ::/0.
	ConfirmAnySource bool
}

// ImportResult counts the rows of a file.
type ImportResult struct {
	Rows     int `json:"rows"`
	Created  int `json:"created"`
	Replaced int `json:"replaced"`
	Skipped  int `json:"skipped"`

	Warnings []Warning `json:"warnings"` // of single rows
}

// Import sends a file of bindings. A Problem names the rows that are wrong.
func (c *Client) Import(ctx context.Context, file io.Reader, o ImportOptions) (Item[ImportResult], error) {
	r := Request{Method: http.MethodPost, Path: "/bindings/import", Query: url.Values{}, Body: file, Long: true}
	setTexts(r.Query, "format", o.Format, "onConflict", o.OnConflict)
	if o.DryRun {
		r.Query.Set("dryRun", "true")
	}
	if o.ConfirmAnySource {
		r.Query.Set("confirmAnySource", "true")
	}
	r.Header = http.Header{"Content-Type": {contentTypes[o.Format]}}
	return send[ImportResult](ctx, c, r, nil)
}

var contentTypes = map[string]string{"csv": "text/csv; charset=utf-8", "json": "application/json"}

// Export returns the bindings that a filter chooses as a file.
func (c *Client) Export(ctx context.Context, f BindingFilter, format string) (*Response, error) {
	return c.export(ctx, "/bindings/export", f.Query(), format)
}

func (c *Client) export(ctx context.Context, path string, q url.Values, format string) (*Response, error) {
	q.Set("format", format)
	return c.Stream(ctx, Request{Path: path, Query: q, Long: true})
}

// send makes a call that answers with one document.
func send[T any](ctx context.Context, c *Client, r Request, in any) (Item[T], error) {
	var item Item[T]
	if err := c.DoRequest(ctx, r, in, &item.Raw); err != nil {
		return item, err
	}
	if err := json.Unmarshal(item.Raw, &item.Value); err != nil {
		return item, answerFault(c.place, err)
	}
	return item, nil
}
