package admin_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

func setup(token, name, password string) map[string]any {
	return map[string]any{"token": token, "username": name, "password": password}
}

func (s *site) setupNeeded() bool {
	s.t.Helper()
	var got struct{ Needed bool }
	s.call(nobody, "GET", "/setup", nil).want(http.StatusOK).into(&got)
	return got.Needed
}

func TestSetup(t *testing.T) {
	s := newSite(t)
	if !s.setupNeeded() {
		t.Error("setup is not needed, without any account")
	}
	token, _ := s.accounts.BeginSetup()
	s.call(nobody, "POST", "/setup", setup("wrong", "root", password)).wantFault(http.StatusGone, "setup_over")
	s.call(nobody, "POST", "/setup", setup("wrong", "a b", "short")).wantFault(http.StatusGone, "setup_over")
	s.call(nobody, "POST", "/setup", setup(token, "a b", password)).wantFault(http.StatusUnprocessableEntity, "invalid", "body.username")
	s.call(nobody, "POST", "/setup", setup(token, "root", "short")).wantFault(http.StatusUnprocessableEntity, "invalid", "body.password")
	s.wantTrail(0)
	var got session
	s.call(nobody, "POST", "/setup", setup(token, "root", password)).want(http.StatusOK).into(&got)
	s.wantTrail(0, "account:root account.setup account:root")
	s.callAs(got.AccessToken, "GET", "/accounts", nil).want(http.StatusOK)
	s.call(nobody, "POST", "/setup", setup(token, "other", password)).wantFault(http.StatusGone, "setup_over")
	if s.setupNeeded() {
		t.Error("setup is needed, although there is an account")
	}
}

func TestSetupTooLate(t *testing.T) {
	s := newSite(t)
	token, _ := s.accounts.BeginSetup()
	s.advance(31 * time.Minute)
	s.call(nobody, "POST", "/setup", setup(token, "root", password)).wantFault(http.StatusGone, "setup_over")
	token, _ = s.accounts.BeginSetup()
	s.account("ada", account.Viewer)
	s.call(nobody, "POST", "/setup", setup(token, "root", password)).wantFault(http.StatusGone, "setup_over")
}
