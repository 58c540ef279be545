package proxy

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

// connection is what is known of a client's connection: the peer, read once.
type connection struct {
	once sync.Once
	peer clientip.Peer
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
	c.once.Do(func() { c.peer = e.Peer(r.RemoteAddr) })
	return c.peer
}
