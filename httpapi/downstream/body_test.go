package downstream_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

// failingBody gives some bytes and then fails.
type failingBody struct {
	bytes io.Reader
	err   error
}

func (b failingBody) Read(buf []byte) (int, error) {
	n, err := b.bytes.Read(buf)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

// A body that breaks off must not look complete to the downstream, and the
// caller learns why.
func TestBodiesThatBreakOff(t *testing.T) {
	broken := errors.New("the client is gone")
	for name, test := range map[string]struct {
		body   io.Reader
		length int64
		want   error
	}{
		"of known length":   {failingBody{strings.NewReader("part"), broken}, 100, broken},
		"of unknown length": {failingBody{strings.NewReader("part"), broken}, -1, broken},
		"too short":         {strings.NewReader("part"), 100, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			complete := make(chan bool, 1)
			s := newSite(t, downstream.Options{}, func(_ int, _ net.Conn, in *bufio.Reader) {
				_, _, ok := read(in)
				complete <- ok
			})
			r := s.request("POST", "/", test.body)
			r.ContentLength = test.length
			if _, _, err := s.send(r); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if <-complete {
				t.Error("the downstream took the body for a whole one")
			}
		})
	}
}

// What follows the declared length would be read as another request.
func TestNoByteGoesBeyondTheLength(t *testing.T) {
	seen := make(chan int, 1)
	s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
		n := 0
		for {
			if _, _, ok := read(in); !ok {
				seen <- n
				return
			}
			n++
			_, _ = io.WriteString(conn, okAnswer)
		}
	})
	r := s.request("POST", "/", io.MultiReader(strings.NewReader("ab"), strings.NewReader("GET / HTTP/1.1\r\nHost: h\r\n\r\n")))
	r.ContentLength = 2
	_, _, err := s.send(r)
	if n := <-seen; n > 1 {
		t.Errorf("the downstream saw %d requests (%v)", n, err)
	}
}

// The answer may begin, and end, before the body of the request does.
func TestEarlyAnswers(t *testing.T) {
	s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, okAnswer)
			_, _ = io.Copy(io.Discard, r.Body)
		}
	})
	for range 50 {
		body, w := io.Pipe()
		s.want(s.request("POST", "/", body), 200, "ok")
		_, err := io.WriteString(w, "what nobody waited for")
		must(t, err)
		must(t, w.Close())
		s.want(s.request("GET", "/", nil), 200, "ok")
	}
}

// A downstream that answers and closes without reading the body is heard.
func TestAnswersOfWhoDoesNotRead(t *testing.T) {
	s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
		_, _ = http.ReadRequest(in)
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	})
	s.want(s.request("POST", "/", strings.NewReader(strings.Repeat("x", 10<<20))), 413, "no")
}
