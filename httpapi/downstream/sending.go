package downstream

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
)

const copyBufferBytes = 32 << 10

var copies = sync.Pool{New: func() any { return new([copyBufferBytes]byte) }}

// sending is what is left of the body of a request on its way. A nil sending is one
// that has been sent.
type sending struct {
	conn    *conn
	body    source
	left    int64
	chunked bool // its length is unknown

	state  atomic.Uint32         // of the bits below
	failed atomic.Pointer[error] // of the body's source
}

// The request and its answer end in any order. Who comes last sees to the
// connection.
const (
	bodySent uint32 = 1 << iota
	bodyFailed
	answerWhole
)

func (s *sending) isSent() bool { return s.state.Load()&bodySent != 0 }

// answerEnded gives the connection back, now or when the body is out.
func (s *sending) answerEnded(c *conn) {
	before := bodySent
	if s != nil {
		before = s.state.Or(answerWhole)
	}
	switch {
	case before&bodySent != 0:
		c.t.idle.put(c)
	case before&bodyFailed != 0:
		c.close()
	}
}

// ended notes the end of the body.
func (s *sending) ended(how uint32) {
	switch before := s.state.Or(how); {
	case before&answerWhole == 0:
	case how == bodySent:
		s.conn.t.idle.put(s.conn)
	default:
		s.conn.close()
	}
}

// bodyError returns why the client's body could not be read; nil if it could.
func (s *sending) bodyError() error {
	if s == nil {
		return nil
	}
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// run sends the body. If that cannot be read to its end, the connection is closed:
// what the downstream has got must not look complete. If it cannot be written, the
// downstream may all the same have answered.
func (s *sending) run() {
	send := s.sendExactly
	if s.chunked {
		send = s.sendChunks
	}
	err := send()
	if s.body.err != nil {
		s.failed.Store(&s.body.err)
		s.conn.close()
	}
	if err != nil {
		s.ended(bodyFailed)
		return
	}
	s.ended(bodySent)
}

// source is a body that remembers why it ended before its end.
type source struct {
	from io.Reader
	err  error
}

func (b *source) Read(buf []byte) (int, error) {
	n, err := b.from.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

var errLongBody = errors.New("body is longer than its Content-Length")

// sendExactly sends what is left of a body of a known length, and not a byte more:
// what follows would be taken for another request.
func (s *sending) sendExactly() error {
	buf, _ := copies.Get().(*[copyBufferBytes]byte)
	defer copies.Put(buf)
	for left := s.left; ; {
		n, readErr := s.body.Read(buf[:])
		if left -= int64(n); left < 0 {
			s.body.err = errLongBody
			return errLongBody
		}
		if n > 0 {
			if err := s.write(buf[:n]); err != nil {
				return err
			}
		}
		if readErr != nil {
			return s.over(left, readErr)
		}
	}
}

// over judges the end of a body of known length.
func (s *sending) over(left int64, readErr error) error {
	switch {
	case !errors.Is(readErr, io.EOF):
		return readErr
	case left > 0:
		s.body.err = io.ErrUnexpectedEOF
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s *sending) write(b []byte) error {
	_, err := s.conn.net.Write(b)
	return err
}

// chunkHeadBytes is what the length of a chunk takes at most, with its line break.
const chunkHeadBytes = 8

// sendChunks sends a body of unknown length, each piece as it comes and in one
// write.
func (s *sending) sendChunks() error {
	buf, _ := copies.Get().(*[copyBufferBytes]byte)
	defer copies.Put(buf)
	for {
		n, readErr := s.body.Read(buf[chunkHeadBytes : len(buf)-len("\r\n")])
		if n > 0 {
			if err := s.write(chunk(buf, n)); err != nil {
				return err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return s.write([]byte("0\r\n\r\n"))
		}
		if readErr != nil {
			return readErr
		}
	}
}

// chunk frames the n bytes that begin at chunkHeadBytes: RFC 9112 section 7.1.
func chunk(buf *[copyBufferBytes]byte, n int) []byte {
	var head [chunkHeadBytes]byte
	size := append(strconv.AppendInt(head[:0], int64(n), 16), '\r', '\n')
	begin, end := chunkHeadBytes-len(size), chunkHeadBytes+n
	copy(buf[begin:], size)
	return buf[begin : end+copy(buf[end:], "\r\n")]
}
