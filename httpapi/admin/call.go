package admin

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// call is who makes a request of the API, from where.
type call struct {
	actor     string // as store.AuditEntry.Actor has it; empty: nobody known
	role      account.Role
	account   string     // name of the account; empty for tokens and the local socket
	session   *session   // nil unless a session's JWT was sent
	clientIP  netip.Addr // invalid on the local socket
	requestID string

	request *http.Request            // nil on the local socket
	console *http.Request            // the same, if it comes from the console; otherwise nil
	control *http.ResponseController // of the connection; nil if there is none
}

// bodyRead ends the time that the body had to arrive in. Otherwise the server
// takes its end for that of the connection, and breaks off what takes longer.
func (c *call) bodyRead() {
	if c.control != nil {
		_ = c.control.SetReadDeadline(time.Time{}) // not every connection has deadlines
	}
}

type contextKey int

const (
	callKey contextKey = iota
	localKey
)

func withLocal(ctx context.Context) context.Context { return context.WithValue(ctx, localKey, true) }

func isLocal(ctx context.Context) bool {
	local, _ := ctx.Value(localKey).(bool)
	return local
}

// callOf returns the call that identify has put into ctx; never nil.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey).(*call); ok {
		return c
	}
	return &call{}
}

// identify finds out who calls, and ends calls of those who may not make them.
func (a *API) identify(ctx huma.Context, next func(huma.Context)) {
	c := &call{
		requestID: strings.ToLower(rand.Text()[:12]),
		control:   http.NewResponseController(humagin.Unwrap(ctx).Writer),
	}
	ctx = huma.WithValue(ctx, callKey, c)
	ctx.SetHeader("X-Request-Id", c.requestID)
	ctx.SetHeader("Cache-Control", "no-store")
	needed := neededRole(ctx.Operation())
	if err := a.authenticate(ctx, c, needed); err != nil {
		a.refuse(ctx, err)
		return
	}
	if needed != "" && !c.role.Allows(needed) {
		a.refuse(ctx, forbidden(c.role, needed))
		return
	}
	u := ctx.URL()
	if err := checkQuery(u.RawQuery); err != nil {
		a.refuse(ctx, err)
		return
	}
	next(ctx)
}

// audit writes an act into the audit trail. before and after are written as
// JSON, nil is left out; they hold no secrets. A handler whose entry cannot be
// written answers with the error, and so does not acknowledge the act.
func (a *API) audit(ctx context.Context, c *call, action, target string, before, after any) error {
	e := store.AuditEntry{
		At: a.now(), Actor: c.actor, ClientIP: c.clientIP, Action: action, Target: target, RequestID: c.requestID,
	}
	if e.Actor == "" {
		e.Actor = "anonymous"
	}
	e, err := e.Changed(before, after)
	if err != nil {
		return err
	}
	// The act is done: that the caller has left does not keep it off the trail.
	if _, err := a.opts.Store.AppendAudit(context.WithoutCancel(ctx), e); err != nil {
		a.opts.Logger.Error("administrative act not recorded", "action", action, "target", target, "actor", e.Actor, "error", err)
		return fmt.Errorf("the act was done, but the audit trail does not take its entry: %w", err)
	}
	a.opts.Logger.Info("administrative act", "action", action, "target", target, "actor", e.Actor, "client_ip", c.clientIP, "request_id", c.requestID)
	return nil
}
