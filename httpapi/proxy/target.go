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

// locate sets u to where a request goes, with path and query byte for byte as
// they came in: net/url alone would percent-encode what it finds unusual.
func (t *target) locate(r *http.Request, u *url.URL) error {
	// Threat: "http:x/v1/models" has no path for net/url, so that another one
	// would be judged than is sent.
	if r.URL.Opaque != "" {
		return errPathForm
	}
	raw := rawPath(r)
	*u = url.URL{
		Scheme: t.scheme, Host: t.host, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery,
	}
	if raw == "*" { // OPTIONS *
		u.Opaque = raw
		return nil
	}
	// Whatever the form of the target: what is sent is what is judged.
	if decoded, err := url.PathUnescape(raw); err != nil || decoded != r.URL.Path && (raw != "/" || r.URL.Path != "") {
		return errPathForm
	}
	u.Path, u.RawPath = t.prefix+r.URL.Path, t.rawPrefix+raw
	if u.EscapedPath() == u.RawPath {
		return nil
	}
	if !strings.HasPrefix(raw, "/") || strings.HasPrefix(u.RawPath, "//") {
		return errPathForm // net/url would take the start of it for a host
	}
	u.Opaque = u.RawPath
	return nil
}

// rawPath is the path of a request as it stood in the request line.
func rawPath(r *http.Request) string {
	// The query goes first: it may hold what looks like the start of a path.
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	if r.URL.IsAbs() { // absolute form, RFC 9112 section 3.2.2
		raw = strings.TrimPrefix(raw[len(r.URL.Scheme):], "://")
		_, path, found := strings.Cut(raw, "/")
		if !found {
			return "/"
		}
		raw = "/" + path
	}
	return raw
}
