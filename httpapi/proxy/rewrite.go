package proxy

import (
	"io"
	"net/http"
	"net/http/httputil"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

// rewrite makes the outgoing request: the same one, to the downstream, with
// forwarding headers that say what was decided and nothing that a client claims.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	x := exchangeOf(pr.In.Context())
	*pr.Out.URL = x.url
	pr.Out.Host = p.target.host
	// Clone gave the outgoing request trailers of its own, which nobody fills.
	pr.Out.Trailer = pr.In.Trailer

	if x.NeedsSuccessField() {
		delete(pr.Out.Header, "Accept-Encoding") // the body of the answer is to be read here
	}
	if x.trustedPeer {
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
			if values := pr.In.Header[name]; len(values) == 1 { // ReverseProxy took them out
				pr.Out.Header[name] = values
			}
		}
	}
	proto := "http"
	if pr.In.TLS != nil {
		proto = "https"
	}
	p.engine.RewriteForwarding(pr.Out.Header, x.ClientIP, clientip.RewriteOptions{
		Host: pr.In.Host, Proto: proto, TrustedPeer: x.trustedPeer,
	})
}

// trailerGuard takes out of a request's trailers what must not be in its
// header: some servers merge the two. The trailers are there at the end of the
// body, and are sent after it.
type trailerGuard struct {
	io.ReadCloser
	clean func()
}

// Read cleans the trailers at the end of the body.
func (g *trailerGuard) Read(buf []byte) (int, error) {
	n, err := g.ReadCloser.Read(buf)
	if err != nil {
		g.clean()
	}
	return n, err
}

func (p *Proxy) guardTrailers(r *http.Request) {
	if r.Trailer == nil {
		return // none were announced, so none are sent
	}
	clean := func() {
		p.engine.StripForwarding(r.Trailer)
		for name := range r.Trailer {
			if p.credentials.Has(name) {
				delete(r.Trailer, name)
			}
		}
	}
	clean()
	r.Body = &trailerGuard{r.Body, clean}
}
