package admin

import (
	"net/http"
	"strings"
	"time"
)

const (
	// SessionCookie holds the session of the console: the JWT, where no script
	// can read it.
	SessionCookie = "sentinel_session"
	// ConsoleHeader is what the console sends with every request, with the value
	// 1. A page of another site cannot send it without this server's leave, which
	// is never given (it makes a browser ask first).
	ConsoleHeader = "X-Sentinel-Console"
)

// isConsole reports whether a request says that it comes from the console.
func isConsole(r *http.Request) bool { return r.Header.Get(ConsoleHeader) == "1" }

// cookieToken returns the JWT of the session cookie; empty if there is none.
//
// A browser sends the cookie with every request, also with one that a foreign
// page has caused, for a victim who is signed in. SameSite=Strict keeps it off
// those of other sites; what remains, such as a page on another port of the same
// host, which is the same site, is stopped here: a browser says in Sec-Fetch-Site
// what has caused a request, and what changes anything needs the console's header.
func cookieToken(r *http.Request) (string, error) {
	cookie, err := r.Cookie(SessionCookie)
	if err != nil || cookie.Value == "" {
		return "", nil //nolint:nilerr // without a cookie nobody is known, which is no error
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none": // none: typed, or from a bookmark
	default:
		return "", foreignRequest()
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !isConsole(r) {
		return "", foreignRequest()
	}
	return cookie.Value, nil
}

func foreignRequest() error {
	return faultf(http.StatusForbidden, "csrf", "a session cookie counts only for requests of the console itself, which sends %s: 1", ConsoleHeader)
}

// sessionCookie returns the cookie of a session, or with an empty token the one
// that ends it. It is only for HTTPS if that is what the browser speaks, be it
// with a proxy in front: Origin says so of every POST.
func sessionCookie(r *http.Request, token string) string {
	cookie := http.Cookie{ //nolint:gosec // G124: Secure depends on what the browser speaks, see above
		Name: SessionCookie, Value: token, Path: "/admin", MaxAge: int(SessionLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	}
	if token == "" {
		cookie.MaxAge = -1
	}
	return cookie.String()
}
