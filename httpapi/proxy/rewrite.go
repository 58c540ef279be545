package proxy

import (
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
