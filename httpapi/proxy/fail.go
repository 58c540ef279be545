package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/key-ip-sentinel/sentinel/engine"
)

// fail answers where the downstream did not, or may not.
func (p *Proxy) fail(x *exchange, err error) {
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
	case x.expired.Load() || isTimeout(err):
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
