package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	logTag = "logs"
	// logLooks is how often the store is asked for one page. It looks at a
	// bounded number of records each time, of which few or none may match.
	logLooks = 8
)

// registerLogs adds what reads the log of intercepts.
func (a *API) registerLogs() {
	handle(a, operation{
		method: http.MethodGet, path: "/logs", id: "list-logs", tag: logTag, role: account.Viewer,
		summary: "List intercepts", about: aboutLogs,
	}, func(ctx context.Context, _ *call, in *struct{ InterceptQuery }) (*listLogsOutput, error) {
		return a.listLogs(ctx, in.InterceptQuery, "query.", nil)
	})
	handle(a, operation{
		method: http.MethodGet, path: "/logs/{id}", id: "get-log", tag: logTag, role: account.Viewer,
		summary: "Show one intercept", errors: []int{http.StatusNotFound},
	}, a.getLog)
	handle(a, operation{
		method: http.MethodPost, path: "/logs/search", id: "search-logs", tag: logTag, role: account.Viewer,
		summary: "List intercepts, also of a whole key",
		about:   "As list-logs, with the filters in the body. A key that is sent is hashed here, and neither kept nor logged.",
	}, a.searchLogs)
}

// RecordPath is the ID of a record in a path.
type RecordPath struct {
	ID uint64 `path:"id" minimum:"1" maximum:"9007199254740991" doc:"The ID of the record."`
}

type logOutput struct {
	Body interceptBody
}

