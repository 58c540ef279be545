package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const tagAccounts = "accounts"

// accountView is what may be shown of an account.
type accountView struct {
	Name          string       `json:"name" example:"admin" doc:"Its name, in lower case."`
	Role          account.Role `json:"role" enum:"viewer,operator,admin" doc:"What it may do."`
	Disabled      bool         `json:"disabled" doc:"Whether it is kept from signing in."`
	SecondFactor  bool         `json:"secondFactor" doc:"Whether signing in needs a code beside the password."`
	RecoveryCodes int          `json:"recoveryCodes" doc:"How many recovery codes are left."`
	CreatedAt     time.Time    `json:"createdAt" doc:"When it was made."`
	UpdatedAt     time.Time    `json:"updatedAt" doc:"When somebody last changed it."`
	LastLogin     time.Time    `json:"lastLogin,omitzero" doc:"When it last signed in."`
	Revision      uint64       `json:"revision" doc:"Changes whenever the account is changed; see If-Match."`
}

func viewAccount(a account.Account) accountView {
	return accountView{
		Name: a.Name, Role: a.Role, Disabled: a.Disabled, SecondFactor: a.SecondFactor, RecoveryCodes: a.RecoveryCodes,
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, LastLogin: a.LastLogin, Revision: a.Revision,
	}
}

// accountChange is what the audit trail says of an account.
type accountChange struct {
	Role         account.Role `json:"role"`
	Disabled     bool         `json:"disabled"`
	SecondFactor bool         `json:"secondFactor"`
}

func changeOf(a account.Account) accountChange {
	return accountChange{a.Role, a.Disabled, a.SecondFactor}
}

type accountOut struct {
	ETag
	Body accountView
}

func answerAccount(a account.Account) *accountOut {
	return &accountOut{etagOf(a.Revision), viewAccount(a)}
}

type accountsOut struct {
	Body struct {
		Items []accountView `json:"items" doc:"All accounts, in the order of their names."`
		Total int           `json:"total" doc:"How many there are."`
	}
}

type accountName struct {
	Name string `path:"name" minLength:"1" maxLength:"64" example:"admin" doc:"Name of the account."`
}

type createAccountIn struct {
	Body struct {
		Name     string       `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._@-]+$" patternDescription:"letters, digits and . _ - @" doc:"Its name: letters, digits and . _ - @, in any case."`
		Role     account.Role `json:"role" enum:"viewer,operator,admin" doc:"What it may do."`
		Password string       `json:"password" maxLength:"1024" doc:"At least 12 bytes, and not the name."`
	}
}

type changeAccountIn struct {
	Name string `path:"name" minLength:"1" maxLength:"64" example:"admin" doc:"Name of the account."`
	IfMatch
	Body struct {
		Role     *account.Role `json:"role,omitempty" enum:"viewer,operator,admin" doc:"What it may do from now on."`
		Disabled *bool         `json:"disabled,omitempty" doc:"Whether it is kept from signing in."`
		Password *string       `json:"password,omitempty" maxLength:"1024" doc:"A new password, at least 12 bytes and not the name: only by itself."`
	}
}

type deleteAccountIn struct {
	Name string `path:"name" minLength:"1" maxLength:"64" example:"admin" doc:"Name of the account."`
	IfMatch
}

