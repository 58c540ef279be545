//go:build unix

package downstream

import (
	"errors"
	"io"
	"syscall"
)

// Supported says whether this system lets a connection be looked at without
// reading from it.
const Supported = true

// system does with a connection what net.Conn has no words for. Its parts are made
// once, so that a request makes none.
type system struct {
	raw   syscall.RawConn // nil: the connection has no such thing
	peek  func(fd uintptr)
	quiet bool // of peek
	one   [1]byte

	read func(fd uintptr) bool
	n    int // of read
	err  error
}

func (s *system) init(c *conn) {
	sc, ok := c.net.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	s.raw = raw
	s.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), s.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		s.quiet = errors.Is(err, syscall.EAGAIN)
	}
	s.read = func(fd uintptr) bool { return s.tryRead(int(fd), c) }
}

// tryRead reads into the connection's reader, and reports whether there is no need
// to wait.
func (s *system) tryRead(fd int, c *conn) bool {
	c.read.take()
	buf := c.read.buf[:c.allowed(len(c.read.buf))]
	for {
		s.n, s.err = syscall.Read(fd, buf)
		if !errors.Is(s.err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(s.err, syscall.EAGAIN) {
		c.read.release()
		return false
	}
	return true
}

// isQuiet reports whether the downstream has neither sent anything since the
// last answer nor closed: then the next request may go out on the connection.
func (c *conn) isQuiet() bool {
	if c.sys.raw == nil {
		return false
	}
	c.sys.quiet = false
	err := c.sys.raw.Control(c.sys.peek)
	return err == nil && c.sys.quiet
}

// fill fills an empty reader. It takes a buffer when there is something to read,
// and none while it waits.
func (c *conn) fill(r *reader) error {
	switch {
	case c.headLeft == 0:
		return errHeadTooLarge
	case c.sys.raw == nil:
		return c.fillHolding(r)
	}
	err := c.sys.raw.Read(c.sys.read)
	if err == nil {
		err = c.sys.err
	}
	if err == nil && c.sys.n > 0 {
		r.got(c.sys.n)
		c.count(c.sys.n)
		return nil
	}
	r.release()
	if err == nil {
		return io.EOF
	}
	return err
}
