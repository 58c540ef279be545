package admin

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
)

// formulaStart is what spreadsheets take for the beginning of a formula when
// they open a CSV file (CWE-1236), full-width forms among it, which some locales
// read alike.
const formulaStart = "=+-@\t\r\n＝＋－＠"

// neutralise puts an apostrophe before a cell that a spreadsheet would run. One
// that has apostrophes before such a beginning already gets another, so that
// restoreCell gives back exactly what was.
func neutralise(cell string) string {
	if rest := strings.TrimLeft(cell, "'"); rest != "" && strings.ContainsRune(formulaStart, firstRune(rest)) {
		return "'" + cell
	}
	return cell
}

// restoreCell undoes neutralise.
func restoreCell(cell string) string {
	if rest, quoted := strings.CutPrefix(cell, "'"); quoted && neutralise(rest) != rest {
		return rest
	}
	return cell
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

// format is how a table is written.
type format struct {
	contentType string
	extension   string
}

// formats by the name that a client gives.
var formats = map[string]format{
	"csv":   {"text/csv; charset=utf-8; header=present", "csv"},
	"json":  {"application/json", "json"},
	"jsonl": {"application/jsonl", "jsonl"},
}

// rowWriter writes the rows of a table one by one.
type rowWriter[T any] interface {
	row(T) error
	end() error
}

// newRowWriter begins a table in a format of formats. cells gives the cells of a
// row in the order of columns; in JSON a row is what encoding/json makes of it.
func newRowWriter[T any](w io.Writer, name string, columns []string, cells func(T) []string) (rowWriter[T], error) {
	if name == "csv" {
		table := &csvTable[T]{csv.NewWriter(w), cells}
		return table, table.csv.Write(columns)
	}
	rows := &jsonRows[T]{w: w, encoder: json.NewEncoder(w), list: name == "json"}
	rows.encoder.SetEscapeHTML(false)
	return rows, nil
}

type csvTable[T any] struct {
	csv   *csv.Writer
	cells func(T) []string
}

func (t *csvTable[T]) row(value T) error {
	cells := t.cells(value)
	for i, cell := range cells {
		cells[i] = neutralise(cell)
	}
	return t.csv.Write(cells)
}

func (t *csvTable[T]) end() error {
	t.csv.Flush()
	return t.csv.Error()
}

// jsonRows writes one row a line, and for a list what makes them one.
type jsonRows[T any] struct {
	w       io.Writer
	encoder *json.Encoder
	list    bool
	begun   bool
}

func (r *jsonRows[T]) row(value T) error {
	if r.list {
		before := ","
		if !r.begun {
			before = "["
		}
		if _, err := io.WriteString(r.w, before); err != nil {
			return err
		}
	}
	r.begun = true
	return r.encoder.Encode(value)
}

func (r *jsonRows[T]) end() error {
	if !r.list {
		return nil
	}
	rest := "]\n"
	if !r.begun {
		rest = "[]\n"
	}
	_, err := io.WriteString(r.w, rest)
	return err
}
