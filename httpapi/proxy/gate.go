package proxy

import (
	"io"
	"net"
	"sync/atomic"
)

// gate is the connection to the downstream after an upgrade. Once it is shut
// nothing that either side sends from then on passes: ReverseProxy closes the
// connections too, but on a goroutine of its own, a moment later.
type gate struct {
	io.ReadWriteCloser
	shut atomic.Bool
}

// Read reads what the downstream sends.
func (g *gate) Read(buf []byte) (int, error) {
	n, err := g.ReadWriteCloser.Read(buf)
	if g.shut.Load() {
		return 0, net.ErrClosed
	}
	return n, err
}

// Write sends what the client has sent.
func (g *gate) Write(buf []byte) (int, error) {
	if g.shut.Load() {
		return 0, net.ErrClosed
	}
	return g.ReadWriteCloser.Write(buf)
}
