package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/exception"
	"github.com/key-ip-sentinel/sentinel/store"
)

const tagExceptions = "exceptions"

// registerExceptions adds what is about the exceptions of keys.
func (a *API) registerExceptions() {
	handle(a, operation{
		method: http.MethodGet, path: "/exceptions", id: "list-exceptions", tag: tagExceptions, role: account.Viewer,
		summary: "List exceptions",
		about:   "Those that run first, the next to end first, and then those that have ended, the last one first. They are kept for 30 days after their end.",
	}, a.listExceptions)
	handle(a, operation{
		method: http.MethodPost, path: "/exceptions", id: "create-exception", tag: tagExceptions, role: account.Operator,
		summary: "Let a key be used from a network for a time", status: http.StatusCreated, errors: []int{http.StatusNotFound, http.StatusConflict},
		about: "From the next request on, whatever its rule says, and even if the network is blocked; a ban is stronger. Its rule stays as it is. " +
			"Name the key, its hash, or the record of a refusal: then key and client IP are those of the record. When it ends, open streams that " +
			"nothing else lets pass are cut.",
	}, a.createException)
	handle(a, operation{
		method: http.MethodGet, path: "/exceptions/{id}", id: "get-exception", tag: tagExceptions, role: account.Viewer,
		summary: "Show an exception", errors: []int{http.StatusNotFound},
	}, func(_ context.Context, _ *call, in *ExceptionPath) (*exceptionOutput, error) {
		x, err := a.opts.Engine.Exceptions().Get(in.ID)
		if err != nil {
			return nil, err
		}
		return &exceptionOutput{Body: a.showException(x)}, nil
	})
	handle(a, operation{
		method: http.MethodDelete, path: "/exceptions/{id}", id: "end-exception", tag: tagExceptions, role: account.Operator,
		summary: "End an exception before its time", errors: []int{http.StatusNotFound, http.StatusConflict},
		about: "At once: open streams that nothing else lets pass are cut.",
	}, a.endException)
}

// ExceptionPath names an exception.
type ExceptionPath struct {
	ID string `path:"id" minLength:"1" maxLength:"64" example:"k3v7q2mabcdefgh" doc:"ID of the exception."`
}

// exceptionBody is an exception as the API shows it.
type exceptionBody struct {
	ID          string          `json:"id" doc:"Its ID."`
	Hash        store.KeyHash   `json:"hash" doc:"The key hash: 64 hex digits."`
	Hint        string          `json:"hint" doc:"A few characters of the key."`
	Prefix      netip.Prefix    `json:"prefix" doc:"Where the key may be used from."`
	Until       time.Time       `json:"until" doc:"When it ends by itself."`
	State       exception.State `json:"state" enum:"running,ended,revoked" doc:"ended: its time was over. revoked: somebody ended it, or the key was unbound."`
	Note        string          `json:"note" doc:"What an administrator wrote of it."`
	InterceptID uint64          `json:"interceptId,omitempty" doc:"The record of the refusal that it was made for."`
	By          string          `json:"by" example:"account:admin" doc:"Who made it."`
	CreatedAt   time.Time       `json:"createdAt" doc:"When it was made."`
	RevokedAt   time.Time       `json:"revokedAt,omitzero" doc:"When it was ended before its time."`
	RevokedBy   string          `json:"revokedBy,omitempty" doc:"Who did that; absent: it went with the binding."`
}

func (a *API) showException(x exception.Exception) exceptionBody {
	return exceptionBody{
		ID: x.ID, Hash: x.Hash, Hint: x.Hint, Prefix: x.Prefix, Until: x.Until.UTC(), State: x.StateAt(a.now()), Note: x.Note,
		InterceptID: x.InterceptID, By: x.By, CreatedAt: x.CreatedAt.UTC(), RevokedAt: x.RevokedAt.UTC(), RevokedBy: x.RevokedBy,
	}
}

type listExceptionsInput struct {
	State exception.State `query:"state" enum:"running,ended,revoked" doc:"Only in this state."`
	Hash  string          `query:"hash" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"Only of the key with this key hash."`
	Text  string          `query:"text" minLength:"1" maxLength:"256" doc:"Part of the hint, the note, the network, or of who made it, in any case."`
	PageInput
}

type listExceptionsOutput struct {
	Body page[exceptionBody]
}

func (a *API) listExceptions(_ context.Context, _ *call, in *listExceptionsInput) (*listExceptionsOutput, error) {
	filter := exception.Filter{State: in.State, Text: in.Text}
	if in.Hash != "" {
		var err error
		if filter.Hash, err = parseHash("query.hash", in.Hash); err != nil {
			return nil, err
		}
	}
	found := a.opts.Engine.Exceptions().List(filter)
	total := len(found)
	if in.After != "" { // the last one of the page before
		last := slices.IndexFunc(found, func(x exception.Exception) bool { return x.ID == in.After })
		if last < 0 {
			return nil, wrongCursor("query.after")
		}
		found = found[last+1:]
	}
	out := &listExceptionsOutput{page[exceptionBody]{Items: []exceptionBody{}, Total: &total}}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		out.Body.Next = found[in.Limit-1].ID
	}
	for _, x := range found {
		out.Body.Items = append(out.Body.Items, a.showException(x))
	}
	return out, nil
}

