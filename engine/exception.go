package engine

import (
	"context"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/engine/exception"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Exceptions are the exceptions of keys, to be read; they are changed by the
// engine.
func (e *Engine) Exceptions() *exception.Exceptions { return e.exceptions }

// Except makes an exception of x, as exception.Exceptions.Add does: from the next
// request on. Returns store.ErrNotFound if the key has no binding: then there is
// nothing to make an exception from.
func (e *Engine) Except(ctx context.Context, x exception.Exception) (exception.Exception, error) {
	note, err := cleanText("note", x.Note, exception.MaxNoteBytes, "\n\t")
	if err != nil {
		return exception.Exception{}, fmt.Errorf("make exception: %w", err)
	}
	b, err := e.store.Binding(ctx, x.Hash)
	if err != nil {
		return exception.Exception{}, fmt.Errorf("make exception: %w", err)
	}
	x.Note, x.Hint = note, b.Hint
	if x, err = e.exceptions.Add(ctx, x); err == nil {
		e.events.Publish(event.TypeException, event.Exception{Change: event.Made, ID: x.ID, Hash: x.Hash, Hint: x.Hint})
	}
	return x, err
}

// EndException ends an exception before its time, and cuts the exchanges under way
// that it let pass. Returns store.ErrNotFound, or store.ErrConflict if it has ended
// already.
func (e *Engine) EndException(ctx context.Context, id, by string) (exception.Exception, error) {
	x, err := e.exceptions.Revoke(ctx, id, by)
	if err == nil {
		e.reexamineStored(ctx, x.Hash)
		e.events.Publish(event.TypeException, event.Exception{Change: event.Ended, ID: x.ID, Hash: x.Hash, Hint: x.Hint})
	}
	return x, err
}

// Intercept returns the record of a refusal. Returns store.ErrNotFound.
func (e *Engine) Intercept(ctx context.Context, id uint64) (store.Intercept, error) {
	page, err := e.store.ListIntercepts(ctx, store.InterceptFilter{Before: id + 1, After: id - 1, Limit: 1})
	if err != nil {
		return store.Intercept{}, fmt.Errorf("look up intercept: %w", err)
	}
	if id == 0 || len(page.Records) == 0 {
		return store.Intercept{}, store.ErrNotFound
	}
	return page.Records[0], nil
}
