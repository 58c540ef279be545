package credential

import (
	"net/url"
	"strings"
)

// checkQuery refuses a query that parsers disagree on, on every path and
// whatever its parameters are named.
//
// Threat: url.ParseQuery drops a parameter with a broken escape or a ';', older
// Go and other languages take ';' for a separator or keep what is broken; and
// parsers that count parameters stop at different numbers. A key could be seen
// on one side only.
func checkQuery(raw string) error {
	parameters := 1
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '&':
			parameters++
		case ';':
			return &Error{Kind: BadQuery}
		case '%':
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return &Error{Kind: BadQuery}
			}
			i += 2
		}
	}
	if parameters > MaxParameters {
		return &Error{Kind: TooManyParameters}
	}
	return nil
}

// readQuery reads every parameter of the place's name. The query has passed
// checkQuery.
func (r *Reader) readQuery(req *Request, set *Set, slot int, p *place) error {
	for rest := req.RawQuery; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "&")
		value, ok := parameter(part, p.name)
		if !ok {
			continue
		}
		if len(value) > MaxValueBytes {
			return &Error{Kind: TooLong, Place: p.shown}
		}
		if err := r.note(set, slot, p, value); err != nil {
			return err
		}
	}
	return nil
}

// parameter returns the decoded value of name=value if its decoded name is
// name. It allocates only where something is escaped.
func parameter(part, name string) (string, bool) {
	escaped, value, _ := strings.Cut(part, "=")
	if decoded, ok := unescape(escaped); !ok || decoded != name {
		return "", false
	}
	return unescape(value)
}

// unescape decodes as url.QueryUnescape does.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	s, err := url.QueryUnescape(s)
	return s, err == nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
