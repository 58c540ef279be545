package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	bindingTag = "bindings"
	// recentIntercepts is how many intercepts come with one binding.
	recentIntercepts = 20
)

// registerBindings adds what reads bindings.
func (a *API) registerBindings() {
	handle(a, operation{
		method: http.MethodGet, path: "/bindings", id: "list-bindings", tag: bindingTag, role: account.Viewer,
		summary: "List bindings",
		about:   "Those that are all of what the filters say, in the order asked for.",
	}, func(ctx context.Context, _ *call, in *struct{ BindingQuery }) (*listBindingsOutput, error) {
		rows, err := a.findBindings(ctx, in.BindingQuery, "query.", nil)
		if err != nil {
			return nil, err
		}
		return &listBindingsOutput{Body: *rows}, nil
	})
	handle(a, operation{
		method: http.MethodPost, path: "/bindings/search", id: "search-bindings", tag: bindingTag, role: account.Viewer,
		summary: "List bindings, also by a whole key",
		about: "As list-bindings, with the filters in the body. A key that is sent is hashed here, and neither kept nor logged; " +
			"it is never taken in a query, which ends up in logs on the way.",
	}, a.searchBindings)
	handle(a, operation{
		method: http.MethodGet, path: "/bindings/{hash}", id: "get-binding", tag: bindingTag, role: account.Viewer,
		summary: "Show a binding", errors: []int{http.StatusNotFound},
		about: "With the usage of the last 30 days, the addresses that the key was last used from, and its newest intercepts.",
	}, a.getBinding)
}

// bindingRow is a binding in a list.
type bindingRow struct {
	Binding
	Usage Usage `json:"usage" doc:"How the key is used."`
}

type listBindingsOutput struct {
	Body page[bindingRow]
}

func (a *API) findBindings(ctx context.Context, in BindingQuery, location string, key *store.KeyHash) (*page[bindingRow], error) {
	q, err := in.query(location)
	if err != nil {
		return nil, err
	}
	q.Filter = a.reaching(q.Filter)
	if key != nil {
		q.Filter.Hashes = []store.KeyHash{*key}
	}
	found, err := a.opts.Store.FindBindings(ctx, q)
	if err != nil {
		return nil, cursorFault(err, location+"after", in.After)
	}
	rows := &page[bindingRow]{Items: make([]bindingRow, len(found.Rows)), Next: found.Next, Total: &found.Total}
	for i, row := range found.Rows {
		rows.Items[i] = bindingRow{showBinding(row.Binding), showUsage(row.Usage)}
	}
	return rows, nil
}

// cursorFault names the field where a store refuses a query for its cursor, the
// only thing in it that has not been checked before.
func cursorFault(err error, location, cursor string) error {
	if cursor != "" && errors.Is(err, store.ErrInvalid) {
		return wrongCursor(location)
	}
	return err
}

type bindingSearch struct {
	BindingQuery
	Key string `json:"key,omitempty" minLength:"1" maxLength:"8192" writeOnly:"true" doc:"A whole API key: only its binding, if there is one."`
}

// bindingSearchPage also names the key that was searched for, which need not
// have a binding.
type bindingSearchPage struct {
	Items []bindingRow `json:"items" doc:"In the order asked for."`
	Next  string       `json:"next,omitempty" doc:"Send it as after to get the next page; absent on the last one."`
	Total int          `json:"total" doc:"How many there are on all pages."`
	Key   *keyName     `json:"key,omitempty" doc:"Of the key that was sent, bound or not; absent if none was."`
}

type keyName struct {
	Hash store.KeyHash `json:"hash" doc:"The key hash: 64 hex digits."`
	Hint string        `json:"hint" doc:"A few characters of the key."`
}

type searchBindingsOutput struct {
	Body bindingSearchPage
}

func (a *API) searchBindings(ctx context.Context, _ *call, in *struct{ Body bindingSearch }) (*searchBindingsOutput, error) {
	key, err := a.nameKey(ctx, "body.key", in.Body.Key)
	if err != nil {
		return nil, err
	}
	var hash *store.KeyHash
	if key != nil {
		hash = &key.Hash
	}
	rows, err := a.findBindings(ctx, in.Body.BindingQuery, "body.", hash)
	if err != nil {
		return nil, err
	}
	return &searchBindingsOutput{bindingSearchPage{Items: rows.Items, Next: rows.Next, Total: *rows.Total, Key: key}}, nil
}

