package downstream

import (
	"bytes"
	"net/http"

	"github.com/key-ip-sentinel/sentinel/httpapi/plainhead"
)

// parseHead reads the head of an HTTP/1.1 answer from the start of buf into
// a, if it is plain, and says a length or chunks, not both. It returns how many bytes
// it took and whether the body is in chunks; 0 means that the head is to be read, or
// refused, by net/http, and then a is as it was.
func parseHead(buf []byte, method string, a *http.Response) (n int, chunked bool) {
	end := plainhead.End(buf)
	if end < 0 {
		return 0, false
	}
	text := buf[:end+len("\r\n")]
	status, at := parseStatusLine(text)
	if at == 0 {
		return 0, false
	}
	var lines [plainhead.MaxFields]plainhead.Field
	fields, plain := plainhead.Parse(text, at, lines[:0])
	if !plain {
		return 0, false
	}
	f, plain := framingOf(text, fields)
	if !plain || !f.fits(hasBody(method, status)) {
		return 0, false
	}
	a.StatusCode, a.ContentLength, a.Close = status, f.length, f.closes
	if method != http.MethodHead && !hasBody(method, status) {
		a.ContentLength = 0
	}
	plainhead.Fill(a.Header, string(text), fields, nil)
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

// hasBody reports whether an answer has a body.
func hasBody(method string, status int) bool {
	return method != http.MethodHead && plainhead.HasBody(status)
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
	if status < http.StatusContinue || len(line) > 3 && line[3] != ' ' || !plainhead.IsValue(line[3:]) {
		return 0, 0
	}
	return status, eol + 1
}

// framing is what a head says of the length of its body.
type framing struct {
	length  int64 // -1: nothing
	chunked bool
	closes  bool // the connection
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
func framingOf(text []byte, fields []plainhead.Field) (f framing, plain bool) {
	f.length = -1
	connections := 0
	for i := range fields {
		at := &fields[i]
		value := at.Value(text)
		switch {
		case at.Is(text, "Content-Length"):
			if f.length >= 0 {
				return f, false
			}
			if f.length = plainhead.ParseLength(value); f.length < 0 {
				return f, false
			}
		case at.Is(text, "Connection"):
			f.closes = bytes.EqualFold(value, []byte("close"))
			at.Skip = f.closes
			if connections++; connections > 1 || !f.closes && !bytes.EqualFold(value, []byte("keep-alive")) {
				return f, false
			}
		case at.Is(text, "Transfer-Encoding"):
			if f.chunked || !bytes.EqualFold(value, []byte("chunked")) {
				return f, false
			}
			f.chunked, at.Skip = true, true
		case at.Is(text, "Trailer"), at.Is(text, "Upgrade"):
			return f, false
		}
	}
	return f, f.length < 0 || !f.chunked
}
