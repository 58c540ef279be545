package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// movesWaiting is how many moves may wait; of those beyond, the next use begins one.
	movesWaiting = 1_024
	// lookForOlderEvery is how often what the store says of older hashes is read, and
	// countOlderEvery how often they are counted.
	lookForOlderEvery = time.Minute
	countOlderEvery   = 10 * time.Minute
	// rememberMoved is how long usage may still come in under the hash from before.
	rememberMoved = time.Minute
)

// olderHashes is what the engine knows of key hashes that are not of today.
type olderHashes struct {
	tries  atomic.Bool // there may be some that can be tried
	asSent atomic.Bool // of keys as they were sent
	moves  chan move

	mu    sync.Mutex
	moved map[store.KeyHash]movedTo

	left atomic.Pointer[HashesLeft] // nil: there is nothing to count
}

// move is of a key, from the hash that it is bound under to that of today.
type move struct{ from, to store.KeyHash }

type movedTo struct {
	hash store.KeyHash
	at   time.Time
}

// openOlder reads what the store says of older hashes.
func (e *Engine) openOlder(ctx context.Context) error {
	e.older.moves = make(chan move, movesWaiting)
	return e.lookForOlder(ctx)
}

func (e *Engine) lookForOlder(ctx context.Context) error {
	asSent, err := isNoted(ctx, e.store, asSentSetting)
	if err != nil {
		return fmt.Errorf("look for older key hashes: %w", err)
	}
	if e.older.asSent.Swap(asSent) != asSent {
		e.older.left.Store(nil) // to be counted
	}
	e.older.tries.Store(asSent || e.credentials.HasPrevious())
	return nil
}

func isNoted(ctx context.Context, s store.Settings, name string) (bool, error) {
	_, err := s.Setting(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// moveLater has a key moved that a request was let pass with, by and by: the request
// does not wait for it.
func (e *Engine) moveLater(x *Exchange, i int) {
	at := x.older(i)
	if at < 0 {
		return
	}
	select {
	case e.older.moves <- move{x.olderKeys[at].hash, x.keys.Hash(i)}:
	default:
	}
}

// runMover moves keys, and counts those that are left, until the engine is closed.
func (e *Engine) runMover(ctx context.Context) {
	e.countOlder(ctx)
	look, count := time.NewTicker(lookForOlderEvery), time.NewTicker(countOlderEvery)
	defer look.Stop()
	defer count.Stop()
	for {
		select {
		case <-e.stop:
			return
		case m := <-e.older.moves:
			if err := e.moveKey(ctx, m); err != nil {
				e.storeFailed("move key to its new hash", err)
			}
		case <-look.C:
			if err := e.lookForOlder(ctx); err != nil {
				e.storeFailed("look for older key hashes", err)
			}
		case <-count.C:
			e.countOlder(ctx)
		}
	}
}

// moveKey moves a binding that is not banned, with all that belongs to it. One that is
// gone, or that another node has moved meanwhile, is nothing to do.
func (e *Engine) moveKey(ctx context.Context, m move) error {
	if isOurs, err := e.hasSecretOfStore(ctx); err != nil || !isOurs {
		return err
	}
	var before, moved store.Binding
	err := e.cache.ChangeMany([]store.KeyHash{m.from, m.to}, func() error {
		return retryConflict(0, func() (err error) {
			if before, err = e.store.Binding(ctx, m.from); err != nil || before.Status == store.StatusBanned {
				return err
			}
			moved, err = e.rekey(ctx, m, before.Revision)
			return err
		})
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case errors.Is(err, store.ErrConflict):
		// Bound under both hashes: today's counts. Or it changes all the time, and is
		// moved another time.
		e.logger.Warn("key stays under its hash from before as well: the hash of today is bound, too", "from", m.from, "to", m.to)
		return nil
	case err != nil:
		return err
	case moved.Hash.IsZero():
		return nil // banned
	}
	e.afterMove(ctx, m, moved)
	e.older.left.Store(e.older.left.Load().less(before, e.credentials))
	return nil
}

// hasSecretOfStore reports whether this node's secret is the one that the store was told
// of last. While nodes are given a new secret one by one, only those that have it move
// keys to it; the others would move them back.
func (e *Engine) hasSecretOfStore(ctx context.Context) (bool, error) {
	stored, err := e.store.Setting(ctx, secretMark)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	own := e.credentials.Hash(secretMark) // the digest that markOf returns
	return err == nil && string(stored) == string(own[:]), err
}

// rekey moves a binding and its exceptions in one step.
func (e *Engine) rekey(ctx context.Context, m move, revision uint64) (moved store.Binding, err error) {
	err = e.exceptions.Rekey(m.from, m.to, func(put []store.Document) ([]store.Document, error) {
		out, err := e.store.Rekey(ctx, store.Rekeying{
			From: m.from, To: m.to, Revision: revision, HashedWith: e.credentials.HashedWith(), Put: put,
		})
		moved = out.Binding
		return out.Documents, err
	})
	return moved, err
}

func (e *Engine) afterMove(ctx context.Context, m move, b store.Binding) {
	o := &e.older
	o.mu.Lock()
	if o.moved == nil {
		o.moved = make(map[store.KeyHash]movedTo)
	}
	o.moved[m.from] = movedTo{m.to, e.now()}
	o.mu.Unlock()
	if err := e.sharing.Rekey(ctx, m.from, m.to); err != nil {
		e.storeFailed("move suspicion to the key's new hash", err)
	}
	if e.onMoved != nil {
		e.onMoved(ctx, m.from, m.to)
	}
	e.logger.Info("key has its new hash", "hint", b.Hint, "from", m.from, "to", m.to)
	e.tellBinding(event.Edited, b)
}

// current returns the hash that usage which was gathered under another one is written
// under. It belongs to the goroutine that writes usage.
func (o *olderHashes) current(hash store.KeyHash) store.KeyHash {
	o.mu.Lock()
	defer o.mu.Unlock()
	if to, ok := o.moved[hash]; ok {
		return to.hash
	}
	return hash
}

// forgetMoved forgets moves of long ago.
func (o *olderHashes) forgetMoved(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for hash, to := range o.moved {
		if now.Sub(to.at) > rememberMoved {
			delete(o.moved, hash)
		}
	}
}

// moveArchived moves what the archive has of a key that is about to be bound, so that
// the binding is known to have had one before.
func (e *Engine) moveArchived(ctx context.Context, x *Exchange, i int) {
	for _, hash := range x.keys.AppendOlder(nil, i, e.older.asSent.Load()) {
		_, err := e.store.Archived(ctx, hash)
		if err == nil {
			_, err = e.store.Rekey(ctx, store.Rekeying{From: hash, To: x.keys.Hash(i), HashedWith: e.credentials.HashedWith()})
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			e.storeFailed("move entry of the archive to the key's new hash", err)
		}
	}
}
