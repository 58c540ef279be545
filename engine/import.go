package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

// ImportConflict says what becomes of a row whose key has a binding already.
type ImportConflict string

// What may become of it.
const (
	ImportRefuse  ImportConflict = "refuse"  // it is a fault of the row
	ImportSkip    ImportConflict = "skip"    // the binding stays as it is
	ImportReplace ImportConflict = "replace" // the binding is made what the row says
)

// maxImportFaults bounds how many faults an ImportError holds.
const maxImportFaults = 100

// ImportRow is one row of an import. Of the binding, Hash, Hint, Label, Note,
// Status and Rule are used.
type ImportRow struct {
	Row     int // from 1, without the header
	Binding store.Binding
}

// ImportResult counts what became of the rows.
type ImportResult struct {
	Rows     int `json:"rows"`
	Created  int `json:"created"`
	Replaced int `json:"replaced"`
	Skipped  int `json:"skipped"` // had a binding, which stayed as it was
}

// RowFault is what is wrong with one row.
type RowFault struct {
	Row    int    `json:"row"`
	Column string `json:"column"`
	Fault  string `json:"fault"`
}

// ImportError is the error of an import that was refused as a whole.
type ImportError struct {
	Faults []RowFault // in the order of the rows, at most 100
	Total  int        // of all rows
}

// Error names the first fault, and says how many there are.
func (e *ImportError) Error() string {
	if len(e.Faults) == 0 {
		return "import refused"
	}
	f := e.Faults[0]
	return fmt.Sprintf("import refused: row %d, %s: %s (faults in all: %d)", f.Row, f.Column, f.Fault, e.Total)
}

// Unwrap makes it a kind of store.ErrInvalid.
func (e *ImportError) Unwrap() error { return store.ErrInvalid }

func (e *ImportError) add(row int, column, fault string) {
	if e.Total++; len(e.Faults) < maxImportFaults {
		e.Faults = append(e.Faults, RowFault{Row: row, Column: column, Fault: fault})
	}
}

// ImportUnfinishedError is the error of an import that ended in the middle.
type ImportUnfinishedError struct {
	Stored int // rows that were stored
	Rows   int // of so many
	Err    error
}

// Error says how far it came, why no farther, and what completes it.
func (e *ImportUnfinishedError) Error() string {
	return fmt.Sprintf("import ended after %d of %d rows were stored; importing again with %q completes it: %v",
		e.Stored, e.Rows, ImportSkip, e.Err)
}

// Unwrap returns the cause.
func (e *ImportUnfinishedError) Unwrap() error { return e.Err }

// Import stores bindings. All rows are checked first, against each other and
// against what is stored: if one is refused nothing is changed, and the error is
// an *ImportError. A dry run ends there, and counts what would be done.
//
// Then the rows are stored, each in a step of its own. If the store fails in
// the middle, or ctx is done, the error is an *ImportUnfinishedError. progress,
// if not nil, is called now and then, never twice at a time.
func (e *Engine) Import(
	ctx context.Context, rows []ImportRow, conflict ImportConflict, dryRun bool, progress func(done, total int),
) (ImportResult, error) {
	if conflict != ImportRefuse && conflict != ImportSkip && conflict != ImportReplace {
		return ImportResult{}, fmt.Errorf("%w: conflict %q, want %q, %q or %q",
			store.ErrInvalid, conflict, ImportRefuse, ImportSkip, ImportReplace)
	}
	rows, err := e.cleanRows(rows)
	if err != nil {
		return ImportResult{}, err
	}
	i := &importer{engine: e, rows: rows, conflict: conflict}
	if err := i.check(ctx); err != nil {
		return ImportResult{}, err
	}
	if dryRun {
		return i.result, nil
	}
	i.result = ImportResult{Rows: len(rows)}
	err = forEach(ctx, len(rows), progress, i.apply)
	e.tellMany(event.Preset, i.result.Created)
	e.tellMany(event.Edited, i.result.Replaced)
	if err != nil {
		return i.result, &ImportUnfinishedError{Stored: i.result.Created + i.result.Replaced, Rows: len(rows), Err: err}
	}
	return i.result, nil
}

// cleanRows returns the rows as they are stored, or an *ImportError.
func (e *Engine) cleanRows(rows []ImportRow) ([]ImportRow, error) {
	refused := new(ImportError)
	first := make(map[store.KeyHash]int, len(rows))
	clean := make([]ImportRow, len(rows))
	for i, row := range rows {
		clean[i] = e.cleanRow(row, refused)
		if there, ok := first[row.Binding.Hash]; ok {
			refused.add(row.Row, "hash", fmt.Sprintf("row %d is of the same key as row %d", row.Row, there))
		} else if !row.Binding.Hash.IsZero() {
			first[row.Binding.Hash] = row.Row
		}
	}
	if refused.Total > 0 {
		return nil, refused
	}
	return clean, nil
}

