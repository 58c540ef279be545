package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// target is where requests go: the downstream, with its path prefix.
type target struct {
	scheme, host string
	prefix       string // decoded, without a slash at the end
	rawPrefix    string // as it is sent
}

func newTarget(u *url.URL) (target, error) {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return target{}, fmt.Errorf("downstream %q is not an http or https URL with a host", u.Redacted())
	}
	return target{
		scheme: u.Scheme, host: u.Host,
		prefix: strings.TrimSuffix(u.Path, "/"), rawPrefix: strings.TrimSuffix(u.EscapedPath(), "/"),
	}, nil
}

// sentPath is the decoded path that the downstream sees of a request.
func (t *target) sentPath(r *http.Request) string {
	if t.prefix == "" {
		return r.URL.Path
	}
	return t.prefix + r.URL.Path
}

var errPathForm = errors.New("the path of the request cannot be passed on as it is: begin it with one slash and percent-encode what is not allowed in a path")

// locate returns the target of the request to the downstream, with path and query
// byte for byte as they came in.
func (t *target) locate(r *http.Request) (string, error) {
	// Threat: "http:x/v1/models" has no path for net/url, so that another one
	// would be judged than is sent.
	if r.URL.Opaque != "" {
		return "", errPathForm
	}
	// The query goes first: it may hold what looks like the start of a path.
	before, query, hasQuery := strings.Cut(r.RequestURI, "?")
	path := rawPath(r, before)
	// Whatever the form of the target: what is sent is what is judged.
	if query != r.URL.RawQuery || !isReadAs(path, r.URL.Path) {
		return "", errPathForm
	}
	if path != "*" { // OPTIONS *
		if !t.isSendable(path, r.URL.Path) {
			return "", errPathForm
		}
		if t.rawPrefix == "" && len(path) == len(before) {
			return r.RequestURI, nil
		}
		path = t.rawPrefix + path
	}
	if hasQuery {
		return path + "?" + query, nil
	}
	return path, nil
}

// isReadAs reports whether net/url has read a raw path as the given one.
func isReadAs(raw, path string) bool {
	if raw == path || raw == "/" && path == "" {
		return true
	}
	decoded, err := url.PathUnescape(raw)
	return err == nil && decoded == path
}

// isSendable reports whether net/url can be brought to send a path as it is.
func (t *target) isSendable(raw, path string) bool {
	if !strings.HasPrefix(raw, "/") {
		return false
	}
	if t.rawPrefix != "" || !strings.HasPrefix(raw, "//") {
		return true
	}
	u := url.URL{Path: path, RawPath: raw} // net/url would take the start of another one for a host
	return u.EscapedPath() == raw
}

// urlOf is the place of a request whose target was located, for net/http, which
// alone would percent-encode what it finds unusual.
func (t *target) urlOf(r *http.Request) *url.URL {
	before, _, _ := strings.Cut(r.RequestURI, "?")
	raw := rawPath(r, before)
	u := &url.URL{Scheme: t.scheme, Host: t.host, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	if raw == "*" {
		u.Opaque = raw
		return u
	}
	u.Path, u.RawPath = t.prefix+r.URL.Path, t.rawPrefix+raw
	if u.EscapedPath() != u.RawPath {
		u.Opaque = u.RawPath
	}
	return u
}

// rawPath is the path of a request as it stood in the request line, of which
// before is what comes before the query.
func rawPath(r *http.Request, before string) string {
	if !r.URL.IsAbs() {
		return before
	}
	raw := strings.TrimPrefix(before[len(r.URL.Scheme):], "://") // absolute form, RFC 9112 section 3.2.2
	_, path, found := strings.Cut(raw, "/")
	if !found {
		return "/"
	}
	return "/" + path
}
