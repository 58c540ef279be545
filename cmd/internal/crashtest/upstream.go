package crashtest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/upstream"
)

// marker is in the head and in the body of every answer of the upstream.
const marker = "answer-of-the-downstream"

// pairTimeout is how long an answer is held back for the other request.
const pairTimeout = 10 * time.Second

// downstream is that of the binary under test. It answers 200 to every
// key. Keys that were given to pair are answered only when two requests with
// them are there, so that neither can have been refused because of the other's
// answer before.
type downstream struct {
	*upstream.Server

	mu    sync.Mutex
	pairs map[string]*pair
	alone int // answers whose other request did not come
}

type pair struct {
	missing int
	full    chan struct{}
}

func startDownstream() (d *downstream, err error) {
	d = &downstream{pairs: make(map[string]*pair)}
	d.Server, err = upstream.Start(d)
	return d, err
}

func (d *downstream) pair(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pairs[key] = &pair{missing: 2, full: make(chan struct{})}
}

func (d *downstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the client has gone
	}
	d.await(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Answer", marker)
	_, _ = io.WriteString(w, `{"object":"chat.completion","content":"`+marker+`"}`)
}

// await waits for the other request of a pair.
func (d *downstream) await(ctx context.Context, key string) {
	d.mu.Lock()
	p := d.pairs[key]
	if p != nil {
		if p.missing--; p.missing == 0 {
			close(p.full)
			delete(d.pairs, key)
		}
	}
	d.mu.Unlock()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pairTimeout)
	defer cancel()
	select {
	case <-p.full:
	case <-ctx.Done():
		d.mu.Lock()
		d.alone++
		d.mu.Unlock()
	}
}

func (d *downstream) lonely() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alone
}
