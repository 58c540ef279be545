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

// parseHead reads the head of a final HTTP/1.1 answer from the start of buf into
// a, if it is plain: all there, every line as RFC 9112 wants it, no more than one
// length, and framed by it. It returns how many bytes it took; 0 means that it is
// to be read, or refused, by net/http, and then a is as it was. What it takes,
// net/http takes too, and in the same meaning: a fuzz test compares them.
func parseHead(buf []byte, method string, a *http.Response) int {
	end := bytes.Index(buf, []byte("\r\n\r\n"))
	if end < 0 || end > maxPlainBytes {
		return 0
	}
	text := buf[:end+len("\r\n")]
	status, at := parseStatusLine(text)
	if at == 0 {
		return 0
	}
	var fields [maxPlainFields]field
	n := 0
	for at < len(text) {
		if n == len(fields) {
			return 0
		}
		if at = parseField(text, at, &fields[n]); at == 0 {
			return 0
		}
		n++
	}
	f, plain := framingOf(text, fields[:n])
	if !plain || f.length < 0 && hasBody(method, status) {
		return 0
	}
	a.StatusCode, a.ContentLength, a.Close = status, f.length, f.closes
	if method != http.MethodHead && !hasBody(method, status) {
		a.ContentLength = 0
	}
	fill(a.Header, text, fields[:n], f.closes)
	return end + len("\r\n\r\n")
}

// hasBody reports whether an answer has a body: RFC 9112 section 6.3.
func hasBody(method string, status int) bool {
	return method != http.MethodHead && status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

// parseStatusLine returns the status and where the next line begins; 0: not
// plain, or not final.
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
	if status < http.StatusOK || len(line) > 3 && line[3] != ' ' || !isValue(line[3:]) {
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
	length int64 // -1: nothing
	closes bool  // the connection
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
			if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
				return f, false
			}
		case len("Trailer"): // and Upgrade
			if bytes.EqualFold(name, []byte("Trailer")) || bytes.EqualFold(name, []byte("Upgrade")) {
				return f, false
			}
		case len("Pragma"): // for which net/http adds a Cache-Control
			if bytes.EqualFold(name, []byte("Pragma")) {
				return f, false
			}
		}
	}
	return f, true
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

// fill puts the fields of a head into a header. All of them share one string and
// one slice.
func fill(h http.Header, text []byte, fields []field, closes bool) {
	all, values := string(text), make([]string, len(fields))
	for i, f := range fields {
		name := all[f.name:f.nameEnd]
		if !isCanonical(name) {
			name = textproto.CanonicalMIMEHeaderKey(name)
		}
		if closes && name == "Connection" {
			continue // as net/http does
		}
		values[i] = all[f.value:f.valueEnd]
		if before, repeated := h[name]; repeated {
			h[name] = append(before, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
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
