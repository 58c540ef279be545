package engine

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/key-ip-sentinel/sentinel/store"
)

// cleanTexts returns a binding with its texts as they are stored.
func cleanTexts(b store.Binding) (store.Binding, error) {
	var err error
	if b.Hint, err = cleanText("hint", b.Hint, store.MaxHintBytes, ""); err != nil {
		return b, err
	}
	if b.Label, err = cleanLabel(b.Label); err != nil {
		return b, err
	}
	b.Note, err = cleanNote(b.Note)
	return b, err
}

func cleanLabel(s string) (string, error) { return cleanText("label", s, store.MaxLabelBytes, "") }

// cleanNote lets a note have lines and columns.
func cleanNote(s string) (string, error) {
	return cleanText("note", strings.ReplaceAll(s, "\r\n", "\n"), store.MaxNoteBytes, "\n\t")
}

// cleanText trims a text that an administrator wrote, and refuses what could
// mislead who reads it in a terminal or a console: what is stored is shown as it
// was written, or not stored.
func cleanText(field, s string, most int, controls string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%w: %s is not valid UTF-8", store.ErrInvalid, field)
	}
	s = strings.TrimSpace(s)
	for _, r := range s {
		if misleads(r) && !strings.ContainsRune(controls, r) {
			return "", fmt.Errorf("%w: %s has the control character %U", store.ErrInvalid, field, r)
		}
	}
	if len(s) > most {
		return "", fmt.Errorf("%w: %s of %d bytes, at most %d", store.ErrInvalid, field, len(s), most)
	}
	return s, nil
}

// misleads reports whether a character does something to those around it: a
// control character, a separator of lines, or one that reverses their order.
func misleads(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}
