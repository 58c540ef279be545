//go:build unix

package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Supported says whether this system lets a connection be looked at without
// reading from it.
const Supported = true

// system does with a connection what net.Conn has no words for. Its parts are made
// once, so that a message makes none.
type system struct {
	raw   syscall.RawConn // nil: the connection has no such thing
	whole bool            // raw has all that will be read: nothing lies in a buffer before it
	peek  func(fd uintptr)
	seen  error // by peek; nil: bytes, or the end
	n     int   // of peek, and of read
	one   [1]byte

	read func(fd uintptr) bool
	err  error
}

func (s *system) init(r *Reader) {
	inner := r.conn
	if wrapper, ok := inner.(interface{ Raw() net.Conn }); ok { // one that reads ahead
		inner = wrapper.Raw()
	}
	sc, ok := inner.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	s.raw, s.whole = raw, inner == r.conn
	s.peek = func(fd uintptr) { s.n, s.seen = peek(int(fd), s.one[:]) }
	s.read = func(fd uintptr) bool { return s.tryRead(int(fd), r) }
}

// peek looks at what the other side has sent, without waiting.
func peek(fd int, buf []byte) (n int, err error) {
	for {
		n, _, err = syscall.Recvfrom(fd, buf, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// tryRead reads into the reader, and reports whether there is no need to wait.
func (s *system) tryRead(fd int, r *Reader) bool {
	r.take()
	buf := r.buf[:r.allowed(len(r.buf))]
	for {
		s.n, s.err = syscall.Read(fd, buf)
		if !errors.Is(s.err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(s.err, syscall.EAGAIN) {
		r.Release()
		return false
	}
	return true
}

// IsQuiet reports whether the other side has neither sent anything that was not
// read, nor closed.
func (r *Reader) IsQuiet() bool {
	if r.sys.raw == nil || !r.sys.whole {
		return false
	}
	err := r.sys.raw.Control(r.sys.peek)
	return err == nil && errors.Is(r.sys.seen, syscall.EAGAIN)
}

// AwaitEnd waits until the other side closes, and reports whether it has. It
// reports false as soon as there is something to read, or when the deadline of the
// connection's reads passes. Nobody may read meanwhile.
func (r *Reader) AwaitEnd() (ended bool) {
	if r.sys.raw == nil {
		return false
	}
	var one [1]byte
	err := r.sys.raw.Read(func(fd uintptr) bool {
		n, err := peek(int(fd), one[:])
		if errors.Is(err, syscall.EAGAIN) {
			return false
		}
		ended = n <= 0
		return true
	})
	return err == nil && ended
}

// fillEmpty fills an empty reader. It takes a buffer when there is something to
// read, and none while it waits.
func (r *Reader) fillEmpty() error {
	switch {
	case r.Limit == 0:
		return ErrLimit
	case !r.sys.whole:
		return r.fillHolding()
	}
	err := r.sys.raw.Read(r.sys.read)
	if err == nil {
		err = r.sys.err
	}
	if err == nil && r.sys.n > 0 {
		r.got(r.sys.n)
		r.count(r.sys.n)
		return nil
	}
	r.Release()
	if err == nil {
		return io.EOF
	}
	return err
}
