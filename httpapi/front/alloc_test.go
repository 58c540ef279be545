//go:build !race

package front

import (
	"io"
	"net/http"
	"testing"
)

// script is a connection on which requests stand, and that takes every answer.
type script struct {
	nowhere
	text []byte
	left int // times to read it
}

func (s *script) Read(buf []byte) (int, error) {
	if s.left--; s.left < 0 {
		return 0, io.EOF
	}
	return copy(buf, s.text), nil
}

func (*script) Write(p []byte) (int, error) { return len(p), nil }
func (*script) Close() error                { return nil }

// TestAllocations holds what a request may cost in allocations.
func TestAllocations(t *testing.T) {
	get := request("GET", "/v1/models", "Authorization: Bearer x", "Accept: */*", "User-Agent: test")
	post := request("POST", "/v1/models", "Authorization: Bearer x", "Content-Type: a/b", "Content-Length: 5", "BODY hello")
	for name, test := range map[string]struct {
		text    string
		recycle bool
		most    float64
	}{
		// The request with its URL and body, its head as a string, the values of its
		// header, and the header's map of two parts.
		"without a body": {get, false, 5},
		"with a body":    {post, false, 5},
		// The head as a string.
		"recycled, without a body": {get, true, 1},
		"recycled, with a body":    {post, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{text: []byte(test.text), left: 1 << 30}
			c := newTestConn(s)
			buf, header := make([]byte, 100), []string{"2"}
			c.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = r.Body.Read(buf)
				if test.recycle {
					w.(interface{ Recycle() }).Recycle()
				}
				w.Header()["Content-Length"] = header
				w.Header()["Date"] = header
				_, _ = w.Write(buf[:2])
			})
			got := testing.AllocsPerRun(1000, func() {
				r, _ := c.next()
				if r == nil || !c.exchange(r) || !c.become(busy, idle) {
					t.Fatal("the connection has ended")
				}
			})
			if got > test.most {
				t.Errorf("%v allocations for each request, want at most %v", got, test.most)
			}
		})
	}
}
