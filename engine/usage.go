package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Counted is one of the things that are counted.
type Counted int

// What is counted. A request is counted once as allowed, anonymous, or by the
// reason for which it is refused (or would be, where Sentinel only observes and
// the reason is not a binding); the others say more of some of these.
const (
	CountAllowed            Counted = iota // with a key, and let pass
	CountAnonymous                         // without a key, and let pass
	CountIntercepted                       // refused by a binding
	CountObserved                          // would have been refused by a binding
	CountBound                             // keys bound by a first use
	CountLearned                           // prefixes that rules have learned
	CountHeld                              // accepted first uses that bound nothing, or were refused so that they would not
	CountBlocked                           // from a blocked network, without a key or with one that is not bound
	CountUnbound                           // let pass with a key that stayed unbound
	CountInvalidCredential                 // keys that cannot be read
	CountInvalidClientIP                   // client IP that cannot be read
	CountCredentialRequired                // no key, and one is wanted
	CountDashboardRefused                  // spends quota without a key
	CountRateLimited
	CountFailsafeOpen   // let pass although the store did not answer
	CountFailsafeClosed // refused because the store did not answer
	CountDownstreamFailed
	CountBodyTooLarge
	CountHeadTooLarge
	CountClientGone // before its keys were looked up
	CountCut        // exchanges ended by a change of a binding
	counted         // how many there are
)

var countedNames = [counted]string{
	"allowed", "anonymous", "intercepted", "observed", "bound", "learned", "first_use_held", "network_blocked", "unbound", "invalid_credential", "invalid_client_ip",
	"credential_required", "dashboard_refused", "rate_limited", "failsafe_open", "failsafe_closed", "downstream_failed", "body_too_large", "head_too_large", "client_gone", "cut",
}

// String returns the name under which it is stored.
func (c Counted) String() string { return countedNames[c] }

const (
	flushEvery    = 5 * time.Second
	complainEvery = 10 * time.Second
	usageShards   = 64
	// usageAtOnce is from how many keys on their usage is written without waiting for
	// that of the others: during a flood of many keys, all of them at once would take
	// more memory than everything else, and keep a processor busy for long.
	usageAtOnce = 256
)

// usage gathers what is counted and which keys were used, until it is written.
type usage struct {
	now    [counted]atomic.Uint64  // since the last write
	total  [counted]atomic.Uint64  // since the start, without now
	shards [usageShards]usageShard // in the order of the hashes, so that what is written together lies together

	// Of the goroutine that writes:
	unwritten backlog
	from, due int // shards whose turn has come, and that have not been gathered since

	lost atomic.Uint64
}

type usageShard struct {
	mu      sync.Mutex
	touched []*bindcache.Entry // each once for each address, and once if it was refused as well
}

func (u *usage) count(c Counted) { u.now[c].Add(1) }

func (u *usage) touch(entry *bindcache.Entry, ip netip.Addr) {
	if entry.Touch(ip) {
		u.note(entry)
	}
}

// refuse counts a refusal of a key, or what would have been one.
func (u *usage) refuse(entry *bindcache.Entry) {
	if entry.Refuse() {
		u.note(entry)
	}
}

func (u *usage) note(entry *bindcache.Entry) {
	s := &u.shards[int(entry.Hash[0])*usageShards/256]
	s.mu.Lock()
	s.touched = append(s.touched, entry)
	s.mu.Unlock()
}

// touchedKeys returns the keys whose use has not been taken to be written.
func (u *usage) touchedKeys() map[store.KeyHash]struct{} {
	keys := make(map[store.KeyHash]struct{})
	for i := range u.shards {
		s := &u.shards[i]
		s.mu.Lock()
		for _, entry := range s.touched {
			keys[entry.Hash] = struct{}{}
		}
		s.mu.Unlock()
	}
	return keys
}