func (a *API) getLog(ctx context.Context, _ *call, in *struct{ RecordPath }) (*logOutput, error) {
	r, err := a.opts.Engine.Intercept(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &logOutput{showIntercept(r)}, nil
}

const aboutLogs = "The records of refused requests that are all of what the filters say, newest first. " +
	"A page may be short, or even empty, and still have a next: the search goes on there. " +
	"To follow the log, send the ID of the newest record that you have as newerThan; it may be combined with after."

// InterceptFilter chooses records of the log. It is the same in a query and in a
// body.
type InterceptFilter struct {
	Since   time.Time    `query:"since" json:"since,omitzero" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"At this time or later."`
	Until   time.Time    `query:"until" json:"until,omitzero" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"Before this time."`
	Hash    string       `query:"hash" json:"hash,omitempty" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"Only of the key with this key hash."`
	Network string       `query:"network" json:"network,omitempty" minLength:"1" maxLength:"64" example:"10.1.0.0/16" doc:"Only from client IPs in this address or CIDR."`
	Reason  store.Reason `query:"reason" json:"reason,omitempty" enum:"ip_not_allowed,key_banned,lost_race,stream_cut,network_blocked" doc:"Only of this reason."`
	Path    string       `query:"path" json:"path,omitempty" minLength:"1" maxLength:"1024" doc:"Part of the path, in any case."`
}

func (in InterceptFilter) filter(location string, f *faults) store.InterceptFilter {
	filter := store.InterceptFilter{
		Time: timeRange(in.Since, in.Until, location+"until", f), Network: networkInput(in.Network, location+"network", f),
		Reason: in.Reason, Path: in.Path,
	}
	if in.Hash != "" {
		var err error
		if filter.Hash, err = parseHash(location+"hash", in.Hash); err != nil {
			f.addf(location+"hash", "is no key hash, which has 64 hex digits and is not zero")
		}
	}
	return filter
}

// InterceptQuery is a filter with the page that is wanted.
type InterceptQuery struct {
	InterceptFilter
	PageInput
	NewerThan uint64 `query:"newerThan" json:"newerThan,omitempty" maximum:"9007199254740991" doc:"Only records with a higher ID than this."`
}

func (in InterceptQuery) query(location string) (store.InterceptFilter, error) {
	var f faults
	filter := in.filter(location, &f)
	filter.After, filter.Limit = in.NewerThan, in.Limit
	if err := f.err(); err != nil {
		return filter, err
	}
	var err error
	filter.Before, err = parseIDCursor(location+"after", in.After)
	return filter, err
}

// interceptBody is a record of the log as the API shows it.
type interceptBody struct {
	ID        uint64        `json:"id" doc:"Higher than that of any record before."`
	At        time.Time     `json:"at" doc:"Time of the first request."`
	Last      time.Time     `json:"last" doc:"Time of the last request; within a second of the first."`
	Count     uint64        `json:"count" doc:"How many requests of this key, address and reason the record stands for."`
	Reason    store.Reason  `json:"reason" enum:"ip_not_allowed,key_banned,lost_race,stream_cut,network_blocked" doc:"Why they were refused."`
	Basis     *basisBody    `json:"basis,omitempty" doc:"What that rests on; absent in records from before there was one."`
	Observed  bool          `json:"observed" doc:"Whether they were let pass all the same, because Sentinel only observes."`
	Hash      store.KeyHash `json:"hash" doc:"The key hash: 64 hex digits."`
	Hint      string        `json:"hint" doc:"A few characters of the key."`
	ClientIP  netip.Addr    `json:"clientIp" doc:"The client IP."`
	PeerIP    netip.Addr    `json:"peerIp,omitzero" doc:"The address of the connection: the client's, or that of a trusted proxy."`
	Method    string        `json:"method" doc:"Method of the first request."`
	Host      string        `json:"host" doc:"Host that the first request asked for."`
	Path      string        `json:"path" doc:"Path of the first request, without its query."`
	UserAgent string        `json:"userAgent" doc:"User-Agent of the first request."`
	RequestID string        `json:"requestId" doc:"ID of the first request."`
}

// basisBody is what a decision rests on, as the API shows it.
type basisBody struct {
	Kind store.BasisKind `json:"kind" enum:"rule,network,exception,blocked_network,ban" doc:"What it is."`
	Name string          `json:"name,omitempty" doc:"Which one: the kind of the rule, the name of the network that it names, the ID of the exception, or the network that is blocked."`
}

// showBasis returns nil for none.
func showBasis(b store.Basis) *basisBody {
	if b.Kind == "" {
		return nil
	}
	return &basisBody{b.Kind, b.Name}
}

func showIntercept(r store.Intercept) interceptBody {
	return interceptBody{
		ID: r.ID, At: r.At.UTC(), Last: r.Last.UTC(), Count: r.Count, Reason: r.Reason, Basis: showBasis(r.Basis), Observed: r.Observed,
		Hash: r.Hash, Hint: r.Hint, ClientIP: r.ClientIP, PeerIP: r.PeerIP,
		Method: r.Method, Host: r.Host, Path: r.Path, UserAgent: r.UserAgent, RequestID: r.RequestID,
	}
}

type listLogsOutput struct {
	Body page[interceptBody]
}

func (a *API) listLogs(ctx context.Context, in InterceptQuery, location string, key *keyName) (*listLogsOutput, error) {
	filter, err := in.query(location)
	if err != nil {
		return nil, err
	}
	if key != nil {
		if !filter.Hash.IsZero() && filter.Hash != key.Hash {
			return nil, invalidField(location+"hash", "is that of another key than the key that was sent")
		}
		filter.Hash = key.Hash
	}
	found, err := a.findIntercepts(ctx, filter)
	if err != nil {
		return nil, err
	}
	return &listLogsOutput{*found}, nil
}

// findIntercepts fills a page as far as a few looks of the store do.
func (a *API) findIntercepts(ctx context.Context, f store.InterceptFilter) (*page[interceptBody], error) {
	records := &page[interceptBody]{Items: []interceptBody{}}
	wanted := f.Limit
	for range logLooks {
		found, err := a.opts.Store.ListIntercepts(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range found.Records {
			records.Items = append(records.Items, showIntercept(r))
		}
		f.Before, f.Limit = found.Next, wanted-len(records.Items)
		if f.Before == 0 || f.Limit <= 0 {
			break
		}
	}
	records.Next = idCursor(f.Before)
	return records, nil
}

type logSearch struct {
	InterceptQuery
	Key string `json:"key,omitempty" minLength:"1" maxLength:"8192" writeOnly:"true" doc:"A whole API key: only its records."`
}

func (a *API) searchLogs(ctx context.Context, _ *call, in *struct{ Body logSearch }) (*listLogsOutput, error) {
	key, err := a.nameKey(ctx, "body.key", in.Body.Key)
	if err != nil {
		return nil, err
	}
	return a.listLogs(ctx, in.Body.InterceptQuery, "body.", key)
}
