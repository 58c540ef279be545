package downstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"

	"github.com/key-ip-sentinel/sentinel/httpapi/socket"
)

// errChunk is a body in chunks that is not framed as RFC 9112 section 7.1 wants it.
var errChunk = errors.New("malformed chunk")

// How long the line before a chunk may be, and how many bytes all of them may have
// together, beyond 16 of each and twice the data: as net/http has it. The trailers
// are bounded by the buffer.
const (
	maxChunkLineBytes = 4 << 10
	maxExcessBytes    = 16 << 10
)

// chunks reads a body in chunks. The zero chunks is at the start of a body.
type chunks struct {
	left    int64 // of the chunk
	inData  bool  // in the middle of a chunk, or at the line break behind it
	excess  int64
	trailer http.Header // what came behind the last chunk
}

// piece returns the next bytes of the body, where they lie in r, and takes them. It
// waits only if there are none. Behind the last of them comes io.EOF.
func (d *chunks) piece(r *socket.Reader) ([]byte, error) {
	for d.left == 0 {
		if err := d.next(r); errors.Is(err, errLastChunk) {
			return nil, d.readTrailer(r)
		} else if err != nil {
			return nil, broken(err)
		}
	}
	if err := r.Need(1); err != nil {
		return nil, broken(err)
	}
	piece := r.Bytes()
	if int64(len(piece)) > d.left {
		piece = piece[:d.left]
	}
	r.Discard(len(piece))
	d.left -= int64(len(piece))
	return piece, nil
}

// broken is the error of a body that ends before its end.
func broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// errLastChunk ends the chunks.
var errLastChunk = errors.New("last chunk")

// isReady reports whether there is a piece without waiting, or the end.
func (d *chunks) isReady(r *socket.Reader) bool {
	buf := r.Bytes()
	if d.left > 0 {
		return len(buf) > 0
	}
	if d.inData {
		buf = buf[min(len(buf), len("\r\n")):]
	}
	size := bytes.IndexByte(buf, '\n')
	return size >= 0 && len(buf) > size+1
}

// next reads the line before the next chunk.
func (d *chunks) next(r *socket.Reader) error {
	if d.inData {
		if err := r.Need(len("\r\n")); err != nil {
			return err
		}
		if string(r.Bytes()[:len("\r\n")]) != "\r\n" {
			return fmt.Errorf("%w: data beyond its length", errChunk)
		}
		r.Discard(len("\r\n"))
	}
	line, err := r.Line()
	switch {
	case errors.Is(err, socket.ErrFull) || len(line) > maxChunkLineBytes:
		return fmt.Errorf("%w: endless size", errChunk)
	case err != nil:
		return err
	case len(line) < len("\r\n") || bytes.IndexByte(line, '\r') != len(line)-len("\r\n"):
		return fmt.Errorf("%w: line break", errChunk)
	}
	line = line[:len(line)-len("\r\n")]
	size, _, _ := bytes.Cut(bytes.TrimRight(line, " \t"), []byte(";"))
	if d.left, err = parseSize(size); err != nil {
		return err
	}
	d.inData = true
	// Threat: a body of extensions alone, which nobody counts. Answer: neither may
	// the lines be more than the data by far.
	d.excess = max(d.excess+int64(len(line))+2-16-2*min(d.left, maxExcessBytes), 0)
	switch {
	case d.excess > maxExcessBytes:
		return fmt.Errorf("%w: more lines than data", errChunk)
	case d.left == 0:
		return errLastChunk
	}
	return nil
}

// maxSizeDigits is how long the size of a chunk may be written.
const maxSizeDigits = 16

func parseSize(digits []byte) (int64, error) {
	if len(digits) == 0 || len(digits) > maxSizeDigits {
		return 0, fmt.Errorf("%w: size of %d digits", errChunk, len(digits))
	}
	n := int64(0)
	for _, d := range digits {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d && d <= 'f':
			d -= 'a' - 10
		case 'A' <= d && d <= 'F':
			d -= 'A' - 10
		default:
			return 0, fmt.Errorf("%w: size", errChunk)
		}
		if n = n<<4 | int64(d); n < 0 {
			return 0, fmt.Errorf("%w: size", errChunk)
		}
	}
	return n, nil
}

// readTrailer reads what follows the last chunk, to the empty line. It returns
// io.EOF where all is well.
func (d *chunks) readTrailer(r *socket.Reader) error {
	if err := r.Need(len("\r\n")); err != nil {
		return broken(err)
	}
	if string(r.Bytes()[:len("\r\n")]) == "\r\n" {
		r.Discard(len("\r\n"))
		return io.EOF
	}
	for {
		end := bytes.Index(r.Bytes(), []byte("\r\n\r\n"))
		if end < 0 {
			if err := r.Fill(); err != nil {
				return broken(err) // endless ones among them
			}
			continue
		}
		text := r.Bytes()[:end+len("\r\n\r\n")]
		header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(text))).ReadMIMEHeader()
		if err != nil {
			return fmt.Errorf("read trailers: %w", broken(err))
		}
		d.trailer = http.Header(header)
		r.Discard(len(text))
		return io.EOF
	}
}
