package downstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"testing"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"
)

// script is a connection on which an answer stands, in pieces of one size.
type script struct {
	net.Conn
	rest  []byte
	piece int
}

func (s *script) Read(buf []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(buf, s.rest[:min(len(s.rest), s.piece)])
	s.rest = s.rest[n:]
	return n, nil
}

func (*script) Close() error { return nil }

// understood is what an answer means.
type understood struct {
	status  int
	header  http.Header
	length  int64
	closes  bool
	body    string
	trailer http.Header
	rest    int // bytes behind it
}

// byNetHTTP reads an answer as net/http does.
func byNetHTTP(answer []byte, method string) (understood, error) {
	r := bufio.NewReaderSize(bytes.NewReader(answer), len(answer)+16)
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return understood{}, err
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return understood{}, errUnasked
		}
		body, err := io.ReadAll(res.Body)
		if res.StatusCode >= 100 && res.StatusCode < 200 {
			continue
		}
		return understood{res.StatusCode, res.Header, res.ContentLength, res.Close, string(body), res.Trailer, r.Buffered()}, err
	}
}

// byCall reads it as a call does.
func byCall(answer []byte, method string, piece int) (understood, error) {
	pc := newConn(&script{rest: answer, piece: piece}, &Transport{})
	c := &Call{Method: method, conn: pc}
	if err := c.readHead(pc); err != nil {
		return understood{}, err
	}
	u := understood{status: c.Answer.StatusCode, header: maps.Clone(c.Answer.Header), length: c.Answer.ContentLength, closes: c.Answer.Close}
	var err error
	for {
		var next []byte
		if next, err = c.next(pc.read); err != nil {
			break
		}
		u.body += string(next)
	}
	u.rest = len(pc.read.Bytes()) + len(pc.net.(*script).rest)
	u.trailer = c.chunks.trailer
	if c.general != nil {
		u.trailer, u.rest = c.general.Trailer, -1 // it has read ahead, and the connection is closed
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return u, err
}

// FuzzAnswer holds the reading of answers against net/http's: what is taken here
// is taken there, and the other way round, and in the same meaning.
func FuzzAnswer(f *testing.F) {
	for _, answer := range seeds {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			f.Add([]byte(answer), method, uint16(4096))
		}
		f.Add([]byte(answer), "GET", uint16(1))
		f.Add([]byte(answer), "GET", uint16(7))
	}
	f.Fuzz(func(t *testing.T, answer []byte, method string, piece uint16) {
		if len(answer) > socket.BufferBytes {
			t.Skip("the buffer limits lines and trailers")
		}
		want, wantErr := byNetHTTP(answer, method)
		got, gotErr := byCall(answer, method, int(piece)+1)
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("got error %v, net/http %v", gotErr, wantErr)
		}
		if wantErr != nil && want.status == 0 { // no head
			return
		}
		if len(want.trailer)+len(got.trailer) == 0 {
			want.trailer = got.trailer // nil or empty: none
		}
		if !want.closes {
			got.closes = false // what is not plain closes the connection here
		}
		if got.rest < 0 {
			want.rest = got.rest
		}
		if wantErr != nil { // the answer is broken off, here or there
			got.body, got.rest = want.body, want.rest
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
	})
}

var seeds = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 200\r\ncontent-length:2 \r\nx-a:\t b \r\nX-A: c\r\nconnection: close\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;a=b\r\n!\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\nX-More: 1\r\n\r\nrest",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 00000000000000000000000002\r\n\r\nok",
	"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\nok",
	"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
	"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
	"HTTP/1.1 200 OK\r\n\r\nuntil it closes",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nX\x00: a\x01\rb\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nConnection: close, keep-alive\r\nConnection: X\r\nX: y\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 2000 Odd\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"220 mail.example ready\r\n",
}
