package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/process"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

// series of the keys of both tests.
const (
	killSeries = "k"
	raceSeries = "r"
)

const (
	// DefaultKeys is how many new keys one round has at most.
	DefaultKeys = 400
	// maxJitter is how long after the chosen answer the kill may come: some
	// commits, so that it hits every moment of one.
	maxJitter = 20 * time.Millisecond
	// homeEvery is how many keys there are to each that is also used from the
	// address it is bound to.
	homeEvery = 8
)

// Options of Run. Binary, Dir and Rounds are required.
type Options struct {
	Binary string    // path of the executable
	Dir    string    // an empty directory for its data and its log
	Rounds int       // how many times it is killed
	Keys   int       // new keys in one round; default DefaultKeys
	Seed   uint64    // decides when it is killed
	Log    io.Writer // hears of every round; nil: nobody does
}

// Report is what Run has seen.
type Report struct {
	Rounds       int
	Accepted     int           // keys that a client saw accepted before a kill
	Interrupted  int           // requests that a kill left without an answer
	SlowestStart time.Duration // from the start after a kill until healthy
}

// Run uses new keys from 64 connections, kills the process at a random moment,
// starts it again on the same data, and does so Rounds times. After each start
// every key whose answer had begun to arrive must be bound to the address it
// was used from: another address gets 403, and every eighth is seen to work from its
// own. At the end all keys of all rounds are tried again.
//
// The error names the keys that were lost, or what else went wrong.
func Run(ctx context.Context, opts Options) (Report, error) {
	if opts.Keys == 0 {
		opts.Keys = DefaultKeys
	}
	down, err := startDownstream()
	if err != nil {
		return Report{}, err
	}
	k := &killer{
		environment: newEnvironment(opts.Binary, opts.Dir, down, opts.Log), opts: opts,
		random: rand.New(rand.NewPCG(opts.Seed, opts.Seed)), // #nosec G404 -- a test that can be repeated
	}
	err = errors.Join(k.run(ctx), down.Close())
	return k.report, err
}

type killer struct {
	environment
	opts     Options
	random   *rand.Rand
	report   Report
	accepted []string // of all rounds
}

func (k *killer) run(ctx context.Context) error {
	k.printf("seed %d", k.opts.Seed)
	p, err := process.Start(ctx, k.options)
	if err != nil {
		return err
	}
	for round := range k.opts.Rounds {
		accepted, err := k.loadAndKill(ctx, p, round)
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, errors.Join(err, p.Kill()))
		}
		if p, err = k.restart(ctx); err != nil {
			return fmt.Errorf("round %d: start after the kill: %w", round+1, err)
		}
		if err := k.check(ctx, p, accepted); err != nil {
			return fmt.Errorf("round %d: %w", round+1, errors.Join(err, p.Kill()))
		}
		k.accepted = append(k.accepted, accepted...)
		k.report.Rounds++
		k.report.Accepted += len(accepted)
		k.printf("round %d: killed after %d keys were accepted, all of them are bound", round+1, len(accepted))
	}
	return errors.Join(k.check(ctx, p, k.accepted), p.Stop())
}

func (k *killer) restart(ctx context.Context) (*process.Process, error) {
	p, err := process.Start(ctx, k.options)
	if err == nil {
		k.report.SlowestStart = max(k.report.SlowestStart, time.Since(p.Started()))
	}
	return p, err
}

// loadAndKill returns the keys that were accepted.
func (k *killer) loadAndKill(ctx context.Context, p *process.Process, round int) ([]string, error) {
	killAfter := 1 + k.random.IntN(max(1, k.opts.Keys*3/4))
	jitter := time.Duration(k.random.Int64N(int64(maxJitter)))
	l := &load{accepted: make([]string, 0, k.opts.Keys), killAfter: killAfter, reached: make(chan struct{})}

	done := make(chan error, 1)
	go func() {
		done <- forEach(ctx, k.opts.Keys, p.Addr(), home, func(ctx context.Context, c *wire.Client, i int) error {
			return l.use(ctx, c, wire.Key(killSeries, round*k.opts.Keys+i))
		})
	}()
	select {
	case <-l.reached:
		// Not a wait for something to happen, but the random moment of the kill.
		time.Sleep(jitter)
	case err := <-done:
		done <- err
	}
	l.killed.Store(true)
	killErr := p.Kill()
	err := <-done
	switch {
	case errors.Is(err, errInterrupted):
		err = nil
	case err == nil && len(l.accepted) < killAfter:
		err = fmt.Errorf("the load ended after %d of %d keys", len(l.accepted), killAfter)
	}
	k.report.Interrupted += int(l.interrupted.Load())
	return l.accepted, errors.Join(killErr, err, l.faults.err())
}

// errInterrupted ends a load whose process has been killed.
var errInterrupted = errors.New("interrupted by the kill")

// load is the load of one round.
type load struct {
	killAfter   int
	reached     chan struct{} // closed at the killAfter-th accepted key
	killed      atomic.Bool
	interrupted atomic.Int64
	faults      list

	mu       sync.Mutex
	accepted []string
}

func (l *load) use(ctx context.Context, c *wire.Client, key string) error {
	a, err := use(ctx, c, key)
	switch {
	// The head of the answer is enough: by then the binding must be durable.
	case a.Status == http.StatusOK:
		l.accept(key)
	case a.Status != 0:
		l.faults.addf("a new key got status %d: %s", a.Status, a.Body)
	case err != nil && !l.killed.Load():
		return fmt.Errorf("before the kill: %w", err)
	}
	if err != nil {
		l.interrupted.Add(1)
		return errInterrupted
	}
	return nil
}

func (l *load) accept(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = append(l.accepted, key)
	if len(l.accepted) == l.killAfter {
		close(l.reached)
	}
}

// check returns an error for each of the keys that is not bound to home.
func (k *killer) check(ctx context.Context, p *process.Process, keys []string) error {
	var faults list
	err := forEach(ctx, len(keys), p.Addr(), other, func(ctx context.Context, c *wire.Client, i int) error {
		if err := wantStatus(ctx, c, keys[i], http.StatusForbidden); err != nil {
			faults.addf("accepted key %s used from another address: %w", keys[i], err)
		}
		return ctx.Err()
	})
	return errors.Join(err, k.checkHome(ctx, p, keys, &faults), faults.err())
}

func (k *killer) checkHome(ctx context.Context, p *process.Process, keys []string, faults *list) error {
	return forEach(ctx, len(keys)/homeEvery, p.Addr(), home, func(ctx context.Context, c *wire.Client, i int) error {
		if err := wantStatus(ctx, c, keys[i*homeEvery], http.StatusOK); err != nil {
			faults.addf("accepted key %s used from its own address: %w", keys[i*homeEvery], err)
		}
		return ctx.Err()
	})
}
