package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

// BulkUndo takes back what Bulk did to one binding: exactly one of these.
type BulkUndo struct {
	Hash store.KeyHash
	Edit *BindingEdit   // what was there before, of the revision that Bulk made
	Bind *store.Binding // what was unbound
}

// BulkUndoResult counts what became of the bindings, each in exactly one of
// Restored, ChangedSince and Failed.
type BulkUndoResult struct {
	Restored     int
	ChangedSince int // have another revision, are gone, or are bound anew: left as they are
	Failed       int
	FirstError   error // why the first of those that failed did; nil if none did
}

// UndoBulk takes back what Bulk did, each binding in a step of its own. One that
// has changed since is left as it is. What was unbound gets its rule, texts and
// first address back; its usage begins anew.
//
// If ctx is done or the store does not answer, it ends early with that error, and
// the result says how far it came: doing it again does the rest.
func (e *Engine) UndoBulk(ctx context.Context, undos []BulkUndo) (BulkUndoResult, error) {
	t := tally{actions: make(map[event.Action]int)}
	err := forEach(ctx, len(undos), nil, func(ctx context.Context, i int) error {
		action, err := e.undoOne(ctx, undos[i])
		if errors.Is(err, store.ErrConflict) {
			err = store.ErrNotFound // what was changed is there no more
		}
		return t.add(action, err)
	})
	for action, n := range t.actions {
		e.tellMany(action, n)
	}
	result := BulkUndoResult{
		Restored: t.result.Changed, ChangedSince: t.result.Missing + t.result.Unchanged, Failed: t.result.Failed, FirstError: t.result.FirstError,
	}
	if err != nil {
		return result, fmt.Errorf("undo changes of bindings: %w", err)
	}
	return result, nil
}

func (e *Engine) undoOne(ctx context.Context, undo BulkUndo) (event.Action, error) {
	if undo.Edit != nil {
		edit, err := undo.Edit.clean()
		if err != nil {
			return "", err
		}
		return e.editOne(ctx, undo.Hash, edit)
	}
	done, err := e.networks.Naming(undo.Bind.Rule)
	if err != nil {
		return "", fmt.Errorf("bind key again: %w", err)
	}
	defer done()
	_, created, err := e.preset(ctx, *undo.Bind)
	if err == nil && !created {
		err = store.ErrConflict
	}
	return event.Preset, err
}
