//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
)

// rounds is how many turns each subject takes.
const rounds = 3

// subject is one of those that take turns.
type subject struct {
	name text
	addr string
	own  bool                    // Sentinel itself
	cpu  func() (float64, error) // CPU seconds until now; nil: of no interest
	// settles is how long it goes on working for a turn after its end.
	settles time.Duration
}

// usageEvery is longer than the interval at which Sentinel writes usage.
const usageEvery = 5500 * time.Millisecond

// subject returns Sentinel as one of those that take turns.
func (r *rig) subject() subject {
	settles := usageEvery
	if r.bench.quick {
		settles = 0
	}
	return subject{
		name: same("Sentinel"), addr: r.Addr(), own: true, settles: settles,
		cpu: func() (float64, error) { return readCPU(r.PID()) },
	}
}

// subjects returns some peers as those that take turns.
func subjects(peers []*peer) []subject {
	list := make([]subject, len(peers))
	for i, p := range peers {
		list[i] = subject{name: p.name, addr: p.addr, cpu: p.cpu}
	}
	return list
}

// turn is what was seen of a subject in one round.
type turn struct {
	loadResult
	cpu float64 // seconds
}

func (t turn) cpuPer10k() float64 { return t.cpu * 10_000 / float64(max(1, t.requests)) }

// turns are those of one subject.
type turns []turn

// median returns the median of a figure of each turn.
func (ts turns) median(figure func(turn) float64) float64 {
	figures := make([]float64, len(ts))
	for i, t := range ts {
		figures[i] = figure(t)
	}
	return median(figures)
}

// cpuDuring runs do, and returns the CPU seconds of a subject from its begin to
// when it has settled; not a number where they are of no interest.
func (s subject) cpuDuring(ctx context.Context, do func() error) (float64, error) {
	if s.cpu == nil {
		return math.NaN(), do()
	}
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	if err := pause(ctx, s.settles); err != nil {
		return 0, err
	}
	after, err := s.cpu()
	return after - before, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeTurns sends a load to each subject in turn, after one turn of 2,000 requests
// that does not count. It returns the turns of each.
func takeTurns(ctx context.Context, list []subject, l load) ([]turns, error) {
	warm := l
	warm.total, warm.lasts = warmRequests, 0
	for _, s := range list {
		warm.addr = s.addr
		if _, err := warm.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name.En, err)
		}
	}
	seen := make([]turns, len(list))
	for range rounds {
		for i, s := range list {
			l.addr = s.addr
			var t turn
			var err error
			t.cpu, err = s.cpuDuring(ctx, func() (err error) {
				t.loadResult, err = l.run(ctx)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name.En, err)
			}
			seen[i] = append(seen[i], t)
		}
	}
	return seen, nil
}

const warmRequests = 2_000

// allowed returns a closed loop of requests that are let pass.
func allowed(lasts time.Duration, request func(buf []byte, worker, i int) []byte) load {
	return load{from: home, want: http.StatusOK, lasts: lasts, request: request}
}

// stopAll stops peers, however many.
func stopAll(peers []*peer) error {
	var errs []error
	for _, p := range peers {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}
