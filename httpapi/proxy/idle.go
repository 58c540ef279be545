package proxy

import (
	"io"
	"math"
	"net/http"
	"sync/atomic"
	"time"
)

// idleWatch ends an exchange on which no byte moves. Moving a byte costs one
// store; the timer looks at it when it would be due.
type idleWatch struct {
	begun time.Time
	moved atomic.Int64 // nanoseconds since begun, of the last byte
	timer *time.Timer
	// expired is set before the exchange is ended. It lives here and not in the
	// exchange, which may serve another request by the time this fires.
	expired atomic.Bool
}

func watchIdle(limit time.Duration, end func()) *idleWatch {
	iw := &idleWatch{begun: time.Now()}
	iw.timer = time.AfterFunc(math.MaxInt64, func() {
		left := limit - (time.Since(iw.begun) - time.Duration(iw.moved.Load()))
		if left > 0 {
			iw.timer.Reset(left)
			return
		}
		iw.expired.Store(true)
		end()
	})
	iw.timer.Reset(limit)
	return iw
}

func (iw *idleWatch) stop() { iw.timer.Stop() }

func (iw *idleWatch) touch() { iw.moved.Store(int64(time.Since(iw.begun))) }

// request watches the body of a request.
func (iw *idleWatch) request(body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody {
		return body
	}
	return &watchedBody{body, iw}
}

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
