//go:build unix

package downstream

import (
	"net"
	"syscall"
)

// Supported says whether this system lets a connection be looked at without
// reading from it.
const Supported = true

// look looks at a connection without reading from it. Its parts are made once.
type look struct {
	raw   syscall.RawConn // nil: the connection has no such thing
	ask   func(fd uintptr)
	quiet bool
	one   [1]byte
}

func (l *look) init(c net.Conn) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	l.raw = raw
	l.ask = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), l.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		l.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	}
}

// isQuiet reports whether the downstream has neither sent anything since the
// last answer nor closed: then the next request may go out on the connection.
func (c *conn) isQuiet() bool {
	if c.look.raw == nil {
		return false
	}
	c.look.quiet = false
	err := c.look.raw.Control(c.look.ask)
	return err == nil && c.look.quiet
}
