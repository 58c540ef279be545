package admin_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

type tokenBody struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Networks  []string  `json:"networks"`
	CreatedBy string    `json:"createdBy"`
	ExpiresAt time.Time `json:"expiresAt"`
	LastIP    string    `json:"lastIp"`
	Revision  uint64    `json:"revision"`
}

type madeToken struct {
	Token  tokenBody `json:"token"`
	Secret string    `json:"secret"`
}

func TestTokens(t *testing.T) {
	s := newSite(t)
	mine := s.account("root", account.Admin)
	since := len(s.trail())
	end := s.now().Add(time.Hour).UTC().Truncate(time.Second)
	var got madeToken
	a := s.callAs(mine, "POST", "/tokens", map[string]any{
		"name": "Job", "role": "operator", "networks": []string{"198.51.100.0/24", "2001:db8::1"}, "expiresAt": end,
	}).want(http.StatusCreated).into(&got)
	if got.Token.Name != "job" || got.Token.Role != "operator" || got.Token.CreatedBy != "account:root" || !got.Token.ExpiresAt.Equal(end) ||
		strings.Join(got.Token.Networks, " ") != "198.51.100.0/24 2001:db8::1/128" || !strings.HasPrefix(got.Secret, "sntl_") {
		t.Errorf("got %s", a.body)
	}
	s.wantTrail(since, "account:root token.create token:job")

	s.callAs(got.Secret, "GET", "/about", nil).want(http.StatusOK)
	s.callAs(got.Secret, "GET", "/settings", nil, "X-Real-IP: 203.0.113.1").wantFault(http.StatusForbidden, "network_not_allowed")
	s.callAs(got.Secret, "GET", "/accounts", nil).wantFault(http.StatusForbidden, "forbidden")
	list := string(s.callAs(mine, "GET", "/tokens", nil).want(http.StatusOK).body)
	if strings.Contains(list, got.Secret) || !strings.Contains(list, `"lastIp":"`+clientIP+`"`) {
		t.Errorf("got list %s, want the last use and no secret", list)
	}
	if s.trailHas(got.Secret) || strings.Contains(s.log.String(), got.Secret) {
		t.Error("the secret is on record")
	}
	s.advance(time.Hour + time.Second)
	s.callAs(got.Secret, "GET", "/about", nil).wantFault(http.StatusUnauthorized, "token_expired")

	since = len(s.trail())
	s.callAs(mine, "DELETE", "/tokens/job", nil, `If-Match: "1"`).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	s.callAs(mine, "DELETE", "/tokens/job", nil, "If-Match: "+a.header.Get("ETag")).want(http.StatusNoContent)
	s.callAs(mine, "DELETE", "/tokens/job", nil).wantFault(http.StatusNotFound, "not_found")
	s.callAs(got.Secret, "GET", "/about", nil).wantFault(http.StatusUnauthorized, "unauthenticated")
	s.wantTrail(since, "account:root token.delete token:job")
}

// trailHas reports whether a text is anywhere in the audit trail.
func (s *site) trailHas(text string) bool {
	for _, e := range s.trail() {
		if strings.Contains(string(e.Before)+string(e.After)+e.Target+e.Actor, text) {
			return true
		}
	}
	return false
}

func TestATokenThatNeverExpires(t *testing.T) {
	s := newSite(t)
	var got madeToken
	a := s.call(account.Admin, "POST", "/tokens", map[string]any{"name": "job", "role": "viewer", "neverExpires": true}).want(http.StatusCreated).into(&got)
	if !got.Token.ExpiresAt.IsZero() || !strings.Contains(string(a.body), `"networks":[]`) {
		t.Errorf("got %s", a.body)
	}
	s.advance(10 * 365 * 24 * time.Hour)
	s.callAs(got.Secret, "GET", "/me", nil).want(http.StatusOK)
	s.call(account.Admin, "POST", "/tokens", map[string]any{"name": "JOB", "role": "viewer", "neverExpires": true}).wantFault(http.StatusConflict, "exists")
}

func TestBadTokens(t *testing.T) {
	s := newSite(t)
	later := time.Now().Add(time.Hour)
	body := func(pairs ...any) map[string]any {
		b := map[string]any{"name": "job", "role": "viewer", "expiresAt": later}
		for pair := range slices.Chunk(pairs, 2) {
			b[pair[0].(string)] = pair[1]
		}
		return b
	}
	tests := []struct {
		location, message string
		body              map[string]any
	}{
		{"body.name", "", body("name", "a b")},
		{"body.role", "", body("role", "root")},
		{"body.expiresAt", "over", body("expiresAt", time.Now().Add(-time.Second))},
		{"body.expiresAt", "", body("expiresAt", "tomorrow")},
		{"body.expiresAt", "either", body("neverExpires", true)},
		{"body.expiresAt", "either", map[string]any{"name": "job", "role": "viewer"}},
		{"body.networks[1]", "did you mean 10.0.0.0/8", body("networks", []string{"10.0.0.0/8", "10.0.0.1/8"})},
		{"body.networks[0]", "", body("networks", []string{"everywhere"})},
	}
	for _, test := range tests {
		f := s.call(account.Admin, "POST", "/tokens", test.body).wantFault(http.StatusUnprocessableEntity, "invalid", test.location)
		if len(f.Errors) != 1 || !strings.Contains(f.Errors[0].Message, test.message) {
			t.Errorf("%v: got %+v, want %q", test.body, f.Errors, test.message)
		}
	}
	s.wantTrail(0)
}
