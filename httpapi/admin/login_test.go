package admin_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

type session struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Account     struct {
		Name string `json:"name"`
		Role string `json:"role"`
	} `json:"account"`
}

func login(name, password string) map[string]any {
	return map[string]any{"username": name, "password": password}
}

func TestLogin(t *testing.T) {
	s := newSite(t)
	_, err := s.accounts.Create(t.Context(), "admin", account.Admin, password)
	must(t, err)
	_, err = s.accounts.Create(t.Context(), "ada", account.Viewer, password)
	must(t, err)
	for name, body := range map[string]map[string]any{"admin": {"password": password}, "ada": login("Ada", password)} {
		since := len(s.trail())
		var got session
		a := s.call(nobody, "POST", "/login", body).want(http.StatusOK).into(&got)
		if got.TokenType != "bearer" || got.ExpiresIn != 28800 || got.Account.Name != name {
			t.Errorf("got %s", a.body)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Error("a session may be kept by a cache")
		}
		var me struct {
			Kind, Name, Role string
			ExpiresAt        time.Time
		}
		s.callAs(got.AccessToken, "GET", "/me", nil).want(http.StatusOK).into(&me)
		if me.Kind != "account" || me.Name != name || me.Role != got.Account.Role || time.Until(me.ExpiresAt) < 7*time.Hour {
			t.Errorf("got me %+v", me)
		}
		s.wantTrail(since, "account:"+name+" session.login account:"+name)
		if e := s.trail()[since]; e.ClientIP.String() != clientIP {
			t.Errorf("got login from %s, want %s", e.ClientIP, clientIP)
		}
	}
}

func TestMeOfATokenAndOfTheSocket(t *testing.T) {
	s := newSite(t)
	var me struct{ Kind, Name, Role string }
	s.call(account.Operator, "GET", "/me", nil).want(http.StatusOK).into(&me)
	if me.Kind != "token" || me.Name != "operator" || me.Role != "operator" {
		t.Errorf("token: got %+v", me)
	}
	s.callAs(localToken, "GET", "/me", nil).want(http.StatusOK).into(&me)
	if me.Kind != "local" || me.Role != "admin" {
		t.Errorf("local: got %+v", me)
	}
	for _, path := range []string{"/me/totp", "/logout"} {
		if f := s.call(account.Admin, "POST", path, nil).wantFault(http.StatusConflict, ""); f.Code != "no_account" && f.Code != "no_session" {
			t.Errorf("%s: got %+v", path, f)
		}
	}
}

// TestWrongLogin: what was typed as a name is on record only if it is one.
func TestWrongLogin(t *testing.T) {
	s := newSite(t)
	_, err := s.accounts.Create(t.Context(), "ada", account.Viewer, password)
	must(t, err)
	const typed = "typed-password-in-name"
	s.call(nobody, "POST", "/login", login("ada", "not the password")).wantFault(http.StatusUnauthorized, "wrong_login")
	s.call(nobody, "POST", "/login", login(typed, "not the password")).wantFault(http.StatusUnauthorized, "wrong_login")
	s.wantTrail(0, "anonymous session.failed account:ada", "anonymous session.failed")
	for _, e := range s.trail() {
		if string(e.After) != `{"reason":"wrong_login"}` {
			t.Errorf("got %s", e.After)
		}
	}
	if log := s.log.String(); strings.Contains(log, typed) || strings.Contains(log, "not the password") {
		t.Errorf("the log repeats what was typed: %s", log)
	}
}

