// Package proxy forwards what the engine admits: every method, path, query and
// body byte for byte, streamed both ways.
//
// It is a plain http.Handler and does not run behind gin: gin's ResponseWriter
// holds back status lines, so that 1xx answers would be lost.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/headername"
	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

// waitEvery is how often Wait looks.
const waitEvery = 10 * time.Millisecond

// Options of a Proxy. Engine, Downstream and Logger are required.
type Options struct {
	Engine     *engine.Engine
	Downstream *url.URL // http or https, with an optional path prefix
	Logger     *slog.Logger
	TLS        *tls.Config // towards an https downstream; nil: the system's

	MaxBodyBytes    int64         // of a request; 0: no limit
	ConnectTimeout  time.Duration // for connection and TLS handshake; 0: none
	ResponseTimeout time.Duration // until the head of the answer; 0: none
	// IdleTimeout ends an exchange on which no byte has moved either way for
	// so long; 0: never.
	IdleTimeout time.Duration
}

// Proxy is the handler. It is safe for concurrent use.
type Proxy struct {
	engine  *engine.Engine
	target  target
	logger  *slog.Logger
	maxBody int64

	credentials *headername.Set       // the headers that may hold a key
	own         *downstream.Transport // nil: the downstream does not speak plain HTTP
	general     *http.Transport       // for what own does not carry
	watch       *watch
	exchanges   sync.Pool
	active      atomic.Int64
}

// New returns a proxy before one downstream.
func New(opts Options) (*Proxy, error) {
	if opts.Engine == nil || opts.Downstream == nil || opts.Logger == nil {
		return nil, errors.New("proxy without engine, downstream or logger")
	}
	t, err := newTarget(opts.Downstream)
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		engine: opts.Engine, target: t, logger: opts.Logger, maxBody: opts.MaxBodyBytes,
		credentials: headername.NewSet(opts.Engine.CredentialHeaders()...),
		general:     newTransport(opts), watch: newWatch(opts.IdleTimeout, opts.ResponseTimeout),
	}
	if p.own, err = newOwnTransport(opts, p.general.DialContext); err != nil {
		return nil, err
	}
	p.exchanges.New = func() any { return newExchange() }
	return p, nil
}

// Close closes the connections to the downstream that are idle.
func (p *Proxy) Close() {
	if p.own != nil {
		p.own.CloseIdleConnections()
	}
	p.general.CloseIdleConnections()
}

// Active returns how many exchanges are under way, WebSockets among them.
func (p *Proxy) Active() int { return int(p.active.Load()) }

// Wait returns when no exchange is under way, or with the error of ctx. Unlike
// http.Server.Shutdown it waits for WebSockets as well.
func (p *Proxy) Wait(ctx context.Context) error {
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	for p.active.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// ServeHTTP decides on one request and forwards it.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.active.Add(1)
	x, _ := p.exchanges.Get().(*exchange)
	x.begin(w, r)
	p.watch.add(x)
	defer p.end(x)

	peer := peerOf(r, p.engine)
	if d := p.engine.Arrive(&x.Exchange, r, peer, x.abort); !d.Passes() {
		p.refuse(x, d)
		return
	}
	x.trustedPeer = peer.Trusted
	if !p.clean(x, r) {
		return
	}
	if d := p.engine.Admit(r.Context(), &x.Exchange, p.target.sentPath(r)); !d.Passes() {
		p.refuse(x, d)
		return
	}
	p.forward(x, r)
}

func (p *Proxy) end(x *exchange) {
	p.engine.Done(&x.Exchange)
	_ = x.call.Close() // where the handler has panicked
	quiet := p.watch.remove(x)
	x.boundRest()
	if quiet { // or somebody is about to cancel the call, and must not meet another one
		x.recycle()
		x.end()
		p.exchanges.Put(x)
	}
	p.active.Add(-1)
}

// clean brings the head of a request into the form that will be judged and
// sent. It reports whether the request may go on; if not, it has been answered.
func (p *Proxy) clean(x *exchange, r *http.Request) bool {
	if r.Method == http.MethodConnect {
		x.respond(http.StatusMethodNotAllowed, codeInvalidRequest, "CONNECT is not possible here.", 0)
		return false
	}
	bytes, odd := p.survey(r)
	if bytes > MaxHeadBytes {
		p.engine.Count(engine.CountHeadTooLarge)
		x.respond(http.StatusRequestHeaderFieldsTooLarge, codeHeadTooLarge, "The head of the request is larger than 64 KiB.", 0)
		return false
	}
	var err error
	if x.target, err = p.target.locate(r); err != nil {
		x.respond(http.StatusBadRequest, codeInvalidRequest, err.Error(), 0)
		return false
	}
	// Threat: a header that is named in Connection is judged here and not sent,
	// so that another one, unjudged, decides downstream; or an alias of a
	// credential header (X_Api_Key) is not judged here and read there. Answer:
	// what is not sent is gone before the reading, and so are the aliases.
	if odd {
		x.websocket = cleanHopByHop(r)
		p.removeAliases(r.Header)
	}
	if p.maxBody > 0 && r.ContentLength > p.maxBody {
		p.engine.Count(engine.CountBodyTooLarge)
		x.respond(http.StatusRequestEntityTooLarge, codeBodyTooLarge, bodyTooLarge(p.maxBody), 0)
		return false
	}
	return true
}
