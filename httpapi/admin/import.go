package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// maxImportBytes is how large a file may be.
	maxImportBytes = 256 << 20
	// maxImportRows and maxImportPrefixes bound the memory that a file takes, at
	// some 600 MB for the two together.
	maxImportRows     = 1_000_000
	maxImportPrefixes = 4_000_000
	// maxImportRow is how large one row may be.
	maxImportRow = 4 << 20
	// readPatience is how long a client may send nothing of a file.
	readPatience = 30 * time.Second
)

// registerImport adds the import of bindings.
func (a *API) registerImport() {
	handle(a, operation{
		method: http.MethodPost, path: "/bindings/import", id: "import-bindings", tag: bindingTag, role: account.Operator,
		summary: "Import bindings", receives: []string{"text/csv", "application/json", "application/jsonl"},
		errors: []int{http.StatusConflict},
		about: "A file of up to 256 MiB and 1,000,000 rows. As CSV it has a header with the columns, in any order, hash or key (one of them), " +
			"hint, label, note, status, rule, prefixes (separated by spaces, those with @ before them being names of networks, such as @office) and " +
			"learnUntil. The rule learn says how it learns: learn:3/24h is up to 3 prefixes within 24 hours of the first use. As JSON it is a list, or " +
			"one object a line, with the same fields, and networks and learn as edit-binding takes them; prefixes may be a list, and rule an object as " +
			"edit-binding takes it. Without a rule, one prefix is single, and several or a network are multiple; without a status, a key is active. Keys are hashed here and neither kept nor logged. The columns that an export has beyond these are passed over; " +
			"others are refused. A file with any fault changes nothing, and up to 100 faults are named by row (from 1, without the header) and column.",
	}, a.importBindings)
}

type importInput struct {
	Format           string                `query:"format" enum:"csv,json" default:"csv" doc:"How the file is written; JSON Lines is json as well."`
	OnConflict       engine.ImportConflict `query:"onConflict" enum:"refuse,skip,replace" default:"refuse" doc:"What becomes of a row whose key is bound already: a fault, passed over, or in place of the binding."`
	DryRun           bool                  `query:"dryRun" doc:"Check everything and count, but change nothing."`
	ConfirmAnySource bool                  `query:"confirmAnySource" doc:"Must be true if 0.0.0.0/0 or ::/0 is among the prefixes."`

	body *patientReader
}

// Resolve is part of huma.Resolver: the body is read by the handler itself, so
// that it need not be in memory as a whole.
func (in *importInput) Resolve(ctx huma.Context) []error {
	c := humagin.Unwrap(ctx)
	in.body = &patientReader{
		from: http.MaxBytesReader(c.Writer, c.Request.Body, maxImportBytes), control: http.NewResponseController(c.Writer),
	}
	return nil
}

// patientReader reads from a client for as long as something comes now and then.
type patientReader struct {
	from    io.Reader
	control *http.ResponseController
}

