package main

import (
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const (
	// minTableWidth is what a table takes at least, however narrow the terminal.
	minTableWidth = 40
	// tablePage is how many rows decide how wide the columns are. Rows that come
	// later and are wider push what follows them to the right.
	tablePage = 1000
	tableGap  = "  "
)

// cells is how wide text is in a terminal: Chinese takes two columns a
// character. The width of characters that East Asian terminals and others
// disagree on, such as the … of hints, is one, whatever the locale.
var cells = &runewidth.Condition{EastAsianWidth: false, StrictEmojiNeutral: true}

// widthOf returns how many columns of a terminal a printable text takes.
func widthOf(s string) int {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return cells.StringWidth(s)
		}
	}
	return len(s)
}

// fit is what may happen to a column where the table is wider than the terminal.
type fit struct {
	// min is how narrow the column may get, its texts being cut with a …;
	// 0: they are never cut.
	min int
	// drop says in which order columns are left out: the highest first; 0: never.
	drop int
	// wide is how wide the column is at least, where rows are still to come.
	wide  int
	right bool // numbers
}

// tableColumn is the head of a column.
type tableColumn struct {
	title string
	fit   fit
}

// tableWriter aligns rows in columns.
type tableWriter struct {
	out     io.Writer
	width   int // of the terminal; 0: there is none, and nothing is cut
	columns []tableColumn
	rows    [][]string
	widths  []int // nil until they are decided; -1: the column is left out
}

func newTableWriter(out io.Writer, width int, columns []tableColumn) *tableWriter {
	return &tableWriter{out: out, width: width, columns: columns}
}

// add takes the cells of one row, one a column.
func (t *tableWriter) add(row []string) error {
	shown := make([]string, len(row))
	for i, text := range row {
		shown[i] = client.Printable(text)
	}
	if t.widths != nil {
		return t.print(shown)
	}
	if t.rows = append(t.rows, shown); len(t.rows) < tablePage {
		return nil
	}
	return t.flush()
}

// flush decides how wide the columns are, if that is not decided, and prints
// what was kept.
func (t *tableWriter) flush() error {
	if t.widths == nil {
		t.widths = t.layout()
		titles := make([]string, len(t.columns))
		for i, c := range t.columns {
			titles[i] = c.title
		}
		if err := t.print(titles); err != nil {
			return err
		}
	}
	for _, row := range t.rows {
		if err := t.print(row); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

// layout makes the table fit the terminal, if it can: it leaves out columns that
// may be left out as long as that is needed, and then cuts the widest of those
// that may be cut.
func (t *tableWriter) layout() []int {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = max(widthOf(c.title), c.fit.wide)
		for _, row := range t.rows {
			widths[i] = max(widths[i], widthOf(row[i]))
		}
	}
	if t.width == 0 {
		return widths
	}
	for t.least(widths) > t.width {
		drop := t.nextToDrop(widths)
		if drop < 0 {
			break
		}
		widths[drop] = -1
	}
	for over := total(widths) - t.width; over > 0; over-- {
		widest := -1
		for i, c := range t.columns {
			if c.fit.min > 0 && widths[i] > c.fit.min && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// least returns how wide the table is with all cut that may be cut.
func (t *tableWriter) least(widths []int) int {
	cut := make([]int, len(widths))
	for i, w := range widths {
		if cut[i] = w; t.columns[i].fit.min > 0 {
			cut[i] = min(w, t.columns[i].fit.min)
		}
	}
	return total(cut)
}

func (t *tableWriter) nextToDrop(widths []int) int {
	drop := -1
	for i, c := range t.columns {
		if widths[i] >= 0 && c.fit.drop > 0 && (drop < 0 || c.fit.drop > t.columns[drop].fit.drop) {
			drop = i
		}
	}
	return drop
}

// total returns how wide a table with these columns is.
func total(widths []int) int {
	sum := -len(tableGap)
	for _, w := range widths {
		if w >= 0 {
			sum += w + len(tableGap)
		}
	}
	return sum
}

func (t *tableWriter) print(row []string) error {
	var b strings.Builder
	for i, text := range row {
		if t.widths[i] < 0 {
			continue
		}
		if t.width > 0 && t.columns[i].fit.min > 0 && widthOf(text) > t.widths[i] {
			text = cells.Truncate(text, t.widths[i], "…")
		}
		pad := strings.Repeat(" ", max(t.widths[i]-widthOf(text), 0))
		if t.columns[i].fit.right {
			text = pad + text
		} else {
			text += pad
		}
		if b.Len() > 0 {
			b.WriteString(tableGap)
		}
		b.WriteString(text)
	}
	_, err := io.WriteString(t.out, strings.TrimRight(b.String(), " ")+"\n")
	return err
}

// terminalWidth returns how wide the terminal is that a stream of the command is;
// 0: it is none.
func terminalWidth(stream any) int {
	f := fileOf(stream)
	if f == nil {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return max(width, minTableWidth)
}

// isTerminal reports whether a person sits before a stream of the command.
func isTerminal(stream any) bool {
	f := fileOf(stream)
	return f != nil && term.IsTerminal(int(f.Fd()))
}