// Count counts one of the things that happen outside the engine.
func (e *Engine) Count(c Counted) {
	e.usage.count(c)
	if c == CountDownstreamFailed {
		e.downstream.failed(e.now())
		e.watcher.DownstreamHealth(errNoAnswer)
	}
}

// Counts returns what was counted since the start, by name.
func (e *Engine) Counts() map[string]uint64 {
	counts := make(map[string]uint64, counted+2)
	for c := range counted {
		counts[c.String()] = e.usage.total[c].Load() + e.usage.now[c].Load()
	}
	counts["intercepts_dropped"] = e.recorder.Dropped()
	counts["hits_dropped"] = e.usage.lost.Load()
	return counts
}

// writeUsage writes what has been gathered. What the store does not take is kept
// for the next time.
func (e *Engine) writeUsage(ctx context.Context) error {
	u := e.usage
	now := store.StoredTime(e.now())
	hour := now.Truncate(time.Hour)
	var drained [counted]uint64
	for c := range counted {
		if n := u.now[c].Swap(0); n > 0 {
			drained[c] = n
			u.total[c].Add(n)
			u.unwritten.addCounter(store.Counter{Hour: hour, Name: c.String(), N: n})
		}
	}
	e.minutes.add(now, &drained)
	err := e.gatherAndWrite(ctx, u.shards[:], now)
	u.from, u.due = 0, 0
	e.older.forgetMoved(now)
	if err != nil || u.unwritten.empty() {
		return err
	}
	return e.writeUnwritten(ctx, now)
}

// nextShard has the turn come of one more shard: each has its turn every flushEvery.
// Once there is enough to write, it is written, so that the work of a flood is spread
// over that time. It reports whether the turn of all of them has come.
func (e *Engine) nextShard(ctx context.Context) (all bool, err error) {
	u := e.usage
	if u.due++; u.due >= usageShards {
		return true, nil
	}
	if u.unwritten.isFailing() {
		return false, nil // a try at the end of each turn is enough
	}
	due := u.shards[u.from:u.due]
	waiting := 0
	for i := range due {
		waiting += due[i].len()
	}
	if waiting < usageAtOnce {
		return false, nil
	}
	u.from = u.due
	return false, e.gatherAndWrite(ctx, due, store.StoredTime(e.now()))
}

// gatherAndWrite gathers the usage of shards, and writes it when there is much.
func (e *Engine) gatherAndWrite(ctx context.Context, shards []usageShard, now time.Time) (err error) {
	for i := range shards {
		e.gatherUsage(&shards[i], now)
		// After a failure, the rest is gathered all the same: it is to be kept or counted.
		if err == nil && e.usage.unwritten.len() >= usageAtOnce {
			err = e.writeUnwritten(ctx, now)
		}
	}
	return err
}

func (s *usageShard) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.touched)
}

// gatherUsage moves what the entries of a shard have noted to what is unwritten.
func (e *Engine) gatherUsage(s *usageShard, now time.Time) {
	s.mu.Lock()
	touched := s.touched
	s.touched = nil
	s.mu.Unlock()
	for i, entry := range touched {
		store.GiveWay(i)
		t := entry.TakeUsage(now)
		t.Hash = e.older.current(t.Hash)
		e.watchSharing(entry, t)
		e.usage.lost.Add(e.usage.unwritten.addTouch(t))
	}
}

// writeUnwritten writes all that is unwritten. What the store does not take stays.
func (e *Engine) writeUnwritten(ctx context.Context, now time.Time) error {
	u := e.usage
	batch := u.unwritten.take()
	if err := e.store.AddUsage(ctx, batch); err != nil {
		if unfinished := (*store.UnfinishedError)(nil); errors.As(err, &unfinished) {
			batch = unfinished.Rest
		}
		u.lost.Add(u.unwritten.putBack(batch))
		return fmt.Errorf("write usage of %d keys: %w", len(batch.Touches), err)
	}
	u.unwritten.done(batch.Touches)
	e.storeWorks(now)
	return nil
}
