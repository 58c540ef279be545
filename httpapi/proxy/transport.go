package proxy

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"

	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

const (
	keepAlive           = 15 * time.Second
	idleConnections     = 4096 // to the downstream, kept open
	idleConnectionAge   = 90 * time.Second
	expectContinueAfter = time.Second
	// connBufferBytes is what each connection of net/http's to the downstream holds
	// each way; most heads fit, and bodies go past it.
	connBufferBytes = 1 << 10
)

// newOwnTransport returns connections of our own to a downstream that speaks plain
// HTTP; nil to others, for which there is net/http's way.
func newOwnTransport(opts Options, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*downstream.Transport, error) {
	if opts.Downstream.Scheme != "http" || !socket.Supported {
		return nil, nil
	}
	address := opts.Downstream.Host
	if opts.Downstream.Port() == "" {
		address = net.JoinHostPort(opts.Downstream.Hostname(), "80")
	}
	return downstream.New(downstream.Options{Address: address, Dial: dial, MaxIdle: idleConnections, IdleAge: idleConnectionAge})
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
