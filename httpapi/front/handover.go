package front

import (
	"net"
	"net/http"
	"sync"
)

// handover is the listener of the connections that net/http shall serve.
type handover struct {
	net.Listener
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
	err   error // once ended
}

func newHandover(l net.Listener) *handover {
	return &handover{Listener: l, conns: make(chan net.Conn), ended: make(chan struct{})}
}

// Accept returns the next of them.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.ended:
		return nil, h.err
	}
}

// Close closes the listener that all connections come from.
func (h *handover) Close() error {
	h.fail(http.ErrServerClosed)
	return h.Listener.Close()
}

func (h *handover) fail(err error) {
	h.once.Do(func() {
		h.err = err
		close(h.ended)
	})
}

// give hands a connection over, with the bytes that have been read from it. It
// reports whether net/http has taken it.
func (h *handover) give(c net.Conn, ahead []byte) bool {
	select {
	case h.conns <- &handed{Conn: c, ahead: ahead}:
		return true
	case <-h.ended:
		return false
	}
}

// handed is a connection of which some bytes have been read. They are read again.
type handed struct {
	net.Conn
	ahead []byte
}

// Read reads them first.
func (h *handed) Read(buf []byte) (int, error) {
	if len(h.ahead) == 0 {
		return h.Conn.Read(buf)
	}
	n := copy(buf, h.ahead)
	if h.ahead = h.ahead[n:]; len(h.ahead) == 0 {
		h.ahead = nil
	}
	return n, nil
}

// NetConn returns the connection as it was accepted.
func (h *handed) NetConn() net.Conn { return h.Conn }

// CloseWrite tells the client that nothing more comes, if it can be told.
func (h *handed) CloseWrite() error { return closeWrite(h.Conn) }

func closeWrite(c net.Conn) error {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return net.ErrClosed
}
