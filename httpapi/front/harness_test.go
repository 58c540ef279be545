package front

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds a wait for something that must happen.
const patience = 20 * time.Second

// logged is what a server has to say.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// site is a server on a real socket.
type site struct {
	*Server
	addr string
	log  *logged
}

func serve(t *testing.T, h http.Handler, change ...func(*Server)) *site {
	t.Helper()
	l := new(logged)
	s := &Server{
		Server: &http.Server{Handler: h, ErrorLog: log.New(l, "", 0), ReadHeaderTimeout: patience, IdleTimeout: patience},
		Takes:  func(path string) bool { return !strings.HasPrefix(path, "/admin") },
	}
	for _, c := range change {
		c(s)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving ended with %v, want %v", err, http.ErrServerClosed)
		}
	})
	return &site{s, listener.Addr().String(), l}
}

// netHTTPOnly has a server serve nothing itself.
func netHTTPOnly(s *Server) { s.Takes = nil }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v", what, patience)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *site) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	return c.(*net.TCPConn)
}

// byNetHTTP reports which of the two serves a request.
func byNetHTTP(r *http.Request) bool { return r.Context().Value(http.ServerContextKey) != nil }

// parts answers in all the ways that a handler has. It holds no request.
func parts(w http.ResponseWriter, r *http.Request) {
	if w, ok := w.(interface{ Recycle() }); ok {
		w.Recycle()
	}
	h := w.Header()
	h["Content-Type"] = nil // one of the two would guess
	h["Date"] = []string{"today"}
	control := http.NewResponseController(w)
	size, _ := strconv.Atoi(r.URL.Query().Get("size"))
	text := strings.Repeat("0123456789abcdef", size/16+1)[:size]
	switch r.URL.Path {
	case "/length":
		h.Set("Content-Length", strconv.Itoa(size))
		_, _ = io.WriteString(w, text)
	case "/short":
		h.Set("Content-Length", strconv.Itoa(size+1))
		_, _ = io.WriteString(w, text)
	case "/long":
		h.Set("Content-Length", strconv.Itoa(size-1))
		n, err := io.WriteString(w, text)
		if err == nil {
			panic("a body longer than its length was taken: " + strconv.Itoa(n))
		}
	case "/pieces":
		for len(text) > 0 {
			n := min(len(text), 700)
			_, _ = io.WriteString(w, text[:n])
			text = text[n:]
		}
	case "/stream":
		for _, piece := range []string{"one", "", "two", text} {
			_, _ = io.WriteString(w, piece)
			_ = control.Flush()
		}
	case "/trailers":
		h.Set("Trailer", "X-Sum, X-Missing")
		_, _ = io.WriteString(w, text)
		h.Set("X-Sum", "1")
		h.Set(http.TrailerPrefix+"X-Late", "2")
	case "/early":
		_ = control.EnableFullDuplex()
		h.Set("Connection", "close")
		_, _ = io.WriteString(w, text)
	case "/hints":
		h.Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, text)
	case "/status":
		h.Set("Content-Length", "3")
		w.WriteHeader(size)
		_, _ = io.WriteString(w, "abc")
	case "/odd":
		h["bad name"] = []string{"x"}
		h["X-Break"] = []string{"a\r\nX-Injected: b", " blanks "}
		_, _ = io.WriteString(w, text)
	case "/abort":
		_, _ = io.WriteString(w, text)
		_ = control.Flush()
		panic(http.ErrAbortHandler)
	case "/nothing":
	case "/close":
		h.Set("Connection", "close")
	default:
		body, err := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Host+" "+string(body))
		_ = r.Header.Write(w)
		if err != nil {
			_, _ = io.WriteString(w, " "+err.Error())
		}
	}
}

// answers sends text and returns everything that comes back until the server closes,
// or has answered so many requests.
func (s *site) answers(t *testing.T, text string, piece int, methods ...string) []answered {
	t.Helper()
	c := s.dial(t)
	go func() {
		for rest := text; rest != ""; {
			n := min(len(rest), piece)
			if _, err := io.WriteString(c, rest[:n]); err != nil {
				return // it need not listen to all of it
			}
			rest = rest[n:]
		}
	}()
	r := bufio.NewReader(c)
	var all []answered
	for _, method := range methods {
		for {
			a, err := readAnswer(r, method)
			if err != nil {
				return append(all, answered{failed: true})
			}
			if a.status == http.StatusBadRequest && a.closes {
				a.failed = false // it ends with a reset where more was on its way
			}
			all = append(all, a)
			if a.failed || a.closes {
				return all
			}
			if a.status >= http.StatusOK {
				break
			}
		}
	}
	return all
}

// answered is what an answer means to a client.
type answered struct {
	status  int
	header  string
	body    string
	trailer string
	length  string
	chunked bool
	closes  bool
	failed  bool // it breaks off
}

func readAnswer(r *bufio.Reader, method string) (answered, error) {
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	var header, trailer strings.Builder
	_ = res.Header.Write(&header)
	_ = res.Trailer.Write(&trailer)
	return answered{
		status: res.StatusCode, header: header.String(), body: string(body), trailer: trailer.String(), length: strconv.FormatInt(res.ContentLength, 10),
		chunked: len(res.TransferEncoding) > 0, closes: res.Close, failed: err != nil,
	}, nil
}

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
