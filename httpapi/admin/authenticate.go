package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// actors of the audit trail.
const (
	localActor    = "local"
	accountPrefix = "account:"
	tokenPrefix   = "token:"
)

// authenticate fills in who calls. Where no role is needed, nobody need be known.
func (a *API) authenticate(ctx huma.Context, c *call, needed account.Role) error {
	if isLocal(ctx.Context()) {
		c.actor, c.role = localActor, account.Admin
		return nil
	}
	request := humagin.Unwrap(ctx).Request
	c.request = request
	ip, err := a.resolve(request)
	if err != nil {
		return err
	}
	c.clientIP = ip
	if isConsole(request) {
		c.console = request
	}
	scheme, token, _ := strings.Cut(ctx.Header("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	if token == "" {
		token, err = cookieToken(request)
	}
	if token == "" {
		if needed == "" {
			return nil
		}
		if err != nil {
			return err
		}
		return faultf(http.StatusUnauthorized, "unauthenticated", "sign in, or send an API token: Authorization: Bearer …")
	}
	err = a.recognise(ctx.Context(), c, strings.TrimSpace(token))
	if err != nil && needed == "" {
		return nil // whoever it is, he may
	}
	return err
}

// resolve returns the client IP; the zero Addr on the local socket.
func (a *API) resolve(r *http.Request) (netip.Addr, error) {
	if isLocal(r.Context()) {
		return netip.Addr{}, nil
	}
	ip, err := a.opts.Resolver.Resolve(a.opts.Engine.Peer(r.RemoteAddr), r.Header)
	if err != nil {
		a.opts.Logger.Warn("admin request from an address that cannot be told", "peer", r.RemoteAddr, "error", err)
		return netip.Addr{}, faultf(http.StatusBadRequest, "invalid_client_ip", "your network address cannot be told; the log and sentinel explain-ip say why")
	}
	return ip, nil
}

// recognise fills in whose bearer token it is.
func (a *API) recognise(ctx context.Context, c *call, token string) error {
	given, local := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(a.opts.LocalToken))
	if subtle.ConstantTimeCompare(given[:], local[:]) == 1 {
		c.actor, c.role = localActor, account.Admin
		return nil
	}
	if strings.Count(token, ".") == 2 {
		return a.recogniseSession(ctx, c, token)
	}
	t, err := a.opts.Accounts.Authenticate(ctx, token, c.clientIP)
	switch {
	case errors.Is(err, account.ErrNetwork):
		return faultf(http.StatusForbidden, "network_not_allowed", "this API token may not be used from your network address")
	case errors.Is(err, account.ErrExpired):
		return faultf(http.StatusUnauthorized, "token_expired", "this API token has expired")
	case errors.Is(err, account.ErrWrongToken):
		return faultf(http.StatusUnauthorized, "unauthenticated", "this is no session and no API token")
	case err != nil:
		return err
	}
	c.actor, c.role = tokenPrefix+t.Name, t.Role
	return nil
}

func (a *API) recogniseSession(ctx context.Context, c *call, token string) error {
	over := faultf(http.StatusUnauthorized, "session_over", "the session is over: sign in again")
	s, err := a.sessions.read(token)
	if err != nil {
		return over
	}
	ended, err := a.endedSession(ctx, s.ID)
	if err != nil {
		return err
	}
	who, err := a.opts.Accounts.Session(ctx, s.Subject, s.Generation)
	if ended || errors.Is(err, account.ErrEnded) || errors.Is(err, store.ErrNotFound) {
		return over
	}
	if err != nil {
		return err
	}
	c.actor, c.role, c.account, c.session = accountPrefix+who.Name, who.Role, who.Name, s
	return nil
}