func (r *patientReader) Read(b []byte) (int, error) {
	if err := r.control.SetReadDeadline(time.Now().Add(readPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return r.from.Read(b)
}

// end lets what comes after take as long as it takes.
func (r *patientReader) end() { _ = r.control.SetReadDeadline(time.Time{}) }

type importResult struct {
	Rows     int  `json:"rows" doc:"Rows of the file."`
	Created  int  `json:"created" doc:"Keys that were bound."`
	Replaced int  `json:"replaced" doc:"Bindings that were replaced."`
	Skipped  int  `json:"skipped" doc:"Bindings that stayed as they were."`
	DryRun   bool `json:"dryRun" doc:"Whether this was a dry run, which has changed nothing: the numbers are what would be."`

	Warnings []rowWarning `json:"warnings,omitempty" doc:"What is odd about single rows, such as a prefix that adds nothing, up to 100; absent if nothing is."`
}

type importOutput struct {
	Body importResult
}

func (a *API) importBindings(ctx context.Context, c *call, in *importInput) (*importOutput, error) {
	if !a.works.importing.TryLock() {
		return nil, faultf(http.StatusConflict, "import_running", "another import is under way: one at a time")
	}
	defer a.works.importing.Unlock()
	rows, warnings, err := a.readImport(ctx, in)
	if err != nil {
		return nil, err
	}
	result, err := a.opts.Engine.Import(ctx, rows, in.OnConflict, true, nil)
	if err != nil || in.DryRun {
		return &importOutput{showImport(result, true, warnings)}, err
	}
	run := bulkRun{ID: rand.Text(), Act: "import, " + string(in.OnConflict)}
	if err := a.auditImport(ctx, c, run, rows, in.OnConflict); err != nil {
		return nil, err
	}
	result, err = a.opts.Engine.Import(ctx, rows, in.OnConflict, false, nil)
	done := struct {
		bulkRun
		engine.ImportResult
		Finished bool `json:"finished"`
	}{run, result, err == nil}
	if auditErr := a.audit(ctx, c, "binding.import", "", nil, done); err == nil && auditErr != nil {
		return nil, auditErr
	}
	var unfinished *engine.ImportUnfinishedError
	if errors.As(err, &unfinished) {
		a.opts.Logger.Error("import not finished", "request_id", c.requestID, "stored", unfinished.Stored, "rows", unfinished.Rows, "error", unfinished.Err)
		return nil, faultf(http.StatusServiceUnavailable, "import_unfinished",
			"%d of %d rows were stored before the store failed: import the file again with onConflict=skip for the rest", unfinished.Stored, unfinished.Rows)
	}
	return &importOutput{showImport(result, false, warnings)}, err
}

// rowWarning is something odd about one row.
type rowWarning struct {
	Row     int    `json:"row" doc:"Which row; the header is none."`
	Message string `json:"message" doc:"What is odd about it."`
	Wording
}

func showImport(r engine.ImportResult, dryRun bool, warnings []rowWarning) importResult {
	return importResult{r.Rows, r.Created, r.Replaced, r.Skipped, dryRun, warnings}
}

// auditImport tells the audit trail what an import is about to do. It comes
// before the act, which is one step for the engine, so that what is replaced
// need not be in memory as a whole; that it was done is a last entry.
func (a *API) auditImport(ctx context.Context, c *call, run bulkRun, rows []engine.ImportRow, conflict engine.ImportConflict) error {
	for begin := 0; begin < len(rows); begin += bulkChunk {
		chunk := rows[begin:min(begin+bulkChunk, len(rows))]
		hashes := make([]store.KeyHash, len(chunk))
		for i, row := range chunk {
			hashes[i] = row.Binding.Hash
		}
		before, err := a.readBindings(ctx, hashes)
		if err != nil {
			return err
		}
		after := make(map[store.KeyHash]store.Binding, len(chunk))
		for _, row := range chunk {
			b, bound := before[row.Binding.Hash]
			if bound && conflict != engine.ImportReplace {
				after[b.Hash] = b
				continue
			}
			after[row.Binding.Hash] = row.Binding
		}
		if err := a.auditMany(ctx, c, "binding.import", run, before, after); err != nil {
			return err
		}
	}
	return nil
}

// readImport reads the file, and says what is odd about it.
func (a *API) readImport(ctx context.Context, in *importInput) (rows []engine.ImportRow, warnings []rowWarning, err error) {
	defer in.body.end()
	findKey := func(key string) (store.KeyHash, string, error) { return a.opts.Engine.FindKey(ctx, key) }
	p := &importParser{hashKey: findKey, anySource: in.ConfirmAnySource}
	read := p.readCSV
	if in.Format == "json" {
		read = p.readJSON
	}
	err = read(&rowLimit{from: in.body, left: maxImportRow})
	// What was not read for a fault before it is taken in all the same: many
	// clients read no answer before they have sent everything.
	if _, drainErr := io.Copy(io.Discard, in.body); err == nil {
		err = drainErr
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, nil, faultf(http.StatusRequestEntityTooLarge, "too_large", "the file has more than %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, nil, faultf(http.StatusBadRequest, "invalid", "the file did not come as a whole: nothing was changed")
	case p.refused.Total > 0:
		return nil, nil, &p.refused
	case len(p.rows) == 0:
		return nil, nil, faultf(http.StatusUnprocessableEntity, "invalid", "the file has no rows")
	}
	return p.rows, p.warnings, nil
}

// errRowTooLarge ends a file in the middle of a row.
var errRowTooLarge = fmt.Errorf("the row has more than %d bytes", maxImportRow)

// rowLimit bounds what a single row can make a parser gather. The parser fills
// left again after each row.
type rowLimit struct {
	from io.Reader
	left int
}

func (l *rowLimit) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRowTooLarge
	}
	n, err := l.from.Read(b[:min(len(b), l.left)])
	l.left -= n
	return n, err
}
