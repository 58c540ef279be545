package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// gate is the connection to the downstream after an upgrade. Once it is shut
// nothing that either side sends from then on passes: the connections are closed
// too, but a moment later.
type gate struct {
	io.ReadWriteCloser
	shut  atomic.Bool
	moved *atomic.Bool
}

// Read reads what the downstream sends.
func (g *gate) Read(buf []byte) (int, error) {
	n, err := g.ReadWriteCloser.Read(buf)
	if g.shut.Load() {
		return 0, net.ErrClosed
	}
	g.moved.Store(true)
	return n, err
}

// Write sends what the client has sent.
func (g *gate) Write(buf []byte) (int, error) {
	if g.shut.Load() {
		return 0, net.ErrClosed
	}
	n, err := g.ReadWriteCloser.Write(buf)
	g.moved.Store(true)
	return n, err
}

// switchProtocols passes an upgrade on, and then the bytes of both sides until one
// of them ends or ctx does.
func (p *Proxy) switchProtocols(ctx context.Context, x *exchange, res *http.Response) {
	backend, ok := res.Body.(io.ReadWriteCloser)
	if !ok || !strings.EqualFold(upgradeOf(res.Header), upgradeOf(x.request.Header)) {
		_ = res.Body.Close() // of no use
		p.fail(x, fmt.Errorf("%w: switched to %q", errBadAnswer, upgradeOf(res.Header)))
		return
	}
	defer func() { _ = backend.Close() }()
	g := &gate{ReadWriteCloser: backend, moved: &x.moved}
	x.gate.Store(g) // before Accept: a cut finds it, or Accept finds the cut
	d, err := p.judge(x, res)
	if err != nil {
		p.fail(x, err)
		return
	}
	if !d.Passes() {
		p.refuse(x, d)
		return
	}
	conn, buffered, err := x.control().Hijack()
	if err != nil {
		p.fail(x, fmt.Errorf("take over the client's connection: %w", err))
		return
	}
	defer func() { _ = conn.Close() }()
	if err := writeSwitch(buffered.Writer, res, x.w.Header()); err != nil {
		p.logger.Debug("client has gone", "error", err, "request_id", x.RequestID())
		return
	}
	// Whoever waits for either side is woken.
	defer context.AfterFunc(ctx, func() {
		_ = backend.Close()
		_ = conn.Close()
	})()
	exchangeBytes(conn, buffered.Reader, g)
}

// writeSwitch writes the head of the answer that switches protocols.
func writeSwitch(w *bufio.Writer, res *http.Response, h http.Header) error {
	delete(h, "Content-Type")
	maps.Copy(h, res.Header)
	res.Header, res.Body = h, nil
	if err := res.Write(w); err != nil {
		return err
	}
	return w.Flush()
}

// exchangeBytes copies both ways until one way fails or both have ended.
func exchangeBytes(client net.Conn, fromClient io.Reader, backend io.ReadWriter) {
	ended := make(chan bool, 2)
	go func() {
		_, err := io.Copy(backend, fromClient)
		ended <- err == nil && closeWrite(backend)
	}()
	go func() {
		_, err := io.Copy(client, backend)
		ended <- err == nil && closeWrite(client)
	}()
	if <-ended {
		<-ended
	}
}

// closeWrite tells the other side that nothing more comes, if it can be told.
func closeWrite(w io.Writer) bool {
	c, ok := w.(interface{ CloseWrite() error })
	return ok && c.CloseWrite() == nil
}
