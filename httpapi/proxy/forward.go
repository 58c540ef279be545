package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

// errBadAnswer is an answer that HTTP does not know.
var errBadAnswer = errors.New("downstream sent an invalid answer")

// forward sends the request on and the answer back. The header of the request is
// sent as it is, not a copy, and that of the answer is read into the client's.
func (p *Proxy) forward(x *exchange, r *http.Request) {
	p.rewrite(x, r)
	if body := p.bodyFor(x, r); body != nil {
		r.Body = body
		x.body.Store(body)
	}
	if p.own == nil || downstream.IsUnusual(r) {
		p.forwardGenerally(x, r)
		return
	}
	c := &x.call
	c.Method, c.Target, c.Host, c.Header, c.Length = r.Method, x.target, p.target.host, r.Header, r.ContentLength
	if b := x.body.Load(); b != nil {
		c.Body = b
	}
	c.Inform, c.Answer.Header = x.inform, x.w.Header()
	if err := p.own.Do(r.Context(), c); err != nil {
		p.fail(x, err)
		return
	}
	c.Answer.Body = c
	p.passOn(x, &c.Answer)
}

// passOn sends the downstream's answer to the client, if it may have it.
func (p *Proxy) passOn(x *exchange, res *http.Response) {
	removeHopByHop(res.Header)
	if d, err := p.judge(x, res); err != nil || !d.Passes() {
		_ = res.Body.Close() // whatever is left of it is of no use
		if err != nil {
			p.fail(x, err)
		} else {
			p.refuse(x, d)
		}
		return
	}
	x.answerEarly()
	announceTrailers(x.w.Header(), res.Trailer)
	announced := len(res.Trailer)
	x.w.WriteHeader(res.StatusCode)
	if err := copyBody(x, res); err != nil {
		_ = res.Body.Close()
		// Threat: an answer that broke off looks complete to the client. Answer: the
		// client's connection, or its stream, is broken off as well.
		panic(http.ErrAbortHandler)
	}
	_ = res.Body.Close() // it has come to its end
	if len(res.Trailer) > 0 {
		_ = x.control().Flush() // or net/http would give a short answer a length, and no trailers
		sendTrailers(x.w.Header(), res.Trailer, announced)
	}
}

// judge looks at the head of the downstream's answer before any of it goes to
// the client.
func (p *Proxy) judge(x *exchange, res *http.Response) (engine.Decision, error) {
	if res.StatusCode < http.StatusOK && res.StatusCode != http.StatusSwitchingProtocols {
		return engine.Decision{}, fmt.Errorf("%w: status %d", errBadAnswer, res.StatusCode)
	}
	if res.StatusCode == http.StatusUnauthorized {
		p.engine.KeyRefused(&x.Exchange)
	}
	d := p.engine.Accept(x.request.Context(), &x.Exchange, p.proves(x, res))
	if _, ok := res.Header["Content-Type"]; !ok && d.Passes() {
		x.w.Header()["Content-Type"] = nil // or the server would guess one
	}
	return d, nil
}

// proves reports whether an answer proves that the downstream accepted the key.
func (p *Proxy) proves(x *exchange, res *http.Response) bool {
	switch {
	case !x.Pending():
		return false // nobody asks
	case res.StatusCode == http.StatusSwitchingProtocols:
		return x.websocket
	case res.StatusCode < http.StatusOK || res.StatusCode >= http.StatusMultipleChoices || p.engine.IsPage(res.Header):
		return false
	case x.NeedsSuccessField():
		return readSuccess(res)
	default:
		return true
	}
}

// informed passes an informational answer on. It drops them while the exchange is
// pending: who loses the race for a key must not see any of the downstream's
// answer. 100 says nothing of it. A client that asked for that with Expect has it
// from the server as soon as its body is read, which the downstream's 100 lets
// happen; of both, it could get two.
func (x *exchange) informed(status int) error {
	if status > http.StatusContinue && x.Pending() || status == http.StatusContinue && len(x.request.Header["Expect"]) > 0 {
		return nil
	}
	removeHopByHop(x.w.Header())
	x.w.WriteHeader(status)
	return nil
}

// announceTrailers names the trailers that the downstream has announced.
func announceTrailers(h http.Header, trailers http.Header) {
	for name := range trailers {
		h.Add("Trailer", name)
	}
}

// sendTrailers gives the client the trailers of an answer.
func sendTrailers(h http.Header, trailers http.Header, announced int) {
	prefix := ""
	if len(trailers) != announced {
		prefix = http.TrailerPrefix // for net/http does not know them
	}
	for name, values := range trailers {
		for _, value := range values {
			h.Add(prefix+name, value)
		}
	}
}

// upgradeOf returns the protocol that a header speaks of switching to.
func upgradeOf(h http.Header) string {
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") {
		return ""
	}
	return strings.Trim(h.Get("Upgrade"), " \t")
}
