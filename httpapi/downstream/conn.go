package downstream

import (
	"bufio"
	"errors"
	"net"
)

const (
	// readBufferBytes is what a connection holds for answers: most of those that
	// are no streams come in one read, head and body.
	readBufferBytes = 4 << 10
	// MaxHeadBytes is how large the head of an answer may be, with the
	// informational ones before it.
	MaxHeadBytes = 1 << 20
)

var errHeadTooLarge = errors.New("head of the answer is larger than 1 MiB")

// conn is one connection to the downstream, for one request at a time.
type conn struct {
	net  net.Conn
	t    *Transport
	read *bufio.Reader // of conn itself, which counts
	look look

	headLeft int64  // bytes that the head may still have; negative: not reading one
	silent   bool   // nothing of an answer has come to this request
	since    uint64 // the reaper's visits when it began to wait
}

func newConn(c net.Conn, t *Transport) *conn {
	pc := &conn{net: c, t: t, headLeft: -1}
	pc.read = bufio.NewReaderSize(pc, readBufferBytes)
	pc.look.init(c)
	return pc
}

func (c *conn) close() { _ = c.net.Close() } // whatever is left of it is of no use

// Read is where the reader of answers gets its bytes.
func (c *conn) Read(buf []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, errHeadTooLarge
	}
	if c.headLeft > 0 && int64(len(buf)) > c.headLeft {
		buf = buf[:c.headLeft]
	}
	n, err := c.net.Read(buf)
	if n > 0 {
		c.silent = false
	}
	if c.headLeft > 0 {
		c.headLeft -= int64(n)
	}
	return n, err
}
