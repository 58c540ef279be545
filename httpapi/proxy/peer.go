package proxy

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

// connection is what is known of a client's connection: the peer, read once, and
// again when other proxies are trusted.
type connection struct {
	peer atomic.Pointer[clientip.Peer]
}

type connectionKey struct{}

// ConnContext belongs into http.Server: it gives each connection a place for
// its peer. The address itself is read at the first request, because asking a
// connection for it may wait for its PROXY protocol header.
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, new(connection))
}

// peerOf returns the peer of a request's connection.
func peerOf(r *http.Request, e *engine.Engine) clientip.Peer {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return e.Peer(r.RemoteAddr)
	}
	// Threat: a connection outlives the trust in its other end, and what comes
	// over it would be believed for as long. Answer: trust is of the request.
	if known := c.peer.Load(); known != nil && e.IsCurrent(*known) {
		return *known
	}
	peer := e.Peer(r.RemoteAddr)
	c.peer.Store(&peer)
	return peer
}
