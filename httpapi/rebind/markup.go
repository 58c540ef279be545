package rebind

import (
	"html"
	"strings"
)

// markup is a piece of the page as this package has it. A text in quotes is one by
// itself; a variable is none, and does not compile as one.
type markup string

// document is a page in the making.
type document struct{ text strings.Builder }

// put adds markup, with a word in the place of each %s. A word may stand between
// tags and in a quoted value of an attribute, but in no script, style or address.
//
// Threat: a hint or an address that has been made to look like markup. Answer:
// whatever is not markup is escaped here, and there is no other way in.
//
// The page is no html/template, because a template may call any method by its
// name: the linker then has to keep them all, and the program is a third larger.
func (d *document) put(m markup, words ...string) {
	rest := string(m)
	for _, word := range words {
		before, after, _ := strings.Cut(rest, "%s")
		d.text.WriteString(before)
		d.text.WriteString(html.EscapeString(word))
		rest = after
	}
	d.text.WriteString(rest)
}
