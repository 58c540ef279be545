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
	p.known = importFields
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
	var in importedRow
	before := p.refused.Total
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if !p.knows(name) {
			p.fault(row, unknownColumn(name, i+1), "is no field of an import: want %s", strings.Join(p.known, ", "))
			continue
		}
		p.setField(row, name, fields[name], &in)
	}
	if p.refused.Total == before {
		p.add(row, in)
	}
}

func (p *importParser) setField(row int, name string, value json.RawMessage, in *importedRow) {
	text := map[string]*string{
		"hash": &in.hash, "key": &in.key, "hint": &in.hint, "label": &in.label, "note": &in.note, "status": &in.status,
		"learnUntil": &in.learnUntil,
	}[name]
	switch {
	case text != nil:
		if json.Unmarshal(value, text) != nil {
			p.fault(row, name, "is no text")
		}
	case name == "rule":
		p.setRule(row, value, in)
	case name == "prefixes":
		p.setTexts(row, name, value, &in.prefixes, prefixTexts)
	case name == "networks":
		p.setTexts(row, name, value, &in.networks, networkTexts)
	case name == "learn":
		p.setLearn(row, name, value, in)
	}
}

// setRule takes a rule as text, or as an object as the API has it.
func (p *importParser) setRule(row int, value json.RawMessage, in *importedRow) {
	if json.Unmarshal(value, &in.rule) == nil {
		return
	}
	var rule struct {
		Kind     string          `json:"kind"`
		Prefixes json.RawMessage `json:"prefixes"`
		Networks json.RawMessage `json:"networks"`
		Learn    json.RawMessage `json:"learn"`
	}
	if !strictly(value, &rule) {
		p.fault(row, "rule", "want single, multiple, all or such as learn:3/24h, or an object with kind, prefixes, networks and learn")
		return
	}
	in.rule = rule.Kind
	inRow := in.prefixes != nil || in.networks != nil || in.learn != nil // names come in order: before rule
	if inRow && (rule.Prefixes != nil || rule.Networks != nil || rule.Learn != nil) {
		p.fault(row, "rule", "has prefixes, networks or learn, and so has the row")
		return
	}
	if rule.Prefixes != nil {
		p.setTexts(row, "rule", rule.Prefixes, &in.prefixes, prefixTexts)
	}
	if rule.Networks != nil {
		p.setTexts(row, "rule", rule.Networks, &in.networks, networkTexts)
	}
	if rule.Learn != nil {
		p.setLearn(row, "rule", rule.Learn, in)
	}
}

// What lists of texts are of.
const (
	prefixTexts  = "addresses and CIDRs"
	networkTexts = "names of networks"
)

// setTexts takes a list, or a text with spaces in it.
func (p *importParser) setTexts(row int, column string, value json.RawMessage, texts *[]string, of string) {
	var one string
	switch {
	case json.Unmarshal(value, &one) == nil:
		*texts = strings.Fields(one)
	case json.Unmarshal(value, texts) != nil:
		p.fault(row, column, "want a list of %s", of)
	}
}

func (p *importParser) setLearn(row int, column string, value json.RawMessage, in *importedRow) {
	var learn *learnBody
	if !strictly(value, &learn) {
		p.fault(row, column, "want how it learns, such as {\"limit\": 3, \"withinSeconds\": 86400}")
		return
	}
	in.learn = learn
}

// strictly reads JSON without fields that nobody knows.
func strictly(value json.RawMessage, into any) bool {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into) == nil
}
