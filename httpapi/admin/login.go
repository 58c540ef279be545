package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

const (
	// defaultAccount signs in where a login names none, as in the earlier
	// deployment.
	defaultAccount = "admin"
	tagSession     = "session"
)

type loginIn struct {
	Body struct {
		Username string `json:"username,omitempty" maxLength:"64" example:"admin" doc:"Name of the account; admin if it is left out."`
		Password string `json:"password" maxLength:"4096" doc:"Its password."`
		Code     string `json:"code,omitempty" maxLength:"64" example:"123456" doc:"Of the second factor, or a recovery code, where the account has one."`
	}
}

// sessionView is a new session. Its names are those of RFC 6749 section 5.1,
// as in the earlier deployment.
type sessionView struct {
	AccessToken string      `json:"access_token,omitempty" doc:"A JWT: send it as Authorization: Bearer … Absent for the console, which gets a cookie."`
	TokenType   string      `json:"token_type" enum:"bearer,cookie" doc:"How to send it."`
	ExpiresIn   int         `json:"expires_in" example:"28800" doc:"Seconds until the session is over."`
	Account     accountView `json:"account" doc:"Who has signed in."`
}

type sessionOut struct {
	SetCookie string `header:"Set-Cookie" doc:"The session of the console."`
	Body      sessionView
}

type logoutOut struct {
	SetCookie string `header:"Set-Cookie" doc:"Takes the console's cookie away."`
}

func (a *API) registerSession() {
	handle(a, operation{
		method: http.MethodPost, path: "/login", id: "login", tag: tagSession, summary: "Sign in",
		about: "Codes of the problems: wrong_login, second_factor_needed (the password was right), wrong_code, and locked " +
			"after too many failures, with the seconds to wait in retryAfter.",
		errors: []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusConflict},
	}, a.login)
	handle(a, operation{
		method: http.MethodPost, path: "/logout", id: "logout", tag: tagSession, summary: "End this session",
		role: account.Viewer, errors: []int{http.StatusConflict},
	}, a.logout)
}

func (a *API) login(ctx context.Context, c *call, in *loginIn) (*sessionOut, error) {
	name := in.Body.Username
	if name == "" {
		name = defaultAccount
	}
	who, err := a.opts.Accounts.Login(ctx, account.Credentials{
		Name: name, Password: in.Body.Password, Code: in.Body.Code, From: c.clientIP,
	})
	if err != nil {
		if noted := a.loginFailed(ctx, c, name, err); noted != nil {
			return nil, noted
		}
		return nil, err
	}
	a.metrics.logins.WithLabelValues("success").Inc()
	return a.openSession(ctx, c, who, "session.login")
}

// openSession answers with a new session of an account, once that is on record.
func (a *API) openSession(ctx context.Context, c *call, who account.Account, action string) (*sessionOut, error) {
	token, err := a.sessions.issue(who)
	if err != nil {
		return nil, err
	}
	c.actor = accountPrefix + who.Name
	if err := a.audit(ctx, c, action, accountPrefix+who.Name, nil, nil); err != nil {
		return nil, err
	}
	out := &sessionOut{Body: sessionView{
		AccessToken: token, TokenType: "bearer", ExpiresIn: int(SessionLife / time.Second), Account: viewAccount(who),
	}}
	if c.console != nil {
		out.SetCookie = sessionCookie(c.console, token)
		out.Body.AccessToken, out.Body.TokenType = "", "cookie"
	}
	return out, nil
}

// failureView is what the audit trail says of a failed login.
type failureView struct {
	Reason string `json:"reason"`
	// Unrecorded is how many failures before this one have no entry of their own.
	Unrecorded uint64 `json:"unrecorded,omitempty"`
}

// loginFailed puts a failed login on record. What was typed as a name is not
// repeated unless an account has it: people type passwords there.
func (a *API) loginFailed(ctx context.Context, c *call, name string, cause error) error {
	var reason string
	locked := (*account.LockedError)(nil)
	switch {
	case errors.Is(cause, account.ErrWrongLogin):
		reason = "wrong_login"
	case errors.Is(cause, account.ErrWrongCode):
		reason = "wrong_code"
	case errors.As(cause, &locked):
		a.metrics.logins.WithLabelValues("locked").Inc()
		a.failures.skip()
		return nil
	default: // no failure of who signs in
		return nil
	}
	a.metrics.logins.WithLabelValues(reason).Inc()
	unrecorded, record := a.failures.admit(c.clientIP, a.now())
	if !record {
		return nil
	}
	var target string
	if who, err := a.opts.Accounts.Get(ctx, name); err == nil {
		target = accountPrefix + who.Name
	}
	return a.audit(ctx, c, "session.failed", target, nil, failureView{reason, unrecorded})
}

func (a *API) logout(ctx context.Context, c *call, _ *struct{}) (*logoutOut, error) {
	if c.session == nil {
		return nil, faultf(http.StatusConflict, "no_session", "this is no session, and cannot be ended")
	}
	if err := a.endSession(ctx, c.session); err != nil {
		return nil, err
	}
	out := new(logoutOut)
	if c.console != nil {
		out.SetCookie = sessionCookie(c.console, "")
	}
	return out, a.audit(ctx, c, "session.logout", accountPrefix+c.account, nil, nil)
}
