package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const day = 24 * time.Hour

// calendar is the clock of a rig whose days pass at once: waiting for them would
// have every ticker tick.
type calendar struct{ ahead atomic.Int64 }

// forward has what was used so far written, and then days pass.
func (c *calendar) forward(d time.Duration) {
	time.Sleep(6 * time.Second)
	synctest.Wait()
	c.ahead.Add(int64(d))
}

func (c *calendar) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *calendar) set(s *setup)   { s.Now = c.now }

func keeping(r engine.Retention) func(*setup) { return func(s *setup) { s.Retention = r } }

func (r *rig) isArchived(key string) bool {
	r.t.Helper()
	_, err := r.store.Archived(r.t.Context(), r.hash(key))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		r.t.Fatal(err)
	}
	return err == nil
}

// archiveNow has housekeeping archive a key, as if it had been idle for long.
func (r *rig) archiveNow(key string) {
	r.t.Helper()
	hash := r.hash(key)
	moved, err := r.ArchiveChunk(r.t.Context(), []store.KeyHash{hash}, time.Now().Add(time.Hour))
	if err != nil || moved != 1 {
		r.t.Fatalf("archived %d, %v", moved, err)
	}
}

func (r *rig) mustHousekeep() engine.HousekeepingResult {
	r.t.Helper()
	result, err := r.Housekeep(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// TestIdleBindingsAreArchived: those in use, and those that are banned, stay; a
// later use of an archived key binds it anew, with a mark.
func TestIdleBindingsAreArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set).bound(keyA, keyB, keyC)
		r.ban(keyC)
		days.forward(9 * day)
		wantReason(t, "use", r.use(atHome, keyB), "")
		days.forward(2 * day)
		if err := r.SetRetention(engine.Retention{ArchiveDays: 10}); err != nil {
			t.Fatal(err)
		}
		events, cancel := r.Events().Subscribe(8)
		defer cancel()
		if got := r.mustHousekeep(); got.Archived != 1 {
			t.Errorf("got %+v", got)
		}
		if !r.isArchived(keyA) || r.isArchived(keyB) || r.isArchived(keyC) {
			t.Error("want the idle one archived, and no other")
		}
		if got := (<-events).Data; got != (event.Binding{Action: event.Archived, Count: 1}) {
			t.Errorf("told of %+v", got)
		}
		wantReason(t, "use from elsewhere", r.use(elsewhere, keyA), "")
		if b := r.stored(keyA); b.ArchivedBefore.IsZero() || r.boundTo(keyA) != "198.51.100.7/32" {
			t.Errorf("bound anew: %+v", b)
		}
		wantReason(t, "banned", r.use(atHome, keyC), engine.KeyBanned)
		if got := r.mustHousekeep(); got.Archived != 0 {
			t.Errorf("again: got %+v", got)
		}
		r.close()
	})
}

// TestARestoredBindingStays: it counts as new.
func TestARestoredBindingStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set, keeping(engine.Retention{ArchiveDays: 10})).bound(keyA)
		days.forward(11 * day)
		if got := r.mustHousekeep(); got.Archived != 1 || !r.isArchived(keyA) {
			t.Fatalf("got %+v", got)
		}
		if _, err := r.Restore(t.Context(), r.hash(keyA)); err != nil {
			t.Fatal(err)
		}
		if got := r.mustHousekeep(); got.Archived != 0 {
			t.Errorf("got %+v", got)
		}
		r.close()
	})
}

