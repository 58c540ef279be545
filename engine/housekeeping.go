package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// housekeepFirst is long enough for a start to be over, and for a clock that
	// was wrong at boot to have been set.
	housekeepFirst  = 3 * time.Minute
	housekeepEvery  = time.Hour
	housekeepJitter = 5 * time.Minute // at most; so that nodes do not do it all at once
	// housekeepPause is between two batches: first uses, which wait for the same
	// writer, come in between.
	housekeepPause = 100 * time.Millisecond
	// removeChunk is how many records one removal takes.
	removeChunk = 1000
)

// errClosing is the error of what is asked of an engine that ends.
var errClosing = errors.New("engine is closing")

// HousekeepingResult counts what Housekeep did.
type HousekeepingResult struct {
	Archived   int           `json:"archived"`   // bindings that went to the archive
	Purged     int           `json:"purged"`     // bindings that were removed from the archive
	Intercepts int           `json:"intercepts"` // records removed
	Counters   int           `json:"counters"`   // removed, with the lists of who was refused most
	Audit      int           `json:"audit"`      // entries of the audit trail removed
	Took       time.Duration `json:"took"`       // nanoseconds
}

// housekept is what the last housekeeping was.
type housekept struct {
	at     time.Time
	result HousekeepingResult
	err    error
}

// LastHousekeeping returns when the last housekeeping since the start ended,
// and what came of it; the zero time if there was none yet.
func (e *Engine) LastHousekeeping() (at time.Time, r HousekeepingResult, err error) {
	last := e.housekept.Load()
	if last == nil {
		return time.Time{}, HousekeepingResult{}, nil
	}
	return last.at, last.result, last.err
}

// Housekeep archives and removes what its time has come for, as Retention says,
// in batches with pauses between them. It also runs by itself, every hour. If
// one runs already it waits for it. What fails does not keep the rest from being
// done; the error joins all faults. Of several nodes that share the store, the leader does
// it by itself, and any one if it is asked to.
func (e *Engine) Housekeep(ctx context.Context) (HousekeepingResult, error) {
	return e.housekeepWhile(ctx, func(context.Context) bool { return true })
}

// housekeepWhile does it as long as it may, which it asks before each step.
func (e *Engine) housekeepWhile(ctx context.Context, may func(context.Context) bool) (HousekeepingResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	select {
	case e.housekeeping <- struct{}{}:
		defer func() { <-e.housekeeping }()
	case <-ctx.Done():
		return HousekeepingResult{}, fmt.Errorf("housekeeping: %w", e.whyDone(ctx))
	}
	start := e.now()
	r, err := e.housekeep(ctx, start, may)
	if err != nil {
		err = fmt.Errorf("housekeeping: %w", err)
	}
	end := e.now()
	r.Took = end.Sub(start)
	e.tellMany(event.Archived, r.Archived)
	e.housekept.Store(&housekept{store.StoredTime(end), r, err})
	return r, err
}

// whyDone is the error of a context that may have ended with the engine.
func (e *Engine) whyDone(ctx context.Context) error {
	if e.life.Err() != nil {
		return errClosing
	}
	return ctx.Err()
}

func (e *Engine) housekeep(ctx context.Context, now time.Time, may func(context.Context) bool) (r HousekeepingResult, err error) {
	var errs []error
	keep := e.Retention()
	step := func(doing string, days int, count *int, do func(before time.Time) (int, error)) {
		at, goes := before(now, days)
		if !goes || ctx.Err() != nil || !may(ctx) {
			return
		}
		n, err := do(at)
		*count += n
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", doing, err))
		}
	}
	remove := func(one func(context.Context, time.Time, int) (int, error)) func(time.Time) (int, error) {
		return func(before time.Time) (int, error) {
			return inChunks(ctx, may, func() (int, error) { return one(ctx, before, removeChunk) })
		}
	}
	step("archive bindings", keep.ArchiveDays, &r.Archived, func(since time.Time) (int, error) { return e.archive(ctx, since, may) })
	step("purge archive", keep.PurgeDays, &r.Purged, remove(e.store.PurgeArchive))
	step("remove intercepts", keep.InterceptDays, &r.Intercepts, remove(e.store.DeleteIntercepts))
	step("remove counters", keep.CounterDays, &r.Counters, remove(e.store.DeleteCounters))
	step("remove audit entries", keep.AuditDays, &r.Audit, remove(e.store.DeleteAudit))
	if ctx.Err() == nil && may(ctx) {
		errs = append(errs, e.trimFeed(ctx, now, may), e.exceptions.Forget(ctx))
		n, err := e.removeRankings(ctx, now, keep.CounterDays)
		r.Counters += n
		errs = append(errs, err)
		errs = append(errs, e.removeMinutes(ctx, now))
	}
	if ctx.Err() != nil {
		errs = append(errs, e.whyDone(ctx))
	}
	return r, errors.Join(errs...)
}

// trimFeed forgets what all nodes have heard of long since, if there is a feed.
func (e *Engine) trimFeed(ctx context.Context, now time.Time, may func(context.Context) bool) error {
	feed, ok := e.store.(interface {
		TrimFeed(ctx context.Context, before time.Time, limit int) (int, error)
	})
	if !ok {
		return nil
	}
	_, err := inChunks(ctx, may, func() (int, error) { return feed.TrimFeed(ctx, now.Add(-store.DefaultFeedAge), removeChunk) })
	if err != nil {
		return fmt.Errorf("trim the feed: %w", err)
	}
	return nil
}

