package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

const racers = 64

// TestChangeIsInForce runs 64 goroutines against changes that refuse what they
// do, and allow it again. After such a change has returned, nothing that begins
// later passes, and all that had passed is cut.
func TestChangeIsInForce(t *testing.T) {
	changes := map[string]struct {
		refuse, allow func(context.Context, *rig, store.KeyHash) error
	}{
		"ban": {
			func(ctx context.Context, r *rig, h store.KeyHash) error { _, err := r.Ban(ctx, h); return err },
			func(ctx context.Context, r *rig, h store.KeyHash) error { _, err := r.Unban(ctx, h); return err },
		},
		"rule": {
			func(ctx context.Context, r *rig, h store.KeyHash) error {
				_, err := r.SetRule(ctx, h, single("203.0.113.0/24"))
				return err
			},
			func(ctx context.Context, r *rig, h store.KeyHash) error {
				_, err := r.SetRule(ctx, h, single("192.0.2.0/24"))
				return err
			},
		},
	}
	for name, c := range changes {
		for _, cached := range []int{1, 1000} {
			t.Run(fmt.Sprintf("%s, cache of %d", name, cached), func(t *testing.T) {
				r := newRig(t, func(s *setup) { s.CacheEntries = cached }).bound(keyA, keyB)
				hash := r.hash(keyA)
				// Odd while the change that refuses is in force.
				var phase atomic.Int64
				var ended atomic.Bool
				var workers sync.WaitGroup
				for range racers {
					workers.Go(func() {
						for !ended.Load() {
							passOrBeCut(t, r, &phase, &ended)
						}
					})
				}
				for range 150 {
					if err := c.refuse(t.Context(), r, hash); err != nil {
						t.Error(err)
					}
					phase.Add(1)
					runtime.Gosched()
					phase.Add(1)
					if err := c.allow(t.Context(), r, hash); err != nil {
						t.Error(err)
					}
					runtime.Gosched()
				}
				ended.Store(true)
				workers.Wait()
				if n := r.Flights(); n != 0 {
					t.Errorf("%d exchanges are still registered", n)
				}
			})
		}
	}
}

// passOrBeCut is one exchange, which stays open until the next change that
// refuses it.
func passOrBeCut(t *testing.T, r *rig, phase *atomic.Int64, ended *atomic.Bool) {
	before := phase.Load()
	f, d := r.send(atHome, request(t, pathChat, bearer(keyA), "X-Goog-Api-Key: "+keyB))
	defer f.done()
	after := phase.Load()
	if !d.Passes() {
		return
	}
	if before == after && before%2 == 1 {
		t.Error("passed while the change was in force")
	}
	for phase.Load() < after|1 { // the next odd one, or this one
		if ended.Load() {
			return
		}
		runtime.Gosched()
	}
	if _, cut := f.Cut(); !cut || !f.wasCancelled() {
		t.Error("not cut by a change that has returned")
	}
}

// TestOneWinsEach has two addresses race for new keys: one wins each, and no
// loser's answer passes.
func TestOneWinsEach(t *testing.T) {
	for _, bindOn := range []engine.BindOn{engine.BindOnAccepted, engine.BindOnRequest} {
		t.Run(string(bindOn), func(t *testing.T) {
			r := newRig(t, policy(func(p *engine.Policy) { p.BindOn = bindOn }))
			const keys = 100
			for n := range keys {
				key := strings.Repeat(fmt.Sprintf("w%03d", n), 12)
				answered := raceFor(t, r, key)
				winner := "192.0.2.1/32"
				if answered[1] > 0 {
					winner = "198.51.100.7/32"
				}
				if (answered[0] > 0) == (answered[1] > 0) || r.boundTo(key) != winner {
					t.Errorf("answered from home %d, from elsewhere %d, bound to %q", answered[0], answered[1], r.boundTo(key))
				}
			}
			if counts := r.Counts(); counts["bound"] != keys {
				t.Errorf("got counts %v", counts)
			}
			if n := r.Flights(); n != 0 {
				t.Errorf("%d exchanges are still registered", n)
			}
		})
	}
}

// raceFor returns how many answers passed for each of two addresses, and were
// not cut right away.
func raceFor(t *testing.T, r *rig, key string) [2]int64 {
	t.Helper()
	var answered [2]atomic.Int64
	var start, workers sync.WaitGroup
	start.Add(1)
	for i := range 8 {
		workers.Go(func() {
			start.Wait()
			f, d := r.send([]string{atHome, elsewhere}[i%2], request(t, pathChat, bearer(key)))
			if d.Passes() {
				d = f.accept(true)
			}
			if d.Passes() {
				answered[i%2].Add(1)
			}
			f.done()
		})
	}
	start.Done()
	workers.Wait()
	return [2]int64{answered[0].Load(), answered[1].Load()}
}

// TestEverythingAtOnce mixes all calls on few keys. It is for the race
// detector, and for what must hold afterwards.
func TestEverythingAtOnce(t *testing.T) {
	r := newRig(t, func(s *setup) { s.CacheEntries = 4 })
	keys := make([]string, 8)
	for i := range keys {
		keys[i] = strings.Repeat(fmt.Sprintf("m%03d", i), 12)
	}
	var workers sync.WaitGroup
	for worker := range racers {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 7))
			for range 100 {
				if worker%8 == 0 {
					changeAtRandom(t, r, r.hash(keys[random.IntN(len(keys))]), random.IntN(6))
					continue
				}
				lines := []string{bearer(keys[random.IntN(len(keys))])}
				if random.IntN(3) == 0 {
					lines = append(lines, "X-Goog-Api-Key: "+keys[random.IntN(len(keys))])
				}
				_ = r.serve([]string{atHome, elsewhere}[random.IntN(2)], request(t, pathChat, lines...), random.IntN(4) > 0)
			}
		})
	}
	workers.Wait()
	if n := r.Flights(); n != 0 {
		t.Errorf("%d exchanges are still registered", n)
	}
	for _, key := range keys {
		want := engine.Reason("")
		if _, err := r.Ban(t.Context(), r.hash(key)); err == nil {
			want = engine.KeyBanned
		} else if !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		wantReason(t, "in the end", r.use(atHome, key), want)
	}
}

func changeAtRandom(t *testing.T, r *rig, hash store.KeyHash, which int) {
	ctx := t.Context()
	var err error
	switch which {
	case 0:
		_, err = r.Ban(ctx, hash)
	case 1:
		_, err = r.Unban(ctx, hash)
	case 2:
		_, err = r.SetRule(ctx, hash, single("192.0.2.0/24"))
	case 3:
		_, err = r.SetRule(ctx, hash, store.Rule{Kind: store.RuleAll})
	case 4:
		_, err = r.Unbind(ctx, hash, 0)
	default:
		_, err = r.Preset(ctx, store.Binding{Hash: hash, Status: store.StatusActive, Rule: single("198.51.100.0/24")})
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
}