// TestAKeyInUseIsNotArchived: neither one whose use is not written yet, nor one
// that a stream is open with, however long ago it began.
func TestAKeyInUseIsNotArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set).bound(keyA, keyB)
		stream := r.open(atHome, request(t, pathChat, bearer(keyB)))
		wantReason(t, "answer", stream.accept(true).Refused, "")
		days.forward(20 * day)
		since := days.now().Add(-10 * day)
		// A request that comes when all usage so far has been taken to be written.
		r.Count(engine.CountBodyTooLarge)
		r.store.set(func(s *faultyStore) {
			s.addUsage = func(store.UsageBatch) error {
				r.store.set(func(s *faultyStore) { s.addUsage = nil })
				wantReason(t, "use", r.use(atHome, keyA), "")
				return nil
			}
		})
		moved, err := r.ArchiveChunk(t.Context(), []store.KeyHash{r.hash(keyA), r.hash(keyB)}, since)
		if err != nil || moved != 0 {
			t.Errorf("archived %d, %v", moved, err)
		}
		stream.done()
		if moved, err = r.ArchiveChunk(t.Context(), []store.KeyHash{r.hash(keyA), r.hash(keyB)}, since); err != nil || moved != 1 || !r.isArchived(keyB) {
			t.Errorf("after the stream: archived %d, %v", moved, err)
		}
		r.close()
	})
}

func TestNothingIsArchivedWhileUsageCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set).bound(keyA)
		days.forward(20 * day)
		wantReason(t, "use", r.use(atHome, keyA), "")
		r.store.set(func(s *faultyStore) {
			s.addUsage = func(store.UsageBatch) error { return errors.Join(store.ErrUnavailable, errBroken) }
		})
		if err := r.SetRetention(engine.Retention{ArchiveDays: 10}); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Housekeep(t.Context()); !errors.Is(err, store.ErrUnavailable) || got.Archived != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, _, err := r.LastHousekeeping(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("last housekeeping: %v", err)
		}
		r.store.set(func(s *faultyStore) { s.addUsage = nil })
		r.close()
	})
}

func TestManyAreArchivedInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set)
		r.preset(2*store.ArchiveChunk + 500)
		days.forward(20 * day)
		if err := r.SetRetention(engine.Retention{ArchiveDays: 10}); err != nil {
			t.Fatal(err)
		}
		got := r.mustHousekeep()
		if got.Archived != 2*store.ArchiveChunk+500 || got.Took != 200*time.Millisecond {
			t.Errorf("got %+v, want two pauses", got)
		}
		r.close()
	})
}

// TestRetention: of each kind there is an old and a new one.
func TestRetention(t *testing.T) {
	old := func(r *rig, key string, now time.Time) {
		ctx := r.t.Context()
		moved, archiveErr := r.ArchiveChunk(ctx, []store.KeyHash{r.hash(key)}, now.Add(time.Hour))
		if moved != 1 {
			r.t.Errorf("archived %d", moved)
		}
		err := errors.Join(
			r.store.PutIntercepts(ctx, []store.Intercept{{At: now, Hash: store.KeyHash{1}}}),
			r.store.Store.AddUsage(ctx, store.UsageBatch{Counters: []store.Counter{{Hour: now.Truncate(time.Hour), Name: "allowed", N: 1}}}),
		)
		_, auditErr := r.store.AppendAudit(ctx, store.AuditEntry{At: now, Actor: "system", Action: "test"})
		if err = errors.Join(err, archiveErr, auditErr); err != nil {
			r.t.Fatal(err)
		}
	}
	all := engine.Retention{PurgeDays: 5, InterceptDays: 5, CounterDays: 5, AuditDays: 5}
	cases := []struct {
		name string
		keep engine.Retention
		want engine.HousekeepingResult
	}{
		{"never", engine.Retention{}, engine.HousekeepingResult{}},
		{"purge", engine.Retention{PurgeDays: 5}, engine.HousekeepingResult{Purged: 1}},
		{"intercepts", engine.Retention{InterceptDays: 5}, engine.HousekeepingResult{Intercepts: 1}},
		{"counters", engine.Retention{CounterDays: 5}, engine.HousekeepingResult{Counters: 1}},
		{"audit", engine.Retention{AuditDays: 5}, engine.HousekeepingResult{Audit: 1}},
		{"all", all, engine.HousekeepingResult{Purged: 1, Intercepts: 1, Counters: 1, Audit: 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				days := new(calendar)
				r := newRig(t, days.set)
				for _, key := range []string{keyA, keyB} {
					b := store.Binding{Hash: r.hash(key), Status: store.StatusActive, Rule: single("192.0.2.1/32")}
					if _, err := r.Preset(t.Context(), b); err != nil {
						t.Fatal(err)
					}
				}
				old(r, keyA, days.now())
				days.forward(6 * day)
				old(r, keyB, days.now())
				if err := r.SetRetention(c.keep); err != nil {
					t.Fatal(err)
				}
				if got := r.mustHousekeep(); got != c.want {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
				if got := r.mustHousekeep(); got != (engine.HousekeepingResult{}) {
					t.Errorf("again: got %+v", got)
				}
				r.close()
			})
		})
	}
}

