//go:build unix

package socket

import (
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

	ask   func(fd uintptr) bool
	out   []byte // for ask to write
	wrote int    // of it
	sent  func() // to be called when it has; nil: it was
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
	s.ask = func(fd uintptr) bool {
		sent := s.sent
		if sent == nil {
			return s.tryRead(int(fd), r)
		}
		if s.wrote = tryWrite(int(fd), s.out); s.wrote < len(s.out) {
			return true
		}
		s.out, s.sent = nil, nil
		sent()
		return false
	}
}

// peek looks at what the other side has sent, without waiting.
func peek(fd int, buf []byte) (n int, err error) {
	for {
		n, _, err = syscall.Recvfrom(fd, buf, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if number(err) != syscall.EINTR {
			return n, err
		}
	}
}

// number returns the number of an error of a system call; 0: there is none. It costs
// nothing: most reads find out first that they have to wait.
func number(err error) syscall.Errno {
	n, _ := err.(syscall.Errno) //nolint:errorlint // as it comes from the call: nothing has wrapped it
	return n
}

// tryRead reads into the reader, and reports whether there is no need to wait.
func (s *system) tryRead(fd int, r *Reader) bool {
	r.take()
	buf := r.buf[:r.allowed(len(r.buf))]
	for {
		s.n, s.err = syscall.Read(fd, buf)
		if number(s.err) != syscall.EINTR {
			break
		}
	}
	if number(s.err) == syscall.EAGAIN {
		r.Release()
		return false
	}
	return true
}

// tryWrite writes what there is room for, and returns how much that was.
func tryWrite(fd int, out []byte) int {
	for {
		n, err := syscall.Write(fd, out)
		if number(err) != syscall.EINTR {
			return max(n, 0)
		}
	}
}

// Ask writes out to the connection and waits for what comes back, as an empty reader
// is filled. Whoever writes and then fills looks whether it is there already, which it
// never is, before he waits; Ask does not. It returns how much it has written, and calls
// sent as soon as that is all: out is the caller's again then. If it is less, nothing was
// read, and the rest is for the caller to write, who then also hears why; if it is all,
// the next Fill tells what went wrong behind it.
func (r *Reader) Ask(out []byte, sent func()) (n int) {
	if !r.sys.whole || r.Limit == 0 {
		return 0
	}
	r.sys.out, r.sys.wrote, r.sys.sent = out, 0, sent
	err := r.sys.raw.Read(r.sys.ask)
	r.sys.out, r.sys.sent = nil, nil
	if n = r.sys.wrote; n == len(out) {
		r.failed = r.waited(err)
	}
	return n
}

// IsQuiet reports whether the other side has neither sent anything that was not
// read, nor closed.
func (r *Reader) IsQuiet() bool {
	if r.sys.raw == nil || !r.sys.whole {
		return false
	}
	err := r.sys.raw.Control(r.sys.peek)
	return err == nil && number(r.sys.seen) == syscall.EAGAIN
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
		if number(err) == syscall.EAGAIN {
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
	return r.waited(r.sys.raw.Read(r.sys.read))
}

// waited takes in what has been read, if there was no error.
func (r *Reader) waited(err error) error {
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