// inChunks removes until a chunk is not full, or it may not any more.
func inChunks(ctx context.Context, may func(context.Context) bool, remove func() (int, error)) (total int, err error) {
	for {
		n, err := remove()
		total += n
		if err != nil || n < removeChunk {
			return total, err
		}
		if err := pause(ctx); err != nil {
			return total, err
		}
		if !may(ctx) {
			return total, nil
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(housekeepPause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// archive moves the bindings that have been idle since a time into the archive.
func (e *Engine) archive(ctx context.Context, since time.Time, may func(context.Context) bool) (total int, err error) {
	// What was used a moment ago is not idle, though the store may not know yet.
	if err := e.flushNow(ctx); err != nil {
		return 0, err
	}
	if err := e.allTold(ctx); err != nil {
		return 0, err
	}
	hashes, err := e.findHashes(ctx, store.BindingFilter{IdleSince: since, Status: store.StatusActive})
	if err != nil {
		return 0, err
	}
	// Neighbours share pages of the store.
	slices.SortFunc(hashes, func(a, b store.KeyHash) int { return bytes.Compare(a[:], b[:]) })
	for chunk := range slices.Chunk(hashes, store.ArchiveChunk) {
		if total > 0 {
			if err := pause(ctx); err != nil {
				return total, err
			}
			if !may(ctx) {
				return total, nil
			}
		}
		n, err := e.archiveChunk(ctx, chunk, since)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// archiveChunk moves those of the bindings that are still idle.
//
// Threat: a key is used at the moment it is archived. Its binding is gone then,
// and the next one who uses the key binds it anew. Answer: while the store moves
// it, nobody looks the key up; what is under way with it, or has used it since
// the last write of usage, keeps it from being moved. There is no gap between
// the two, because an exchange is registered before its look-up, and its use is
// noted before it ends.
func (e *Engine) archiveChunk(ctx context.Context, hashes []store.KeyHash, since time.Time) (moved int, err error) {
	// On the goroutine that writes usage: nothing is on its way to the store then.
	err = e.whileFlushed(ctx, func() error {
		return e.cache.ChangeMany(hashes, func() error {
			gone, err := e.store.ArchiveBindings(ctx, e.unused(hashes), since, store.StoredTime(e.now()))
			moved = len(gone)
			return err
		})
	})
	return moved, err
}

// ErrUsedSince is the error of UndoRestore of a key that has been used.
var ErrUsedSince = errors.New("the key has been used since")

// UndoRestore moves the binding of a key into the archive again, if its revision
// is still the one given or that is 0, and the key has not been used since Restore:
// then it is as it was, but for the time. Of other nodes, uses count once they are
// written. Returns what was moved, or store.ErrNotFound, store.ErrConflict or
// ErrUsedSince.
func (e *Engine) UndoRestore(ctx context.Context, hash store.KeyHash, revision uint64) (store.Binding, error) {
	b, err := e.bindingAt(ctx, hash, revision)
	if err == nil {
		err = e.archiveOne(ctx, b)
	}
	if err != nil {
		return store.Binding{}, fmt.Errorf("undo restore: %w", err)
	}
	e.tellBinding(event.Archived, b)
	return b, nil
}

// archiveOne moves a binding that is idle since it was made.
func (e *Engine) archiveOne(ctx context.Context, b store.Binding) error {
	if err := e.allTold(ctx); err != nil {
		return err
	}
	moved, err := e.archiveChunk(ctx, []store.KeyHash{b.Hash}, b.CreatedAt.Add(time.Millisecond))
	if err == nil && moved == 0 {
		return ErrUsedSince
	}
	return err
}

// unused returns those of the keys that no exchange is under way with and that
// there is no unwritten use of.
func (e *Engine) unused(hashes []store.KeyHash) []store.KeyHash {
	idle := make([]store.KeyHash, 0, len(hashes))
	for _, hash := range hashes {
		underWay := false
		e.flights.each(hash, func(*flight) { underWay = true })
		if !underWay {
			idle = append(idle, hash)
		}
	}
	// In this order: what ends in between has been noted before it ends.
	used := e.usage.touchedKeys()
	return slices.DeleteFunc(idle, func(hash store.KeyHash) bool { _, ok := used[hash]; return ok })
}

// keepHouse does the housekeeping by itself until the engine ends.
func (e *Engine) keepHouse() {
	wait := housekeepFirst
	for {
		timer := time.NewTimer(wait + rand.N(housekeepJitter)) //nolint:gosec // G404: spreads load, guards nothing
		select {
		case <-e.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = housekeepEvery
		if e.leadership.IsLeader(e.life) {
			e.housekeepBySelf()
		}
		if e.life.Err() != nil {
			return
		}
	}
}

// housekeepBySelf does the housekeeping that is due.
func (e *Engine) housekeepBySelf() {
	var r HousekeepingResult
	doubtful, err := e.doubtsClock(e.life)
	if !doubtful {
		r, err = e.housekeepWhile(e.life, e.leadership.IsLeader)
	}
	switch {
	case e.life.Err() != nil:
	case err != nil:
		e.logger.Error("housekeeping failed, and is tried again in an hour", "error", err)
	case r.Archived+r.Purged+r.Intercepts+r.Counters+r.Audit > 0:
		e.logger.Info("housekeeping done", "archived", r.Archived, "purged", r.Purged, "intercepts", r.Intercepts,
			"counters", r.Counters, "audit", r.Audit, "took", r.Took)
	}
}
