package demo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/demo"
)

// careless is no Sentinel: it lets everything through.
type careless struct {
	asked   demo.Sentinel
	stopped bool
}

func (c *careless) start(_ context.Context, want demo.Sentinel) (string, func() error, error) {
	c.asked = want
	listener, err := net.Listen("tcp", want.Listen)
	if err != nil {
		return "", nil, err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(want.Downstream) }}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	stop := func() error {
		c.stopped = true
		if err := server.Close(); err != nil {
			return err
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	return listener.Addr().String(), stop, nil
}

func TestRunReportsWhatIsNotAsExpected(t *testing.T) {
	var sentinel careless
	var out bytes.Buffer
	err := demo.Run(t.Context(), demo.Options{Start: sentinel.start, Out: &out, Listen: "127.0.0.1:0", Once: true})
	if err == nil || err.Error() != "demo: 5 of 11 checks did not go as expected" {
		t.Errorf("got error %v, want 5 of 11 checks: four refusals and the gateway's count", err)
	}
	if got := strings.Count(out.String(), "UNEXPECTED"); got != 5 {
		t.Errorf("got %d marks, want 5:\n%s", got, out.String())
	}
	if !sentinel.stopped {
		t.Error("Sentinel still runs")
	}
	if _, err := os.Stat(sentinel.asked.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("data directory: got %v, want it gone", err)
	}
}

func TestRunTakesAnotherPortIfTheWantedOneIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	var sentinel careless
	var out bytes.Buffer
	_ = demo.Run(t.Context(), demo.Options{Start: sentinel.start, Out: &out, Listen: taken.Addr().String(), Once: true})
	if sentinel.asked.Listen != "127.0.0.1:0" || !strings.Contains(out.String(), taken.Addr().String()+" cannot be used") {
		t.Errorf("got %s, want another port and a word about it:\n%s", sentinel.asked.Listen, out.String())
	}
}

func TestRunRefusesAddressesThatCannotBe(t *testing.T) {
	for _, listen := range []string{"7000", "127.0.0.1", "192.0.2.1:0", "127.0.0.1:http:x"} {
		var sentinel careless
		err := demo.Run(t.Context(), demo.Options{Start: sentinel.start, Out: io.Discard, Listen: listen, Once: true})
		if err == nil || sentinel.asked.Downstream != nil {
			t.Errorf("%q: got error %v, want one, and no start", listen, err)
		}
	}
}

func TestRunReturnsTheErrorOfTheStart(t *testing.T) {
	broken := errors.New("broken")
	start := func(context.Context, demo.Sentinel) (string, func() error, error) { return "", nil, broken }
	err := demo.Run(t.Context(), demo.Options{Start: start, Out: io.Discard, Listen: "127.0.0.1:0"})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// closing is an output that fails after so many writes, as a pipe into head does.
type closing struct{ left int }

var errClosed = errors.New("closed")

func (c *closing) Write(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errClosed
	}
	c.left--
	return len(p), nil
}

func TestRunEndsWhenItsOutputDoes(t *testing.T) {
	for _, writes := range []int{0, 5, 10, 15, 25} {
		var sentinel careless
		err := demo.Run(t.Context(), demo.Options{Start: sentinel.start, Out: &closing{writes}, Listen: "127.0.0.1:0", Once: true})
		if !errors.Is(err, errClosed) {
			t.Errorf("after %d writes: got %v, want the error of the output", writes, err)
		}
		if _, err := os.Stat(sentinel.asked.DataDir); !errors.Is(err, os.ErrNotExist) || !sentinel.stopped {
			t.Errorf("after %d writes: stopped %v, data directory %v, want both gone", writes, sentinel.stopped, err)
		}
	}
}