func TestLockout(t *testing.T) {
	s := newSite(t)
	session := s.account("ada", account.Viewer)
	since := len(s.trail())
	for range 5 {
		s.call(nobody, "POST", "/login", login("ada", "not the password")).wantFault(http.StatusUnauthorized, "wrong_login")
	}
	for range 20 {
		a := s.call(nobody, "POST", "/login", login("ada", password))
		f := a.wantFault(http.StatusTooManyRequests, "locked")
		if after, _ := strconv.Atoi(a.header.Get("Retry-After")); f.RetryAfter != after || after < 890 || after > 900 {
			t.Fatalf("got Retry-After %q and %d in the body, want 15 minutes", a.header.Get("Retry-After"), f.RetryAfter)
		}
	}
	if got := len(s.trail()) - since; got != 5 {
		t.Errorf("got %d entries, want one of each failure and none of each refusal", got)
	}
	s.callAs(session, "GET", "/me", nil).want(http.StatusOK)
	s.call(nobody, "POST", "/login", login("ada", password), "X-Real-IP: 203.0.113.9").want(http.StatusOK)
	s.advance(15*time.Minute + time.Second)
	s.call(nobody, "POST", "/login", login("ada", password)).want(http.StatusOK)
	s.call(nobody, "POST", "/login", login("ada", "not the password")).wantFault(http.StatusUnauthorized, "wrong_login")
	trail := s.trail()
	if got := string(trail[len(trail)-1].After); got != `{"reason":"wrong_login","unrecorded":20}` {
		t.Errorf("got %s, want it to say how many were not recorded", got)
	}
}

func TestLogout(t *testing.T) {
	s := newSite(t)
	one := s.account("ada", account.Admin)
	other := s.login("ada")
	since := len(s.trail())
	s.callAs(one, "POST", "/logout", nil).want(http.StatusNoContent)
	s.callAs(one, "GET", "/me", nil).wantFault(http.StatusUnauthorized, "session_over")
	s.callAs(other, "GET", "/me", nil).want(http.StatusOK)
	s.wantTrail(since, "account:ada session.logout account:ada")

	// A node that knows nothing of it yet learns it from the store.
	restarted := newSite(t, func(o *admin.Options) { o.Store, o.Accounts = s.store, s.accounts })
	restarted.callAs(one, "GET", "/me", nil).wantFault(http.StatusUnauthorized, "session_over")
	restarted.callAs(other, "GET", "/me", nil).want(http.StatusOK)
	s.callAs(other, "POST", "/logout", nil).want(http.StatusNoContent)
	restarted.advance(2 * time.Second) // what is believed for a second
	restarted.callAs(other, "GET", "/me", nil).wantFault(http.StatusUnauthorized, "session_over")
}

// TestEndedSessionsAreForgotten once they would be over anyway.
func TestEndedSessionsAreForgotten(t *testing.T) {
	s := newSite(t)
	first := s.account("ada", account.Admin)
	s.callAs(first, "POST", "/logout", nil).want(http.StatusNoContent)
	s.advance(time.Hour)
	s.callAs(s.login("ada"), "POST", "/logout", nil).want(http.StatusNoContent)
	if list, err := s.store.ListDocuments(t.Context(), "endedSession"); err != nil || len(list) != 2 {
		t.Errorf("got %d, %v; want 2", len(list), err)
	}
	s.advance(admin.SessionLife + time.Minute)
	s.callAs(s.login("ada"), "POST", "/logout", nil).want(http.StatusNoContent)
	if list, err := s.store.ListDocuments(t.Context(), "endedSession"); err != nil || len(list) != 1 {
		t.Errorf("got %d, %v; want the last one only", len(list), err)
	}
	s.callAs(first, "GET", "/me", nil).wantFault(http.StatusUnauthorized, "session_over")
}

