package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Acts on many bindings that are told apart when they are taken back.
const (
	actUnbind = "unbind"
	actUndo   = "undo"
)

// undoWithin is for how long a change of many bindings can be taken back.
const undoWithin = 24 * time.Hour

// registerBulkUndo adds what takes a change of many bindings back.
func (a *API) registerBulkUndo() {
	handle(a, operation{
		method: http.MethodPost, path: "/bindings/bulk/{id}/undo", id: "undo-change-bindings", tag: bindingTag, role: account.Operator,
		summary: "Take a change of many bindings back", errors: []int{http.StatusNotFound},
		about: "Gives every binding back what the change took from it, as the audit trail has it, within 24 hours. Bindings that have changed since " +
			"are left as they are, and counted. Keys that were unbound are bound as they were, if nobody has bound them anew; their usage begins anew, " +
			"and exceptions that ended with the binding stay ended.",
	}, a.undoBulk)
}

type bulkUndoInput struct {
	ID string `path:"id" pattern:"^[A-Z2-7]{26}$" patternDescription:"26 letters and digits" doc:"The id that the answer to the change had."`
}

type bulkUndoOutput struct {
	Body bulkUndoResult
}

// bulkUndoResult is engine.BulkUndoResult as the API shows it.
type bulkUndoResult struct {
	Restored     int      `json:"restored" doc:"As they were before."`
	ChangedSince int      `json:"changedSince" doc:"Left as they are, since they have changed meanwhile."`
	Failed       int      `json:"failed" doc:"Not restored because of an error."`
	FirstError   *failure `json:"firstError,omitempty" doc:"Why the first one failed."`
}

func (a *API) undoBulk(ctx context.Context, c *call, in *bulkUndoInput) (*bulkUndoOutput, error) {
	entries, err := a.bulkEntries(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out, run := &bulkUndoOutput{}, bulkRun{ID: rand.Text(), Act: actUndo}
	for _, entry := range entries {
		undos, err := undosOf(entry)
		if err != nil {
			return nil, fmt.Errorf("read audit entry %d: %w", entry.ID, err)
		}
		part, err := a.undoPart(ctx, c, run, undos)
		out.Body.Restored += part.Restored
		out.Body.ChangedSince += part.ChangedSince
		out.Body.Failed += part.Failed
		out.Body.FirstError = a.firstFailure(ctx, out.Body.FirstError, part.FirstError)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bulkEntries returns what the audit trail has of one change of many bindings.
// Returns store.ErrNotFound if that is nothing.
func (a *API) bulkEntries(ctx context.Context, id string) ([]store.AuditEntry, error) {
	var entries []store.AuditEntry
	f := store.AuditFilter{
		Time: store.TimeRange{Since: a.now().Add(-undoWithin)}, Action: bulkAction, Target: bulkTargetName(id), Limit: store.MaxPage,
	}
	for {
		page, err := a.opts.Store.ListAudit(ctx, f)
		if err != nil {
			return nil, err
		}
		entries = append(entries, page.Entries...)
		if f.Before = page.Next; f.Before == 0 {
			break
		}
	}
	if len(entries) == 0 {
		return nil, store.ErrNotFound
	}
	return entries, nil
}

// undosOf reads how what one entry tells of is taken back. Returns
// store.ErrNotFound for one that has taken something back itself.
func undosOf(entry store.AuditEntry) ([]engine.BulkUndo, error) {
	var was struct {
		bulkRun
		Bindings []json.RawMessage `json:"bindings"`
	}
	var is struct {
		Bindings []bindingChange `json:"bindings"`
	}
	if err := json.Unmarshal(entry.Before, &was); err != nil {
		return nil, err
	}
	if was.Act == actUndo {
		return nil, store.ErrNotFound
	}
	if len(entry.After) > 0 {
		if err := json.Unmarshal(entry.After, &is); err != nil {
			return nil, err
		}
	}
	made := make(map[string]uint64, len(is.Bindings)) // revisions by hash
	for _, b := range is.Bindings {
		made[b.Hash] = b.Revision
	}
	undos := make([]engine.BulkUndo, 0, len(was.Bindings))
	for _, body := range was.Bindings {
		var undo engine.BulkUndo
		var err error
		if was.Act == actUnbind {
			undo, err = undoUnbind(body)
		} else {
			undo, err = undoEdit(body, made)
		}
		if err != nil {
			return nil, err
		}
		undos = append(undos, undo)
	}
	return undos, nil
}

func undoUnbind(was []byte) (engine.BulkUndo, error) {
	var b removedBinding
	if err := json.Unmarshal(was, &b); err != nil {
		return engine.BulkUndo{}, err
	}
	bind := b.stored()
	bind.HashedWith = b.HashedWith
	return engine.BulkUndo{Hash: b.Hash, Bind: bind}, nil
}

func undoEdit(was []byte, made map[string]uint64) (engine.BulkUndo, error) {
	var before bindingChange
	if err := json.Unmarshal(was, &before); err != nil {
		return engine.BulkUndo{}, err
	}
	hash, err := store.ParseKeyHash(before.Hash)
	if err != nil {
		return engine.BulkUndo{}, err
	}
	revision := made[before.Hash]
	if revision == 0 {
		revision = math.MaxUint64 // somebody has unbound it meanwhile: matches nothing, where 0 would match all
	}
	edit := engine.BindingEdit{Revision: revision, Status: before.Status, Label: before.Label, Note: before.Note}
	if before.Rule != nil {
		rule := before.Rule.stored()
		edit.Rule = &rule
	}
	return engine.BulkUndo{Hash: hash, Edit: &edit}, nil
}

// stored returns what of a binding is kept when it is bound again.
func (b Binding) stored() *store.Binding {
	return &store.Binding{
		Hash: b.Hash, Hint: b.Hint, Label: b.Label, Note: b.Note, Status: b.Status, Rule: b.Rule.stored(), FirstIP: b.FirstIP, ArchivedBefore: b.ArchivedBefore,
	}
}

// stored is the inverse of showRule.
func (r ruleBody) stored() store.Rule {
	rule := store.Rule{Kind: r.Kind, Prefixes: slices.Clone(r.Prefixes), Networks: slices.Clone(r.Networks)}
	if len(rule.Prefixes) == 0 {
		rule.Prefixes = nil
	}
	if r.Learn != nil {
		rule.Learn = r.Learn.learn()
	}
	return rule
}

// undoPart takes a part back, and tells the audit trail of it as bulkChunk does.
func (a *API) undoPart(ctx context.Context, c *call, run bulkRun, undos []engine.BulkUndo) (engine.BulkUndoResult, error) {
	hashes := make([]store.KeyHash, len(undos))
	for i, undo := range undos {
		hashes[i] = undo.Hash
	}
	before, err := a.readBindings(ctx, hashes)
	if err != nil {
		return engine.BulkUndoResult{}, err
	}
	result, undoErr := a.opts.Engine.UndoBulk(ctx, undos)
	after, err := a.readBindings(context.WithoutCancel(ctx), hashes)
	if err != nil {
		return result, errors.Join(undoErr, err)
	}
	return result, errors.Join(undoErr, a.auditMany(ctx, c, bulkAction, run, before, after))
}
