package front

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/key-ip-sentinel/sentinel/httpapi/plainhead"
)

const (
	// outBytes is how much of an answer is gathered before it is written.
	outBytes = 8 << 10
	// earlyBytes is how much of a body is held back while its length is not known: an
	// answer that is over by then gets one, as in net/http.
	earlyBytes = 2 << 10
)

var (
	outBuffers   = sync.Pool{New: func() any { return new([outBytes]byte) }}
	earlyBuffers = sync.Pool{New: func() any { return new([earlyBytes]byte) }}
)

// answer is the ResponseWriter of one request after the other. It belongs to the
// handler's goroutine, but for SetReadDeadline, SetWriteDeadline and WatchClient.
type answer struct {
	conn    *conn
	request *http.Request
	body    *body // of the request; nil: none

	header  http.Header
	status  int   // 0: WriteHeader was not called
	length  int64 // of the body, as the header has it; -1: it has none
	written int64 // of the body
	framed  bool  // the head says how long the body is
	chunked bool
	duplex  bool
	recycle bool
	closes  bool // the connection, behind this answer
	failed  error

	out   []byte // to be written; nil: no buffer
	early []byte // of the body, before the head; likewise
	bufs  net.Buffers
	piece [3][]byte // what bufs is made of
}

func (w *answer) begin(r *http.Request, b *body) {
	w.request, w.body = r, b
	if w.header == nil {
		w.header = make(http.Header)
	}
	w.status, w.length, w.written = 0, -1, 0
	w.framed, w.chunked, w.duplex, w.recycle, w.closes = false, false, false, false, r.Close
}

// Header returns the header of the answer, and behind that its trailers.
func (w *answer) Header() http.Header { return w.header }

// EnableFullDuplex lets the answer begin before the body of the request has been
// read; otherwise that is read first.
func (w *answer) EnableFullDuplex() error {
	w.duplex = true
	return nil
}

// SetReadDeadline bounds the reading of the request's body.
func (w *answer) SetReadDeadline(t time.Time) error {
	w.conn.readLimited.Store(true)
	return w.conn.net.SetReadDeadline(t)
}

// SetWriteDeadline bounds the writing of the answer.
func (w *answer) SetWriteDeadline(t time.Time) error {
	w.conn.writeLimited.Store(true)
	return w.conn.net.SetWriteDeadline(t)
}

// WatchClient has the context of the request cancelled when the client goes. It is
// for requests that last: before, nobody looks.
func (w *answer) WatchClient() { w.conn.watch() }

// Recycle lets the next request of the connection be made of what this one is made of.
// A handler calls it that leaves nobody behind who holds the request, its URL, header or
// body: strings are all that may be kept.
func (w *answer) Recycle() { w.recycle = true }

// WriteHeader begins the answer, or sends an informational one.
func (w *answer) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		w.appendStatus(status)
		w.appendHeader(false)
		w.put("\r\n")
		_ = w.write() // told by what follows
		return
	}
	w.status = status
	if values := w.header["Content-Length"]; len(values) > 0 && plainhead.HasBody(status) {
		n, err := strconv.ParseInt(values[0], 10, 64)
		if err == nil && n >= 0 {
			w.length = n
		}
	}
	if httpguts.HeaderValuesContainsToken(w.header["Connection"], "close") || w.conn.server.closing.Load() {
		w.closes = true
	}
	w.appendStatus(status)
	w.appendHeader(true) // as it is now: what is changed from here on are trailers
}

// Write writes more of the body.
func (w *answer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.failed != nil:
		return 0, w.failed
	case len(p) == 0:
		return 0, nil
	case !plainhead.HasBody(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.request.Method == http.MethodHead {
		return len(p), nil
	}
	if !w.framed && w.length < 0 && w.holdBack(p) {
		return len(p), nil
	}
	w.frame()
	w.putBody(p)
	if w.failed != nil {
		return 0, w.failed
	}
	return len(p), nil
}

// holdBack keeps the start of a body whose length is not known, if it is short.
func (w *answer) holdBack(p []byte) bool {
	if len(w.early)+len(p) > earlyBytes {
		return false
	}
	if w.early == nil {
		buf, _ := earlyBuffers.Get().(*[earlyBytes]byte)
		w.early = buf[:0]
	}
	w.early = append(w.early, p...)
	return true
}

// FlushError sends what has been written.
func (w *answer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.frame()
	return w.write()
}

// Flush is FlushError for who does not want to know.
func (w *answer) Flush() { _ = w.FlushError() }

// finish ends the answer.
func (w *answer) finish() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	isHead := w.request.Method == http.MethodHead
	if !w.framed && w.length < 0 && plainhead.HasBody(w.status) && !w.hasTrailers() && (!isHead || 0 < w.written && w.written <= earlyBytes) {
		w.length = w.written
	}
	w.frame()
	switch {
	case w.chunked:
		w.put("0\r\n")
		w.appendTrailers()
		w.put("\r\n")
	case !isHead && w.length >= 0 && w.written != w.length:
		w.closes = true // the client waits for more
	}
	_ = w.write() // noted in failed
	w.release()
	clear(w.header)
	w.request, w.closes = nil, w.closes || w.body.isLeft()
}

// release gives the buffers back.
func (w *answer) release() {
	if w.out != nil {
		outBuffers.Put((*[outBytes]byte)(w.out[:outBytes]))
		w.out = nil
	}
	w.dropEarly()
}

