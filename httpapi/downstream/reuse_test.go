package downstream_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

// A connection serves one request after the other, whether the body or the
// answer ends last.
func TestConnectionsAreUsedAgain(t *testing.T) {
	s := newSite(t, downstream.Options{}, answering(okAnswer))
	for range 200 {
		s.want(s.request("GET", "/", nil), 200, "ok")
		s.want(s.request("POST", "/", strings.NewReader("body")), 200, "ok")
		s.want(s.request("POST", "/", io.MultiReader(strings.NewReader("of unknown "), strings.NewReader("length"))), 200, "ok")
	}
	// A body of the request may be noted as sent a moment after the next request
	// has looked for a connection.
	if n := s.connections(); n > 20 {
		t.Errorf("600 requests took %d connections, want hardly more than 1", n)
	}
}

// Heads and chunks come in pieces of any size.
func TestAnswersInPieces(t *testing.T) {
	for name, answer := range map[string]string{
		"length": lines("HTTP/1.1 200 OK", "X-Long: "+strings.Repeat("x", 3000), "Content-Length: 2", "", "ok"),
		"chunks": lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "1", "o", "1;x=y", "k", "0", "", ""),
		"hints":  lines("HTTP/1.1 103 Early Hints", "Link: x", "", "HTTP/1.1 200 OK", "Content-Length: 2", "", "ok"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
				for {
					if _, _, ok := read(in); !ok {
						return
					}
					for piece := range strings.SplitSeq(answer, "") {
						_, _ = io.WriteString(conn, piece)
					}
				}
			})
			for range 10 {
				s.want(s.request("GET", "/", nil), 200, "ok")
			}
			if n := s.connections(); n != 1 {
				t.Errorf("got %d connections, want 1", n)
			}
		})
	}
}

// What leaves any doubt ends the connection.
func TestConnectionsInDoubtAreClosed(t *testing.T) {
	tests := map[string]struct{ answer, body string }{
		"close":               {lines("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 2", "", "ok"), "ok"},
		"bytes behind":        {okAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "ok"},
		"bytes behind a 204":  {"HTTP/1.1 204 No Content\r\n\r\nsurplus", ""},
		"bytes behind a 304":  {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\nsurplus", ""},
		"HTTP/1.0":            {lines("HTTP/1.0 200 OK", "Content-Length: 2", "", "ok"), "ok"},
		"length and chunks":   {lines("HTTP/1.1 200 OK", "Content-Length: 3", "Transfer-Encoding: chunked", "", "2", "ok", "0", "", "x"), "ok"},
		"lengths alike":       {lines("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: 2", "", "ok"), "ok"},
		"chunks and length":   {lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Length: 2", "", "2", "ok", "0", "", ""), "ok"},
		"bare line feeds":     {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok"},
		"folded line":         {lines("HTTP/1.1 200 OK", "X: a", " b", "Content-Length: 2", "", "ok"), "ok"},
		"head of its own":     {lines("HTTP/1.1 200 OK", "X: "+strings.Repeat("x", 5000), "Content-Length: 2", "", "ok"), "ok"},
		"bytes behind chunks": {lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "2", "ok", "0", "", "x"), "ok"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{})
			s := newSite(t, downstream.Options{}, func(n int, conn net.Conn, in *bufio.Reader) {
				if _, _, ok := read(in); !ok {
					return
				}
				if n > 0 {
					_, _ = io.WriteString(conn, okAnswer)
					return
				}
				_, _ = io.WriteString(conn, test.answer)
				waitClosed(t, conn)
				close(closed)
			})
			_, got, err := s.send(s.request("GET", "/", nil))
			if err != nil || got != test.body {
				t.Errorf("got %q, %v, want %q", got, err, test.body)
			}
			select { // by the transport, or when the next request finds it not quiet
			case <-closed:
			default:
				s.want(s.request("GET", "/", nil), 200, "ok")
				<-closed
			}
		})
	}
}

// A body that is not read to its end takes its connection along.
func TestUnreadBodiesCloseTheConnection(t *testing.T) {
	closed := make(chan struct{})
	s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
		_, _, _ = read(in)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst")
		waitClosed(t, conn)
		close(closed)
	})
	c := call(s.request("GET", "/", nil))
	must(t, s.transport.Do(t.Context(), c))
	_, err := io.ReadFull(c, make([]byte, 5))
	must(t, err)
	must(t, c.Close())
	<-closed
}

// The downstream closes a connection that waits: nobody notices.
func TestAConnectionThatWasClosedMeanwhileIsNotUsed(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			closed := make(chan struct{}, 1)
			s := newSite(t, downstream.Options{}, func(n int, conn net.Conn, in *bufio.Reader) {
				if _, _, ok := read(in); !ok {
					return
				}
				_, _ = io.WriteString(conn, okAnswer)
				if n == 0 {
					_ = conn.Close()
					closed <- struct{}{}
				}
			})
			s.want(s.request("GET", "/", nil), 200, "ok")
			<-closed
			s.want(s.request(method, "/", strings.NewReader("body")), 200, "ok")
		})
	}
}

