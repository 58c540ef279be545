package front

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/key-ip-sentinel/sentinel/httpapi/plainhead"
)

// roomForMore is how many headers a handler may well add to a request's.
const roomForMore = 4

// maxKeptTarget is how long a target may be that an idle connection keeps in mind.
const maxKeptTarget = 256

// parse reads the request at the start of buf, and returns it with the length of its
// head; without one if it is not plain, or not served here. It reports whether more of
// a head that may be plain is to come.
func (c *conn) parse(buf []byte) (r *http.Request, n int, more bool) {
	end := plainhead.End(buf)
	if end < 0 {
		return nil, 0, mayBePlain(buf)
	}
	text := buf[:end+len("\r\n")]
	var lines [plainhead.MaxFields]plainhead.Field
	method, target, at := parseRequestLine(text)
	if at == 0 {
		return nil, 0, false
	}
	fields, plain := plainhead.Parse(text, at, lines[:0])
	if !plain {
		return nil, 0, false
	}
	f, plain := framingOf(text, fields)
	if !plain {
		return nil, 0, false
	}
	if !c.locate(text[target.begin:target.end]) || !c.server.Takes(c.url.Path) {
		return nil, 0, false
	}
	if c.reusable == nil {
		c.reusable = &reusable{header: make(http.Header, len(fields)+roomForMore)}
	}
	p, all := c.reusable, string(text)
	p.values = plainhead.Fill(p.header, all, fields, p.values)
	r = c.newRequest(p)
	r.Method, r.RequestURI = all[method.begin:method.end], all[target.begin:target.end]
	r.Host, r.Close, r.ContentLength, r.Body = all[f.host.begin:f.host.end], f.closes, f.length, http.NoBody
	if f.length > 0 {
		p.body.conn, p.body.left, p.body.err = c, f.length, nil
		r.Body = &p.body
	}
	return r, end + len("\r\n\r\n"), false
}

// reusable is what a request is made of, but for its strings.
type reusable struct {
	request http.Request
	url     url.URL
	header  http.Header
	values  []string // of the header
	body    body
}

// forget lets go of all that the request said.
func (p *reusable) forget() {
	p.request, p.url = http.Request{}, url.URL{}
	clear(p.header)
	clear(p.values)
}

// locate reads a target into c.url, and reports whether it is one of this server's kind.
// Most requests of a connection have the same.
func (c *conn) locate(target []byte) bool {
	if string(target) == c.target {
		return true
	}
	text := string(target)
	u, err := url.ParseRequestURI(text)
	if err != nil || u.Host != "" {
		return false
	}
	c.target, c.url = text, *u
	return true
}

// newRequest returns a request with what all of the connection have.
func (c *conn) newRequest(p *reusable) *http.Request {
	if c.blank == nil {
		r := &http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: c.net.RemoteAddr().String()}
		c.blank = r.WithContext(c.ctx)
	}
	p.request, p.url = *c.blank, c.url
	p.request.URL, p.request.Header = &p.url, p.header
	if len(c.target) > maxKeptTarget {
		c.target, c.url = "", url.URL{}
	}
	return &p.request
}

// span is a place in a head.
type span struct{ begin, end int }

// parseRequestLine returns the places of the method and the target, and where the
// next line begins; 0: not plain.
func parseRequestLine(text []byte) (method, target span, next int) {
	const proto = " HTTP/1.1\r"
	eol := bytes.IndexByte(text, '\n') // there is one at the end
	line := text[:eol]
	if !bytes.HasSuffix(line, []byte(proto)) {
		return span{}, span{}, 0
	}
	line = line[:len(line)-len(proto)]
	blank := bytes.IndexByte(line, ' ')
	if blank < 0 || !isMethod(line[:blank]) || !isTarget(line[blank+1:]) {
		return span{}, span{}, 0
	}
	return span{0, blank}, span{blank + 1, len(line)}, eol + 1
}

// isMethod reports whether text is a method, and not CONNECT, which asks for
// something else than all others.
func isMethod(text []byte) bool {
	for _, b := range text {
		if b < 'A' || b > 'Z' {
			return false
		}
	}
	return len(text) > 0 && string(text) != http.MethodConnect
}

