package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// readJSON reads a list of objects, or objects one after the other, such as one
// a line.
func (p *importParser) readJSON(from io.Reader) error {
	text, ok, err := p.skipMark(from)
	if err != nil || !ok {
		return err
	}
	buffered := bufio.NewReader(text)
	isList, err := beginsList(buffered)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return p.broken(0, err, "cannot be read")
	}
	objects := json.NewDecoder(buffered)
	if isList {
		if _, err := objects.Token(); err != nil {
			return p.broken(0, err, "is no JSON")
		}
	}
	row := 1
	for ; !isList || objects.More(); row++ {
		nextRow(from)
		var object json.RawMessage
		err := objects.Decode(&object)
		if errors.Is(err, io.EOF) && !isList {
			return nil
		}
		if err != nil {
			return p.broken(row, notEnd(err), "is no JSON; the rows after it were not read")
		}
		p.addJSON(row, object)
		if p.full(row) {
			return nil
		}
	}
	return p.endList(objects, row)
}

// notEnd makes of an end in the middle of something what it is.
func notEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// endList checks that a list ends, and that nothing comes after it.
func (p *importParser) endList(objects *json.Decoder, row int) error {
	if _, err := objects.Token(); err != nil {
		return p.broken(row, notEnd(err), "is no JSON: the list does not end")
	}
	_, err := objects.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil || isSyntax(err):
		p.fault(row, "", "something comes after the end of the list")
		return nil
	}
	return p.broken(row, err, "cannot be read")
}

// beginsList skips white space.
func beginsList(r *bufio.Reader) (bool, error) {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return false, err
		}
		if !bytes.ContainsRune([]byte(" \t\r\n"), rune(b)) {
			return b == '[', r.UnreadByte()
		}
	}
}

func (p *importParser) addJSON(row int, object json.RawMessage) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil || fields == nil {
		p.fault(row, "", "is no object, such as {\"hash\": …, \"prefixes\": […]}")
		return
	}
	var in importFields
	before := p.refused.Total
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if !knownColumn(name) {
			p.fault(row, unknownColumn(name, i+1), "is no field of an import: want %s", strings.Join(importColumns, ", "))
			continue
		}
		p.setField(row, name, fields[name], &in)
	}
	if p.refused.Total == before {
		p.add(row, in)
	}
}

func (p *importParser) setField(row int, name string, value json.RawMessage, in *importFields) {
	text := map[string]*string{
		"hash": &in.hash, "key": &in.key, "hint": &in.hint, "label": &in.label, "note": &in.note, "status": &in.status,
	}[name]
	switch {
	case text != nil:
		if json.Unmarshal(value, text) != nil {
			p.fault(row, name, "is no text")
		}
	case name == "rule":
		p.setRule(row, value, in)
	case name == "prefixes":
		p.setPrefixes(row, name, value, in)
	}
}

// setRule takes a rule as text, or as an object as the API has it.
func (p *importParser) setRule(row int, value json.RawMessage, in *importFields) {
	if json.Unmarshal(value, &in.rule) == nil {
		return
	}
	var rule struct {
		Kind     string          `json:"kind"`
		Prefixes json.RawMessage `json:"prefixes"`
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	switch {
	case decoder.Decode(&rule) != nil:
		p.fault(row, "rule", "want single, multiple or all, or an object with kind and prefixes")
	case rule.Prefixes == nil:
		in.rule = rule.Kind
	case in.prefixes != nil:
		p.fault(row, "rule", "has prefixes, and so has the row")
	default:
		in.rule = rule.Kind
		p.setPrefixes(row, "rule", rule.Prefixes, in)
	}
}

// setPrefixes takes a list, or a text with spaces in it.
func (p *importParser) setPrefixes(row int, column string, value json.RawMessage, in *importFields) {
	var one string
	switch {
	case json.Unmarshal(value, &one) == nil:
		in.prefixes = strings.Fields(one)
	case json.Unmarshal(value, &in.prefixes) != nil:
		p.fault(row, column, "want a list of addresses and CIDRs")
	}
}
