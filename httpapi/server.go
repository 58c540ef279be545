package httpapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/httpapi/front"
	"github.com/key-ip-sentinel/sentinel/httpapi/proxy"
)

const (
	// headTimeout cuts clients that send their heads slowly.
	headTimeout = 15 * time.Second
	// keepAliveIdle is how long a client's connection is kept between requests.
	keepAliveIdle = 2 * time.Minute
	// maxHeaderBytes is net/http's limit. It answers in plain text, so it is
	// larger than the proxy's own, which answers in the documented shape.
	maxHeaderBytes = 2 * proxy.MaxHeadBytes
)

// ServerOptions of NewServer. Handler and Logger are required.
type ServerOptions struct {
	Handler http.Handler
	Logger  *slog.Logger
	TLS     *tls.Config // nil: plain HTTP
	H2C     bool        // HTTP/2 without TLS, by prior knowledge
	// Proxies reports whether a path is the proxy's, so that its requests may be served
	// without net/http where they are plain; nil: no path is.
	Proxies func(path string) bool
}

// NewServer returns a server with the limits that all listeners share. It has
// no write timeout, which would cut long streams.
func NewServer(opts ServerOptions) *front.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(opts.H2C)
	return &front.Server{Takes: opts.Proxies, Server: &http.Server{
		Handler:           opts.Handler,
		TLSConfig:         opts.TLS,
		Protocols:         protocols,
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       keepAliveIdle,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       connContext,
		// OPTIONS * is the downstream's to answer.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
	}}
}

// ProxyProtocol reads PROXY protocol v1 and v2 on connections of trusted
// proxies, where it must be there: a connection without it has no address that
// could be believed. From others it is not read, and is malformed HTTP.
func ProxyProtocol(l net.Listener, e *engine.Engine) net.Listener {
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: headTimeout,
		ConnPolicy: func(opts proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if opts.Upstream == nil {
				return proxyproto.REJECT, fmt.Errorf("%w: no peer address", proxyproto.ErrInvalidUpstream)
			}
			if e.Peer(opts.Upstream.String()).Trusted {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}

// connContext notes of each connection what its requests are asked about.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	ctx = proxy.ConnContext(ctx, conn)
	for {
		over, ok := conn.(interface{ NetConn() net.Conn }) // TLS, and what was handed on
		if !ok {
			break
		}
		conn = over.NetConn()
	}
	if proxied, ok := conn.(*proxyproto.Conn); ok {
		ctx = admin.WithProxiedPeer(ctx, proxied.Raw().RemoteAddr().String())
	}
	return ctx
}
