package proxy

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// exchange is one request under way, with what the proxy knows of it. It is
// used again for later ones: nothing that outlives the handler may hold it.
type exchange struct {
	engine.Exchange

	w       http.ResponseWriter
	writer  writer
	control *http.ResponseController
	request *http.Request
	cancel  context.CancelFunc
	url     url.URL // where the request goes

	trustedPeer bool
	websocket   bool                        // a valid upgrade to WebSocket
	watch       *idleWatch                  // nil: no idle limit
	body        atomic.Pointer[requestBody] // nil: none, or not yet forwarded
	reverse     httputil.ReverseProxy       // with buffers of its own
	buffers     copyBuffers
	gate        atomic.Pointer[gate] // nil: no upgrade
	abort       func()               // x.cut, made once
}

func (x *exchange) begin(w http.ResponseWriter, r *http.Request, cancel context.CancelFunc) {
	x.w, x.request, x.cancel = w, r, cancel
	x.control = http.NewResponseController(w)
	x.writer = writer{ResponseWriter: w, x: x}
}

func (x *exchange) end() {
	x.w, x.writer, x.control, x.request, x.cancel = nil, writer{}, nil, nil, nil
	x.url = url.URL{}
	x.trustedPeer, x.websocket, x.watch = false, false, nil
	x.buffers.isEvents = false
	x.body.Store(nil)
	x.gate.Store(nil)
}

// cut ends the exchange because its key may no longer be used. An answer that
// has begun is broken off, also where the client does not read it just now.
func (x *exchange) cut() {
	x.breakOff()
	if x.Answered() {
		_ = x.control.SetWriteDeadline(longAgo) // a hijacked connection is closed by the context
	}
}

// breakOff cancels the request to the downstream. The transport would wait for
// a client that stalls in the middle of its body, so that is not read on.
func (x *exchange) breakOff() {
	if g := x.gate.Load(); g != nil {
		g.shut.Store(true)
	}
	x.cancel()
	if b := x.body.Load(); b != nil && !b.ended.Load() {
		b.brokenOff.Store(true)
		_ = x.control.SetReadDeadline(longAgo)
	}
}

func (x *exchange) timedOut() bool { return x.watch != nil && x.watch.hasExpired() }

// exchangeContext carries the exchange to the callbacks of the ReverseProxy.
type exchangeContext struct {
	context.Context
	x *exchange
}

type exchangeKey struct{}

// Value returns the exchange for exchangeKey.
func (c *exchangeContext) Value(key any) any {
	if key == (exchangeKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// writer passes the answer on, and holds back what must not be seen before a
// key is bound.
type writer struct {
	http.ResponseWriter
	x *exchange
}

// WriteHeader drops informational answers while the exchange is pending: who
// loses the race for a key must not see any of the downstream's answer. 100
// says nothing of it. A client that asked for that with Expect has it from the
// server as soon as its body is read, which the downstream's 100 lets happen; of
// both, it could get two.
func (w *writer) WriteHeader(status int) {
	if status > 100 && status < 200 && status != http.StatusSwitchingProtocols && w.x.Pending() {
		return
	}
	if status == http.StatusContinue && w.x.request.Header.Get("Expect") != "" {
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
