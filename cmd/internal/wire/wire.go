// Package wire speaks just enough HTTP/1.1 to send prepared requests cheaply,
// from a chosen address, and to look at every byte of the answers.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	// answerTimeout bounds one request with its answer.
	answerTimeout = 60 * time.Second
	dialTimeout   = 10 * time.Second
)

// Answer is one answer. Its bytes are valid until the next Do.
type Answer struct {
	Status int
	Raw    []byte // head and body as they came, with the framing of chunks
	Body   []byte // without that framing
}

// Client sends one request after the other over one connection, which it opens
// when it needs one. It is not safe for concurrent use.
type Client struct {
	addr   string
	dialer net.Dialer
	conn   net.Conn
	r      *bufio.Reader
	raw    []byte
	body   []byte
}

// NewClient returns a client that connects to addr from the address local.
func NewClient(addr string, local netip.Addr) *Client {
	return &Client{
		addr: addr,
		dialer: net.Dialer{
			Timeout: dialTimeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)),
		},
		r: bufio.NewReaderSize(nil, 16<<10),
	}
}

// Close closes the connection, if there is one.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	return conn.Close()
}

// Do sends a request and reads the whole answer, until the deadline of ctx, if that
// comes before the one that every request has. Nothing is ever sent twice. On
// an error the connection is closed, and the answer holds what had come until
// then: a Status other than 0 means that the head of the final answer had begun.
func (c *Client) Do(ctx context.Context, request []byte) (Answer, error) {
	a, keep, err := c.do(ctx, request)
	if err != nil || !keep {
		_ = c.Close() // err says more
	}
	return a, err
}

func (c *Client) do(ctx context.Context, request []byte) (a Answer, keep bool, err error) {
	if c.conn == nil {
		conn, err := c.dialer.DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return Answer{}, false, err
		}
		c.conn = conn
		c.r.Reset(conn)
	}
	deadline := time.Now().Add(answerTimeout)
	if earlier, isSet := ctx.Deadline(); isSet && earlier.Before(deadline) {
		deadline = earlier
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return Answer{}, false, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return Answer{}, false, err
	}
	return c.read()
}

// head is what the framing of an answer depends on.
type head struct {
	status  int
	length  int // -1: not given
	chunked bool
	close   bool
}

func (c *Client) read() (a Answer, keep bool, err error) {
	c.raw, c.body = c.raw[:0], c.body[:0]
	defer func() { a.Raw, a.Body = c.raw, c.body }()
	var h head
	for h.status < 200 && h.status != 101 {
		h, err = c.readHead()
		if h.status >= 200 {
			a.Status = h.status
		}
		if err != nil {
			return a, false, err
		}
	}
	switch {
	case h.status == 101:
		return a, false, errors.New("switching protocols, which nobody asked for")
	case h.status == 204 || h.status == 304:
	case h.chunked:
		err = c.readChunks()
	case h.length >= 0:
		err = c.readBody(h.length)
	default:
		return a, false, errors.New("answer without a length")
	}
	return a, !h.close, err
}

func (c *Client) readHead() (head, error) {
	h := head{length: -1}
	for first := true; ; first = false {
		line, err := c.readLine()
		if err != nil {
			return h, err
		}
		if len(line) == 0 {
			return h, nil
		}
		if first {
			h.status, err = parseStatus(line)
		} else {
			err = h.field(line)
		}
		if err != nil {
			return h, err
		}
	}
}

func parseStatus(line []byte) (int, error) {
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("status line %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, fmt.Errorf("status line %q", line)
	}
	return status, nil
}

func (h *head) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.Atoi(string(value))
		if err != nil || n < 0 {
			return fmt.Errorf("content length %q", value)
		}
		h.length = n
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.chunked = bytes.EqualFold(value, []byte("chunked"))
	case bytes.EqualFold(name, []byte("Connection")):
		h.close = bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// readLine returns a line without its end, valid until the next read.
func (c *Client) readLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	c.raw = append(c.raw, line...)
	if err != nil {
		return nil, unexpected(err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (c *Client) readBody(n int) error {
	from := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	got, err := io.ReadFull(c.r, c.body[from:])
	c.body = c.body[:from+got]
	c.raw = append(c.raw, c.body[from:]...)
	return unexpected(err)
}

func (c *Client) readChunks() error {
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return fmt.Errorf("chunk size %q", line)
		}
		if n == 0 {
			break
		}
		if err := c.readBody(int(n)); err != nil {
			return err
		}
		if line, err = c.readLine(); err != nil {
			return err
		} else if len(line) != 0 {
			return fmt.Errorf("end of chunk %q", line)
		}
	}
	for { // trailers
		if line, err := c.readLine(); err != nil || len(line) == 0 {
			return err
		}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendRequest appends a request with an API key to buf. A request with a body
// is a POST of JSON, another is a GET. Further headers are lines without their end.
func AppendRequest(buf []byte, path, key, body string, headers ...string) []byte {
	method := "GET "
	if body != "" {
		method = "POST "
	}
	buf = append(append(append(buf, method...), path...), " HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer "...)
	buf = append(append(buf, key...), "\r\nAccept: application/json\r\nUser-Agent: wire/1\r\n"...)
	for _, h := range headers {
		buf = append(append(buf, h...), "\r\n"...)
	}
	if body != "" {
		buf = append(buf, "Content-Type: application/json\r\nContent-Length: "...)
		buf = append(strconv.AppendInt(buf, int64(len(body)), 10), "\r\n"...)
	}
	return append(append(buf, "\r\n"...), body...)
}

// AppendChat appends a chat completion with a key, as most requests are.
func AppendChat(buf []byte, key string) []byte {
	return AppendRequest(buf, "/v1/chat/completions", key, `{"model":"m","messages":[{"role":"user","content":"hello"}]}`)
}

// Key returns the n-th API key of a series: 48 characters after "sk-", the
// shape that gateways hand out, but plainly made up. Series are letters.
func Key(series string, n int) string {
	return "sk-" + strings.Repeat(series+fmt.Sprintf("%0*d", 8-len(series), n), 6)
}
