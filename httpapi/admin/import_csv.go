package admin

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

const (
	utf8Mark    = "\xEF\xBB\xBF"
	utf16Little = "\xFF\xFE"
	utf16Big    = "\xFE\xFF"
)

// isSyntax reports whether an error is of what was read, and not of reading.
func isSyntax(err error) bool {
	var (
		inCSV  *csv.ParseError
		inJSON *json.SyntaxError
		typed  *json.UnmarshalTypeError
	)
	return errors.As(err, &inCSV) || errors.As(err, &inJSON) || errors.As(err, &typed) || errors.Is(err, io.ErrUnexpectedEOF)
}

// readCSV reads a table with a header, RFC 4180.
func (p *importParser) readCSV(from io.Reader) error {
	p.known = importColumns
	text, ok, err := p.skipMark(from)
	if err != nil || !ok {
		return err
	}
	table := csv.NewReader(text)
	table.ReuseRecord = true
	table.FieldsPerRecord = -1 // told below, by row
	header, err := table.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return p.broken(0, err, "the header is no CSV")
	}
	columns := slices.Clone(header)
	if !p.checkHeader(columns) {
		return nil
	}
	for row := 1; ; row++ {
		nextRow(from)
		cells, err := table.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return p.broken(row, err, "is no CSV, such as for a quote that does not end; the rows after it were not read")
		case len(cells) != len(columns):
			p.fault(row, "", "has %d cells, and the header has %d", len(cells), len(columns))
		default:
			p.add(row, csvFields(columns, cells))
		}
		if p.full(row) {
			return nil
		}
	}
}

// skipMark skips the mark of UTF-8, and refuses UTF-16.
func (p *importParser) skipMark(from io.Reader) (text io.Reader, ok bool, err error) {
	buffered := bufio.NewReader(from)
	begin, err := buffered.Peek(len(utf8Mark))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, p.broken(0, err, "cannot be read")
	}
	switch {
	case string(begin) == utf8Mark:
		_, err = buffered.Discard(len(utf8Mark))
		return buffered, err == nil, err
	case strings.HasPrefix(string(begin), utf16Little), strings.HasPrefix(string(begin), utf16Big):
		p.fault(0, "", "the file is UTF-16: save it as UTF-8")
		return nil, false, nil
	}
	return buffered, true, nil
}

// checkHeader trims the names of the columns, and reports whether all is well
// with them.
func (p *importParser) checkHeader(columns []string) bool {
	if len(columns) == 1 && strings.ContainsAny(columns[0], ";\t") {
		p.fault(0, "", "the cells are separated by semicolons or tabs: save the file with commas")
		return false
	}
	names := 0
	for i, name := range columns {
		name = strings.TrimSpace(name)
		columns[i] = name
		switch {
		case !p.knows(name):
			p.fault(0, unknownColumn(name, i+1), "is no column of an import: want %s", strings.Join(p.known, ", "))
		case slices.Contains(columns[:i], name):
			p.fault(0, name, "is there twice")
		case name == "hash" || name == "key":
			names++
		}
	}
	if names != 1 && p.refused.Total == 0 {
		p.fault(0, "hash", "the header must have either hash or key; it comes first, before the rows")
	}
	return p.refused.Total == 0
}

func csvFields(columns, cells []string) importedRow {
	var in importedRow
	for i, name := range columns {
		cell := restoreCell(cells[i])
		switch name {
		case "hash":
			in.hash = cell
		case "key":
			in.key = cell
		case "hint":
			in.hint = cell
		case "label":
			in.label = cell
		case "note":
			in.note = cell
		case "status":
			in.status = cell
		case "rule":
			in.rule = cell
		case "prefixes":
			in.prefixes = strings.Fields(cell)
		case "learnUntil":
			in.learnUntil = cell
		}
	}
	return in
}
