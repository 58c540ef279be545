package proxy

import (
	"net/http"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

// rewrite makes the header of the request the one that is sent: forwarding headers
// say what was decided, and nothing that a client claims.
func (p *Proxy) rewrite(x *exchange, r *http.Request) {
	if x.NeedsSuccessField() {
		delete(r.Header, "Accept-Encoding") // the body of the answer is to be read here
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	p.engine.RewriteForwarding(r.Header, x.ClientIP, clientip.RewriteOptions{
		Host: r.Host, Proto: proto, TrustedPeer: x.trustedPeer,
	})
}
