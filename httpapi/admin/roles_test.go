package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

// pathOf fills the parameters of an operation's path with values that are well
// formed, and mostly name nothing.
func pathOf(op *huma.Operation) string {
	path := strings.TrimPrefix(op.Path, admin.Base)
	for _, p := range op.Parameters {
		if p.In != "path" {
			continue
		}
		value := "nothing"
		switch {
		case len(p.Schema.Enum) > 0:
			value = p.Schema.Enum[0].(string)
		case p.Name == "hash":
			value = strings.Repeat("ab", 32)
		case p.Schema.Type == huma.TypeInteger:
			value = "404"
		}
		path = strings.ReplaceAll(path, "{"+p.Name+"}", value)
	}
	return path
}

// caller is somebody who calls, with the role that the API should find.
type caller struct {
	name  string
	token string
	role  account.Role
}

func (s *site) callers() []caller {
	s.t.Helper()
	s.account("old", account.Admin)
	expired := s.login("old")
	s.advance(admin.SessionLife + time.Minute)
	list := []caller{
		{"nobody", "", nobody},
		{"a session that is over", expired, nobody},
		{"a wrong token", "sntl_wrong", nobody},
		{"a wrong session", "a.b.c", nobody},
		{"a session without signature", unsigned(s.t, expired), nobody},
		{"the local token", localToken, account.Admin},
	}
	for _, role := range []account.Role{account.Viewer, account.Operator, account.Admin} {
		list = append(list, caller{"a token of " + string(role), s.tokens[role], role},
			caller{"a session of " + string(role), s.account("one-"+string(role), role), role})
	}
	ended := s.login("one-admin")
	s.callAs(ended, "POST", "/logout", nil).want(http.StatusNoContent)
	disabled := s.account("disabled", account.Admin)
	_, err := s.accounts.SetDisabled(s.t.Context(), "disabled", true, 0)
	must(s.t, err)
	return append(list, caller{"a session that was ended", ended, nobody}, caller{"a session of a disabled account", disabled, nobody})
}

// unsigned returns a JWT with the claims of another one and the algorithm none.
func unsigned(t testing.TB, session string) string {
	t.Helper()
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(session, claims)
	must(t, err)
	claims["exp"] = 4102444800 // the year 2100
	token, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	must(t, err)
	return token
}

// statusOf calls an operation without a body, and does not wait for the end of
// the answer.
func (s *site) statusOf(op *huma.Operation, token string) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), op.Method, s.server.URL+admin.Base+pathOf(op), nil)
	must(s.t, err)
	req.Header.Set("X-Real-IP", clientIP)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.server.Client().Do(req)
	must(s.t, err)
	must(s.t, res.Body.Close())
	if res.StatusCode == http.StatusUnauthorized && res.Header.Get("WWW-Authenticate") == "" {
		s.t.Errorf("%s: 401 without a challenge", op.OperationID)
	}
	return res.StatusCode
}

// TestWhoMayDoWhat calls every operation of the document as everybody: a new one
// cannot be forgotten here.
func TestWhoMayDoWhat(t *testing.T) {
	s := newSite(t)
	callers := s.callers()
	for _, op := range operations(s.api) {
		needed := roleOf(op)
		for i, c := range callers {
			got := s.statusOf(op, c.token)
			want := "anything but 401 and 403"
			ok := got != http.StatusUnauthorized && got != http.StatusForbidden
			switch {
			case needed == nobody || c.role.Allows(needed):
			case c.role == nobody:
				want, ok = "401", got == http.StatusUnauthorized
			default:
				want, ok = "403", got == http.StatusForbidden
			}
			if !ok {
				t.Errorf("%s, which needs role %q, as %s: got %d, want %s", op.OperationID, needed, c.name, got, want)
			}
			if op.OperationID == "logout" && got == http.StatusNoContent { // the others are still to come
				callers[i].token = s.login("one-" + string(c.role))
			}
		}
	}
}

// TestTheLocalSocketMayEverything: who may open it may read the data.
func TestTheLocalSocketMayEverything(t *testing.T) {
	s := newSite(t)
	s.server.Config.Handler = s.api.Local()
	for _, op := range operations(s.api) {
		if got := s.statusOf(op, ""); got == http.StatusUnauthorized || got == http.StatusForbidden || got >= 500 && got != http.StatusNotImplemented {
			t.Errorf("%s: got %d", op.OperationID, got)
		}
	}
}
