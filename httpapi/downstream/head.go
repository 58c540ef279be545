package downstream

import (
	"bytes"
	"math"
	"net/http"
	"net/textproto"
)

// How many lines a plain head may have, and bytes without the empty line.
const (
	maxPlainFields = 48
	maxPlainBytes  = math.MaxUint16 - 2
)

// field is a line of a head, by its place.
type field struct{ name, nameEnd, value, valueEnd uint16 }

// parseHead reads the head of an HTTP/1.1 answer from the start of buf into
// a, if it is plain: every line as RFC 9112 wants it, and a length or chunks, not
// both. It returns how many bytes it took and whether the body is in chunks; 0 means
// that the head is to be read, or refused, by net/http, and then a is as it was. What
// it takes, net/http takes too, and in the same meaning: a fuzz test compares them.
func parseHead(buf []byte, method string, a *http.Response) (n int, chunked bool) {
	end := bytes.Index(buf, []byte("\r\n\r\n"))
	if end < 0 || end > maxPlainBytes {
		return 0, false
	}
	text := buf[:end+len("\r\n")]
	status, at := parseStatusLine(text)
	if at == 0 {
		return 0, false
	}
	var lines [maxPlainFields]field
	fields := lines[:0]
	for at < len(text) {
		if len(fields) == len(lines) {
			return 0, false
		}
		fields = fields[:len(fields)+1]
		if at = parseField(text, at, &fields[len(fields)-1]); at == 0 {
			return 0, false
		}
	}
	f, plain := framingOf(text, fields)
	if !plain || !f.fits(hasBody(method, status)) {
		return 0, false
	}
	a.StatusCode, a.ContentLength, a.Close = status, f.length, f.closes
	if method != http.MethodHead && !hasBody(method, status) {
		a.ContentLength = 0
	}
	fill(a.Header, text, fields, &f)
	return end + len("\r\n\r\n"), f.chunked
}

// mayBePlain reports whether the rest of a plain head may follow.
func mayBePlain(buf []byte) bool {
	const proto = "HTTP/1.1 "
	if string(buf[:min(len(buf), len(proto))]) != proto[:min(len(buf), len(proto))] || bytes.Contains(buf, []byte("\r\n\r\n")) {
		return false
	}
	for rest := buf; ; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		if end == 0 || rest[end-1] != '\r' {
			return false // the head may end here for others
		}
		rest = rest[end+1:]
	}
	if !bytes.Contains(buf, []byte("\n")) {
		return true
	}
	_, next := parseStatusLine(buf)
	return next > 0
}

