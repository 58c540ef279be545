// Package socket reads from connections as a proxy wants it: bytes are given out
// where they lie, a connection that waits holds no buffer, and whether the other
// side is still there can be seen without reading from it.
package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
)

// Sizes of the buffers. Most messages that are no streams come in one read, head
// and body; a large body wants fewer system calls.
const (
	BufferBytes      = 4 << 10
	largeBufferBytes = 32 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([BufferBytes]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBufferBytes]byte) }}
)

// Errors of a Reader.
var (
	ErrFull  = errors.New("no room in the buffer")
	ErrLimit = errors.New("more bytes than are allowed")
)

// Reader reads from one connection. It holds a buffer only while there is something
// in it: thousands of streams that wait for their next event hold none. It belongs
// to one goroutine at a time.
type Reader struct {
	// Limit is how many bytes may still be read, before there is ErrLimit; negative:
	// any number.
	Limit int64
	// Silent is for the caller to set. The first byte that is read unsets it.
	Silent bool

	conn   net.Conn
	buf    []byte // nil: there is nothing
	begin  int    // of what has not been taken
	end    int    // of what has been read
	filled bool   // the last read filled the buffer: much is coming
	failed error  // for the next Fill to tell
	sys    system
}

// NewReader returns a reader without a limit.
func NewReader(c net.Conn) *Reader {
	r := &Reader{conn: c, Limit: -1}
	r.sys.init(r)
	return r
}

// Bytes returns what there is. It is valid until the next call of Fill or Discard.
func (r *Reader) Bytes() []byte { return r.buf[r.begin:r.end] }

// Discard takes n bytes of what there is.
func (r *Reader) Discard(n int) { r.begin += n }

// Fill reads more, behind what there is, at least one byte unless there is an error.
func (r *Reader) Fill() error {
	if err := r.failed; err != nil {
		r.failed = nil
		return err
	}
	if r.begin == r.end {
		r.Release()
		return r.fillEmpty()
	}
	if r.begin > 0 {
		r.end = copy(r.buf, r.buf[r.begin:r.end])
		r.begin = 0
	}
	if r.end == len(r.buf) {
		return ErrFull
	}
	n, err := r.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	return noByte(err)
}

func noByte(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// Read reads past the buffer, which is empty.
func (r *Reader) Read(buf []byte) (int, error) {
	if r.Limit == 0 {
		return 0, ErrLimit
	}
	n, err := r.conn.Read(buf[:r.allowed(len(buf))])
	r.count(n)
	return n, err
}

// allowed returns how many of n bytes may be read now.
func (r *Reader) allowed(n int) int {
	if r.Limit > 0 && int64(n) > r.Limit {
		return int(r.Limit)
	}
	return n
}

func (r *Reader) count(n int) {
	if n > 0 {
		r.Silent = false
	}
	if r.Limit > 0 {
		r.Limit -= int64(n)
	}
}

// fillHolding fills an empty reader, which holds its buffer while it waits.
func (r *Reader) fillHolding() error {
	r.take()
	n, err := r.Read(r.buf)
	r.got(n)
	if n > 0 {
		return nil
	}
	r.Release()
	return noByte(err)
}

// Buffer returns the buffer of an empty reader, for the caller's use until Release.
func (r *Reader) Buffer() []byte {
	if r.buf == nil {
		r.take()
	}
	return r.buf
}

func (r *Reader) take() {
	if r.filled {
		buf, _ := largeBuffers.Get().(*[largeBufferBytes]byte)
		r.buf = buf[:]
		return
	}
	buf, _ := smallBuffers.Get().(*[BufferBytes]byte)
	r.buf = buf[:]
}

// Release gives the buffer back, with whatever is in it.
func (r *Reader) Release() {
	switch len(r.buf) {
	case BufferBytes:
		smallBuffers.Put((*[BufferBytes]byte)(r.buf))
	case largeBufferBytes:
		largeBuffers.Put((*[largeBufferBytes]byte)(r.buf))
	}
	r.buf, r.begin, r.end = nil, 0, 0
}

// got notes what was read into an empty buffer.
func (r *Reader) got(n int) {
	r.end = n
	r.filled = n >= BufferBytes
}

// Need waits until n bytes are there.
func (r *Reader) Need(n int) error {
	for r.end-r.begin < n {
		if err := r.Fill(); err != nil {
			return err
		}
	}
	return nil
}

// Line takes a line, with its line feed.
func (r *Reader) Line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.Bytes(), '\n'); i >= 0 {
			line := r.Bytes()[:i+1]
			r.Discard(i + 1)
			return line, nil
		}
		if err := r.Fill(); err != nil {
			return nil, err
		}
	}
}