// nameKey returns the hash that a key is bound under, or would be, which a client sent;
// nil for none. Nothing of the key is in the error.
func (a *API) nameKey(ctx context.Context, location, key string) (*keyName, error) {
	if key == "" {
		return nil, nil
	}
	hash, hint, err := a.opts.Engine.FindKey(ctx, key)
	if err != nil && !errors.Is(err, store.ErrInvalid) {
		return nil, err
	}
	if err != nil {
		return nil, invalidField(location, "cannot be a key of this downstream: it is empty, too long, or has characters that no key has")
	}
	return &keyName{hash, hint}, nil
}

// bindingDetails is all there is of one binding.
type bindingDetails struct {
	Binding
	Usage      usageDetails    `json:"usage" doc:"How the key is used."`
	Intercepts []interceptBody `json:"intercepts" doc:"The newest intercepts of the key, at most 20."`
	// MoreIntercepts is a cursor of the log.
	MoreIntercepts string     `json:"moreIntercepts,omitempty" doc:"Send it as after to list-logs, with the hash, to get those before; absent if there are none."`
	ArchivedAt     *time.Time `json:"archivedAt,omitempty" doc:"When an earlier binding of the key was archived, if the archive still has it."`
}

type usageDetails struct {
	Usage
	Days      []dayBody     `json:"days" doc:"The days on which the key was used or refused, oldest first, of the last 30."`
	Addresses []addressBody `json:"addresses" doc:"The last 16 client IPs that the key was let pass from, newest first."`
}

type dayBody struct {
	Day     time.Time `json:"day" doc:"Its start, UTC."`
	Allowed uint64    `json:"allowed" doc:"Requests that were let pass."`
	Refused uint64    `json:"refused" doc:"Requests that were refused."`

	Networks  []networkUseBody `json:"networks" doc:"Where from the key was let pass, at most 32; none on days from before this was kept."`
	Elsewhere uint64           `json:"elsewhere" doc:"Requests that were let pass from further networks, or from where nobody knows any more."`
}

type networkUseBody struct {
	Network netip.Prefix `json:"network" doc:"An IPv4 address, or the /64 of an IPv6 one."`
	Allowed uint64       `json:"allowed" doc:"Requests that were let pass from there."`
}

type addressBody struct {
	IP    string    `json:"ip" doc:"The client IP."`
	First time.Time `json:"first" doc:"First use that is remembered."`
	Last  time.Time `json:"last" doc:"Last use."`
}

func showUsageDetails(u store.Usage) usageDetails {
	d := usageDetails{showUsage(u), make([]dayBody, len(u.Days)), make([]addressBody, len(u.Addresses))}
	for i, day := range u.Days {
		d.Days[i] = dayBody{day.Day.UTC(), day.Allowed, day.Refused, make([]networkUseBody, len(day.Networks)), day.Elsewhere}
		for j, n := range day.Networks {
			d.Days[i].Networks[j] = networkUseBody{n.Prefix, n.Allowed}
		}
	}
	for i, use := range u.Addresses {
		d.Addresses[i] = addressBody{use.IP.String(), use.First.UTC(), use.Last.UTC()}
	}
	return d
}

type bindingDetailsOutput struct {
	ETag
	Body bindingDetails
}

func (a *API) getBinding(ctx context.Context, _ *call, in *struct{ HashPath }) (*bindingDetailsOutput, error) {
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	b, err := a.opts.Store.Binding(ctx, hash)
	if err != nil {
		return nil, err
	}
	u, err := a.opts.Store.Usage(ctx, hash)
	if err != nil {
		return nil, err
	}
	recent, err := a.findIntercepts(ctx, store.InterceptFilter{Hash: hash, Limit: recentIntercepts})
	if err != nil {
		return nil, err
	}
	d := bindingDetails{Binding: showBinding(b), Usage: showUsageDetails(u), Intercepts: recent.Items, MoreIntercepts: recent.Next}
	switch old, err := a.opts.Store.Archived(ctx, hash); {
	case err == nil:
		at := old.ArchivedAt.UTC()
		d.ArchivedAt = &at
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	return &bindingDetailsOutput{etagOf(b.Revision), d}, nil
}
