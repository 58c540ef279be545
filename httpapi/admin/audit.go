package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const tagAudit = "audit"

// auditView is one administrative act.
type auditView struct {
	ID        uint64          `json:"id" doc:"Ascending."`
	At        time.Time       `json:"at" doc:"When."`
	Actor     string          `json:"actor" example:"account:admin" doc:"Who: account:NAME, token:NAME, local for the server's own machine, system, or anonymous for who was not signed in."`
	ClientIP  string          `json:"clientIp,omitempty" doc:"Where from; absent for the server's own machine."`
	Action    string          `json:"action" example:"binding.ban" doc:"What."`
	Target    string          `json:"target,omitempty" example:"account:admin" doc:"To what."`
	Before    json.RawMessage `json:"before,omitempty" doc:"What was there before, without secrets."`
	After     json.RawMessage `json:"after,omitempty" doc:"What is there now, without secrets."`
	RequestID string          `json:"requestId,omitempty" doc:"The request by which it was done, as in the log."`
}

type auditIn struct {
	Since  time.Time `query:"since" doc:"Only from this time on."`
	Until  time.Time `query:"until" doc:"Only before this time."`
	Actor  string    `query:"actor" maxLength:"128" example:"account:admin" doc:"Only of this one."`
	Action string    `query:"action" maxLength:"128" example:"binding." doc:"Only this one, or those that begin with it if it ends in a dot."`
	Target string    `query:"target" maxLength:"512" example:"account:admin" doc:"Only to this."`
	PageInput
}

type auditOut struct{ Body page[auditView] }

func (a *API) registerAudit() {
	handle(a, operation{
		method: http.MethodGet, path: "/audit", id: "list-audit", tag: tagAudit, summary: "Read the audit trail",
		about: "Every administrative act, the newest first. No call of this API deletes any of it. A page before the last may hold fewer entries than its limit, or none.",
		role:  account.Admin,
	}, a.listAudit)
	handle(a, operation{
		method: http.MethodGet, path: "/audit/{id}", id: "get-audit", tag: tagAudit, summary: "Show one entry of the audit trail",
		role: account.Admin, errors: []int{http.StatusNotFound},
	}, a.getAudit)
}

type auditEntryOut struct{ Body auditView }

func (a *API) getAudit(ctx context.Context, _ *call, in *struct{ RecordPath }) (*auditEntryOut, error) {
	found, err := a.opts.Store.ListAudit(ctx, store.AuditFilter{Before: in.ID + 1, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found.Entries) == 0 || found.Entries[0].ID != in.ID {
		return nil, store.ErrNotFound
	}
	return &auditEntryOut{viewAudit(found.Entries[0])}, nil
}

func (a *API) listAudit(ctx context.Context, _ *call, in *auditIn) (*auditOut, error) {
	f := store.AuditFilter{
		Time: store.TimeRange{Since: in.Since, Before: in.Until}, Actor: in.Actor, Action: in.Action, Target: in.Target, Limit: in.Limit,
	}
	if !in.Since.IsZero() && !in.Until.IsZero() && !in.Since.Before(in.Until) {
		return nil, invalidField("query.until", "is not after since: nothing lies between them")
	}
	var err error
	if f.Before, err = parseIDCursor("query.after", in.After); err != nil {
		return nil, err
	}
	found, err := a.opts.Store.ListAudit(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &auditOut{page[auditView]{Items: make([]auditView, 0, len(found.Entries)), Next: idCursor(found.Next)}}
	for _, e := range found.Entries {
		out.Body.Items = append(out.Body.Items, viewAudit(e))
	}
	return out, nil
}

func viewAudit(e store.AuditEntry) auditView {
	v := auditView{
		ID: e.ID, At: e.At, Actor: e.Actor, Action: e.Action, Target: e.Target, Before: e.Before, After: e.After, RequestID: e.RequestID,
	}
	if e.ClientIP.IsValid() {
		v.ClientIP = e.ClientIP.String()
	}
	return v
}
