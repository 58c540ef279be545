package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	"github.com/key-ip-sentinel/sentinel/store"
)

// RebindPath is where re-bind links are, on the public address; the token
// follows.
const RebindPath = "/sentinel/rebind/"

// registerRebindLinks adds links with which the holder of a key binds it to where
// they are.
func (a *API) registerRebindLinks() {
	handle(a, operation{
		method: http.MethodGet, path: "/bindings/{hash}/rebind-links", id: "list-rebind-links", tag: bindingTag, role: account.Viewer,
		summary: "List the re-bind links of a key", errors: []int{http.StatusNotImplemented},
		about: "The newest first, also those that are over, for 30 days. The links themselves cannot be shown again.",
	}, a.listRebindLinks)
	handle(a, operation{
		method: http.MethodPost, path: "/bindings/{hash}/rebind-links", id: "create-rebind-link", tag: bindingTag, role: account.Operator,
		summary: "Make a link with which the holder of a key binds it to where they are", status: http.StatusCreated,
		errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusNotImplemented},
		about: "It works once, until it expires. Whoever opens it sees the address that the key would be bound to, and says so. " +
			"It ends when the key is unbound or banned.",
	}, a.createRebindLink)
	handle(a, operation{
		method: http.MethodDelete, path: "/bindings/{hash}/rebind-links/{id}", id: "revoke-rebind-link", tag: bindingTag, role: account.Operator,
		summary: "Revoke a re-bind link", errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusNotImplemented},
		about: "It is over at once. A link that was used, or not in time, is over already.",
	}, a.revokeRebindLink)
}

// rebindLink is a link as the API shows it.
type rebindLink struct {
	ID        string       `json:"id" doc:"Names the link in this API; it cannot be used with it." example:"0f3a5b7c9d1e2f40"`
	State     rebind.State `json:"state" enum:"open,used,ended,revoked" doc:"Open; used; not used in time; or revoked."`
	CreatedAt time.Time    `json:"createdAt" doc:"When it was made."`
	CreatedBy string       `json:"createdBy" doc:"Who made it." example:"account:alice"`
	ExpiresAt time.Time    `json:"expiresAt" doc:"Until when it is good."`
	UsedAt    time.Time    `json:"usedAt,omitzero" doc:"When it was used; absent if it was not."`
	UsedFrom  netip.Addr   `json:"usedFrom,omitzero" doc:"The client IP that used it."`
	UsedFor   netip.Prefix `json:"usedFor,omitzero" doc:"What the key was bound to with it."`
	RevokedAt time.Time    `json:"revokedAt,omitzero" doc:"When it was revoked; absent if it was not."`
	RevokedBy string       `json:"revokedBy,omitempty" doc:"Who revoked it; unbind or ban if it ended with its key."`
}

func showRebindLink(l rebind.Link) rebindLink {
	return rebindLink{l.ID, l.State, l.CreatedAt.UTC(), l.CreatedBy, l.ExpiresAt.UTC(), l.UsedAt.UTC(), l.UsedFrom, l.UsedFor, l.RevokedAt.UTC(), l.RevokedBy}
}

type rebindLinksOutput struct {
	Body struct {
		Items []rebindLink `json:"items" doc:"The links of the key, the newest first."`
	}
}

type newRebindLinkInput struct {
	HashPath
	Body struct {
		Seconds   int64     `json:"seconds,omitempty" minimum:"1" maximum:"2592000" doc:"For how long it is good, up to 30 days. Unless this or expiresAt is given: 24 hours."`
		ExpiresAt time.Time `json:"expiresAt,omitzero" doc:"In place of seconds: until when, at most 30 days from now."`
	}
}

type newRebindLinkOutput struct {
	Body struct {
		Link rebindLink `json:"link" doc:"What will be shown of it from now on."`
		Hint string     `json:"hint" doc:"A few characters of the key that it is for."`
		Path string     `json:"path" doc:"The path of the link on the public address, with its token, which is not kept and cannot be shown again."`
		URL  string     `json:"url,omitempty" doc:"The whole link; absent if the public address is not known: set SENTINEL_PUBLIC_URL."`
	}
}

type revokeRebindLinkInput struct {
	HashPath
	ID string `path:"id" minLength:"1" maxLength:"64" doc:"Which link."`
}

