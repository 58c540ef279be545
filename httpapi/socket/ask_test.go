//go:build unix

package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair returns both ends of a connection.
func pair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	ours, err = net.Dial("tcp", l.Addr().String())
	must(t, err)
	theirs, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return ours, theirs
}

func TestAsk(t *testing.T) {
	ours, theirs := pair(t)
	isSent := make(chan struct{})
	answered := make(chan error, 1)
	go func() {
		got := make([]byte, len("ping"))
		_, err := io.ReadFull(theirs, got)
		<-isSent // is told before the answer has come
		_, answer := theirs.Write(bytes.ToUpper(got))
		answered <- errors.Join(err, answer)
	}()
	r := socket.NewReader(ours)
	out := []byte("ping")
	sent := func() { clear(out); close(isSent) }
	if n := r.Ask(out, sent); n != len(out) || string(r.Bytes()) != "PING" {
		t.Errorf("wrote %d bytes, and got %q", n, r.Bytes())
	}
	must(t, <-answered)
	if got := r.Bytes(); len(got) != 4 || r.Need(4) != nil {
		t.Errorf("there is %q", got)
	}
}

// TestAskMoreThanThereIsRoomFor has the rest written by hand, which the other side only
// reads then.
func TestAskMoreThanThereIsRoomFor(t *testing.T) {
	ours, theirs := pair(t)
	out := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	r := socket.NewReader(ours)
	n := r.Ask(out, func() { t.Error("all is said to be out") })
	if n == 0 || n == len(out) || len(r.Bytes()) > 0 {
		t.Fatalf("wrote %d bytes of %d, and got %q", n, len(out), r.Bytes())
	}
	came := make(chan []byte, 1)
	go func() {
		got, err := io.ReadAll(theirs)
		if err != nil {
			t.Error(err)
		}
		came <- got
	}()
	_, err := ours.Write(out[n:])
	must(t, errors.Join(err, ours.Close()))
	if got := <-came; !bytes.Equal(got, out) {
		t.Errorf("%d bytes came, not the %d that were sent", len(got), len(out))
	}
}

func TestAskWithoutAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(ours, theirs net.Conn) error
		want error
	}{
		"they close":         {func(_, theirs net.Conn) error { return theirs.Close() }, io.EOF},
		"somebody else does": {func(ours, _ net.Conn) error { return ours.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t)
			ended := make(chan error, 1)
			go func() {
				_, err := io.ReadFull(theirs, make([]byte, 4))
				ended <- errors.Join(err, c.end(ours, theirs))
			}()
			r := socket.NewReader(ours)
			if n := r.Ask([]byte("ping"), func() {}); n != 4 || len(r.Bytes()) > 0 {
				t.Errorf("wrote %d bytes, and got %q", n, r.Bytes())
			}
			must(t, <-ended)
			for range 2 {
				if err := r.Fill(); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
		})
	}
}

func TestAskOnAClosedConnection(t *testing.T) {
	ours, _ := pair(t)
	must(t, ours.Close())
	if n := socket.NewReader(ours).Ask([]byte("ping"), func() { t.Error("all is said to be out") }); n != 0 {
		t.Errorf("wrote %d bytes", n)
	}
}
