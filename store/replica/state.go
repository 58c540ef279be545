package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// levelSetting is where the node keeps when its copy was known to be level.
const levelSetting = store.NodeSettingPrefix + "level"

// levelNotes is how many times within MaxStaleness that is written down: a node that is
// restarted believes its copy for that much shorter.
const levelNotes = 60

// ageLooks is how many times within MaxStaleness it is looked at whether the copy is
// still believed; once a second at least.
const ageLooks = 100

// levelWait is how long it is waited for a copy that has become old all at once.
const levelWait = 100 * time.Millisecond

// state is how far the copy has come.
type state struct {
	mu       sync.Mutex
	position uint64
	of       string        // identity of the authority; empty: there is no copy yet
	ahead    uint64        // highest revision that the authority has told this node of
	head     uint64        // last revision that the authority is known to have
	isSure   bool          // the authority that is connected is the one of the copy
	moved    chan struct{} // closed, and made anew, when any of these changes
	noted    time.Time     // the level that was last written down

	level atomic.Pointer[time.Time] // the last time when the copy was known to be level; nil: never
	aging sync.Mutex                // held while that is looked at
	told  bool                      // that it is stale; aging guards it
	stale atomic.Bool               // what isOlder last said, for who asks all the time
}

func (st *state) setLevel(t time.Time) {
	if !t.IsZero() {
		st.level.Store(&t)
	}
}

// isOlder reports whether the copy was last known to be level longer ago than that. A
// machine that slept has both its clocks heard: one of them stands still meanwhile.
func (st *state) isOlder(than time.Duration) bool {
	level := st.level.Load()
	return level == nil || time.Since(*level) > than || time.Now().Round(0).Sub(level.Round(0)) > than
}

// levelAt returns the last time when the copy was known to be level; zero: never.
func (st *state) levelAt() time.Time {
	if t := st.level.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// change changes the state, and wakes who waits for that.
func (st *state) change(do func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	do()
	st.head = max(st.head, st.position)
	close(st.moved)
	st.moved = make(chan struct{})
}

// await waits until something is true of the state.
func (st *state) await(ctx context.Context, isSo func() bool) error {
	for {
		st.mu.Lock()
		is, moved := isSo(), st.moved
		st.mu.Unlock()
		if is {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// know notes that the authority has a revision.
func (st *state) know(revision uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.ahead = max(st.ahead, revision)
}

// known returns the highest revision that the authority is known to have had.
func (st *state) known() uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return max(st.ahead, st.position)
}

// look returns the position, and whether the authority is the one of the copy.
func (st *state) look() (position uint64, isSure bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.position, st.isSure
}

// AwaitAuthority waits until the authority is there and known to be that of the copy, so
// that changes can be made.
func (s *Store) AwaitAuthority(ctx context.Context) error {
	return s.state.await(ctx, func() bool { return s.state.isSure })
}

// AwaitCopy waits until there is a copy, of whatever age. Before, nothing can be read.
func (s *Store) AwaitCopy(ctx context.Context) error {
	return s.state.await(ctx, func() bool { return s.state.of != "" })
}

// Lag returns how many revisions the copy is known to be behind, and the last time when
// it was known to be level: zero if it never was. While the authority is away, it is the
// time that tells.
func (s *Store) Lag() (revisions uint64, since time.Time) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.head - s.state.position, s.state.levelAt()
}

// Position returns the revision up to which the copy has everything.
func (s *Store) Position() uint64 {
	position, _ := s.state.look()
	return position
}

// IsStale reports whether the copy is not believed any more: Binding fails, and so
// should whoever has kept what it returned. It may be asked for every request: the answer
// is up to a second old when the copy becomes stale, and none when it no longer is.
func (s *Store) IsStale() bool { return s.state.stale.Load() }

// watchAge notes when the copy becomes stale, until the store is closed.
func (s *Store) watchAge() {
	tick := time.NewTicker(min(time.Second, max(s.opts.MaxStaleness/ageLooks, time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.state.isOlder(s.opts.MaxStaleness) {
				s.levelAgain()
			}
			s.lookAtAge()
		case <-s.ctx.Done():
			return
		}
	}
}

// lookAtAge has IsStale say how it is now.
func (s *Store) lookAtAge() {
	s.state.aging.Lock() // so that the older of two looks is not the last one
	defer s.state.aging.Unlock()
	isStale := s.state.isOlder(s.opts.MaxStaleness)
	s.state.stale.Store(isStale)
	level := s.state.levelAt()
	if isStale == s.state.told || level.IsZero() {
		return
	}
	if s.state.told = isStale; isStale {
		s.opts.Logger.Warn("the copy of this node is stale: keys are not decided by it any more", "level", level)
	} else {
		s.opts.Logger.Info("the copy of this node is believed again")
	}
}

// levelAgain has the follower look at once, and reports whether the copy is believed then:
// the clock of a node that was set forth, or that slept, makes a copy old in one moment
// that is level in the next. Who asks waits for that, but for a moment, and only once.
func (s *Store) levelAgain() bool {
	if s.state.stale.Load() || s.state.level.Load() == nil {
		return false
	}
	s.wakeFollower()
	ctx, cancel := context.WithTimeout(s.ctx, levelWait)
	defer cancel()
	return s.state.await(ctx, func() bool { return !s.state.isOlder(s.opts.MaxStaleness) }) == nil
}

// checkFresh returns why the copy is not believed.
func (s *Store) checkFresh() error {
	if !s.state.isOlder(s.opts.MaxStaleness) || s.levelAgain() {
		return nil
	}
	level := s.state.levelAt()
	if level.IsZero() {
		return fmt.Errorf("%w: this node has no copy yet that is level with the authority", store.ErrUnavailable)
	}
	return fmt.Errorf("%w: the copy of this node was last level with the authority at %s",
		store.ErrUnavailable, level.UTC().Format(time.RFC3339))
}

// noteLevel takes it that the copy was level at a time. Now and then it writes that
// down, for after a restart.
func (s *Store) noteLevel(at time.Time) {
	s.state.change(func() { s.state.setLevel(at) })
	s.lookAtAge()
	if at.Sub(s.state.noted) < s.opts.MaxStaleness/levelNotes {
		return
	}
	text, err := at.UTC().MarshalText()
	if err == nil {
		err = s.local.PutSetting(s.ctx, levelSetting, text)
	}
	if s.ctx.Err() != nil {
		return
	}
	if err != nil {
		s.opts.Logger.Warn("cannot write down when the copy was level", "error", err)
		return
	}
	s.state.noted = at
}

// readLevel reads what noteLevel wrote; zero if it cannot tell. A clock that was set back
// since then makes the copy no newer than now.
func (s *Store) readLevel(ctx context.Context) (at time.Time, err error) {
	text, err := s.local.Setting(ctx, levelSetting)
	if errors.Is(err, store.ErrNotFound) {
		return at, nil
	}
	if err != nil {
		return at, err
	}
	if at.UnmarshalText(text) != nil {
		return time.Time{}, nil
	}
	if now := time.Now(); at.After(now) {
		at = now
	}
	return at, nil
}
