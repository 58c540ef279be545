package downstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"
)

// MaxHeadBytes is how large the head of an answer may be, with the informational
// ones before it.
const MaxHeadBytes = 1 << 20

var errHeadTooLarge = errors.New("head of the answer is larger than 1 MiB")

// conn is one connection to the downstream, for one request at a time.
type conn struct {
	net   net.Conn
	t     *Transport
	read  *socket.Reader
	since uint64 // the reaper's visits when it began to wait
}

func newConn(c net.Conn, t *Transport) *conn {
	return &conn{net: c, t: t, read: socket.NewReader(c)}
}

func (c *conn) close() { _ = c.net.Close() } // whatever is left of it is of no use

// general returns a reader of net/http's kind that goes on from where r is. What it
// reads ahead does not come back.
func general(r *socket.Reader) *bufio.Reader {
	ahead := bytes.Clone(r.Bytes())
	r.Release()
	return bufio.NewReaderSize(io.MultiReader(bytes.NewReader(ahead), r), socket.BufferBytes)
}