// cleanRow returns the row as it is stored, and adds its faults to refused.
func (e *Engine) cleanRow(row ImportRow, refused *ImportError) ImportRow {
	b := store.Binding{Hash: row.Binding.Hash, Status: row.Binding.Status, Rule: row.Binding.Rule}
	var err error
	note := func(column string) {
		if err != nil {
			fault := strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": ")
			refused.add(row.Row, column, fault)
		}
	}
	b.Hint, err = cleanText("hint", row.Binding.Hint, store.MaxHintBytes, "")
	note("hint")
	b.Label, err = cleanLabel(row.Binding.Label)
	note("label")
	b.Note, err = cleanNote(row.Binding.Note)
	note("note")
	if err = b.Rule.Validate(); err == nil {
		err = e.networks.Check(b.Rule)
	}
	note("rule")
	if err == nil {
		err = b.Validate() // of what is left: hash and status
		note(map[bool]string{true: "hash", false: "status"}[b.Hash.IsZero()])
	}
	return ImportRow{Row: row.Row, Binding: b}
}

// importer is one import under way.
type importer struct {
	engine   *Engine
	rows     []ImportRow
	conflict ImportConflict

	mu      sync.Mutex
	result  ImportResult
	refused []int // indexes of rows whose key has a binding
}

// check counts what is to be done, and returns an *ImportError if a row is
// refused because its key has a binding.
func (i *importer) check(ctx context.Context) error {
	i.result = ImportResult{Rows: len(i.rows)}
	if err := forEach(ctx, len(i.rows), nil, i.checkOne); err != nil {
		return fmt.Errorf("check import: %w", err)
	}
	slices.Sort(i.refused)
	refused := new(ImportError)
	for _, at := range i.refused {
		refused.add(i.rows[at].Row, "hash", "the key has a binding already")
	}
	if refused.Total > 0 {
		return refused
	}
	return nil
}

func (i *importer) checkOne(ctx context.Context, at int) error {
	b, err := i.engine.store.Binding(ctx, i.rows[at].Binding.Hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case err != nil:
		i.result.Created++
	case i.conflict == ImportRefuse:
		i.refused = append(i.refused, at)
	case i.conflict == ImportReplace && !sameBinding(b, overwritten(b, i.rows[at].Binding)):
		i.result.Replaced++
	default:
		i.result.Skipped++
	}
	return nil
}

// overwritten is a binding made what a row says. A row without a hint leaves
// the one that is there.
func overwritten(b, row store.Binding) store.Binding {
	if row.Hint != "" {
		b.Hint = row.Hint
	}
	b.Label, b.Note, b.Status, b.Rule = row.Label, row.Note, row.Status, row.Rule
	return b
}

func (i *importer) apply(ctx context.Context, at int) error {
	row := i.rows[at]
	created, replaced, err := i.store(ctx, row.Binding)
	if err != nil {
		return fmt.Errorf("row %d: %w", row.Row, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case created:
		i.result.Created++
	case replaced:
		i.result.Replaced++
	default:
		i.result.Skipped++
	}
	return nil
}

// store stores one row. A key that was bound since the check is a conflict
// like any other, and too late to refuse the whole for.
func (i *importer) store(ctx context.Context, row store.Binding) (created, replaced bool, err error) {
	done, err := i.engine.networks.Naming(row.Rule)
	if err != nil {
		return false, false, err
	}
	defer done()
	row.HashedWith = i.engine.credentials.HashedWith()
	for range changeAttempts {
		row.HashedWith = i.engine.credentials.HashedWith()
		_, created, err = i.engine.preset(ctx, row)
		switch {
		case err != nil || created || i.conflict == ImportSkip:
			return created, false, err
		case i.conflict == ImportRefuse:
			return false, false, fmt.Errorf("%w: the key was bound since the import was checked", store.ErrConflict)
		}
		before, after, err := i.engine.change(ctx, "replace binding", row.Hash, 0, func(b *store.Binding) { *b = overwritten(*b, row) })
		if !errors.Is(err, store.ErrNotFound) { // unbound since: then it is new
			return false, err == nil && before.Revision != after.Revision, err
		}
	}
	return false, false, store.ErrConflict
}
