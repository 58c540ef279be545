package admin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// problem is an error of the API, RFC 9457, with a code that programs branch on.
type problem struct {
	Type       string       `json:"type" doc:"Always about:blank: code says which problem it is."`
	Title      string       `json:"title" doc:"The status in words."`
	Status     int          `json:"status" doc:"The HTTP status." example:"422"`
	Detail     string       `json:"detail,omitempty" doc:"What is wrong, for people to read."`
	Code       string       `json:"code,omitempty" doc:"What is wrong, for programs to branch on." example:"invalid"`
	RequestID  string       `json:"requestId,omitempty" doc:"Names this request in the log and in the audit trail."`
	RetryAfter int          `json:"retryAfter,omitempty" doc:"Seconds after which it makes sense to try again."`
	Errors     []fieldFault `json:"errors,omitempty" doc:"What is wrong with single fields."`
	UsedBy     *usedBy      `json:"usedBy,omitempty" doc:"What is in the way of a removal; of the code network_in_use."`
	Reason     *Wording     `json:"reason,omitempty" doc:"Which text detail is, where code alone does not say it."`
}

// Error, GetStatus and ContentType are what huma asks of an error.
func (p *problem) Error() string { return p.Detail }

func (p *problem) GetStatus() int { return p.Status }

func (p *problem) ContentType(string) string { return problemType }

// fieldFault is what is wrong with one field of a request.
type fieldFault struct {
	Location string `json:"location" doc:"Which field." example:"body.rule.prefixes[0]"`
	Message  string `json:"message" doc:"What is wrong with it."`
	Wording
}

// faultError is an error that knows its answer.
type faultError struct {
	status     int
	code       string
	detail     string
	fields     []fieldFault
	retryAfter time.Duration
	usedBy     *usedBy
}

func (f *faultError) Error() string { return f.detail }

// faultf returns an error that is answered with a status, a code and a text.
func faultf(status int, code, format string, args ...any) *faultError {
	return &faultError{status: status, code: code, detail: fmt.Sprintf(format, args...)}
}

// invalid returns an error that names the fields that are wrong.
func invalid(fields ...fieldFault) *faultError {
	return &faultError{status: http.StatusUnprocessableEntity, code: "invalid", detail: "the request has faults, and changed nothing", fields: fields}
}

func invalidField(location, format string, args ...any) *faultError {
	return invalid(fieldFault{Location: location, Message: fmt.Sprintf(format, args...)})
}

func forbidden(have, needed account.Role) *faultError {
	return faultf(http.StatusForbidden, "forbidden", "this needs the role %s, and yours is %s", needed, have)
}

// storeRetryAfter is when a client may try again while the store is away.
const storeRetryAfter = 5 * time.Second

// faultOf says how an error is answered. What callers cannot mend is only in the
// log.
func (a *API) faultOf(ctx context.Context, err error) *faultError {
	var (
		fault    *faultError
		imported *engine.ImportError
		inUse    *engine.NetworkInUseError
	)
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &imported):
		return importFault(imported)
	case errors.As(err, &inUse):
		return inUseFault(inUse)
	case errors.Is(err, store.ErrNotFound):
		return faultf(http.StatusNotFound, "not_found", "there is none of that name")
	case errors.Is(err, store.ErrConflict):
		return faultf(http.StatusPreconditionFailed, "changed_meanwhile", "it has changed since it was read: read it again")
	case errors.Is(err, store.ErrInvalid):
		return faultf(http.StatusUnprocessableEntity, "invalid", "%s", err)
	case errors.Is(err, store.ErrUnavailable):
		a.opts.Logger.Error("store does not answer", "request_id", callOf(ctx).requestID, "error", err)
		text := "the store does not answer; whether the change was made is uncertain"
		switch {
		case errors.Is(err, store.ErrNotAsked):
			text = "PostgreSQL cannot be reached: nothing was changed, nor can be until it is back; keys are decided by what this node knows"
		case a.opts.Engine.Authority() != nil:
			text = "PostgreSQL does not answer; whether the change was made is uncertain"
		}
		f := faultf(http.StatusServiceUnavailable, "store_unavailable", "%s", text)
		f.retryAfter = storeRetryAfter
		return f
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return faultf(http.StatusServiceUnavailable, "canceled", "the request was broken off")
	}
	if fault := accountFault(err); fault != nil {
		return fault
	}
	if fault := alertFault(err); fault != nil {
		return fault
	}
	a.opts.Logger.Error("admin request failed", "request_id", callOf(ctx).requestID, "error", err)
	return faultf(http.StatusInternalServerError, "internal", "an internal error; the log has more")
}

