package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
)

const tagTokens = "tokens"

// tokenView is what may be shown of an API token.
type tokenView struct {
	Name      string       `json:"name" example:"backup-job" doc:"Its name, in lower case."`
	Role      account.Role `json:"role" enum:"viewer,operator,admin" doc:"What it may do."`
	Networks  []string     `json:"networks" doc:"Where it may be used from; empty: from anywhere."`
	CreatedAt time.Time    `json:"createdAt" doc:"When it was made."`
	CreatedBy string       `json:"createdBy" example:"account:admin" doc:"Who made it."`
	ExpiresAt time.Time    `json:"expiresAt,omitzero" doc:"When it stops working; absent: never."`
	LastUsed  time.Time    `json:"lastUsed,omitzero" doc:"When it was last used, to the minute."`
	LastIP    string       `json:"lastIp,omitempty" doc:"Where from."`
	Revision  uint64       `json:"revision" doc:"See If-Match."`
}

func viewToken(t account.Token) tokenView {
	v := tokenView{
		Name: t.Name, Role: t.Role, Networks: make([]string, 0, len(t.Networks)), CreatedAt: t.CreatedAt,
		CreatedBy: t.CreatedBy, ExpiresAt: t.ExpiresAt, LastUsed: t.LastUsed, Revision: t.Revision,
	}
	for _, p := range t.Networks {
		v.Networks = append(v.Networks, p.String())
	}
	if t.LastIP.IsValid() {
		v.LastIP = t.LastIP.String()
	}
	return v
}

// tokenChange is what the audit trail says of a token.
type tokenChange struct {
	Role      account.Role   `json:"role"`
	Networks  []netip.Prefix `json:"networks"`
	ExpiresAt time.Time      `json:"expiresAt,omitzero"`
}

type tokensOut struct {
	Body struct {
		Items []tokenView `json:"items" doc:"All API tokens, in the order of their names."`
		Total int         `json:"total" doc:"How many there are."`
	}
}

type createTokenIn struct {
	Body struct {
		Name         string       `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._@-]+$" patternDescription:"letters, digits and . _ - @" example:"backup-job" doc:"Its name: letters, digits and . _ - @."`
		Role         account.Role `json:"role" enum:"viewer,operator,admin" doc:"What it may do: at most what you may."`
		Networks     []string     `json:"networks,omitempty" maxItems:"100" example:"[\"10.0.0.0/8\"]" doc:"Addresses and prefixes that it may be used from; none: from anywhere."`
		ExpiresAt    time.Time    `json:"expiresAt,omitzero" doc:"When it stops working."`
		NeverExpires bool         `json:"neverExpires,omitempty" doc:"In place of expiresAt: it works until it is deleted."`
	}
}

type createTokenOut struct {
	ETag
	Body struct {
		Token  tokenView `json:"token" doc:"What will be shown of it from now on."`
		Secret string    `json:"secret" doc:"The token itself. It is not kept, and cannot be shown again."`
	}
}

type deleteTokenIn struct {
	Name string `path:"name" minLength:"1" maxLength:"64" example:"backup-job" doc:"Name of the API token."`
	IfMatch
}

func (a *API) registerTokens() {
	handle(a, operation{
		method: http.MethodGet, path: "/tokens", id: "list-tokens", tag: tagTokens, summary: "List the API tokens", role: account.Admin,
	}, a.listTokens)
	handle(a, operation{
		method: http.MethodPost, path: "/tokens", id: "create-token", tag: tagTokens, summary: "Make an API token",
		about: "It works wherever a session does, as Authorization: Bearer …",
		role:  account.Admin, status: http.StatusCreated, errors: []int{http.StatusConflict},
	}, a.createToken)
	handle(a, operation{
		method: http.MethodDelete, path: "/tokens/{name}", id: "delete-token", tag: tagTokens, summary: "Delete an API token",
		about: "It stops working at once.",
		role:  account.Admin, errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
	}, a.deleteToken)
}

func (a *API) listTokens(ctx context.Context, _ *call, _ *struct{}) (*tokensOut, error) {
	list, err := a.opts.Accounts.ListTokens(ctx)
	if err != nil {
		return nil, err
	}
	out := new(tokensOut)
	out.Body.Items, out.Body.Total = make([]tokenView, 0, len(list)), len(list)
	for _, t := range list {
		out.Body.Items = append(out.Body.Items, viewToken(t))
	}
	return out, nil
}

func (a *API) createToken(ctx context.Context, c *call, in *createTokenIn) (*createTokenOut, error) {
	if in.Body.NeverExpires != in.Body.ExpiresAt.IsZero() {
		return nil, invalidField("body.expiresAt", "give either a time, or neverExpires")
	}
	if !c.role.Allows(in.Body.Role) {
		return nil, invalidField("body.role", "a token cannot do more than you can: %s at most", c.role)
	}
	networks, err := parseNetworks(in.Body.Networks)
	if err != nil {
		return nil, err
	}
	t, secret, err := a.opts.Accounts.CreateToken(ctx, account.NewToken{
		Name: in.Body.Name, Role: in.Body.Role, Networks: networks, ExpiresAt: in.Body.ExpiresAt, CreatedBy: c.actor,
	})
	if errors.Is(err, store.ErrConflict) {
		return nil, faultf(http.StatusConflict, "exists", "there is an API token of that name")
	}
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "token.create", tokenPrefix+t.Name, nil, tokenChange{t.Role, t.Networks, t.ExpiresAt}); err != nil {
		return nil, err
	}
	out := &createTokenOut{ETag: etagOf(t.Revision)}
	out.Body.Token, out.Body.Secret = viewToken(t), secret
	return out, nil
}

// parseNetworks names every one that is wrong.
func parseNetworks(texts []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(texts))
	var faults []fieldFault
	for i, text := range texts {
		p, err := ipset.ParsePrefix(text)
		if err != nil {
			faults = append(faults, fieldFault{Location: fmt.Sprintf("body.networks[%d]", i), Message: err.Error()})
			continue
		}
		prefixes = append(prefixes, p)
	}
	if len(faults) > 0 {
		return nil, invalid(faults...)
	}
	return prefixes, nil
}

func (a *API) deleteToken(ctx context.Context, c *call, in *deleteTokenIn) (*struct{}, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	if err := a.opts.Accounts.DeleteToken(ctx, in.Name, revision); err != nil {
		return nil, err
	}
	return nil, a.audit(ctx, c, "token.delete", tokenPrefix+in.Name, nil, nil)
}
