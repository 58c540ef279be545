package admin_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

// browse makes a request as a browser would, with the headers given.
func browse(t *testing.T, s *site, method, path, body string, cookie *http.Cookie, headers map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+admin.Base+path, strings.NewReader(body))
	must(t, err)
	r.Header.Set("X-Real-IP", clientIP)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	if cookie != nil {
		r.AddCookie(cookie)
	}
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer, string(text)
}

var fromConsole = map[string]string{admin.ConsoleHeader: "1", "Sec-Fetch-Site": "same-origin"}

// signIn returns the cookie of a session of the console.
func signIn(t *testing.T, s *site) *http.Cookie {
	t.Helper()
	if _, err := s.accounts.Create(t.Context(), "ann", account.Admin, password); err != nil {
		t.Fatal(err)
	}
	answer, text := browse(t, s, "POST", "/login", `{"username":"ann","password":"`+password+`"}`, nil, fromConsole)
	if answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 1 {
		t.Fatalf("got status %d and %d cookies, want 200 and 1: %s", answer.StatusCode, len(answer.Cookies()), text)
	}
	if strings.Contains(text, "access_token") {
		t.Errorf("the console was given the token in the body as well: %s", text)
	}
	return answer.Cookies()[0]
}

func TestConsoleCookie(t *testing.T) {
	s := newSite(t)
	cookie := signIn(t, s)
	if cookie.Name != admin.SessionCookie || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode ||
		cookie.Path != "/admin" || cookie.MaxAge != int(admin.SessionLife.Seconds()) || cookie.Secure {
		t.Errorf("got cookie %v over HTTP", cookie)
	}
	answer, text := browse(t, s, "GET", "/me", "", cookie, fromConsole)
	if answer.StatusCode != http.StatusOK || !strings.Contains(text, `"name":"ann"`) {
		t.Errorf("got status %d: %s", answer.StatusCode, text)
	}
	answer, _ = browse(t, s, "POST", "/logout", "", cookie, fromConsole)
	if answer.StatusCode != http.StatusNoContent || len(answer.Cookies()) != 1 || answer.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: got status %d and cookies %v, want 204 and one that ends it", answer.StatusCode, answer.Cookies())
	}
	if answer, _ = browse(t, s, "GET", "/me", "", cookie, fromConsole); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after logout: got status %d, want 401", answer.StatusCode)
	}
}

func TestConsoleCookieOverHTTPS(t *testing.T) {
	s := newSite(t)
	signIn(t, s)
	headers := map[string]string{admin.ConsoleHeader: "1", "Origin": "https://sentinel.example.com"}
	answer, _ := browse(t, s, "POST", "/login", `{"username":"ann","password":"`+password+`"}`, nil, headers)
	if cookies := answer.Cookies(); len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("got cookies %v, want one that is for HTTPS only", cookies)
	}
}

// TestConsoleCookieForgery sends what a foreign page can make a browser send.
func TestConsoleCookieForgery(t *testing.T) {
	s := newSite(t)
	cookie := signIn(t, s)
	cases := []struct {
		name, method, path string
		headers            map[string]string
		want               int
	}{
		{"read by the console", "GET", "/me", fromConsole, http.StatusOK},
		{"download by a link", "GET", "/me", map[string]string{"Sec-Fetch-Site": "same-origin"}, http.StatusOK},
		{"typed address", "GET", "/me", map[string]string{"Sec-Fetch-Site": "none"}, http.StatusOK},
		{"browser without fetch metadata", "GET", "/me", nil, http.StatusOK},
		{"read by another site", "GET", "/me", map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"read by another port", "GET", "/me", map[string]string{"Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
		{"change by the console", "POST", "/me/totp", fromConsole, http.StatusOK},
		{"change without the header", "POST", "/me/totp", map[string]string{"Sec-Fetch-Site": "same-origin"}, http.StatusForbidden},
		{"change without any header", "POST", "/me/totp", nil, http.StatusForbidden},
		{"change with another value", "POST", "/me/totp", map[string]string{admin.ConsoleHeader: "yes"}, http.StatusForbidden},
		{"change by another port", "POST", "/me/totp", map[string]string{admin.ConsoleHeader: "1", "Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			answer, text := browse(t, s, c.method, c.path, "", cookie, c.headers)
			if answer.StatusCode != c.want || c.want == http.StatusForbidden && !strings.Contains(text, `"csrf"`) {
				t.Errorf("got status %d, want %d: %s", answer.StatusCode, c.want, text)
			}
		})
	}
}

// TestBearerNeedsNoConsoleHeader makes sure that API clients are not held to what
// is for browsers.
func TestBearerNeedsNoConsoleHeader(t *testing.T) {
	s := newSite(t)
	headers := map[string]string{"Authorization": "Bearer " + s.tokens[account.Admin], "Sec-Fetch-Site": "cross-site"}
	if answer, text := browse(t, s, "GET", "/me", "", nil, headers); answer.StatusCode != http.StatusOK {
		t.Errorf("got status %d: %s", answer.StatusCode, text)
	}
}
