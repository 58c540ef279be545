package engine

import (
	"context"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Flights returns how many exchanges are registered, each once for each key.
func (e *Engine) Flights() int { return e.flights.count() }

func (fs *flights) count() (n int) {
	for i := range fs.slots {
		s := &fs.slots[i]
		s.mu.Lock()
		for f := s.head; f != nil; f = f.next {
			n++
		}
		s.mu.Unlock()
	}
	return n
}

// ArchiveChunk archives those of the bindings that have been idle since a time.
func (e *Engine) ArchiveChunk(ctx context.Context, hashes []store.KeyHash, since time.Time) (int, error) {
	return e.archiveChunk(ctx, hashes, since)
}

// ReadAhead reads all bindings into the cache, if it has room for all of them.
func (e *Engine) ReadAhead(ctx context.Context) error { return e.readAhead(ctx) }

// ForgetBindings empties the cache.
func (e *Engine) ForgetBindings() { e.cache.DropAll() }
