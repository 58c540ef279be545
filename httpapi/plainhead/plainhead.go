// Package plainhead reads the fields of an HTTP/1.1 head that is plain: every line
// as RFC 9112 wants it, with nothing that one reader might understand in another way
// than the next. All else is for net/http to read, or to refuse. What is plain,
// net/http takes too, and in the same meaning: fuzz tests of who uses it compare them.
package plainhead

import (
	"bytes"
	"math"
	"net/http"
	"net/textproto"
)

// How many fields a plain head may have, and bytes without the empty line.
const (
	MaxFields = 48
	maxBytes  = math.MaxUint16 - 2
)

// Field is a line of a head, by its place.
type Field struct {
	name, nameEnd, value, valueEnd uint16

	// Skip keeps it out of the header: the framing says the same.
	Skip bool
}

// Value returns a field's value, without the blanks around it.
func (f *Field) Value(text []byte) []byte { return text[f.value:f.valueEnd] }

// Place returns where a field's value begins and ends.
func (f *Field) Place() (begin, end int) { return int(f.value), int(f.valueEnd) }

// Is reports whether the field has a name, in whatever case.
func (f *Field) Is(text []byte, name string) bool {
	return int(f.nameEnd-f.name) == len(name) && bytes.EqualFold(text[f.name:f.nameEnd], []byte(name))
}

// End returns where the empty line begins that ends the head at the start of buf;
// negative: it is not there, or the head is too large to be plain.
func End(buf []byte) int {
	end := bytes.Index(buf, []byte("\r\n\r\n"))
	if end > maxBytes {
		return -1
	}
	return end
}

// Parse appends the fields of text, which ends with a line break, from a place on.
// It reports whether they are plain.
func Parse(text []byte, at int, into []Field) ([]Field, bool) {
	for at < len(text) {
		if len(into) == cap(into) {
			return nil, false
		}
		into = into[:len(into)+1]
		if at = parseField(text, at, &into[len(into)-1]); at == 0 {
			return nil, false
		}
	}
	return into, true
}

// parseField finds the parts of the line that begins at a place, and returns where
// the next one does; 0: not plain.
func parseField(text []byte, at int, f *Field) (next int) {
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
	if !IsToken(text[at:colon]) || !IsValue(text[value:end]) {
		return 0
	}
	*f = Field{name: uint16(at), nameEnd: uint16(colon), value: uint16(value), valueEnd: uint16(end)} //nolint:gosec // maxBytes sees to it
	return eol + 1
}

// maxLengthDigits keeps a length far below what an int64 holds.
const maxLengthDigits = 15

// ParseLength reads a Content-Length; negative: not plain.
func ParseLength(value []byte) int64 {
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

// HasBody reports whether an answer of a status has a body, to anything but HEAD: RFC
// 9112 section 6.3.
func HasBody(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

// Fill puts fields of text into a header, as net/http does. All of them share the
// string and one slice, which it returns: it is room, if that is long enough.
func Fill(h http.Header, text string, fields []Field, room []string) (values []string) {
	if cap(room) < len(fields) {
		room = make([]string, len(fields))
	}
	values, pragma := room[:len(fields)], false
	for i := range fields {
		f := &fields[i]
		if f.Skip {
			continue
		}
		name := text[f.name:f.nameEnd]
		if !isCanonical(name) {
			name = textproto.CanonicalMIMEHeaderKey(name)
		}
		pragma = pragma || name == "Pragma"
		values[i] = text[f.value:f.valueEnd]
		if before, repeated := h[name]; repeated {
			h[name] = append(before, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
	}
	if pragma && h["Pragma"][0] == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-cache"} // RFC 9111 section 5.4
	}
	return values
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

// IsToken reports whether text is a token.
func IsToken[T string | []byte](text T) bool {
	for i := range len(text) {
		if byteClasses[text[i]]&tokenByte == 0 {
			return false
		}
	}
	return len(text) > 0
}

// IsValue reports whether text may be the value of a field.
func IsValue[T string | []byte](text T) bool {
	for i := range len(text) {
		if byteClasses[text[i]]&valueByte == 0 {
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
