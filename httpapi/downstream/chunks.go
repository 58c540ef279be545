package downstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
)

// errChunk is a body in chunks that is not framed as RFC 9112 section 7.1 wants it.
var errChunk = errors.New("malformed chunk")

// maxExcessBytes is how many bytes the lines before the chunks may have together,
// beyond 16 of each and twice the data: as net/http has it. A line and the trailers
// are bounded by the buffer.
const maxExcessBytes = 16 << 10

// chunks reads a body in chunks. It never waits for bytes when it has some to
// give. The zero chunks is at the start of a body.
type chunks struct {
	left    int64 // of the chunk
	inData  bool  // in the middle of a chunk, or at the line break behind it
	excess  int64
	trailer http.Header // what came behind the last chunk
}

// read reads the next bytes of the body. Behind the last of them comes io.EOF.
func (d *chunks) read(r *bufio.Reader, buf []byte) (n int, err error) {
	for err == nil {
		switch {
		case d.left > 0:
			if n == len(buf) || n > 0 && r.Buffered() == 0 {
				return n, nil
			}
			var m int
			m, err = r.Read(buf[n:min(int64(len(buf)), int64(n)+d.left)])
			n, d.left = n+m, d.left-int64(m)
		case n > 0 && !d.isNextThere(r):
			return n, nil
		default:
			err = d.next(r)
		}
	}
	if errors.Is(err, io.EOF) {
		return n, io.ErrUnexpectedEOF
	}
	if errors.Is(err, errLastChunk) {
		err = d.readTrailer(r)
	}
	return n, err
}

// errLastChunk ends the chunks.
var errLastChunk = errors.New("last chunk")

// isNextThere reports whether the line before the next chunk is in the buffer, and
// more behind it.
func (d *chunks) isNextThere(r *bufio.Reader) bool {
	buf, _ := r.Peek(r.Buffered())
	if d.inData {
		if len(buf) <= len("\r\n") {
			return false
		}
		buf = buf[len("\r\n"):]
	}
	end := bytes.IndexByte(buf, '\n')
	return end >= 0 && len(buf) > end+1
}

// isReady reports whether read has something without waiting.
func (d *chunks) isReady(r *bufio.Reader) bool {
	if d.left > 0 {
		return r.Buffered() > 0
	}
	return d.isNextThere(r)
}

// next reads the line before the next chunk.
func (d *chunks) next(r *bufio.Reader) error {
	if d.inData {
		if end, err := r.Peek(len("\r\n")); err != nil {
			return err
		} else if string(end) != "\r\n" {
			return fmt.Errorf("%w: data beyond its length", errChunk)
		}
		_, _ = r.Discard(len("\r\n")) // they are in the buffer
	}
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
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
func (d *chunks) readTrailer(r *bufio.Reader) error {
	end, err := r.Peek(len("\r\n"))
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	if string(end) == "\r\n" {
		_, _ = r.Discard(len("\r\n")) // they are in the buffer
		return io.EOF
	}
	if !isTrailerThere(r) {
		return fmt.Errorf("%w: endless trailers", errChunk)
	}
	header, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return fmt.Errorf("read trailers: %w", err)
	}
	d.trailer = http.Header(header)
	return io.EOF
}

// isTrailerThere waits for all of the trailers, as far as the buffer goes.
func isTrailerThere(r *bufio.Reader) bool {
	for n := len("\r\n\r\n"); ; n = r.Buffered() + 1 {
		buf, err := r.Peek(n)
		if bytes.Contains(buf, []byte("\r\n\r\n")) {
			return true
		}
		if err != nil {
			return false
		}
	}
}
