package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// ReadAheadDone is closed when the bindings that are read ahead of their first requests
// have been read.
func (e *Engine) ReadAheadDone() <-chan struct{} { return e.readAheadDone }

// runReadAhead reads the bindings into the cache at the start, so that the first request
// of each key need not wait for the store.
func (e *Engine) runReadAhead() {
	defer close(e.readAheadDone)
	if err := e.readAhead(e.life); err != nil && !errors.Is(err, context.Canceled) {
		e.logger.Warn("bindings are read when they are needed: reading them ahead failed", "error", err)
	}
}

// readAhead reads all bindings into the cache, or none if it has no room for all of them:
// which ones are in use, only the requests tell.
func (e *Engine) readAhead(ctx context.Context) error {
	n, err := e.store.CountBindings(ctx)
	if err != nil {
		return fmt.Errorf("count bindings: %w", err)
	}
	if n > e.cache.Capacity() {
		return nil
	}
	for page, err := range store.BindingPages(ctx, e.store) {
		if err != nil {
			return fmt.Errorf("list bindings: %w", err)
		}
		for i := range page {
			store.GiveWay(i)
			// Read anew, as the cache wants it: the page may be older than a change.
			if err := e.cache.ReadAhead(ctx, page[i].Hash); err != nil {
				return err
			}
		}
	}
	return nil
}
