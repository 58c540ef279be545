package admin_test

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

type recovery struct {
	RecoveryCodes []string `json:"recoveryCodes"`
}

// enrol sets a second factor up, and returns its secret and the recovery codes.
func (s *site) enrol(session string) (secret string, codes []string) {
	s.t.Helper()
	var e struct{ Secret, URL, QR string }
	s.callAs(session, "POST", "/me/totp", nil).want(http.StatusOK).into(&e)
	picture, ok := strings.CutPrefix(e.QR, "data:image/png;base64,")
	raw, err := base64.StdEncoding.DecodeString(picture)
	must(s.t, err)
	if _, err := png.Decode(bytes.NewReader(raw)); !ok || err != nil || !strings.HasPrefix(e.URL, "otpauth://totp/") {
		s.t.Errorf("got address %.30q, picture %.30q: %v", e.URL, e.QR, err)
	}
	s.callAs(session, "POST", "/me/totp/confirm", map[string]any{"code": "000000"}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.code")
	var r recovery
	s.callAs(session, "POST", "/me/totp/confirm", map[string]any{"code": s.code(e.Secret)}).want(http.StatusOK).into(&r)
	if len(r.RecoveryCodes) != 10 {
		s.t.Errorf("got %d recovery codes, want 10", len(r.RecoveryCodes))
	}
	return e.Secret, r.RecoveryCodes
}

func (s *site) code(secret string) string {
	s.t.Helper()
	code, err := totp.GenerateCode(secret, s.now())
	must(s.t, err)
	return code
}

func TestSecondFactor(t *testing.T) {
	s := newSite(t)
	mine := s.account("ada", account.Operator)
	secret, codes := s.enrol(mine)
	s.wantTrail(1, "account:ada account.second_factor_begin account:ada", "account:ada account.second_factor_on account:ada")
	s.callAs(mine, "POST", "/me/totp", nil).wantFault(http.StatusConflict, "second_factor_on")

	withCode := func(code string) map[string]any {
		return map[string]any{"username": "ada", "password": password, "code": code}
	}
	s.call(nobody, "POST", "/login", login("ada", password)).wantFault(http.StatusUnauthorized, "second_factor_needed")
	// The second factor is not asked for before the password was right.
	s.call(nobody, "POST", "/login", login("ada", "not the password")).wantFault(http.StatusUnauthorized, "wrong_login")
	s.call(nobody, "POST", "/login", withCode("000000")).wantFault(http.StatusUnauthorized, "wrong_code")
	s.advance(time.Minute)
	code := s.code(secret)
	s.call(nobody, "POST", "/login", withCode(code)).want(http.StatusOK)
	s.call(nobody, "POST", "/login", withCode(code)).wantFault(http.StatusUnauthorized, "wrong_code")
	s.call(nobody, "POST", "/login", withCode(codes[0])).want(http.StatusOK)
	s.call(nobody, "POST", "/login", withCode(codes[0])).wantFault(http.StatusUnauthorized, "wrong_code")
}

func TestRecoveryCodesAreReplaced(t *testing.T) {
	s := newSite(t)
	mine := s.account("ada", account.Operator)
	s.callAs(mine, "POST", "/me/recovery-codes", map[string]any{"password": password}).wantFault(http.StatusConflict, "second_factor_off")
	_, old := s.enrol(mine)
	s.callAs(mine, "POST", "/me/recovery-codes", map[string]any{"password": "not the password"}).wantFault(http.StatusForbidden, "wrong_password", "body.password")
	var r recovery
	s.callAs(mine, "POST", "/me/recovery-codes", map[string]any{"password": password}).want(http.StatusOK).into(&r)
	body := func(code string) map[string]any {
		return map[string]any{"username": "ada", "password": password, "code": code}
	}
	s.call(nobody, "POST", "/login", body(old[0])).wantFault(http.StatusUnauthorized, "wrong_code")
	s.call(nobody, "POST", "/login", body(r.RecoveryCodes[0])).want(http.StatusOK)
}

func TestSecondFactorOff(t *testing.T) {
	s := newSite(t)
	mine := s.account("ada", account.Operator)
	s.callAs(mine, "DELETE", "/me/totp", map[string]any{"password": password}).wantFault(http.StatusConflict, "second_factor_off")
	s.enrol(mine)
	s.callAs(mine, "DELETE", "/me/totp", map[string]any{"password": "not the password"}).wantFault(http.StatusForbidden, "wrong_password")
	since := len(s.trail())
	var got session
	s.callAs(mine, "DELETE", "/me/totp", map[string]any{"password": password}).want(http.StatusOK).into(&got)
	s.wantTrail(since, "account:ada account.second_factor_off account:ada")
	s.callAs(mine, "GET", "/me", nil).wantFault(http.StatusUnauthorized, "session_over")
	s.callAs(got.AccessToken, "GET", "/me", nil).want(http.StatusOK)
	s.call(nobody, "POST", "/login", login("ada", password)).want(http.StatusOK)
}

// TestSecondFactorOffByAnAdmin is for those who have lost device and codes.
func TestSecondFactorOffByAnAdmin(t *testing.T) {
	s := newSite(t)
	mine := s.account("ada", account.Admin)
	s.enrol(mine)
	s.callAs(mine, "DELETE", "/accounts/ada/totp", nil).wantFault(http.StatusConflict, "own_account")
	s.call(account.Admin, "DELETE", "/accounts/nobody/totp", nil).wantFault(http.StatusNotFound, "not_found")
	s.call(account.Admin, "DELETE", "/accounts/ada/totp", nil, `If-Match: "1"`).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	since := len(s.trail())
	s.call(account.Admin, "DELETE", "/accounts/ada/totp", nil).want(http.StatusNoContent)
	s.wantTrail(since, "token:admin account.second_factor_off account:ada")
	s.call(account.Admin, "DELETE", "/accounts/ada/totp", nil).wantFault(http.StatusConflict, "second_factor_off")
	s.call(nobody, "POST", "/login", login("ada", password)).want(http.StatusOK)
}