// TestForgedSessions: a JWT is one of ours, for this, and with an end.
func TestForgedSessions(t *testing.T) {
	s := newSite(t)
	good := s.account("ada", account.Admin)
	claims := func() jwt.MapClaims {
		m := jwt.MapClaims{}
		_, _, err := jwt.NewParser().ParseUnverified(good, m)
		must(t, err)
		return m
	}
	secret := []byte(strings.Repeat("secret for tests only ", 2))
	sign := func(method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
		m := claims()
		change(m)
		token, err := jwt.NewWithClaims(method, m).SignedString(key)
		must(t, err)
		return token
	}
	same := func(jwt.MapClaims) {}
	s.callAs(sign(jwt.SigningMethodHS256, secret, same), "GET", "/me", nil).want(http.StatusOK)
	for name, token := range map[string]string{
		"another secret":    sign(jwt.SigningMethodHS256, []byte("another secret for tests only"), same),
		"another algorithm": sign(jwt.SigningMethodHS512, secret, same),
		"no algorithm":      sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"another issuer":    sign(jwt.SigningMethodHS256, secret, func(m jwt.MapClaims) { m["iss"] = "x" }),
		"another audience":  sign(jwt.SigningMethodHS256, secret, func(m jwt.MapClaims) { m["aud"] = []string{"x"} }),
		"no end":            sign(jwt.SigningMethodHS256, secret, func(m jwt.MapClaims) { delete(m, "exp") }),
		"no ID":             sign(jwt.SigningMethodHS256, secret, func(m jwt.MapClaims) { delete(m, "jti") }),
		"of the future":     sign(jwt.SigningMethodHS256, secret, func(m jwt.MapClaims) { m["iat"] = s.now().Add(time.Hour).Unix() }),
		"of nobody":         sign(jwt.SigningMethodHS256, secret, func(m jwt.MapClaims) { m["sub"] = "nobody" }),
		"of another time":   sign(jwt.SigningMethodHS256, secret, func(m jwt.MapClaims) { m["gen"] = 1 }),
	} {
		if a := s.callAs(token, "GET", "/me", nil); a.status != http.StatusUnauthorized {
			t.Errorf("%s: got %d, want 401", name, a.status)
		}
	}
}

func TestChangeMyPassword(t *testing.T) {
	s := newSite(t)
	mine := s.account("ada", account.Viewer)
	other := s.login("ada")
	body := func(current, next string) map[string]any { return map[string]any{"current": current, "new": next} }
	s.callAs(mine, "POST", "/me/password", body("not the password", "another password")).wantFault(http.StatusForbidden, "wrong_password", "body.current")
	s.callAs(mine, "POST", "/me/password", body(password, "short")).wantFault(http.StatusUnprocessableEntity, "invalid", "body.new")
	s.callAs(mine, "GET", "/me", nil).want(http.StatusOK)
	since := len(s.trail())
	var got session
	s.callAs(mine, "POST", "/me/password", body(password, "another password")).want(http.StatusOK).into(&got)
	s.wantTrail(since, "account:ada account.password account:ada")
	for _, old := range []string{mine, other} {
		s.callAs(old, "GET", "/me", nil).wantFault(http.StatusUnauthorized, "session_over")
	}
	s.callAs(got.AccessToken, "GET", "/me", nil).want(http.StatusOK)
	s.call(nobody, "POST", "/login", login("ada", password)).wantFault(http.StatusUnauthorized, "wrong_login")
	s.call(nobody, "POST", "/login", login("ada", "another password")).want(http.StatusOK)
}

// TestTheTrailIsNotFlooded: anybody can make logins fail, with any name.
func TestTheTrailIsNotFlooded(t *testing.T) {
	s := newSite(t)
	since := len(s.trail())
	for i := range 15 {
		s.call(nobody, "POST", "/login", login(fmt.Sprintf("nobody-%d", i), "x"))
	}
	if got := len(s.trail()) - since; got != 10 {
		t.Errorf("got %d entries of one address, want 10", got)
	}
}

// TestAnAddressThatCannotBeTold is a trusted proxy that sends none.
func TestAnAddressThatCannotBeTold(t *testing.T) {
	s := newSite(t)
	s.call(nobody, "GET", "/setup", nil, "X-Real-IP: not an address").wantFault(http.StatusBadRequest, "invalid_client_ip")
	s.call(account.Admin, "GET", "/me", nil, "X-Real-IP: ").wantFault(http.StatusBadRequest, "invalid_client_ip")
}
