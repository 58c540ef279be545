// Package client speaks to the admin API of a running Sentinel: through the
// Unix socket in its data directory, which needs no sign-in, or by URL with an
// API token.
//
// Threat: a token is worth as much as the role it has, and a server can be
// made to send whoever calls it elsewhere. Answer: no redirect is followed, so
// the token goes to the host that was named and to no other; it is in no error;
// and a proxy of the environment is only used where TLS hides the token from it.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// apiBase is where the paths of the API begin.
	apiBase = "/admin/api"
	// SocketName is the name of the Unix socket in a data directory.
	SocketName = "sentinel.sock"

	connectTimeout = 10 * time.Second
	idleTimeout    = 30 * time.Second
)

// DefaultAnswerTimeout is how long a server may take to begin its answer to a
// call that is not long work.
const DefaultAnswerTimeout = time.Minute

// Options of Local and Remote. The zero value is ready to use.
type Options struct {
	// AnswerTimeout is how long the server may take to begin its answer, unless
	// Request.Long says that it may take any time; negative: as long as it wants.
	// Default DefaultAnswerTimeout.
	AnswerTimeout time.Duration
	// RootCAs sign the certificate of a remote server; nil: those of the system.
	RootCAs *x509.CertPool
	// UserAgent tells the server which program calls.
	UserAgent string
}

// Client calls the admin API of one server. It is safe for concurrent use.
type Client struct {
	base  url.URL
	token string // empty on the socket
	place string // what messages call the server
	agent string
	// patience is how long an answer may take to begin; 0 or less: any time.
	patience time.Duration
	http     *http.Client
}

// Local returns a client of the server that runs on a data directory. Whether
// there is one shows at the first call.
func Local(dataDir string, opts ...Options) *Client {
	o := first(opts)
	path := filepath.Join(dataDir, SocketName)
	transport := newTransport()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "unix", path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return nil, errors.New("no sentinel runs on it: start one, or name another directory with --data-dir, or an address with --url")
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("%s may only be opened by the user that the server runs as: %w", path, fs.ErrPermission)
		}
		return conn, err
	}
	return &Client{
		base: url.URL{Scheme: "http", Host: "local"}, place: "data directory " + dataDir, agent: o.UserAgent, patience: o.AnswerTimeout,
		http: newHTTPClient(transport),
	}
}

// Remote returns a client of the server at a URL, such as
// https://sentinel.example.com or http://10.0.0.5:7000. A path is kept, for
// servers behind a proxy that adds one.
func Remote(address, token string, opts ...Options) (*Client, error) {
	o := first(opts)
	base, err := parseBase(address)
	if err != nil {
		return nil, err
	}
	if token, err = CheckToken(token); err != nil {
		return nil, err
	}
	transport := newTransport()
	transport.DialContext = (&net.Dialer{Timeout: connectTimeout}).DialContext
	transport.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	transport.ForceAttemptHTTP2 = true
	if base.Scheme == "https" {
		transport.Proxy = http.ProxyFromEnvironment
	}
	return &Client{
		base: *base, token: token, place: base.String(), agent: o.UserAgent, patience: o.AnswerTimeout,
		http: newHTTPClient(transport),
	}, nil
}

// parseBase reads the address of a server. What is wrong with it is told
// without repeating it: there may be a password in it.
func parseBase(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("not an http:// or https:// URL with a host")
	case u.User != nil:
		return nil, errors.New("has a user name in it, and the API wants a token")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("has a query or a fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.Path, u.RawPath = strings.TrimRight(strings.TrimSuffix(u.Path, apiBase), "/"), ""
	return u, nil
}

// CheckToken returns a token without the white space around it. It refuses what
// cannot be one, such as the text of a wrong file: that must not be sent, nor
// shown.
func CheckToken(token string) (string, error) {
	const maxTokenBytes = 4096 // a session's JWT has a few hundred
	token = strings.TrimSpace(token)
	switch {
	case token == "":
		return "", errors.New("the token is empty")
	case len(token) > maxTokenBytes:
		return "", fmt.Errorf("the token has more than %d bytes", maxTokenBytes)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("the token has spaces or characters that no token has")
	}
	return token, nil
}

// SendsTokenInTheClear reports whether everybody on the way to the server can
// read the token.
func (c *Client) SendsTokenInTheClear() bool {
	if c.token == "" || c.base.Scheme == "https" {
		return false
	}
	ip := net.ParseIP(c.base.Hostname())
	return c.base.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// IsLocal reports whether the client uses the socket of a data directory.
func (c *Client) IsLocal() bool { return c.token == "" }

// Place returns what to call the server in messages: its data directory or its
// URL.
func (c *Client) Place() string { return c.place }

// Close ends connections that are kept for the next call.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func first(opts []Options) Options {
	o := Options{}
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.AnswerTimeout == 0 {
		o.AnswerTimeout = DefaultAnswerTimeout
	}
	if o.UserAgent == "" {
		o.UserAgent = "sentinel"
	}
	return o
}

func newTransport() *http.Transport {
	return &http.Transport{IdleConnTimeout: idleTimeout, TLSHandshakeTimeout: connectTimeout}
}

// newHTTPClient returns one that hands redirects back as answers.
func newHTTPClient(transport *http.Transport) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