// The downstream closes a connection just as a request comes: RFC 9110 section
// 9.2.2 says which may be sent again.
func TestOnlyRepeatableRequestsAreSentAgain(t *testing.T) {
	tests := []struct {
		method, body string
		again        bool
	}{
		{"GET", "", true}, {"HEAD", "", true}, {"OPTIONS", "", true}, {"DELETE", "", true},
		{"POST", "body", false}, {"POST", "", false}, {"PATCH", "", false}, {"PUT", "body", false},
	}
	for _, test := range tests {
		t.Run(test.method+test.body, func(t *testing.T) {
			var mu sync.Mutex
			seen := 0
			s := newSite(t, downstream.Options{}, func(n int, conn net.Conn, in *bufio.Reader) {
				for i := 0; ; i++ {
					r, _, ok := read(in)
					if !ok {
						return
					}
					if r.URL.Path == "/second" {
						mu.Lock()
						seen++
						mu.Unlock()
						if n == 0 {
							return // without an answer
						}
					}
					answer := okAnswer
					if r.Method == "HEAD" {
						answer = strings.TrimSuffix(answer, "ok")
					}
					_, _ = io.WriteString(conn, answer)
				}
			})
			s.want(s.request("GET", "/first", nil), 200, "ok")
			var body io.Reader
			if test.body != "" {
				body = strings.NewReader(test.body)
			}
			_, _, err := s.send(s.request(test.method, "/second", body))
			mu.Lock()
			defer mu.Unlock()
			if want := map[bool]int{true: 2, false: 1}[test.again]; (err == nil) != test.again || seen != want {
				t.Errorf("got %v after %d times, want sent again: %v", err, seen, test.again)
			}
		})
	}
}

// A new connection that ends without an answer is no reason for another one.
func TestANewConnectionIsTriedOnce(t *testing.T) {
	s := newSite(t, downstream.Options{}, func(_ int, _ net.Conn, in *bufio.Reader) { _, _, _ = read(in) })
	if _, _, err := s.send(s.request("GET", "/", nil)); err == nil {
		t.Error("got no error")
	}
	if n := s.connections(); n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
}

// An answer that has begun is not asked for again.
func TestABrokenAnswerIsNotAskedForAgain(t *testing.T) {
	s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
		for i := 0; i < 2; i++ {
			if _, _, ok := read(in); !ok {
				return
			}
			if i == 0 {
				_, _ = io.WriteString(conn, okAnswer)
			} else {
				_, _ = io.WriteString(conn, "HTTP/1.1 200")
			}
		}
	})
	s.want(s.request("GET", "/", nil), 200, "ok")
	if _, _, err := s.send(s.request("GET", "/", nil)); err == nil {
		t.Error("got no error")
	}
	if n := s.connections(); n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
}

// Many at once, with bodies of all kinds: each gets its own answer.
func TestAnswersBelongToTheirRequests(t *testing.T) {
	s := newSite(t, downstream.Options{MaxIdle: 16}, func(_ int, conn net.Conn, in *bufio.Reader) {
		for {
			r, body, ok := read(in)
			if !ok {
				return
			}
			answer := r.URL.Path + " " + body
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		}
	})
	var workers sync.WaitGroup
	for worker := range 32 {
		workers.Go(func() {
			for i := range 100 {
				path := fmt.Sprintf("/%d/%d", worker, i)
				text := strings.Repeat(path, i*i)
				r := s.request("POST", path, strings.NewReader(text))
				if i%3 == 0 {
					r = s.request("POST", path, io.MultiReader(strings.NewReader(text)))
				}
				_, got, err := s.send(r)
				if err != nil || got != path+" "+text {
					t.Errorf("%s: got %d bytes, %v", path, len(got), err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// What has waited for too long goes.
func TestIdleConnectionsAge(t *testing.T) {
	s := newSite(t, downstream.Options{IdleAge: time.Millisecond}, answering(okAnswer))
	s.want(s.request("GET", "/", nil), 200, "ok")
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.want(s.request("GET", "/", nil), 200, "ok")
		if s.connections() > 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the connection never grew too old")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// After CloseIdleConnections nothing waits any more.
func TestCloseIdleConnections(t *testing.T) {
	closed := make(chan struct{}, 2)
	s := newSite(t, downstream.Options{}, func(_ int, conn net.Conn, in *bufio.Reader) {
		if _, _, ok := read(in); !ok {
			return
		}
		_, _ = io.WriteString(conn, okAnswer)
		waitClosed(t, conn)
		closed <- struct{}{}
	})
	s.want(s.request("GET", "/", nil), 200, "ok")
	s.transport.CloseIdleConnections()
	<-closed
	s.want(s.request("GET", "/", nil), 200, "ok")
	<-closed
}
