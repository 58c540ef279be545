package crashtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// marker is in the head and in the body of every answer of the upstream.
const marker = "answer-of-the-downstream"

// pairTimeout is how long an answer is held back for the other request.
const pairTimeout = 10 * time.Second

// upstream is the downstream of the binary under test. It answers 200 to every
// key. Keys that were given to pair are answered only when two requests with
// them are there, so that neither can have been refused because of the other's
// answer before.
type upstream struct {
	server   *http.Server
	listener net.Listener

	mu    sync.Mutex
	pairs map[string]*pair
	alone int // answers whose other request did not come
}

type pair struct {
	missing int
	full    chan struct{}
}

func startUpstream() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: l, pairs: make(map[string]*pair)}
	u.server = &http.Server{Handler: u, ReadHeaderTimeout: pairTimeout}
	go func() { _ = u.server.Serve(l) }() // returns when it is closed
	return u, nil
}

func (u *upstream) url() string { return "http://" + u.listener.Addr().String() }

func (u *upstream) close() error {
	if err := u.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (u *upstream) pair(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pairs[key] = &pair{missing: 2, full: make(chan struct{})}
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the client has gone
	}
	u.await(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Answer", marker)
	_, _ = io.WriteString(w, `{"object":"chat.completion","content":"`+marker+`"}`)
}

// await waits for the other request of a pair.
func (u *upstream) await(ctx context.Context, key string) {
	u.mu.Lock()
	p := u.pairs[key]
	if p != nil {
		if p.missing--; p.missing == 0 {
			close(p.full)
			delete(u.pairs, key)
		}
	}
	u.mu.Unlock()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pairTimeout)
	defer cancel()
	select {
	case <-p.full:
	case <-ctx.Done():
		u.mu.Lock()
		u.alone++
		u.mu.Unlock()
	}
}

func (u *upstream) lonely() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.alone
}