// hasBody reports whether an answer has a body: RFC 9112 section 6.3.
func hasBody(method string, status int) bool {
	return method != http.MethodHead && status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

// parseStatusLine returns the status and where the next line begins; 0: not
// plain.
func parseStatusLine(text []byte) (status, next int) {
	const proto = "HTTP/1.1 "
	eol := bytes.IndexByte(text, '\n')
	if eol < len(proto)+len("200\r") || string(text[:len(proto)]) != proto || text[eol-1] != '\r' {
		return 0, 0
	}
	line := text[len(proto) : eol-1]
	for _, d := range line[:3] {
		if d < '0' || d > '9' {
			return 0, 0
		}
		status = status*10 + int(d-'0')
	}
	if status < http.StatusContinue || len(line) > 3 && line[3] != ' ' || !isValue(line[3:]) {
		return 0, 0
	}
	return status, eol + 1
}

// parseField finds the parts of the line that begins at a place, and returns where
// the next one does; 0: not plain.
func parseField(text []byte, at int, f *field) (next int) {
	eol := bytes.IndexByte(text[at:], '\n') + at // there is one at the end
	if eol == at || text[eol-1] != '\r' {
		return 0
	}
	colon := bytes.IndexByte(text[at:eol], ':') + at
	if colon <= at {
		return 0
	}
	value, end := colon+1, eol-1
	for value < end && isBlank(text[value]) {
		value++
	}
	for value < end && isBlank(text[end-1]) {
		end--
	}
	if !isToken(text[at:colon]) || !isValue(text[value:end]) {
		return 0
	}
	*f = field{uint16(at), uint16(colon), uint16(value), uint16(end)} //nolint:gosec // maxPlainBytes sees to it
	return eol + 1
}

// framing is what a head says of the length of its body.
type framing struct {
	length  int64 // -1: nothing
	chunked bool
	closes  bool // the connection
	pragma  bool // there is a Pragma
}

// fits reports whether a framing says all, and no more, of an answer that has a
// body or has none.
func (f *framing) fits(body bool) bool {
	if body {
		return f.length >= 0 || f.chunked
	}
	return !f.chunked
}

// framingOf reads the fields that say where the answer ends, and whether that is
// plain.
func framingOf(text []byte, fields []field) (f framing, plain bool) {
	f.length = -1
	connections := 0
	for _, at := range fields {
		value := text[at.value:at.valueEnd]
		switch name := text[at.name:at.nameEnd]; len(name) {
		case len("Content-Length"):
			if !bytes.EqualFold(name, []byte("Content-Length")) {
				continue
			}
			if f.length >= 0 {
				return f, false
			}
			if f.length = parseLength(value); f.length < 0 {
				return f, false
			}
		case len("Connection"):
			if !bytes.EqualFold(name, []byte("Connection")) {
				continue
			}
			f.closes = bytes.EqualFold(value, []byte("close"))
			if connections++; connections > 1 || !f.closes && !bytes.EqualFold(value, []byte("keep-alive")) {
				return f, false
			}
		case len("Transfer-Encoding"):
			if !bytes.EqualFold(name, []byte("Transfer-Encoding")) {
				continue
			}
			if f.chunked || !bytes.EqualFold(value, []byte("chunked")) {
				return f, false
			}
			f.chunked = true
		case len("Trailer"): // and Upgrade
			if bytes.EqualFold(name, []byte("Trailer")) || bytes.EqualFold(name, []byte("Upgrade")) {
				return f, false
			}
		case len("Pragma"):
			f.pragma = f.pragma || bytes.EqualFold(name, []byte("Pragma"))
		}
	}
	return f, f.length < 0 || !f.chunked
}

// maxLengthDigits keeps a length far below what an int64 holds.
const maxLengthDigits = 15

// parseLength reads a Content-Length; negative: not plain.
func parseLength(value []byte) int64 {
	if len(value) == 0 || len(value) > maxLengthDigits {
		return -1
	}
	n := int64(0)
	for _, d := range value {
		if d < '0' || d > '9' {
			return -1
		}
		n = n*10 + int64(d-'0')
	}
	return n
}

// fill puts the fields of a head into a header, as net/http does: without those that
// the framing stands for. All of them share one string and one slice.
func fill(h http.Header, text []byte, fields []field, framed *framing) {
	all, values := string(text), make([]string, len(fields))
	for i, f := range fields {
		name := all[f.name:f.nameEnd]
		if !isCanonical(name) {
			name = textproto.CanonicalMIMEHeaderKey(name)
		}
		if framed.closes && name == "Connection" || framed.chunked && name == "Transfer-Encoding" {
			continue
		}
		values[i] = all[f.value:f.valueEnd]
		if before, repeated := h[name]; repeated {
			h[name] = append(before, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
	}
	if framed.pragma && h["Pragma"][0] == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-cache"} // RFC 9111 section 5.4
	}
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

// Classes of bytes: RFC 9110 sections 5.6.2 and 5.5.
const (
	tokenByte = 1 << iota
	valueByte
)

var byteClasses = func() (classes [256]uint8) {
	for b := range classes {
		if b >= ' ' && b != 0x7f || b == '\t' {
			classes[b] |= valueByte
		}
	}
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		classes[b] |= tokenByte
	}
	return classes
}()

func isToken(text []byte) bool {
	for _, b := range text {
		if byteClasses[b]&tokenByte == 0 {
			return false
		}
	}
	return len(text) > 0
}

func isValue(text []byte) bool {
	for _, b := range text {
		if byteClasses[b]&valueByte == 0 {
			return false
		}
	}
	return true
}

// isCanonical reports whether a token is written as net/http writes names.
func isCanonical(name string) bool {
	upper := true
	for i := range len(name) {
		b := name[i]
		if upper && 'a' <= b && b <= 'z' || !upper && 'A' <= b && b <= 'Z' {
			return false
		}
		upper = b == '-'
	}
	return true
}