func TestRetentionIsValidated(t *testing.T) {
	r := newRig(t)
	if err := r.SetRetention(engine.Retention{ArchiveDays: -1, AuditDays: 36_501}); err == nil ||
		!strings.Contains(err.Error(), "archive days -1") || !strings.Contains(err.Error(), "audit days 36501") {
		t.Errorf("got %v", err)
	}
	if got := r.Retention(); got != (engine.Retention{}) {
		t.Errorf("got %+v", got)
	}
	if err := r.SetRetention(engine.DefaultRetention()); err != nil || r.Retention() != engine.DefaultRetention() {
		t.Errorf("got %+v, %v", r.Retention(), err)
	}
}

// TestHousekeepingRunsByItself: first within 3 to 8 minutes, then every hour.
func TestHousekeepingRunsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, keeping(engine.DefaultRetention()))
		start := time.Now()
		last := func() time.Duration {
			synctest.Wait()
			at, _, err := r.LastHousekeeping()
			if err != nil {
				t.Error(err)
			}
			if at.IsZero() {
				return 0
			}
			return at.Sub(start)
		}
		time.Sleep(3*time.Minute - 1)
		if got := last(); got != 0 {
			t.Errorf("ran after %v", got)
		}
		time.Sleep(5*time.Minute + 1)
		first := last()
		if first < 3*time.Minute || first > 8*time.Minute {
			t.Errorf("ran after %v", first)
		}
		time.Sleep(65 * time.Minute)
		if second := last(); second-first < time.Hour || second-first > 65*time.Minute {
			t.Errorf("ran after %v and %v", first, second)
		}
		r.close()
		if _, err := r.Housekeep(context.Background()); err == nil {
			t.Error("ran after the end")
		}
	})
}

// TestCloseEndsHousekeeping: it does not wait for all that is still to be done.
func TestCloseEndsHousekeeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set)
		r.preset(5 * store.ArchiveChunk)
		days.forward(20 * day)
		if err := r.SetRetention(engine.Retention{ArchiveDays: 10}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan string, 1)
		go func() {
			got, err := r.Housekeep(context.Background())
			ended <- fmt.Sprint(got.Archived, " ", err)
		}()
		time.Sleep(150 * time.Millisecond) // after the second batch
		start := time.Now()
		r.close()
		if took := time.Since(start); took != 0 {
			t.Errorf("close took %v", took)
		}
		if got := <-ended; !strings.HasPrefix(got, "2000 ") || !strings.Contains(got, "closing") {
			t.Errorf("got %s", got)
		}
	})
}

// A clock that leaps ahead would make every binding look idle.
func TestHousekeepingWaitsForAClockThatLeapt(t *testing.T) {
	for _, test := range []struct {
		gap   time.Duration
		waits bool
	}{{23 * time.Hour, false}, {25 * time.Hour, true}, {400 * 24 * time.Hour, true}, {-48 * time.Hour, false}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, keeping(engine.DefaultRetention()))
			mark, err := time.Now().Add(-test.gap).UTC().MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.store.PutSetting(t.Context(), "internal.clock_mark", mark); err != nil {
				t.Fatal(err)
			}
			ran := func() bool {
				synctest.Wait()
				at, _, err := r.LastHousekeeping()
				return err == nil && !at.IsZero()
			}
			time.Sleep(23 * time.Hour)
			if ran() == test.waits {
				t.Errorf("leap of %v: ran within 23 h: %v", test.gap, ran())
			}
			time.Sleep(3 * time.Hour)
			if !ran() {
				t.Errorf("leap of %v: did not run within 26 h", test.gap)
			}
		})
	}
}
