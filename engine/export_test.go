package engine

import (
	"context"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Flights returns how many exchanges are registered, each once for each key.
func (e *Engine) Flights() int { return e.flights.count() }

// ArchiveChunk archives those of the bindings that have been idle since a time.
func (e *Engine) ArchiveChunk(ctx context.Context, hashes []store.KeyHash, since time.Time) (int, error) {
	return e.archiveChunk(ctx, hashes, since)
}
