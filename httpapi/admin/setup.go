package admin

import (
	"context"
	"net/http"
)

type setupOut struct {
	Body struct {
		Needed bool `json:"needed" doc:"Whether there is no account yet."`
	}
}

type setupIn struct {
	Body struct {
		Token    string `json:"token" maxLength:"256" doc:"From the address that the server has logged at its start."`
		Username string `json:"username" minLength:"1" maxLength:"64" example:"admin" doc:"Name of the first account, which is an administrator's."`
		Password string `json:"password" maxLength:"4096" doc:"Its password: 12 to 1024 bytes, and not the name."`
	}
}

func (a *API) registerSetup() {
	handle(a, operation{
		method: http.MethodGet, path: "/setup", id: "get-setup", tag: tagSession, summary: "Whether the first account has to be made",
	}, a.getSetup)
	handle(a, operation{
		method: http.MethodPost, path: "/setup", id: "set-up", tag: tagSession, summary: "Make the first account",
		about:  "Signs in as it, as a login does. Once there is an account, or with a token that is wrong, used or too old, the answer is 410.",
		errors: []int{http.StatusGone},
	}, a.setUp)
}

func (a *API) getSetup(ctx context.Context, _ *call, _ *struct{}) (*setupOut, error) {
	out := new(setupOut)
	var err error
	out.Body.Needed, err = a.opts.Accounts.Empty(ctx)
	return out, err
}

func (a *API) setUp(ctx context.Context, c *call, in *setupIn) (*sessionOut, error) {
	who, err := a.opts.Accounts.Setup(ctx, in.Body.Token, in.Body.Username, in.Body.Password)
	if err != nil {
		return nil, renameField(err, "name", "username")
	}
	return a.openSession(ctx, c, who, "account.setup")
}
