package proxy

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// exchange is one request under way, with what the proxy knows of it. It is
// used again for later ones: nothing that outlives the handler may hold it.
type exchange struct {
	engine.Exchange

	w       http.ResponseWriter
	request *http.Request
	target  string // of the request to the downstream, as it is sent
	call    downstream.Call

	trustedPeer bool
	general     bool                        // http.Transport may still hold the request
	websocket   bool                        // a valid upgrade to WebSocket
	body        atomic.Pointer[requestBody] // nil: none, or not yet forwarded
	gate        atomic.Pointer[gate]        // nil: no upgrade
	moved       atomic.Bool                 // a byte has, either way
	expired     atomic.Bool                 // it was ended for want of that
	watched     watched

	abort  func()                 // x.cut, made once
	inform func(status int) error // x.informed, likewise
}

func newExchange() *exchange {
	x := new(exchange)
	x.abort, x.inform = x.cut, x.informed
	return x
}

func (x *exchange) begin(w http.ResponseWriter, r *http.Request) { x.w, x.request = w, r }

// recycle tells the server when nobody holds the request any more, whose header and body
// it may then use again.
func (x *exchange) recycle() {
	if b := x.body.Load(); x.general || b != nil && !b.ended.Load() {
		return
	}
	if w, ok := x.w.(interface{ Recycle() }); ok {
		w.Recycle()
	}
}

// end makes x ready for another request. Nobody may know it any more.
func (x *exchange) end() {
	x.w, x.request, x.target = nil, nil, ""
	x.call.Reset()
	x.trustedPeer, x.general, x.websocket = false, false, false
	x.body.Store(nil)
	x.gate.Store(nil)
	x.expired.Store(false)
}

// control is made where it is needed, which is hardly ever.
func (x *exchange) control() *http.ResponseController { return http.NewResponseController(x.w) }

// cut ends the exchange because its key may no longer be used. An answer that
// has begun is broken off, also where the client does not read it just now.
func (x *exchange) cut() {
	x.breakOff()
	if x.Answered() {
		_ = x.control().SetWriteDeadline(longAgo) // a hijacked connection is closed by the call's end
	}
}

// breakOff cancels the request to the downstream. The client may stall in the
// middle of its body, so that is not read on.
func (x *exchange) breakOff() {
	if g := x.gate.Load(); g != nil {
		g.shut.Store(true)
	}
	x.call.Cancel()
	if b := x.body.Load(); b != nil && !b.ended.Load() {
		b.brokenOff.Store(true)
		_ = x.control().SetReadDeadline(longAgo)
	}
}