// rebindTarget is what the audit trail says of a link.
type rebindTarget struct {
	Link      string    `json:"link"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

func (a *API) rebindLinks() (*rebind.Links, error) {
	if a.opts.Rebind == nil {
		return nil, faultf(http.StatusNotImplemented, "not_implemented", "this server makes no re-bind links")
	}
	return a.opts.Rebind, nil
}

func (a *API) listRebindLinks(ctx context.Context, _ *call, in *struct{ HashPath }) (*rebindLinksOutput, error) {
	links, err := a.rebindLinks()
	if err != nil {
		return nil, err
	}
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	list, err := links.List(ctx, hash)
	if err != nil {
		return nil, err
	}
	out := new(rebindLinksOutput)
	out.Body.Items = make([]rebindLink, 0, len(list))
	for _, l := range list {
		out.Body.Items = append(out.Body.Items, showRebindLink(l))
	}
	return out, nil
}

func (a *API) createRebindLink(ctx context.Context, c *call, in *newRebindLinkInput) (*newRebindLinkOutput, error) {
	links, err := a.rebindLinks()
	if err != nil {
		return nil, err
	}
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	lasts := rebind.DefaultFor
	switch {
	case in.Body.Seconds != 0 && !in.Body.ExpiresAt.IsZero():
		return nil, invalidField("body.expiresAt", "give either seconds or a time")
	case in.Body.Seconds != 0:
		lasts = time.Duration(in.Body.Seconds) * time.Second
	case !in.Body.ExpiresAt.IsZero():
		if lasts = in.Body.ExpiresAt.Sub(a.now()); lasts <= 0 || lasts > rebind.MaxFor {
			return nil, invalidField("body.expiresAt", "is past, or more than 30 days from now")
		}
	}
	b, err := a.opts.Store.Binding(ctx, hash)
	if err != nil {
		return nil, err
	}
	link, token, err := links.Create(ctx, hash, lasts, c.actor)
	switch {
	case errors.Is(err, rebind.ErrBanned):
		return nil, faultf(http.StatusConflict, "banned", "the key is banned: lift the ban first")
	case errors.Is(err, rebind.ErrTooMany):
		return nil, faultf(http.StatusConflict, "too_many_links", "the key has %d open links, or the server has no room for more: revoke some first", rebind.MaxOpen)
	case errors.Is(err, store.ErrConflict):
		return nil, faultf(http.StatusConflict, "changed_meanwhile", "the key was unbound or banned in this moment")
	case err != nil:
		return nil, err
	}
	if err := a.audit(ctx, c, "rebind.create", bindingTarget(hash), nil, rebindTarget{link.ID, link.ExpiresAt}); err != nil {
		return nil, err
	}
	out := new(newRebindLinkOutput)
	out.Body.Link, out.Body.Hint, out.Body.Path = showRebindLink(link), b.Hint, RebindPath+token
	if base := a.publicBase(c); base != "" {
		out.Body.URL = base + out.Body.Path
	}
	return out, nil
}

// publicBase returns how the public address begins, without a slash at its end;
// empty if it is not known. Where administration is at the public address, it is
// as the caller, who is signed in, has written it.
func (a *API) publicBase(c *call) string {
	if a.opts.PublicURL != nil {
		if u := a.opts.PublicURL(); u != "" {
			return strings.TrimRight(u, "/")
		}
	}
	if c.request == nil || c.request.Host == "" || !a.opts.SharesPublic {
		return ""
	}
	u := url.URL{Scheme: "http", Host: c.request.Host}
	trusted := a.opts.Engine.Peer(c.request.RemoteAddr).Trusted
	if c.request.TLS != nil || strings.HasPrefix(c.request.Header.Get("Origin"), "https://") ||
		trusted && c.request.Header.Get("X-Forwarded-Proto") == "https" {
		u.Scheme = "https"
	}
	return u.String()
}

func (a *API) revokeRebindLink(ctx context.Context, c *call, in *revokeRebindLinkInput) (*struct{}, error) {
	links, err := a.rebindLinks()
	if err != nil {
		return nil, err
	}
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	link, err := links.Revoke(ctx, hash, in.ID, c.actor)
	if errors.Is(err, rebind.ErrGone) {
		return nil, faultf(http.StatusConflict, "link_over", "the link is over already: %s", link.State)
	}
	if err != nil {
		return nil, err
	}
	return nil, a.audit(ctx, c, "rebind.revoke", bindingTarget(hash), rebindTarget{link.ID, link.ExpiresAt}, nil)
}
