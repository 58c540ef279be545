// Package record writes intercepts to the store behind the requests' back:
// adding one never blocks, writing goes in batches, and what could not be kept
// is counted.
package record

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Writer stores records, as store.Intercepts says.
type Writer interface {
	PutIntercepts(ctx context.Context, recs []store.Intercept) error
}

const (
	// writeEvery bounds how long a record is only in memory.
	writeEvery = 250 * time.Millisecond
	// writeMany is from how many records on they are written sooner, so that the
	// requests beside a flood wait behind small batches; but not sooner than
	// manyApart after those before, so that the disk does not.
	writeMany = 256
	manyApart = 50 * time.Millisecond
	// mergeWithin is how long a record takes in further refusals of the same
	// key, address and reason.
	mergeWithin = time.Second
	// complainEvery bounds how often losses are logged.
	complainEvery = 10 * time.Second
	// DefaultCapacity is how many records may wait for the store.
	DefaultCapacity = 16384
)

// Options of a Recorder. Writer and Logger are required.
type Options struct {
	Writer   Writer
	Logger   *slog.Logger
	Now      func() time.Time // default time.Now
	Capacity int              // records in memory; default DefaultCapacity

	// Written, if not nil, is told of what the store has taken, one batch after
	// the other. It may keep the slice.
	Written func([]Written)
	// Dropped, if not nil, is told of each refusal that could not be recorded.
	Dropped func(store.Intercept)
}

// Written is a record that the store has taken.
type Written struct {
	Intercept store.Intercept
	New       bool   // the store did not have it before
	Added     uint64 // refusals that it has taken in since it was written before
}

// Recorder gathers intercepts and writes them. It is safe for concurrent use.
type Recorder struct {
	writer   Writer
	logger   *slog.Logger
	now      func() time.Time
	capacity int
	written  func([]Written)
	tellDrop func(store.Intercept)

	mu      sync.Mutex
	recent  map[identity]*entry // at most capacity
	order   []*entry            // all that were put into recent, oldest first
	dirty   []*entry            // those of recent that the store does not have yet
	dropped uint64
	closed  bool

	many    chan struct{} // there are writeMany
	flush   chan chan error
	stop    chan struct{}
	stopped sync.WaitGroup
	cancel  context.CancelFunc // of a write under way
}

type identity struct {
	hash     store.KeyHash
	ip       netip.Addr
	reason   store.Reason
	observed bool
}

type entry struct {
	id      identity
	rec     store.Intercept
	written uint64 // of rec.Count
	dirty   bool
}

