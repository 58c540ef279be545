package proxy

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

const (
	keepAlive           = 15 * time.Second
	idleConnections     = 4096 // to the downstream, kept open
	idleConnectionAge   = 90 * time.Second
	expectContinueAfter = time.Second
	// connBufferBytes is what each connection to the downstream holds each way;
	// most heads fit, and bodies go past it.
	connBufferBytes = 1 << 10
)

// carrier brings requests to the downstream.
type carrier interface {
	http.RoundTripper
	CloseIdleConnections()
}

// newCarrier returns the way to the downstream: connections of our own to one
// that speaks plain HTTP, and net/http's for the rest.
func newCarrier(opts Options) (carrier, error) {
	general := newTransport(opts)
	if opts.Downstream.Scheme != "http" || !downstream.Supported {
		return general, nil
	}
	address := opts.Downstream.Host
	if opts.Downstream.Port() == "" {
		address = net.JoinHostPort(opts.Downstream.Hostname(), "80")
	}
	return downstream.New(downstream.Options{
		Address: address, Fallback: general, Dial: general.DialContext, ResponseTimeout: opts.ResponseTimeout,
		MaxIdle: idleConnections, IdleAge: idleConnectionAge,
	})
}

// newTransport returns net/http's way to the downstream. It uses no proxy from
// the environment, for the downstream is the next hop, and leaves bodies
// compressed as they are.
func newTransport(opts Options) *http.Transport {
	dialer := &net.Dialer{Timeout: opts.ConnectTimeout, KeepAlive: keepAlive}
	return &http.Transport{
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       opts.TLS,
		TLSHandshakeTimeout:   opts.ConnectTimeout,
		ResponseHeaderTimeout: opts.ResponseTimeout,
		ExpectContinueTimeout: expectContinueAfter,
		MaxIdleConnsPerHost:   idleConnections,
		IdleConnTimeout:       idleConnectionAge,
		DisableCompression:    true,
		ReadBufferSize:        connBufferBytes,
		WriteBufferSize:       connBufferBytes,
	}
}

// Sizes of the buffers that answers are copied through: an event is short, and
// there may be thousands of streams; a large body wants fewer system calls.
const (
	eventBufferBytes = 2 << 10
	bodyBufferBytes  = 32 << 10
)

// buffers lends them. It is safe for concurrent use.
type buffers struct{ events, bodies sync.Pool }

func newBuffers() *buffers {
	return &buffers{
		events: sync.Pool{New: func() any { return new([eventBufferBytes]byte) }},
		bodies: sync.Pool{New: func() any { return new([bodyBufferBytes]byte) }},
	}
}

// copyBuffers is the httputil.BufferPool of one exchange.
type copyBuffers struct {
	from     *buffers
	isEvents bool // the answer is a stream of events
}

// Get lends a buffer that suits the answer.
func (c *copyBuffers) Get() []byte {
	if c.isEvents {
		buf, _ := c.from.events.Get().(*[eventBufferBytes]byte)
		return buf[:]
	}
	buf, _ := c.from.bodies.Get().(*[bodyBufferBytes]byte)
	return buf[:]
}

// Put takes it back.
func (c *copyBuffers) Put(buf []byte) {
	if len(buf) == eventBufferBytes {
		c.from.events.Put((*[eventBufferBytes]byte)(buf))
		return
	}
	c.from.bodies.Put((*[bodyBufferBytes]byte)(buf))
}