func (a *API) registerAccounts() {
	const one = "/accounts/{name}"
	handle(a, operation{
		method: http.MethodGet, path: "/accounts", id: "list-accounts", tag: tagAccounts, summary: "List the accounts", role: account.Admin,
	}, a.listAccounts)
	handle(a, operation{
		method: http.MethodPost, path: "/accounts", id: "create-account", tag: tagAccounts, summary: "Make an account",
		role: account.Admin, status: http.StatusCreated, errors: []int{http.StatusConflict},
	}, a.createAccount)
	handle(a, operation{
		method: http.MethodGet, path: one, id: "get-account", tag: tagAccounts, summary: "Show an account",
		role: account.Admin, errors: []int{http.StatusNotFound},
	}, a.getAccount)
	handle(a, operation{
		method: http.MethodPatch, path: one, id: "change-account", tag: tagAccounts, summary: "Change an account",
		about: "Each change ends the account's sessions. The last administrator stays one.",
		role:  account.Admin, errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, a.changeAccount)
	handle(a, operation{
		method: http.MethodDelete, path: one, id: "delete-account", tag: tagAccounts, summary: "Delete an account",
		about: "Ends its sessions. API tokens that it made stay. The last administrator stays.",
		role:  account.Admin, errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, a.deleteAccount)
	handle(a, operation{
		method: http.MethodDelete, path: one + "/totp", id: "disable-second-factor", tag: tagAccounts, summary: "Switch off the second factor of an account",
		about: "For those who have lost their device and their recovery codes. Ends the account's sessions.",
		role:  account.Admin, errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, a.disableSecondFactor)
}

func (a *API) listAccounts(ctx context.Context, _ *call, _ *struct{}) (*accountsOut, error) {
	list, err := a.opts.Accounts.List(ctx)
	if err != nil {
		return nil, err
	}
	out := new(accountsOut)
	out.Body.Items, out.Body.Total = make([]accountView, 0, len(list)), len(list)
	for _, one := range list {
		out.Body.Items = append(out.Body.Items, viewAccount(one))
	}
	return out, nil
}

func (a *API) getAccount(ctx context.Context, _ *call, in *accountName) (*accountOut, error) {
	who, err := a.opts.Accounts.Get(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return answerAccount(who), nil
}

func (a *API) createAccount(ctx context.Context, c *call, in *createAccountIn) (*accountOut, error) {
	who, err := a.opts.Accounts.Create(ctx, in.Body.Name, in.Body.Role, in.Body.Password)
	if errors.Is(err, store.ErrConflict) {
		return nil, faultf(http.StatusConflict, "exists", "there is an account of that name")
	}
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "account.create", accountPrefix+who.Name, nil, changeOf(who)); err != nil {
		return nil, err
	}
	return answerAccount(who), nil
}

func (a *API) changeAccount(ctx context.Context, c *call, in *changeAccountIn) (*accountOut, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	before, err := a.opts.Accounts.Get(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if revision != 0 && revision != before.Revision {
		return nil, store.ErrConflict
	}
	if in.Body.Password != nil {
		// Together they could not be refused as a whole.
		if in.Body.Role != nil || in.Body.Disabled != nil {
			return nil, invalidField("body.password", "change the password by itself, and role and disabled in another request")
		}
		return a.resetPassword(ctx, c, before, *in.Body.Password)
	}
	// A change of the role that is refused leaves all as it is, and one that is
	// not cannot make the other be refused.
	who := before
	if in.Body.Role != nil && *in.Body.Role != before.Role {
		if who, err = a.opts.Accounts.SetRole(ctx, in.Name, *in.Body.Role, revision); err != nil {
			return nil, err
		}
		if err := a.audit(ctx, c, "account.role", accountPrefix+who.Name, changeOf(before), changeOf(who)); err != nil {
			return nil, err
		}
		revision = who.Revision
	}
	if in.Body.Disabled != nil && *in.Body.Disabled != who.Disabled {
		return a.setDisabled(ctx, c, who, *in.Body.Disabled, revision)
	}
	return answerAccount(who), nil
}

func (a *API) setDisabled(ctx context.Context, c *call, before account.Account, disabled bool, revision uint64) (*accountOut, error) {
	who, err := a.opts.Accounts.SetDisabled(ctx, before.Name, disabled, revision)
	if err != nil {
		return nil, err
	}
	action := "account.enable"
	if disabled {
		action = "account.disable"
	}
	if err := a.audit(ctx, c, action, accountPrefix+who.Name, changeOf(before), changeOf(who)); err != nil {
		return nil, err
	}
	return answerAccount(who), nil
}

// refuseOwn keeps a session from changing what its own account proves itself
// by without the password: whoever finds an open session could lock its owner
// out.
func refuseOwn(c *call, name, path string) error {
	if c.account != name {
		return nil
	}
	return faultf(http.StatusConflict, "own_account", "this is your own account: use %s, which asks for your password", Base+path)
}

func (a *API) resetPassword(ctx context.Context, c *call, before account.Account, password string) (*accountOut, error) {
	if err := refuseOwn(c, before.Name, "/me/password"); err != nil {
		return nil, err
	}
	who, err := a.opts.Accounts.SetPassword(ctx, before.Name, password)
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "account.password", accountPrefix+who.Name, nil, nil); err != nil {
		return nil, err
	}
	return answerAccount(who), nil
}

func (a *API) deleteAccount(ctx context.Context, c *call, in *deleteAccountIn) (*struct{}, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	before, err := a.opts.Accounts.Get(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.opts.Accounts.Delete(ctx, in.Name, revision); err != nil {
		return nil, err
	}
	return nil, a.audit(ctx, c, "account.delete", accountPrefix+before.Name, changeOf(before), nil)
}

func (a *API) disableSecondFactor(ctx context.Context, c *call, in *deleteAccountIn) (*struct{}, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	before, err := a.opts.Accounts.Get(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if revision != 0 && revision != before.Revision {
		return nil, store.ErrConflict
	}
	if err := refuseOwn(c, before.Name, "/me/totp"); err != nil {
		return nil, err
	}
	if !before.SecondFactor {
		return nil, account.ErrSecondFactorOff
	}
	if err := a.opts.Accounts.DisableTOTP(ctx, before.Name); err != nil {
		return nil, err
	}
	return nil, a.audit(ctx, c, "account.second_factor_off", accountPrefix+before.Name, nil, nil)
}
