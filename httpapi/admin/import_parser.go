package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// maxImportFaults is how many faults of a file are named, and how many warnings.
const maxImportFaults = 100

// importColumns are what an import takes, and importIgnored what an export has
// beyond that.
var (
	importColumns = []string{"hash", "key", "hint", "label", "note", "status", "rule", "prefixes", "learnUntil"}
	importFields  = append(slices.Clip(importColumns), "networks", "learn") // of JSON
	importIgnored = []string{
		"firstIp", "createdAt", "updatedAt", "archivedBefore", "lastUsed", "lastIp", "hits", "revision", "usage",
	}
)

// importParser makes rows of a file. Faults of rows are gathered; an error of
// its methods is one of the connection.
type importParser struct {
	hashKey   func(key string) (store.KeyHash, string, error)
	anySource bool
	known     []string // the names of columns or fields

	rows     []engine.ImportRow
	prefixes int // of all rows, with networks
	warnings []rowWarning
	refused  engine.ImportError
}

// importedRow is a row as the file has it.
type importedRow struct {
	hash, key, hint, label, note, status, rule, learnUntil string

	prefixes, networks []string
	learn              *learnBody
}

// fault notes what is wrong with a row. It repeats nothing that could be a key.
func (p *importParser) fault(row int, column, format string, args ...any) {
	p.refused.Total++
	if len(p.refused.Faults) < maxImportFaults {
		p.refused.Faults = append(p.refused.Faults, engine.RowFault{Row: row, Column: column, Fault: fmt.Sprintf(format, args...)})
	}
	p.rows = nil // they will not be needed
}

// warn notes what is odd about a row.
func (p *importParser) warn(row int, text string) {
	if len(p.warnings) < maxImportFaults {
		p.warnings = append(p.warnings, rowWarning{row, text, wordingOf(text)})
	}
}

// broken is a fault after which nothing in the file can be trusted. Errors of
// the connection are returned.
func (p *importParser) broken(row int, err error, format string, args ...any) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case errors.Is(err, errRowTooLarge):
		p.fault(row, "", "%s", errRowTooLarge)
	case err == nil || isSyntax(err):
		p.fault(row, "", format, args...)
	default:
		return err
	}
	return nil
}

// add takes one row.
func (p *importParser) add(row int, in importedRow) {
	before := p.refused.Total
	b := store.Binding{
		Hint: strings.TrimSpace(in.hint), Label: in.label, Note: in.note, Status: store.Status(strings.TrimSpace(in.status)),
	}
	if b.Status == "" {
		b.Status = store.StatusActive
	}
	if b.Status != store.StatusActive && b.Status != store.StatusBanned {
		p.fault(row, "status", "want active or banned")
	}
	p.name(row, in, &b)
	b.Rule = p.rule(row, in)
	if p.refused.Total == before && p.refused.Total == 0 {
		p.rows = append(p.rows, engine.ImportRow{Row: row, Binding: b})
	}
}

// full reports whether a file has too much in it, which is a fault.
func (p *importParser) full(row int) bool {
	switch {
	case row > maxImportRows:
		p.fault(row, "", "a file has at most %d rows: split it", maxImportRows)
	case p.prefixes > maxImportPrefixes:
		p.fault(row, "prefixes", "a file has at most %d prefixes: split it", maxImportPrefixes)
	default:
		return false
	}
	return true
}

// name fills in the key hash, and the hint unless the file has one.
func (p *importParser) name(row int, in importedRow, b *store.Binding) {
	hash, key := strings.TrimSpace(in.hash), strings.TrimSpace(in.key)
	var err error
	switch {
	case hash == "" && key == "":
		p.fault(row, "hash", "is empty, and there is no key either")
	case hash != "" && key != "":
		p.fault(row, "hash", "give either the key or its hash")
	case hash != "":
		if b.Hash, err = store.ParseKeyHash(hash); err != nil || b.Hash.IsZero() {
			p.fault(row, "hash", "is no key hash, which has 64 hex digits and is not zero")
		}
	default:
		var hint string
		switch b.Hash, hint, err = p.hashKey(key); {
		case err != nil && !errors.Is(err, store.ErrInvalid):
			p.fault(row, "key", "cannot be looked up: the store does not answer")
		case err != nil:
			p.fault(row, "key", "cannot be a key of this downstream: it is too long, or has characters that no key has")
		}
		if b.Hint == "" {
			b.Hint = hint
		}
	}
}

// unknownColumn names a column that is none of ours, unless it looks like a key
// rather than a name: then the file has no header, and it must not be repeated.
func unknownColumn(name string, place int) string {
	const longest = 24
	plain := strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ ") == ""
	if name == "" || len(name) > longest || !plain {
		return fmt.Sprintf("column %d", place)
	}
	return name
}

func (p *importParser) knows(name string) bool {
	return slices.Contains(p.known, name) || slices.Contains(importIgnored, name)
}

// nextRow lets the next row be as large as this one could be.
func nextRow(r io.Reader) {
	if limit, ok := r.(*rowLimit); ok {
		limit.left = maxImportRow
	}
}
