package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// Forms of output.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputCSV   = "csv"
)

// tableTime is how tables write times, which are local.
const tableTime = "2006-01-02 15:04:05"

// errReaderGone is that whoever reads the output has seen enough, as in
// sentinel bindings list | head: no error.
var errReaderGone = errors.New("the reader of the output has gone")

// pipeWriter is standard output.
type pipeWriter struct{ w io.Writer }

func (p *pipeWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = errReaderGone
	}
	return n, err
}

// fileOf returns the file behind a standard stream of a command; nil: it is none.
func fileOf(stream any) *os.File {
	if p, ok := stream.(*pipeWriter); ok {
		stream = p.w
	}
	f, _ := stream.(*os.File)
	return f
}

// outputForm returns the form that --output asks for, one of those that the
// command has.
func outputForm(cmd *cobra.Command, has ...string) (string, error) {
	form := flagText(cmd, outputFlag)
	if !slices.Contains(has, form) {
		return "", usagef("--%s=%q: %s has none of that name; want %s", outputFlag, form, cmd.CommandPath(), oneOf(has))
	}
	return form, nil
}

// oneOf lists words: a, b or c.
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// listWriter writes a list as it comes, in constant memory: a table, JSON Lines,
// or CSV.
type listWriter[T any] struct {
	columns []column[T]
	out     *bufio.Writer
	form    string
	table   *tableWriter
	csv     *csv.Writer
}

// column is a field of a list's rows.
type column[T any] struct {
	title string
	// name is the column's in CSV; empty: CSV has none.
	name string
	text func(T) string // in CSV, and in tables if shown is nil
	// shown is the text in tables; a column with hidden set is in CSV only.
	shown  func(T) string
	hidden bool
	fit    fit
}

// newListWriter returns one for the form that --output asks for.
func newListWriter[T any](cmd *cobra.Command, columns []column[T]) (*listWriter[T], error) {
	form, err := outputForm(cmd, outputTable, outputJSON, outputCSV)
	if err != nil {
		return nil, err
	}
	out := cmd.OutOrStdout()
	l := &listWriter[T]{columns: columns, out: bufio.NewWriter(out), form: form}
	switch form {
	case outputTable:
		l.table = newTableWriter(l.out, terminalWidth(out), titlesOf(columns))
	case outputCSV:
		l.csv = csv.NewWriter(l.out)
		var names []string
		for _, c := range columns {
			if c.name != "" {
				names = append(names, c.name)
			}
		}
		err = l.csv.Write(names)
	}
	return l, err
}

// titlesOf returns the heads of the columns that a table has.
func titlesOf[T any](columns []column[T]) []tableColumn {
	var titles []tableColumn
	for _, c := range columns {
		if !c.hidden {
			titles = append(titles, tableColumn{c.title, c.fit})
		}
	}
	return titles
}

// cellsOf returns the cells of a row that a table has.
func cellsOf[T any](columns []column[T], row T) []string {
	var texts []string
	for _, c := range columns {
		switch {
		case c.hidden:
		case c.shown != nil:
			texts = append(texts, c.shown(row))
		default:
			texts = append(texts, c.text(row))
		}
	}
	return texts
}

// add writes one row. raw is the row as the server has sent it.
func (l *listWriter[T]) add(row T, raw json.RawMessage) error {
	switch l.form {
	case outputJSON:
		return writeJSONLine(l.out, raw)
	case outputCSV:
		var texts []string
		for _, c := range l.columns {
			if c.name != "" {
				texts = append(texts, csvCell(c.text(row)))
			}
		}
		return l.csv.Write(texts)
	}
	return l.table.add(cellsOf(l.columns, row))
}

// flush writes what is kept back, at the end and where the next row may take
// long to come.
func (l *listWriter[T]) flush() error {
	switch {
	case l.table != nil:
		if err := l.table.flush(); err != nil {
			return err
		}
	case l.csv != nil:
		l.csv.Flush()
		if err := l.csv.Error(); err != nil {
			return err
		}
	}
	return l.out.Flush()
}

// flushPage writes what has come so far. A table that has no row yet waits for
// one, to know how wide its columns are.
func (l *listWriter[T]) flushPage() error {
	if l.table != nil && l.table.widths == nil && len(l.table.rows) == 0 {
		return nil
	}
	return l.flush()
}

// formulaStart is what spreadsheets take for the beginning of a formula
// (CWE-1236), full-width forms among it.
const formulaStart = "=+-@\t\r\n＝＋－＠"

// csvCell returns a cell that neither a spreadsheet nor a terminal runs. A
// formula gets an apostrophe in front, as in the server's exports, and an import
// takes it away again.
func csvCell(s string) string {
	s = client.Printable(s)
	if first, _ := utf8.DecodeRuneInString(strings.TrimLeft(s, "'")); first != utf8.RuneError && strings.ContainsRune(formulaStart, first) {
		return "'" + s
	}
	return s
}

// writeJSON writes one document with indents.
func writeJSON(w io.Writer, raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(printableJSON(b.Bytes()))
	return err
}

// writeAsJSON writes what was made here as one document with indents.
func writeAsJSON(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeJSON(w, raw)
}

// writeJSONLine writes one document as a line.
func writeJSONLine(w io.Writer, raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(printableJSON(b.Bytes()))
	return err
}

// localTime returns a time for tables; zero: a dash.
func localTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(tableTime)
}

// csvTime returns a time for programs; zero: nothing.
func csvTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
