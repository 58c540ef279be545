package front

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"reflect"
	"testing"

	"golang.org/x/net/http/httpguts"
)

// nowhere is a connection without another side.
type nowhere struct{ net.Conn }

func (nowhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func newTestConn(nc net.Conn) *conn {
	s := &Server{Server: new(http.Server), Takes: func(string) bool { return true }}
	return newConn(context.Background(), s, nc, nil)
}

// byNetHTTP1 reads a request as net/http's server does.
func byNetHTTP1(text []byte) (r *http.Request, rest int, err error) {
	b := bufio.NewReaderSize(bytes.NewReader(text), len(text)+16)
	if r, err = http.ReadRequest(b); err != nil {
		return nil, 0, err
	}
	if !httpguts.ValidHostHeader(r.Host) {
		return nil, 0, errors.New("bad host")
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, 0, errors.New("bad name")
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, 0, errors.New("bad value")
			}
		}
	}
	return r, b.Buffered(), nil
}

// FuzzRequest holds that what is read here, net/http reads too, and in the same
// meaning; and that nothing is waited for that net/http would not wait for.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		request("GET", "/v1/models", "Authorization: Bearer x"),
		request("POST", "/v1/chat?a=b%20c", "content-length: 5", "Connection: close", "BODY hello"),
		request("POST", "/a%2fb", "Content-Length: 5", "Connection: keep-alive", "Pragma: no-cache", "BODY hello"),
		"GET /a HTTP/1.1\r\nhOST: [::1]:80\r\nX:\r\nX: \t \r\nx: y \r\n\r\nGET /b HTTP/1.1\r\n",
		"GET /a HTTP/1.1\nHost: h\n\n", "GET /a?b#c HTTP/1.1\r\nHost: h\r\n\r\n", "GET //a HTTP/1.1\r\nHost: h\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\n X: y\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\nCookie: a\x80b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\n", "GET /a;b=%41?%zz HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 {
			return
		}
		c := newTestConn(nowhere{})
		got, n, more := c.parse(text)
		want, rest, err := byNetHTTP1(text)
		switch {
		case more && err == nil:
			t.Fatalf("more is waited for behind %q, which is a request", text)
		case got == nil:
			return
		case err != nil:
			t.Fatalf("net/http refuses %q: %v", text, err)
		case len(text)-n != rest:
			t.Fatalf("head of %q: %d bytes, to net/http %d", text, n, len(text)-rest)
		}
		if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || got.ContentLength != want.ContentLength ||
			got.Close != want.Close || got.Proto != want.Proto || got.ProtoMajor != want.ProtoMajor || got.ProtoMinor != want.ProtoMinor ||
			!reflect.DeepEqual(got.URL, want.URL) || !reflect.DeepEqual(got.Header, want.Header) || (got.Body == http.NoBody) != (want.Body == http.NoBody) {
			t.Fatalf("%q\n got %+v\nwant %+v", text, got, want)
		}
		if len(want.Trailer) > 0 || len(want.TransferEncoding) > 0 {
			t.Fatalf("%q has trailers or chunks", text)
		}
	})
}