// accountFault says how what package account refuses is answered; nil if it is
// none of that.
func accountFault(err error) *faultError {
	var (
		locked *account.LockedError
		field  *account.FieldError
	)
	switch {
	case errors.As(err, &locked):
		f := faultf(http.StatusTooManyRequests, "locked", "too many failed attempts from this address")
		f.retryAfter = locked.RetryAfter
		return f
	case errors.As(err, &field):
		return invalidField("body."+field.Field, "%s", field.Fault)
	case errors.Is(err, account.ErrWrongLogin):
		return faultf(http.StatusUnauthorized, "wrong_login", "wrong name or password")
	case errors.Is(err, account.ErrCodeNeeded):
		return faultf(http.StatusUnauthorized, "second_factor_needed", "send the code of the second factor, or a recovery code, as well")
	case errors.Is(err, account.ErrWrongCode):
		return faultf(http.StatusUnauthorized, "wrong_code", "the code is wrong, or was used already")
	case errors.Is(err, account.ErrSealed):
		return faultf(http.StatusConflict, "second_factor_sealed",
			"the second factor cannot be checked, since its key is another one now: use a recovery code, or have an administrator switch it off")
	case errors.Is(err, account.ErrSecondFactorOn):
		return faultf(http.StatusConflict, "second_factor_on", "the second factor is on already: switch it off first")
	case errors.Is(err, account.ErrSecondFactorOff):
		return faultf(http.StatusConflict, "second_factor_off", "the account has no second factor")
	case errors.Is(err, account.ErrNoEnrolment):
		return faultf(http.StatusConflict, "no_enrolment", "no second factor is being set up, or it took too long: begin again")
	case errors.Is(err, account.ErrWrongSetup):
		return faultf(http.StatusGone, "setup_over", "setup is over, or its token is not the one in the log")
	case errors.Is(err, account.ErrLastAdmin):
		return faultf(http.StatusConflict, "last_admin", "no administrator would be left")
	}
	return nil
}

// importFault lists the rows that are wrong.
func importFault(err *engine.ImportError) *faultError {
	f := invalid()
	f.detail = err.Error()
	for _, row := range err.Faults {
		location := fmt.Sprintf("row %d", row.Row)
		if row.Row == 0 {
			location = "header"
		}
		if row.Column != "" {
			location += ", column " + row.Column
		}
		f.fields = append(f.fields, fieldFault{Location: location, Message: row.Fault})
	}
	return f
}

// problemOf makes the error that huma answers with.
func (a *API) problemOf(ctx context.Context, err error) error {
	fault := a.faultOf(ctx, err)
	return huma.ErrorWithHeaders(fault.problem(callOf(ctx).requestID), fault.header())
}

func (f *faultError) problem(requestID string) *problem {
	p := &problem{
		Type: "about:blank", Title: http.StatusText(f.status), Status: f.status, Detail: f.detail, Code: f.code,
		RequestID: requestID, RetryAfter: wholeSeconds(f.retryAfter), UsedBy: f.usedBy,
	}
	for _, field := range f.fields {
		p.Errors = append(p.Errors, fieldFault{field.Location, field.Message, wordingOf(field.Message)})
	}
	if w := wordingOf(f.detail); w.Code != "" {
		p.Reason = &w
	}
	return p
}

// header returns the headers that go with a fault: RFC 9110 wants a challenge
// with every 401.
func (f *faultError) header() http.Header {
	h := http.Header{}
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(wholeSeconds(f.retryAfter)))
	}
	return h
}

// wholeSeconds is never too early.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// refuse answers before an operation's handler has run.
func (a *API) refuse(ctx huma.Context, err error) {
	fault := a.faultOf(ctx.Context(), err)
	for name, values := range fault.header() {
		ctx.SetHeader(name, values[0])
	}
	ctx.SetHeader("Content-Type", problemType)
	ctx.SetStatus(fault.status)
	_ = a.huma.Marshal(ctx.BodyWriter(), "application/json", fault.problem(callOf(ctx.Context()).requestID)) // the client may have left
}

const problemType = "application/problem+json"

// finishProblem gives huma's own errors the shape of this API: with a code and
// the request's ID, and without the values that were wrong, which may be secret.
func (a *API) finishProblem(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &problem{
		Type: "about:blank", Title: model.Title, Status: model.Status, Detail: model.Detail,
		Code: "invalid", RequestID: callOf(ctx.Context()).requestID,
	}
	for _, e := range model.Errors {
		p.Errors = append(p.Errors, fieldFault{e.Location, e.Message, wordingOf(e.Message)})
	}
	return p, nil
}

// writeProblem answers outside of any operation.
func writeProblem(c *gin.Context, status int, code, detail string) {
	c.Header("Content-Type", problemType)
	c.JSON(status, problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code})
}
