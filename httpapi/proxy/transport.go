package proxy

import (
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	keepAlive           = 15 * time.Second
	idleConnections     = 4096 // to the downstream, kept open
	idleConnectionAge   = 90 * time.Second
	expectContinueAfter = time.Second
	// copyBufferBytes is what an answer under way holds: small, for there may be
	// thousands of streams, and large enough that a big body is not slowed.
	copyBufferBytes = 16 << 10
)

// newTransport returns the way to the downstream. It uses no proxy from the
// environment, for the downstream is the next hop, and leaves bodies compressed
// as they are.
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
	}
}

// bufferPool lends the buffers that answers are copied through.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return new([copyBufferBytes]byte) }}}
}

// Get lends a buffer.
func (b *bufferPool) Get() []byte {
	buf, _ := b.pool.Get().(*[copyBufferBytes]byte)
	return buf[:]
}

// Put takes it back.
func (b *bufferPool) Put(buf []byte) { b.pool.Put((*[copyBufferBytes]byte)(buf)) }