// New starts a recorder; Close ends it.
func New(opts Options) (*Recorder, error) {
	if opts.Writer == nil || opts.Logger == nil {
		return nil, fmt.Errorf("recorder without writer or logger")
	}
	r := &Recorder{
		writer: opts.Writer, logger: opts.Logger, now: opts.Now, capacity: opts.Capacity,
		written: opts.Written, tellDrop: opts.Dropped,
		recent: make(map[identity]*entry), many: make(chan struct{}, 1),
		flush: make(chan chan error), stop: make(chan struct{}),
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.capacity <= 0 {
		r.capacity = DefaultCapacity
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.stopped.Go(func() { r.run(ctx) })
	return r, nil
}

// Add takes a record whose At is set; Last and Count are filled in. It never
// blocks on the store. A record of the same key, address, reason and mode as
// one of the last second is added to that one's count.
func (r *Recorder) Add(rec store.Intercept) {
	rec.At = store.StoredTime(rec.At)
	if !r.take(rec) && r.tellDrop != nil {
		r.tellDrop(rec)
	}
}

// take reports whether there was room for a record.
func (r *Recorder) take(rec store.Intercept) bool {
	id := identity{rec.Hash, rec.ClientIP, rec.Reason, rec.Observed}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.recent[id]; ok && rec.At.Sub(e.rec.At) < mergeWithin {
		e.rec.Count++
		e.rec.Last = rec.At
		r.markLocked(e)
		r.tellLocked()
		return true
	}
	if r.closed || len(r.recent) >= r.capacity || len(r.dirty) >= r.capacity {
		r.dropped++
		return false
	}
	rec.Last, rec.Count = rec.At, 1
	e := &entry{id: id, rec: rec}
	r.recent[id] = e
	r.order = append(r.order, e)
	r.markLocked(e)
	r.tellLocked()
	return true
}

func (r *Recorder) markLocked(e *entry) {
	if !e.dirty {
		e.dirty = true
		r.dirty = append(r.dirty, e)
	}
}

// tellLocked has the records written soon, if there are many.
func (r *Recorder) tellLocked() {
	if len(r.dirty) == writeMany {
		select {
		case r.many <- struct{}{}:
		default: // it has not been looked at yet
		}
	}
}

// Dropped returns how many refusals could not be recorded since the start.
func (r *Recorder) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// Flush writes what is waiting now. Once that has begun, it is waited for. A recorder
// that is closed has nothing to write.
func (r *Recorder) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case r.flush <- done:
		return <-done
	case <-r.stop:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes what is waiting and ends. Records added after it, and those the
// store did not take, are counted as dropped and logged.
func (r *Recorder) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	close(r.stop)
	// A write that hangs is given up when ctx ends, not before: one that is
	// broken off may have happened, and would be written twice.
	release := context.AfterFunc(ctx, r.cancel)
	r.stopped.Wait()
	release()
	r.cancel()
	err := r.write(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.dirty {
		r.dropped += e.rec.Count
	}
	r.dirty = nil
	if r.dropped > 0 {
		r.logger.Warn("intercepts not recorded", "dropped", r.dropped)
	}
	return err
}

func (r *Recorder) run(ctx context.Context) {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	var complained, wrote time.Time
	var told uint64
	for {
		select {
		case <-r.stop:
			return
		case done := <-r.flush:
			done <- r.write(ctx)
			continue
		case <-r.many:
			if !r.wait(time.Until(wrote.Add(manyApart))) {
				return
			}
		case <-tick.C:
		}
		err := r.write(ctx)
		wrote = time.Now()
		dropped := r.Dropped()
		if (err != nil || dropped > told) && r.now().Sub(complained) >= complainEvery {
			complained, told = r.now(), dropped
			r.logger.Warn("intercepts are not being recorded", "dropped", dropped, "error", err)
		}
	}
}

// wait reports whether the recorder goes on after so long.
func (r *Recorder) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.stop:
		return false
	}
}

// write stores what is dirty. Records that the store does not take stay dirty.
func (r *Recorder) write(ctx context.Context) error {
	r.mu.Lock()
	entries := r.dirty
	r.dirty = nil
	batch := make([]store.Intercept, len(entries))
	for i, e := range entries {
		e.dirty = false
		batch[i] = e.rec
	}
	r.forgetLocked()
	r.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	if err := r.writer.PutIntercepts(ctx, batch); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, e := range entries {
			r.markLocked(e)
		}
		return fmt.Errorf("write %d intercepts: %w", len(batch), err)
	}
	news := r.settle(entries, batch)
	if r.written != nil {
		r.written(news)
	}
	return nil
}

// settle notes what the store has taken.
func (r *Recorder) settle(entries []*entry, batch []store.Intercept) []Written {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := make([]Written, len(entries))
	for i, e := range entries {
		news[i] = Written{Intercept: batch[i], New: e.rec.ID == 0, Added: batch[i].Count - e.written}
		e.rec.ID, e.written = batch[i].ID, batch[i].Count
	}
	return news
}

// forgetLocked lets go of records that are stored and take in no more.
func (r *Recorder) forgetLocked() {
	now := r.now()
	for len(r.order) > 0 && now.Sub(r.order[0].rec.At) >= mergeWithin {
		e := r.order[0]
		r.order[0] = nil // or it would be kept alive
		r.order = r.order[1:]
		if r.recent[e.id] == e { // and not one that came after it
			delete(r.recent, e.id)
		}
	}
}
