//go:build unix

package downstream

import "syscall"

// Supported says whether this system lets a connection be looked at without
// reading from it.
const Supported = true

// isQuiet reports whether the downstream has neither sent anything since the
// last answer nor closed: then the next request may go out on the connection.
func (c *conn) isQuiet() bool {
	sc, ok := c.net.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && quiet
}
