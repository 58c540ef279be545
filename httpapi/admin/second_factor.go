package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

type enrolmentView struct {
	Secret string `json:"secret" doc:"Base32, to be typed into an authenticator."`
	URL    string `json:"url" doc:"The same as an otpauth: address."`
	QR     string `json:"qr" doc:"The address as a picture: data:image/png;base64,…"`
}

type enrolmentOut struct{ Body enrolmentView }

type codeIn struct {
	Body struct {
		Code string `json:"code" minLength:"6" maxLength:"16" example:"123456" doc:"What the authenticator shows now."`
	}
}

type confirmIn struct {
	Body struct {
		Password string `json:"password" maxLength:"4096" doc:"The account's password: proves that nobody has found an open session."`
	}
}

type recoveryView struct {
	RecoveryCodes []string `json:"recoveryCodes" doc:"Each signs in once, in place of a code. They are not shown again."`
}

type recoveryOut struct{ Body recoveryView }

func (a *API) registerSecondFactor() {
	conflict := []int{http.StatusConflict}
	confirmed := []int{http.StatusConflict, http.StatusTooManyRequests}
	handle(a, operation{
		method: http.MethodPost, path: "/me/totp", id: "begin-my-second-factor", tag: tagMe, summary: "Begin to set up my second factor",
		about: "It is in force once a code has confirmed it, within 15 minutes. RFC 6238 with 6 digits each 30 seconds.",
		role:  account.Viewer, errors: conflict,
	}, a.beginTOTP)
	handle(a, operation{
		method: http.MethodPost, path: "/me/totp/confirm", id: "confirm-my-second-factor", tag: tagMe, summary: "Confirm my second factor",
		role: account.Viewer, errors: conflict,
	}, a.confirmTOTP)
	handle(a, operation{
		method: http.MethodDelete, path: "/me/totp", id: "disable-my-second-factor", tag: tagMe, summary: "Switch off my second factor",
		about: "Ends every session of the account, and answers with a new one.",
		role:  account.Viewer, errors: confirmed,
	}, a.disableTOTP)
	handle(a, operation{
		method: http.MethodPost, path: "/me/recovery-codes", id: "renew-my-recovery-codes", tag: tagMe, summary: "Replace my recovery codes",
		role: account.Viewer, errors: confirmed,
	}, a.renewRecoveryCodes)
}

func (a *API) beginTOTP(ctx context.Context, c *call, _ *struct{}) (*enrolmentOut, error) {
	name, err := c.needAccount()
	if err != nil {
		return nil, err
	}
	e, err := a.opts.Accounts.BeginTOTP(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "account.second_factor_begin", accountPrefix+name, nil, nil); err != nil {
		return nil, err
	}
	return &enrolmentOut{enrolmentView{e.Secret, e.URL, "data:image/png;base64," + base64.StdEncoding.EncodeToString(e.QR)}}, nil
}

func (a *API) confirmTOTP(ctx context.Context, c *call, in *codeIn) (*recoveryOut, error) {
	name, err := c.needAccount()
	if err != nil {
		return nil, err
	}
	codes, err := a.opts.Accounts.ConfirmTOTP(ctx, name, in.Body.Code)
	if errors.Is(err, account.ErrWrongCode) { // 401 would mean that the session is over
		return nil, invalidField("body.code", "the code is wrong: is the clock of the device right?")
	}
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "account.second_factor_on", accountPrefix+name, nil, nil); err != nil {
		return nil, err
	}
	return &recoveryOut{recoveryView{codes}}, nil
}

func (a *API) disableTOTP(ctx context.Context, c *call, in *confirmIn) (*sessionOut, error) {
	name, err := c.needAccount()
	if err != nil {
		return nil, err
	}
	if err := a.confirmPassword(ctx, c, name, in.Body.Password, "password"); err != nil {
		return nil, err
	}
	who, err := a.opts.Accounts.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if !who.SecondFactor {
		return nil, account.ErrSecondFactorOff
	}
	if err := a.opts.Accounts.DisableTOTP(ctx, name); err != nil {
		return nil, err
	}
	if who, err = a.opts.Accounts.Get(ctx, name); err != nil { // of another generation now
		return nil, err
	}
	return a.openSession(ctx, c, who, "account.second_factor_off")
}

func (a *API) renewRecoveryCodes(ctx context.Context, c *call, in *confirmIn) (*recoveryOut, error) {
	name, err := c.needAccount()
	if err != nil {
		return nil, err
	}
	if err := a.confirmPassword(ctx, c, name, in.Body.Password, "password"); err != nil {
		return nil, err
	}
	codes, err := a.opts.Accounts.NewRecoveryCodes(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "account.recovery_codes", accountPrefix+name, nil, nil); err != nil {
		return nil, err
	}
	return &recoveryOut{recoveryView{codes}}, nil
}