type newException struct {
	Key              string    `json:"key,omitempty" minLength:"1" maxLength:"8192" writeOnly:"true" doc:"The whole API key, which is hashed here and neither kept nor logged. This, hash or interceptId."`
	Hash             string    `json:"hash,omitempty" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"The key hash. This, key or interceptId."`
	InterceptID      uint64    `json:"interceptId,omitempty" minimum:"1" maximum:"9007199254740991" doc:"ID of a record of the log, whose key and client IP are meant. This, key or hash."`
	Prefix           string    `json:"prefix,omitempty" minLength:"1" maxLength:"64" example:"198.51.100.7" doc:"An address or CIDR without host bits. With interceptId it may be absent: then it is what a first use would bind the client IP as, mostly a /32 or a /64."`
	Until            time.Time `json:"until,omitzero" doc:"When it ends. This or forSeconds."`
	ForSeconds       int64     `json:"forSeconds,omitempty" minimum:"1" maximum:"31622400" doc:"How long it lasts from now on. This or until."`
	Note             string    `json:"note,omitempty" maxLength:"1024" doc:"What there is to say of it."`
	ConfirmAnySource bool      `json:"confirmAnySource,omitempty" doc:"Must be true if the prefix is 0.0.0.0/0 or ::/0."`
}

type exceptionOutput struct {
	Body exceptionBody
}

type createExceptionOutput struct {
	Location string `header:"Location" doc:"The path of the exception."`
	Body     exceptionBody
}

func (a *API) createException(ctx context.Context, c *call, in *struct{ Body newException }) (*createExceptionOutput, error) {
	x, err := a.newException(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	switch b, err := a.opts.Store.Binding(ctx, x.Hash); {
	case errors.Is(err, store.ErrNotFound):
		return nil, faultf(http.StatusConflict, "not_bound", "the key has no binding, from which there could be an exception: its next use binds it")
	case err != nil:
		return nil, err
	case b.Status == store.StatusBanned:
		return nil, bannedFault()
	}
	x.By = c.actor
	if x, err = a.opts.Engine.Except(ctx, x); err != nil {
		return nil, locate(err, "body.")
	}
	shown := a.showException(x)
	if err := a.audit(ctx, c, "exception.create", exceptionTarget(x.ID), nil, shown); err != nil {
		return nil, err
	}
	return &createExceptionOutput{Base + "/exceptions/" + x.ID, shown}, nil
}

func bannedFault() *faultError {
	return faultf(http.StatusConflict, "key_banned", "the key is banned, and no exception is stronger than that: lift the ban, and its rule decides again")
}

// newException returns what a body means.
func (a *API) newException(ctx context.Context, in newException) (exception.Exception, error) {
	var f faults
	x := exception.Exception{Note: in.Note, Until: in.Until, InterceptID: in.InterceptID}
	named := 0
	for _, given := range []bool{in.Key != "", in.Hash != "", in.InterceptID != 0} {
		if given {
			named++
		}
	}
	if named != 1 {
		f.addf("body", "give one of key, hash and interceptId")
	}
	switch {
	case in.Until.IsZero() == (in.ForSeconds == 0):
		f.addf("body.until", "say when it ends: give either until or forSeconds")
	case in.ForSeconds > 0:
		x.Until = a.now().Add(time.Duration(in.ForSeconds) * time.Second)
	case !in.Until.After(a.now()):
		f.addf("body.until", "is in the past")
	}
	switch {
	case in.Prefix != "":
		x.Prefix = prefixInput(in.Prefix, "body.prefix", in.ConfirmAnySource, &f)
	case in.InterceptID == 0:
		f.addf("body.prefix", "is missing: where may the key be used from, such as 198.51.100.7?")
	}
	if err := f.err(); err != nil {
		return x, err
	}
	return x, a.nameException(ctx, in, &x)
}

// nameException finds the key, and of a record also the network.
func (a *API) nameException(ctx context.Context, in newException, x *exception.Exception) error {
	if in.InterceptID == 0 {
		if in.Key == "" {
			var err error
			x.Hash, err = parseHash("body.hash", in.Hash)
			return err
		}
		key, err := a.nameKey(ctx, "body.key", in.Key)
		if err == nil {
			x.Hash = key.Hash
		}
		return err
	}
	r, err := a.opts.Engine.Intercept(ctx, in.InterceptID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return invalidField("body.interceptId", "there is no such record, or none any more")
	case err != nil:
		return err
	case r.Reason == store.ReasonKeyBanned:
		return bannedFault()
	}
	if x.Hash = r.Hash; in.Prefix == "" {
		x.Prefix, err = a.opts.Engine.BindingPrefix(r.ClientIP)
	}
	return err
}

// exceptionTarget names an exception in the audit trail.
func exceptionTarget(id string) string { return "exception:" + id }

func (a *API) endException(ctx context.Context, c *call, in *ExceptionPath) (*exceptionOutput, error) {
	before, err := a.opts.Engine.Exceptions().Get(in.ID)
	if err != nil {
		return nil, err
	}
	was := a.showException(before)
	x, err := a.opts.Engine.EndException(ctx, in.ID, c.actor)
	if errors.Is(err, store.ErrConflict) {
		return nil, faultf(http.StatusConflict, "over", "the exception has ended already")
	}
	if err != nil {
		return nil, err
	}
	shown := a.showException(x)
	return &exceptionOutput{Body: shown}, a.audit(ctx, c, "exception.end", exceptionTarget(x.ID), was, shown)
}
