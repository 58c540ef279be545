package downstream_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/httpapi/downstream"
)

const patience = 20 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// script is what a downstream does with one connection, the n-th from 0.
type script func(n int, conn net.Conn, in *bufio.Reader)

// site is a scripted downstream with a transport to it.
type site struct {
	t         *testing.T
	transport *downstream.Transport
	address   string

	mu       sync.Mutex
	accepted int
}

func newSite(t *testing.T, opts downstream.Options, do script) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &site{t: t, address: l.Addr().String()}
	var serving sync.WaitGroup
	var conns sync.Map
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(conn, true)
			s.mu.Lock()
			n := s.accepted
			s.accepted++
			s.mu.Unlock()
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				do(n, conn, bufio.NewReader(conn))
			})
		}
	})
	opts.Address = s.address
	if opts.MaxIdle == 0 {
		opts.MaxIdle = 100
	}
	s.transport, err = downstream.New(opts)
	must(t, err)
	t.Cleanup(func() {
		s.transport.CloseIdleConnections()
		_ = l.Close()
		conns.Range(func(conn, _ any) bool { _ = conn.(net.Conn).Close(); return true })
		serving.Wait()
	})
	return s
}

func (s *site) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *site) request(method, path string, body io.Reader) *http.Request {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.address+path, body)
	must(s.t, err)
	return r
}

// call returns a request as a call, and the context of it cancels that.
func call(r *http.Request) *downstream.Call {
	c := &downstream.Call{
		Method: r.Method, Target: r.URL.RequestURI(), Host: r.Host, Header: r.Header, Length: r.ContentLength,
	}
	if r.Body != nil && r.Body != http.NoBody {
		c.Body = r.Body
	}
	context.AfterFunc(r.Context(), c.Cancel)
	return c
}

// send returns the answer with its body read.
func (s *site) send(r *http.Request) (*http.Response, string, error) { return s.sendCall(r, call(r)) }

func (s *site) sendCall(r *http.Request, c *downstream.Call) (*http.Response, string, error) {
	if err := s.transport.Do(r.Context(), c); err != nil {
		return nil, "", err
	}
	defer func() { _ = c.Close() }()
	body, err := io.ReadAll(c)
	return &c.Answer, string(body), err
}

func (s *site) want(r *http.Request, status int, body string) {
	s.t.Helper()
	res, got, err := s.send(r)
	must(s.t, err)
	if res.StatusCode != status || got != body {
		s.t.Errorf("%s: got %d %q, want %d %q", r.Method, res.StatusCode, got, status, body)
	}
}

// read reads one request with its body.
func read(in *bufio.Reader) (*http.Request, string, bool) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil, "", false
	}
	body, err := io.ReadAll(r.Body)
	return r, string(body), err == nil
}

// answering answers each request of every connection with the same bytes.
func answering(answer string) script {
	return func(_ int, conn net.Conn, in *bufio.Reader) {
		for {
			if _, _, ok := read(in); !ok {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// waitClosed returns once the downstream sees its connection closed.
func waitClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	if _, err := io.Copy(io.Discard, conn); err != nil && isTimeout(err) {
		t.Error("the connection was not closed")
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func lines(parts ...string) string { return strings.Join(parts, "\r\n") }
