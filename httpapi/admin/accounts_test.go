package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

type accountBody struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Disabled bool   `json:"disabled"`
	Revision uint64 `json:"revision"`
}

func newAccount(name, role string) map[string]any {
	return map[string]any{"name": name, "role": role, "password": password}
}

func TestCreateAndListAccounts(t *testing.T) {
	s := newSite(t)
	var list struct {
		Items []accountBody `json:"items"`
		Total int           `json:"total"`
	}
	if got := string(s.call(account.Admin, "GET", "/accounts", nil).want(http.StatusOK).into(&list).body); !strings.Contains(got, `"items":[]`) {
		t.Errorf("got %s, want an empty list", got)
	}
	var made, got accountBody
	a := s.call(account.Admin, "POST", "/accounts", newAccount("Ada", "operator")).want(http.StatusCreated).into(&made)
	if made.Name != "ada" || made.Role != "operator" || a.header.Get("ETag") == "" {
		t.Errorf("got %s with ETag %s", a.body, a.header.Get("ETag"))
	}
	one := s.call(account.Admin, "GET", "/accounts/ADA", nil).want(http.StatusOK).into(&got)
	if got != made || one.header.Get("ETag") != a.header.Get("ETag") {
		t.Errorf("got %+v, want %+v", got, made)
	}
	s.call(account.Admin, "GET", "/accounts", nil).want(http.StatusOK).into(&list)
	if list.Total != 1 || len(list.Items) != 1 || list.Items[0] != made {
		t.Errorf("got %+v", list)
	}
	s.wantTrail(0, "token:admin account.create account:ada")
	if after := string(s.trail()[0].After); after != `{"role":"operator","disabled":false,"secondFactor":false}` {
		t.Errorf("got %s on record", after)
	}
	if bodies := string(a.body) + s.log.String(); strings.Contains(bodies, password) {
		t.Error("the password is repeated")
	}
}

func TestBadAccounts(t *testing.T) {
	s := newSite(t)
	s.call(account.Admin, "POST", "/accounts", newAccount("ada", "viewer")).want(http.StatusCreated)
	s.call(account.Admin, "POST", "/accounts", newAccount("ADA", "viewer")).wantFault(http.StatusConflict, "exists")
	for location, body := range map[string]map[string]any{
		"body.name":     newAccount("a b", "viewer"),
		"body.role":     newAccount("bob", "root"),
		"body.password": {"name": "bob", "role": "viewer", "password": "short"},
		"body":          {"name": "bob", "role": "viewer"},
	} {
		s.call(account.Admin, "POST", "/accounts", body).wantFault(http.StatusUnprocessableEntity, "invalid", location)
	}
	same := map[string]any{"name": "bob-the-admin", "role": "viewer", "password": "Bob-The-Admin"}
	s.call(account.Admin, "POST", "/accounts", same).wantFault(http.StatusUnprocessableEntity, "invalid", "body.password")
	s.call(account.Admin, "GET", "/accounts/bob", nil).wantFault(http.StatusNotFound, "not_found")
	s.wantTrail(0, "token:admin account.create account:ada")
}

