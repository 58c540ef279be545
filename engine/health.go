package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// cry is a complaint that is logged now and then, however often it comes up.
type cry struct{ last atomic.Int64 }

func (c *cry) log(now time.Time, write func()) {
	last := c.last.Load()
	if now.UnixNano()-last >= int64(complainEvery) && c.last.CompareAndSwap(last, now.UnixNano()) {
		write()
	}
}

// storeFailed logs that the store does not answer.
func (e *Engine) storeFailed(doing string, cause error) {
	now := e.now()
	if errors.Is(cause, store.ErrUnavailable) || errors.Is(cause, context.DeadlineExceeded) {
		e.storeHealth.failed(now, cause)
		e.watcher.StoreHealth(cause)
	}
	e.storeCry.log(now, func() {
		e.logger.Error("store does not answer", "doing", doing, "error", cause)
	})
}

// StoreHealth says whether the store takes and gives what it is asked to.
type StoreHealth struct {
	OK          bool      `json:"ok"`
	Since       time.Time `json:"since"` // when OK became what it is; at first, the start
	LastError   string    `json:"lastError,omitempty"`
	LastErrorAt time.Time `json:"lastErrorAt,omitzero"`
}

// storeHealth is a StoreHealth that changes.
type storeHealth struct {
	mu  sync.Mutex
	now StoreHealth
}

func newStoreHealth(start time.Time) *storeHealth {
	return &storeHealth{now: StoreHealth{OK: true, Since: store.StoredTime(start)}}
}

func (h *storeHealth) failed(at time.Time, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at = store.StoredTime(at)
	if h.now.OK {
		h.now.OK, h.now.Since = false, at
	}
	h.now.LastError, h.now.LastErrorAt = cause.Error(), at
}

func (h *storeHealth) worked(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.now.OK {
		h.now.OK, h.now.Since = true, store.StoredTime(at)
	}
}

func (h *storeHealth) get() StoreHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// probeStore finds out whether a store that failed works again, and on a node of a
// cluster whether the authority is there.
func (e *Engine) probeStore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushEvery)
	defer cancel()
	if away := e.authorityAway(); away != nil {
		e.storeFailed("reach the authority", away)
		return
	}
	if e.storeHealth.get().OK {
		return
	}
	if err := e.store.Probe(ctx); err != nil {
		e.storeFailed("probe", err)
		return
	}
	e.storeWorks(e.now())
}

// storeWorks notes that the store has taken something, which on a node of a cluster says
// nothing of the authority.
func (e *Engine) storeWorks(now time.Time) {
	if e.authorityAway() != nil {
		return
	}
	e.storeHealth.worked(now)
	e.watcher.StoreHealth(nil)
}

// DownstreamHealth says when the downstream last answered and when it last did
// not, both as requests have shown; zero: not since the start.
type DownstreamHealth struct {
	LastAnswer  time.Time `json:"lastAnswer,omitzero"`
	LastFailure time.Time `json:"lastFailure,omitzero"`
}

// downstream gathers a DownstreamHealth. An answer must cost next to nothing:
// it leaves a flag, which gets its time when it is looked at.
type downstream struct {
	fresh atomic.Bool // there was an answer since the last look

	mu  sync.Mutex
	now DownstreamHealth
}

func (d *downstream) answered() {
	if !d.fresh.Load() {
		d.fresh.Store(true)
	}
}

// hasAnswered reports whether there was an answer since the last look.
func (d *downstream) hasAnswered() bool { return d.fresh.Load() }

func (d *downstream) failed(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.LastFailure = store.StoredTime(at)
}

// look returns what is known. It is called often enough that an answer is dated
// 5 s late at most.
func (d *downstream) look(at time.Time) DownstreamHealth {
	fresh := d.fresh.Swap(false)
	d.mu.Lock()
	defer d.mu.Unlock()
	if fresh {
		d.now.LastAnswer = store.StoredTime(at)
	}
	return d.now
}
