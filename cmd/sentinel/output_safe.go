package main

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// printableJSON returns a JSON text with characters that a terminal would take
// for a command, or not show, as \u escapes. They can only stand in strings,
// where the escapes mean the same.
func printableJSON(text []byte) []byte {
	safe := text[:0:0]
	start := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if harmless(r, size) {
			i += size
			continue
		}
		safe = append(safe, text[start:i]...)
		if high, low := utf16.EncodeRune(r); r > 0xffff {
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		} else {
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
		i += size
		start = i
	}
	if start == 0 {
		return text
	}
	return append(safe, text[start:]...)
}

// harmless reports whether a rune, as read from size bytes, may go to a terminal.
func harmless(r rune, size int) bool {
	return r == '\n' || r == '\t' || strconv.IsPrint(r) && (r != utf8.RuneError || size > 1)
}

// safeWriter writes text to a terminal: what would steer it is replaced by a
// question mark.
type safeWriter struct {
	w    io.Writer
	rest []byte // the beginning of a character
}

// Write takes all of b, and keeps a character that is not whole for the next
// call.
func (s *safeWriter) Write(b []byte) (int, error) {
	text := append(s.rest, b...)
	safe := make([]byte, 0, len(text))
	for len(text) > 0 && (utf8.FullRune(text) || len(text) >= utf8.UTFMax) {
		r, size := utf8.DecodeRune(text)
		if harmless(r, size) {
			safe = append(safe, text[:size]...)
		} else {
			safe = append(safe, '?')
		}
		text = text[size:]
	}
	s.rest = append([]byte(nil), text...)
	if _, err := s.w.Write(safe); err != nil {
		return 0, err
	}
	return len(b), nil
}