func TestChangeAccount(t *testing.T) {
	s := newSite(t)
	s.account("root", account.Admin)
	his := s.account("ada", account.Viewer)
	since := len(s.trail())
	change := func(body map[string]any, headers ...string) *answer {
		return s.call(account.Admin, "PATCH", "/accounts/ada", body, headers...)
	}
	var got accountBody
	a := change(map[string]any{"role": "operator"}).want(http.StatusOK).into(&got)
	if got.Role != "operator" {
		t.Errorf("got %s", a.body)
	}
	s.callAs(his, "GET", "/me", nil).wantFault(http.StatusUnauthorized, "session_over")
	change(map[string]any{"role": "operator"}).want(http.StatusOK) // changes nothing, and is not on record
	change(map[string]any{"role": "viewer", "disabled": true}).want(http.StatusOK).into(&got)
	if got.Role != "viewer" || !got.Disabled {
		t.Errorf("got %+v", got)
	}
	s.call(nobody, "POST", "/login", login("ada", password)).wantFault(http.StatusUnauthorized, "wrong_login")
	change(map[string]any{"disabled": false}).want(http.StatusOK)
	change(map[string]any{"password": "another password"}).want(http.StatusOK)
	s.call(nobody, "POST", "/login", login("ada", "another password")).want(http.StatusOK)
	s.wantTrail(since, "token:admin account.role account:ada", "token:admin account.role account:ada", "token:admin account.disable account:ada",
		"anonymous session.failed account:ada", "token:admin account.enable account:ada", "token:admin account.password account:ada",
		"account:ada session.login account:ada")
	var before, after struct{ Role string }
	must(t, json.Unmarshal(s.trail()[since].Before, &before))
	must(t, json.Unmarshal(s.trail()[since].After, &after))
	if before.Role != "viewer" || after.Role != "operator" {
		t.Errorf("got before %+v, after %+v", before, after)
	}
	since = len(s.trail())
	change(map[string]any{"password": "yet another password", "role": "admin"}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.password")
	change(map[string]any{"role": "root"}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.role")
	change(map[string]any{"password": "short"}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.password")
	s.call(account.Admin, "PATCH", "/accounts/nobody", map[string]any{}).wantFault(http.StatusNotFound, "not_found")
	s.wantTrail(since)
}

func TestAccountsAtARevision(t *testing.T) {
	s := newSite(t)
	s.account("root", account.Admin)
	s.account("ada", account.Viewer)
	first := s.call(account.Admin, "GET", "/accounts/ada", nil).header.Get("ETag")
	disable := map[string]any{"disabled": true}
	s.call(account.Admin, "PATCH", "/accounts/ada", disable, "If-Match: "+first).want(http.StatusOK)
	since := len(s.trail())
	for _, stale := range []string{first, "3", `W/"3"`, `"x"`, `"1", "2"`, `""`, `"0"`} {
		for _, body := range []map[string]any{{"disabled": false}, {"role": "operator"}, {"password": "another password"}} {
			s.call(account.Admin, "PATCH", "/accounts/ada", body, "If-Match: "+stale).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
		}
		s.call(account.Admin, "DELETE", "/accounts/ada", nil, "If-Match: "+stale).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	}
	s.wantTrail(since)
	s.call(account.Admin, "PATCH", "/accounts/ada", map[string]any{"disabled": false}, "If-Match: *").want(http.StatusOK)
	now := s.call(account.Admin, "GET", "/accounts/ada", nil).header.Get("ETag")
	s.call(account.Admin, "DELETE", "/accounts/ada", nil, "If-Match: "+now).want(http.StatusNoContent)
	s.call(account.Admin, "DELETE", "/accounts/ada", nil).wantFault(http.StatusNotFound, "not_found")
}

// TestOneOfManyWins: of changes made of the same revision exactly one is made.
func TestOneOfManyWins(t *testing.T) {
	s := newSite(t)
	s.account("ada", account.Viewer)
	tag := s.call(account.Admin, "GET", "/accounts/ada", nil).header.Get("ETag")
	var won atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch a := s.call(account.Admin, "PATCH", "/accounts/ada", map[string]any{"disabled": true, "role": "operator"}, "If-Match: "+tag); a.status {
			case http.StatusOK:
				won.Add(1)
			case http.StatusPreconditionFailed:
			default:
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d have won, want 1", won.Load())
	}
}

// TestTheLastAdminStays: nobody can lock everybody out, oneself included.
func TestTheLastAdminStays(t *testing.T) {
	s := newSite(t)
	mine := s.account("root", account.Admin)
	s.account("ada", account.Viewer)
	since := len(s.trail())
	for _, token := range []string{mine, s.tokens[account.Admin]} {
		s.callAs(token, "PATCH", "/accounts/root", map[string]any{"disabled": true}).wantFault(http.StatusConflict, "last_admin")
		s.callAs(token, "PATCH", "/accounts/root", map[string]any{"role": "viewer"}).wantFault(http.StatusConflict, "last_admin")
		s.callAs(token, "PATCH", "/accounts/root", map[string]any{"role": "viewer", "disabled": true}).wantFault(http.StatusConflict, "last_admin")
		s.callAs(token, "DELETE", "/accounts/root", nil).wantFault(http.StatusConflict, "last_admin")
	}
	s.callAs(mine, "PATCH", "/accounts/root", map[string]any{"password": "another password"}).wantFault(http.StatusConflict, "own_account")
	s.wantTrail(since)
	s.callAs(mine, "GET", "/me", nil).want(http.StatusOK)
	s.call(account.Admin, "PATCH", "/accounts/ada", map[string]any{"role": "admin"}).want(http.StatusOK)
	s.callAs(mine, "DELETE", "/accounts/root", nil).want(http.StatusNoContent)
	s.callAs(mine, "GET", "/me", nil).wantFault(http.StatusUnauthorized, "session_over")
}
