package proxy

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// drainTimeout bounds how long the server waits for the rest of a body that
// nobody will read: before a refusal, so that the connection can be used again,
// and after an answer.
const drainTimeout = time.Second

// requestBody is the body of a request on its way to the downstream.
type requestBody struct {
	io.ReadCloser
	mu    sync.Mutex // held while reading
	over  bool       // guarded by mu: the handler has ended
	moved *atomic.Bool
	clean func()      // of the trailers, which are there at the end
	ended atomic.Bool // all of it has been read
	// brokenOff is set before the connection's reads are made to fail, which
	// cancels the context of this and, in net/http, every later request of it.
	brokenOff atomic.Bool
}

// Read reads the next bytes.
func (b *requestBody) Read(buf []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(buf)
	if b.brokenOff.Load() {
		return 0, http.ErrBodyReadAfterClose // what comes after a cut is not sent on
	}
	b.moved.Store(true)
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		b.ended.Store(true)
	}
	if b.clean != nil {
		b.clean()
	}
	return n, err
}

// bodyFor returns the body to forward, or nil if there is none.
func (p *Proxy) bodyFor(x *exchange, r *http.Request) *requestBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &requestBody{ReadCloser: r.Body, moved: &x.moved}
	if p.maxBody > 0 && r.ContentLength < 0 { // a known length is within the limit, and the server sees to it
		b.ReadCloser = http.MaxBytesReader(x.w, r.Body, p.maxBody)
	}
	if r.Trailer != nil {
		b.clean = func() { p.cleanTrailers(r.Trailer) }
		b.clean()
	}
	return b
}

// cleanTrailers takes out of a request's trailers what must not be in its
// header: some servers merge the two.
func (p *Proxy) cleanTrailers(h http.Header) {
	p.engine.StripForwarding(h)
	for name := range h {
		if p.credentials.Has(name) {
			delete(h, name)
		}
	}
}

// answerEarly prepares for an answer that begins before the body of the request
// has been read to its end. Left to itself the server would first read the
// rest, beside the transport that is reading it too, and cut one of them short.
// In full duplex it does not; but then it reads the rest after the answer, at a
// point where it can no longer use the connection for a further request (it
// panics with "invalid concurrent Body.Read call"), so the answer must be the
// last one. HTTP/2 needs none of this.
func (x *exchange) answerEarly() {
	b := x.body.Load()
	if b == nil || x.request.ProtoMajor != 1 || b.ended.Load() && !b.brokenOff.Load() {
		return
	}
	_ = x.control().EnableFullDuplex()
	x.w.Header().Set("Connection", "close")
}

// boundRest sees to it that a client that does not send the rest of its body
// holds nothing up.
func (x *exchange) boundRest() {
	forwarded := x.body.Load()
	if b := x.request.Body; b == nil || b == http.NoBody || forwarded != nil && forwarded.ended.Load() {
		return
	}
	if forwarded != nil {
		// The transport may still be reading. Were it to reach the end of the body
		// while net/http aborts that read, net/http would begin another read, take
		// the deadline away, and wait for it for as long as the client likes.
		_ = x.control().SetReadDeadline(longAgo)
		forwarded.mu.Lock()
		forwarded.over = true
		forwarded.mu.Unlock()
	}
	_ = x.control().SetReadDeadline(time.Now().Add(drainTimeout)) // a hijacked connection has no rest
}
