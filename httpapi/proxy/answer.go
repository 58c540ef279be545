package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine"
)

// refusedError carries a decision from answer to fail.
type refusedError struct{ decision engine.Decision }

func (e *refusedError) Error() string { return string(e.decision.Refused) }

// errBadAnswer is an answer that HTTP does not know.
var errBadAnswer = errors.New("downstream sent an invalid answer")

// answer looks at the head of the downstream's answer before any of it goes to
// the client. An error becomes an answer of Sentinel's own, in fail.
func (p *Proxy) answer(res *http.Response) error {
	x := exchangeOf(res.Request.Context())
	if res.StatusCode < http.StatusOK && res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: status %d", errBadAnswer, res.StatusCode)
	}
	if conn, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		g := &gate{ReadWriteCloser: conn}
		res.Body = g
		x.gate.Store(g) // before Accept: a cut finds it, or Accept finds the cut
	}
	if res.StatusCode == http.StatusUnauthorized {
		p.engine.KeyRefused(&x.Exchange)
	}
	if d := p.engine.Accept(res.Request.Context(), &x.Exchange, p.proves(x, res)); !d.Passes() {
		return &refusedError{d}
	}
	x.answerEarly()
	if x.watch != nil {
		res.Body = x.watch.response(res.Body)
	}
	contentType, ok := res.Header["Content-Type"]
	if !ok {
		x.w.Header()["Content-Type"] = nil // or the server would guess one
	}
	x.buffers.isEvents = ok && strings.HasPrefix(contentType[0], "text/event-stream")
	return nil
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

// fail answers where the downstream did not, or may not.
func (p *Proxy) fail(_ http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	var refused *refusedError
	if errors.As(err, &refused) {
		p.refuse(x, refused.decision)
		return
	}
	if d, cut := x.Cut(); cut {
		p.refuse(x, d)
		return
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		p.engine.Count(engine.CountBodyTooLarge)
		x.respond(http.StatusRequestEntityTooLarge, codeBodyTooLarge, bodyTooLarge(tooLarge.Limit), 0)
	case x.request.Context().Err() != nil:
		// The client has gone: there is nobody to answer.
		p.logger.Debug("client has gone", "request_id", x.RequestID(), "client_ip", x.ClientIP)
		panic(http.ErrAbortHandler)
	case x.timedOut() || isTimeout(err):
		p.downstreamFailed(x, err)
		x.respond(http.StatusGatewayTimeout, codeDownstreamTimeout, "The service behind this gateway did not answer in time.", 0)
	default:
		p.downstreamFailed(x, err)
		x.respond(http.StatusBadGateway, codeDownstreamUnreachable, "The service behind this gateway cannot be reached.", 0)
	}
}

func (p *Proxy) downstreamFailed(x *exchange, err error) {
	p.engine.Count(engine.CountDownstreamFailed)
	p.logger.Warn("downstream failed", "error", err, "request_id", x.RequestID())
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
