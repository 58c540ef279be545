package downstream

import (
	"errors"
	"net"
)

// MaxHeadBytes is how large the head of an answer may be, with the informational
// ones before it.
const MaxHeadBytes = 1 << 20

var errHeadTooLarge = errors.New("head of the answer is larger than 1 MiB")

// conn is one connection to the downstream, for one request at a time.
type conn struct {
	net  net.Conn
	t    *Transport
	read reader
	sys  system

	headLeft int64  // bytes that the head may still have; negative: not reading one
	silent   bool   // nothing of an answer has come to this request
	since    uint64 // the reaper's visits when it began to wait
}

func newConn(c net.Conn, t *Transport) *conn {
	pc := &conn{net: c, t: t, headLeft: -1}
	pc.read.conn = pc
	pc.sys.init(pc)
	return pc
}

func (c *conn) close() { _ = c.net.Close() } // whatever is left of it is of no use

// Read is where the reader of answers gets its bytes.
func (c *conn) Read(buf []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, errHeadTooLarge
	}
	n, err := c.net.Read(buf[:c.allowed(len(buf))])
	c.count(n)
	return n, err
}

// allowed returns how many of n bytes may be read now.
func (c *conn) allowed(n int) int {
	if c.headLeft > 0 && int64(n) > c.headLeft {
		return int(c.headLeft)
	}
	return n
}

func (c *conn) count(n int) {
	if n > 0 {
		c.silent = false
	}
	if c.headLeft > 0 {
		c.headLeft -= int64(n)
	}
}

// fillHolding fills an empty reader, which holds its buffer while it waits.
func (c *conn) fillHolding(r *reader) error {
	r.take()
	n, err := c.Read(r.buf)
	r.got(n)
	if n > 0 {
		return nil
	}
	r.release()
	return noByte(err)
}
