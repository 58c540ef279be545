package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// leading says how many more times this node is the leader.
type leading struct{ times atomic.Int64 }

func (l *leading) IsLeader(context.Context) bool { return l.times.Add(-1) >= 0 }

// TestOnlyTheLeaderKeepsHouse, by itself; whoever is asked to does it.
func TestOnlyTheLeaderKeepsHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days, l := new(calendar), new(leading)
		r := newRig(t, days.set, keeping(engine.Retention{ArchiveDays: 10}), func(s *setup) { s.Leadership = l }).bound(keyA, keyB)
		days.forward(12 * day)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if r.isArchived(keyA) {
			t.Fatal("archived by one that is not the leader")
		}
		l.times.Store(1 << 30)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if at, _, err := r.LastHousekeeping(); at.IsZero() || err != nil {
			t.Errorf("the leader kept house at %v, %v", at, err)
		}
		l.times.Store(0)
		if got := r.mustHousekeep(); got.Archived+boolToInt(r.isArchived(keyA)) == 0 {
			t.Errorf("whoever was asked did %+v", got)
		}
		r.close()
	})
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestADeposedLeaderStops: it is no more when it has begun.
func TestADeposedLeaderStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days, l := new(calendar), new(leading)
		l.times.Store(1)
		r := newRig(t, days.set, keeping(engine.Retention{ArchiveDays: 1}), func(s *setup) { s.Leadership = l }).bound(keyA)
		days.forward(12 * time.Hour)
		days.forward(13 * time.Hour)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if r.isArchived(keyA) {
			t.Error("archived by one that is not the leader any more")
		}
		r.close()
	})
}

// TestArchivingWaitsForAllNodes: one may have used a key, and not yet told of it.
func TestArchivingWaitsForAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		missing := store.ErrUnavailable
		r := newRig(t, days.set, keeping(engine.Retention{ArchiveDays: 10}), func(s *setup) {
			s.AllTold = func(context.Context) error { return missing }
		}).bound(keyA)
		days.forward(12 * day)
		if got, err := r.Housekeep(t.Context()); got.Archived != 0 || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %+v, %v", got, err)
		}
		missing = nil
		if got := r.mustHousekeep(); got.Archived != 1 {
			t.Errorf("got %+v", got)
		}
		r.close()
	})
}

// fed is a store with a feed.
type fed struct {
	store.Store
	before atomic.Pointer[time.Time]
	left   atomic.Int64
}

func (f *fed) TrimFeed(_ context.Context, before time.Time, limit int) (int, error) {
	f.before.Store(&before)
	n := min(int64(limit), f.left.Load())
	f.left.Add(-n)
	return int(n), nil
}

// TestTheFeedIsTrimmed to what nodes that were away still need.
func TestTheFeedIsTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fed{Store: memory.New()}
		f.left.Store(2_500)
		resolver, resolverErr := clientip.New(clientip.Options{})
		keys, keysErr := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: secret})
		e, err := engine.New(engine.Options{
			Store: f, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(), Logger: slog.New(slog.DiscardHandler),
		})
		if err := errors.Join(resolverErr, keysErr, err); err != nil {
			t.Fatal(err)
		}
		want := time.Now().Add(-store.DefaultFeedAge)
		if _, err := e.Housekeep(t.Context()); err != nil {
			t.Error(err)
		}
		if f.left.Load() != 0 || !f.before.Load().Equal(want) {
			t.Errorf("%d changes left, trimmed before %v, want %v", f.left.Load(), f.before.Load(), want)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
