package downstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
)

// Sizes of the buffers that answers are read through. Most that are no streams come
// in one read, head and body; a large body wants fewer system calls.
const (
	bufferBytes      = 4 << 10
	largeBufferBytes = 32 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBufferBytes]byte) }}
)

var errBufferFull = errors.New("no room in the buffer")

// reader reads from a connection, and gives its bytes out where they lie. It holds
// a buffer only while there is something in it: thousands of streams that wait for
// their next event hold none.
type reader struct {
	conn   *conn
	buf    []byte // nil: there is nothing
	begin  int    // of what has not been taken
	end    int    // of what has been read
	filled bool   // the last read filled the buffer: much is coming
}

// bytes returns what there is. It is valid until the next call of fill or discard.
func (r *reader) bytes() []byte { return r.buf[r.begin:r.end] }

// discard takes n bytes of what there is.
func (r *reader) discard(n int) { r.begin += n }

// fill reads more, behind what there is, at least one byte unless there is an error.
func (r *reader) fill() error {
	if r.begin == r.end {
		r.release()
		return r.conn.fill(r)
	}
	if r.begin > 0 {
		r.end = copy(r.buf, r.buf[r.begin:r.end])
		r.begin = 0
	}
	if r.end == len(r.buf) {
		return errBufferFull
	}
	n, err := r.conn.Read(r.buf[r.end:])
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

// take takes a buffer to read into.
func (r *reader) take() {
	if r.filled {
		buf, _ := largeBuffers.Get().(*[largeBufferBytes]byte)
		r.buf = buf[:]
		return
	}
	buf, _ := smallBuffers.Get().(*[bufferBytes]byte)
	r.buf = buf[:]
}

// release gives the buffer back, with whatever is in it.
func (r *reader) release() {
	switch len(r.buf) {
	case bufferBytes:
		smallBuffers.Put((*[bufferBytes]byte)(r.buf))
	case largeBufferBytes:
		largeBuffers.Put((*[largeBufferBytes]byte)(r.buf))
	}
	r.buf, r.begin, r.end = nil, 0, 0
}

// got notes what was read into an empty buffer.
func (r *reader) got(n int) {
	r.end = n
	r.filled = n >= bufferBytes
}

// need waits until n bytes are there.
func (r *reader) need(n int) error {
	for r.end-r.begin < n {
		if err := r.fill(); err != nil {
			return err
		}
	}
	return nil
}

// line takes a line, with its line feed.
func (r *reader) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.bytes(), '\n'); i >= 0 {
			line := r.bytes()[:i+1]
			r.discard(i + 1)
			return line, nil
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// general returns a reader of net/http's kind that goes on from here. What it reads
// ahead does not come back.
func (r *reader) general() *bufio.Reader {
	ahead := bytes.Clone(r.bytes())
	r.release()
	return bufio.NewReaderSize(io.MultiReader(bytes.NewReader(ahead), r.conn), bufferBytes)
}
