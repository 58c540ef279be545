package proxy

import (
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// idleWatch ends an exchange on which no byte moves. Moving a byte costs one
// store; the timer looks at it when it would be due.
type idleWatch struct {
	limit time.Duration
	end   func()
	begun time.Time
	moved atomic.Int64 // nanoseconds since begun, of the last byte
	timer *time.Timer

	mu      sync.Mutex
	stopped bool
	expired bool
}

// watchIdle calls end once no byte has moved for limit, unless stopped.
func watchIdle(limit time.Duration, end func()) *idleWatch {
	iw := &idleWatch{limit: limit, end: end, begun: time.Now()}
	iw.timer = time.AfterFunc(math.MaxInt64, iw.look)
	iw.timer.Reset(limit)
	return iw
}

func (iw *idleWatch) look() {
	iw.mu.Lock()
	defer iw.mu.Unlock()
	left := iw.limit - (time.Since(iw.begun) - time.Duration(iw.moved.Load()))
	switch {
	case iw.stopped:
	case left > 0:
		iw.timer.Reset(left)
	default:
		iw.expired = true
		iw.end()
	}
}

// stop ends the watch: end is not running, and will not be called, once it has
// returned.
func (iw *idleWatch) stop() {
	iw.timer.Stop()
	iw.mu.Lock()
	defer iw.mu.Unlock()
	iw.stopped = true
}

func (iw *idleWatch) hasExpired() bool {
	iw.mu.Lock()
	defer iw.mu.Unlock()
	return iw.expired
}

func (iw *idleWatch) touch() { iw.moved.Store(int64(time.Since(iw.begun))) }

// response watches the body of an answer, or the connection after an upgrade.
func (iw *idleWatch) response(body io.ReadCloser) io.ReadCloser {
	if conn, ok := body.(io.ReadWriteCloser); ok {
		return &watchedConn{conn, iw}
	}
	return &watchedBody{body, iw}
}

type watchedBody struct {
	io.ReadCloser
	watch *idleWatch
}

func (b *watchedBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	b.watch.touch()
	return n, err
}

type watchedConn struct {
	io.ReadWriteCloser
	watch *idleWatch
}

func (c *watchedConn) Read(buf []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(buf)
	c.watch.touch()
	return n, err
}

func (c *watchedConn) Write(buf []byte) (int, error) {
	n, err := c.ReadWriteCloser.Write(buf)
	c.watch.touch()
	return n, err
}