func (w *answer) dropEarly() {
	if w.early != nil {
		earlyBuffers.Put((*[earlyBytes]byte)(w.early[:earlyBytes]))
		w.early = nil
	}
}

// frame ends the head with how long the body is: RFC 9112 section 6.
func (w *answer) frame() {
	if w.framed {
		return
	}
	w.framed = true
	// A client that sends all of its request before it reads would wait for ever.
	if !w.closes && !w.duplex && !w.body.drain() {
		w.closes = true
	}
	body := plainhead.HasBody(w.status)
	w.chunked = body && w.length < 0 && w.request.Method != http.MethodHead
	switch {
	case body && w.length >= 0:
		w.put("Content-Length: ")
		w.out = strconv.AppendInt(w.room(maxNumberBytes), w.length, 10)
		w.put("\r\n")
	case w.chunked:
		w.put("Transfer-Encoding: chunked\r\n")
	}
	if w.closes {
		w.put("Connection: close\r\n")
	}
	w.put("\r\n")
	if early := w.early; early != nil {
		if len(early) > 0 {
			w.putBody(early)
		}
		w.dropEarly()
	}
}

const maxNumberBytes = 64

func (w *answer) appendStatus(status int) {
	if status == http.StatusOK {
		w.put("HTTP/1.1 200 OK\r\n")
		return
	}
	w.put("HTTP/1.1 ")
	w.out = strconv.AppendInt(w.room(maxNumberBytes), int64(status), 10)
	w.put(" ")
	if text := http.StatusText(status); text != "" {
		w.put(text)
	} else {
		w.put("status code " + strconv.Itoa(status))
	}
	w.put("\r\n")
}

// appendHeader appends the header, without what the framing says. The final one has
// a date.
func (w *answer) appendHeader(final bool) {
	dated := !final
	for name, values := range w.header {
		switch name {
		case "Connection", "Content-Length", "Transfer-Encoding":
			continue
		case "Content-Type":
			if final && w.status == http.StatusNotModified {
				continue
			}
		case "Date":
			dated = true
		}
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			w.appendField(name, values)
		}
	}
	if !dated {
		w.put("Date: ")
		w.out = time.Now().UTC().AppendFormat(w.room(maxNumberBytes), http.TimeFormat)
		w.put("\r\n")
	}
}

// lineBreaks are what must not be in a value.
var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ")

func (w *answer) appendField(name string, values []string) {
	if !plainhead.IsToken(name) {
		return // as net/http does
	}
	for _, value := range values {
		if !plainhead.IsValue(value) {
			value = strings.TrimSpace(lineBreaks.Replace(value))
		}
		w.put(name)
		w.put(": ")
		w.put(value)
		w.put("\r\n")
	}
}

// hasTrailers reports whether trailers are announced, or there.
func (w *answer) hasTrailers() bool {
	if len(w.header["Trailer"]) > 0 {
		return true
	}
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// appendTrailers appends those that were announced, and those marked by
// http.TrailerPrefix.
func (w *answer) appendTrailers() {
	for _, line := range w.header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if httpguts.ValidTrailerHeader(name) {
				w.appendField(name, w.header[name])
			}
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			w.appendField(name, values)
		}
	}
}

// putBody appends bytes of the body, as a chunk where there are chunks.
func (w *answer) putBody(p []byte) {
	if !w.chunked {
		w.putLarge(p, "")
		return
	}
	w.out = append(strconv.AppendInt(w.room(maxNumberBytes), int64(len(p)), 16), "\r\n"...)
	w.putLarge(p, "\r\n")
}

// putLarge appends what may be larger than the buffer, and then goes out from where
// it lies.
func (w *answer) putLarge(p []byte, behind string) {
	if len(p)+len(behind) <= outBytes-len(w.out) {
		w.out = append(append(w.room(0), p...), behind...)
		return
	}
	if w.failed != nil {
		return
	}
	w.piece = [3][]byte{w.out, p, []byte(behind)}
	w.bufs = w.piece[:]
	_, err := w.bufs.WriteTo(w.conn.net)
	w.piece, w.out = [3][]byte{}, w.room(0)[:0]
	w.fail(err)
}

// room returns out with room for n bytes.
func (w *answer) room(n int) []byte {
	if w.out == nil {
		buf, _ := outBuffers.Get().(*[outBytes]byte)
		w.out = buf[:0]
	}
	if len(w.out)+n > outBytes {
		w.writeOut()
	}
	return w.out
}

func (w *answer) put(s string) {
	for {
		out := w.room(min(len(s), outBytes))
		n := min(len(s), outBytes-len(out))
		w.out = append(out, s[:n]...)
		if s = s[n:]; s == "" {
			return
		}
	}
}

// writeOut writes what is gathered.
func (w *answer) writeOut() {
	if len(w.out) > 0 && w.failed == nil {
		_, err := w.conn.net.Write(w.out)
		w.fail(err)
	}
	w.out = w.out[:0]
}

// write does too, and then holds no buffer.
func (w *answer) write() error {
	w.writeOut()
	if w.out != nil {
		outBuffers.Put((*[outBytes]byte)(w.out[:outBytes]))
		w.out = nil
	}
	return w.failed
}

// fail notes that the client cannot be written to.
func (w *answer) fail(err error) {
	if err == nil || w.failed != nil {
		return
	}
	w.failed = err
	w.conn.cancel()
}
