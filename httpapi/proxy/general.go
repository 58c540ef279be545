package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
)

// forwardGenerally sends what is unusual, or to a downstream that speaks TLS, by
// way of http.Transport.
func (p *Proxy) forwardGenerally(x *exchange, r *http.Request) {
	x.general = true
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	x.call.OnCancel(cancel)
	out := &http.Request{
		Method: r.Method, URL: p.target.urlOf(r), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: p.target.host, Header: r.Header,
		Body: http.NoBody, ContentLength: r.ContentLength, Trailer: r.Trailer,
	}
	if b := x.body.Load(); b != nil {
		out.Body = openBody{b} // in full, also after an answer that comes early
	}
	if _, given := r.Header["User-Agent"]; !given {
		r.Header["User-Agent"] = []string{""} // or the transport would name itself
	}
	hints := &informer{x: x}
	out = out.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: hints.inform}))
	res, err := p.general.RoundTrip(out)
	hints.end()
	if err != nil {
		p.fail(x, err)
		return
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		p.switchProtocols(ctx, x, res)
		return
	}
	maps.Copy(x.w.Header(), res.Header)
	res.Header = x.w.Header()
	p.passOn(x, res)
}

// openBody is a body that its reader must not close: net/http would wait for the
// rest of it, which the client may never send.
type openBody struct{ *requestBody }

// Close does nothing: requestBody.over ends the reading.
func (openBody) Close() error { return nil }

// informer passes informational answers on while the transport waits for the final
// one, on goroutines of the transport.
type informer struct {
	x    *exchange
	mu   sync.Mutex
	over bool
}

func (i *informer) inform(status int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return nil // the header of the answer is the handler's again
	}
	h := i.x.w.Header()
	maps.Copy(h, http.Header(header))
	defer clear(h)
	return i.x.informed(status)
}

func (i *informer) end() {
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
}
