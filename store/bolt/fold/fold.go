// Package fold looks for text in any case, as store.HasText does, many times and
// without allocation.
package fold

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Part is a text to look for. The zero Part is in every text.
type Part struct{ lower string }

// New returns the part that store.HasText would look for.
func New(part string) Part { return Part{strings.ToLower(part)} }

// IsEmpty reports whether the part is in every text.
func (p Part) IsEmpty() bool { return p.lower == "" }

// In reports whether the part is in a text.
func (p Part) In(text []byte) bool {
	if IsSimple(text) {
		return p.InSimple(text)
	}
	return strings.Contains(strings.ToLower(string(text)), p.lower)
}

// InSimple is In for a text that is known to be simple.
func (p Part) InSimple(text []byte) bool {
	n := len(p.lower)
	if n == 0 {
		return true
	}
	first := p.lower[0]
	for i := 0; i+n <= len(text); i++ {
		if lower[text[i]] == first && p.isAt(text[i:i+n]) {
			return true
		}
	}
	return false
}

func (p Part) isAt(text []byte) bool {
	for i := range text {
		if lower[text[i]] != p.lower[i] {
			return false
		}
	}
	return true
}

// IsSimple reports whether strings.ToLower changes nothing in a text but the
// letters A to Z. Most texts are, and so is the … in the middle of a hint.
func IsSimple(text []byte) bool {
	for len(text) > 0 {
		if text[0] < utf8.RuneSelf {
			text = text[1:]
			continue
		}
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 || unicode.ToLower(r) != r {
			return false
		}
		text = text[size:]
	}
	return true
}

// lower maps the bytes A to Z to a to z, and all others to themselves.
var lower = func() (table [256]byte) {
	for i := range table {
		table[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			table[i] += 'a' - 'A'
		}
	}
	return table
}()
