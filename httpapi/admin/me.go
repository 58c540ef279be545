package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

const tagMe = "me"

// meView is who calls.
type meView struct {
	Kind      string       `json:"kind" enum:"account,token,local" doc:"What has called: a session of an account, an API token, or somebody on the server's own machine."`
	Name      string       `json:"name,omitempty" doc:"Of the account or the token."`
	Role      account.Role `json:"role" enum:"viewer,operator,admin" doc:"What may be done."`
	ExpiresAt time.Time    `json:"expiresAt,omitzero" doc:"When the session is over."`
	Account   *accountView `json:"account,omitempty" doc:"The account, where it is one."`
}

type meOut struct{ Body meView }

type passwordIn struct {
	Body struct {
		Current string `json:"current" maxLength:"4096" doc:"The password until now."`
		New     string `json:"new" maxLength:"1024" doc:"The password from now on: at least 12 bytes, and not the name."`
	}
}

func (a *API) registerMe() {
	handle(a, operation{
		method: http.MethodGet, path: "/me", id: "get-me", tag: tagMe, summary: "Who I am", role: account.Viewer,
	}, a.me)
	handle(a, operation{
		method: http.MethodPost, path: "/me/password", id: "change-my-password", tag: tagMe, summary: "Change my password",
		about: "Ends every session of the account, and answers with a new one.",
		role:  account.Viewer, errors: []int{http.StatusConflict, http.StatusTooManyRequests},
	}, a.changeMyPassword)
}

func (a *API) me(ctx context.Context, c *call, _ *struct{}) (*meOut, error) {
	out := &meOut{meView{Kind: "local", Role: c.role}}
	if name, ok := strings.CutPrefix(c.actor, tokenPrefix); ok {
		out.Body.Kind, out.Body.Name = "token", name
	}
	if c.session == nil {
		return out, nil
	}
	who, err := a.opts.Accounts.Get(ctx, c.account)
	if err != nil {
		return nil, err
	}
	view := viewAccount(who)
	out.Body.Kind, out.Body.Name, out.Body.Account = "account", c.account, &view
	out.Body.ExpiresAt = c.session.ExpiresAt.UTC()
	return out, nil
}

// needAccount returns the name of the account that calls.
func (c *call) needAccount() (string, error) {
	if c.account == "" {
		return "", faultf(http.StatusConflict, "no_account", "this is for accounts: sign in as one")
	}
	return c.account, nil
}

// confirmPassword makes sure that it is still the person of the account who
// calls, and not somebody who found their session. Failures count for the
// lockout as those of logins do.
func (a *API) confirmPassword(ctx context.Context, c *call, name, password, field string) error {
	err := a.opts.Accounts.CheckPassword(ctx, name, password, c.clientIP)
	if err == nil {
		return nil
	}
	if noted := a.loginFailed(ctx, c, name, err); noted != nil {
		return noted
	}
	if errors.Is(err, account.ErrWrongLogin) { // 401 would mean that the session is over
		f := invalidField("body."+field, "this is not the password")
		f.status, f.code, f.detail = http.StatusForbidden, "wrong_password", "wrong password"
		return f
	}
	return err
}

func (a *API) changeMyPassword(ctx context.Context, c *call, in *passwordIn) (*sessionOut, error) {
	name, err := c.needAccount()
	if err != nil {
		return nil, err
	}
	if err := a.confirmPassword(ctx, c, name, in.Body.Current, "current"); err != nil {
		return nil, err
	}
	who, err := a.opts.Accounts.SetPassword(ctx, name, in.Body.New)
	if err != nil {
		return nil, renameField(err, "password", "new")
	}
	return a.openSession(ctx, c, who, "account.password")
}

// renameField makes an error of package account name the field as this request
// has it.
func renameField(err error, from, to string) error {
	if field := (*account.FieldError)(nil); errors.As(err, &field) && field.Field == from {
		return invalidField("body."+to, "%s", field.Fault)
	}
	return err
}