// isTarget reports whether text is a target in origin form (RFC 9112 section 3.2.1)
// that nobody could take for anything else.
func isTarget(text []byte) bool {
	if len(text) == 0 || text[0] != '/' || len(text) > 1 && text[1] == '/' {
		return false
	}
	for _, b := range text {
		if b <= ' ' || b >= 0x7f || b == '#' {
			return false
		}
	}
	return true
}

// mayBePlain reports whether the rest of a plain head may follow.
func mayBePlain(buf []byte) bool {
	if buf[0] < 'A' || buf[0] > 'Z' {
		return false
	}
	for i, b := range buf {
		switch {
		case b == '\n' && buf[i-1] != '\r':
			return false // the head may end here for others
		case b == '\r' && i+1 < len(buf) && buf[i+1] != '\n':
			return false
		}
	}
	first, _, whole := bytes.Cut(buf, []byte("\n"))
	if !whole {
		return true
	}
	_, _, next := parseRequestLine(buf[:len(first)+1])
	return next > 0
}

// framing is what a head says of the body, of the connection, and of where it goes.
type framing struct {
	host   span
	length int64
	closes bool
}

// framingOf reads the fields that say it, and whether that is plain: one host, at most
// one length, and nothing that asks for more than an answer.
func framingOf(text []byte, fields []plainhead.Field) (f framing, plain bool) {
	hosts, lengths, connections := 0, 0, 0
	for i := range fields {
		at := &fields[i]
		switch {
		case at.Is(text, "Host"):
			f.host.begin, f.host.end = at.Place()
			at.Skip = true
			hosts++
		case at.Is(text, "Content-Length"):
			f.length = plainhead.ParseLength(at.Value(text))
			lengths++
		case at.Is(text, "Connection"):
			f.closes = bytes.EqualFold(at.Value(text), []byte("close"))
			if !f.closes && !bytes.EqualFold(at.Value(text), []byte("keep-alive")) {
				return f, false
			}
			connections++
		case at.Is(text, "Transfer-Encoding"), at.Is(text, "Expect"), at.Is(text, "Upgrade"),
			at.Is(text, "Trailer"), at.Is(text, "Http2-Settings"):
			return f, false
		}
	}
	plain = hosts == 1 && lengths <= 1 && connections <= 1 && f.length >= 0 &&
		f.host.end > f.host.begin && httpguts.ValidHostHeader(string(text[f.host.begin:f.host.end]))
	return f, plain
}

// body is the body of a request, which has a length.
type body struct {
	conn *conn
	mu   sync.Mutex
	left int64
	err  error // for ever
}

// Read reads the next bytes; behind the last comes io.EOF, with them.
func (b *body) Read(buf []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(buf) == 0 {
		return 0, b.err
	}
	n, err := b.read(buf[:min(int64(len(buf)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		b.err = io.EOF
		b.conn.bodyEnded()
	case errors.Is(err, io.EOF):
		b.err = io.ErrUnexpectedEOF
		b.conn.cancel()
	case err != nil:
		b.err = err
		b.conn.cancel() // as net/http does: what follows on the connection is not to be understood
	}
	return n, b.err
}

func (b *body) read(buf []byte) (int, error) {
	in := b.conn.in
	if ahead := in.Bytes(); len(ahead) > 0 {
		n := copy(buf, ahead)
		in.Discard(n)
		return n, nil
	}
	return in.Read(buf)
}

// Close does nothing: what is left is the connection's to deal with.
func (*body) Close() error { return nil }

// isLeft reports whether there is more to come. A nil body is none.
func (b *body) isLeft() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left > 0
}

// maxDrainBytes is how much of a body that no handler wants is read for the
// connection's sake: as much as net/http does.
const maxDrainBytes = 256 << 10

// drain reads what is left, and reports whether that was all.
func (b *body) drain() bool {
	if b == nil {
		return true
	}
	if b.mu.Lock(); b.left >= maxDrainBytes {
		b.mu.Unlock()
		return false
	}
	b.mu.Unlock()
	_, err := io.Copy(io.Discard, b)
	return err == nil
}
