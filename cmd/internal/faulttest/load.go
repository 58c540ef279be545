//go:build linux

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

const (
	knownSeries = "k"
	workers     = 50
	slow        = 250 * time.Millisecond
	maxErrors   = 10
)

// introduce binds the known keys, by one node after the other, and waits until every
// node answers them by its own copy.
func (r *run) introduce(ctx context.Context) error {
	group, bindCtx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range r.opts.Keys {
		group.Go(func() error {
			return r.ask(bindCtx, r.nodes[i%len(r.nodes)], wire.Key(knownSeries, i))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := r.awaitLevel(ctx); err != nil {
		return err
	}
	for _, n := range r.nodes {
		for i := range r.opts.Keys {
			if err := r.ask(ctx, n, wire.Key(knownSeries, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) ask(ctx context.Context, n *node, key string) error {
	c := wire.NewClient(*n.address.Load(), addresses[0])
	defer func() { _ = c.Close() }()
	code, err := use(ctx, c, key)
	if code != "" {
		err = fmt.Errorf("refused: %s", code)
	}
	if err != nil {
		return fmt.Errorf("known key %s at %s: %w", key, n.name, err)
	}
	return nil
}

// load is the steady load of known keys.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	took   []time.Duration
	failed int
	errs   []error
}

// seen is what became of a load.
type seen struct {
	report FaultReport
	err    error
}

// startLoad sends Rate requests a second from as many goroutines as there are workers,
// each of which asks all nodes in turn.
func (r *run) startLoad(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	every := time.Second * workers / time.Duration(r.opts.Rate)
	for w := range workers {
		l.done.Go(func() { r.work(ctx, l, w, every) })
	}
	return l
}

func (r *run) work(ctx context.Context, l *load, w int, every time.Duration) {
	clients := make([]*wire.Client, len(r.nodes))
	used := make([]string, len(r.nodes))
	defer func() {
		for _, c := range clients {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for i := w; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		n := r.nodes[i%len(r.nodes)]
		if n.isOut.Load() {
			continue
		}
		if address := *n.address.Load(); used[n.number] != address {
			if clients[n.number] != nil {
				_ = clients[n.number].Close()
			}
			clients[n.number], used[n.number] = wire.NewClient(address, addresses[0]), address
		}
		began := time.Now()
		code, err := use(context.WithoutCancel(ctx), clients[n.number], wire.Key(knownSeries, (i*7+w)%r.opts.Keys))
		if n.isOut.Load() {
			continue // it was hit while it answered
		}
		l.note(n, time.Since(began), code, err)
	}
}

func (l *load) note(n *node, took time.Duration, code string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
	if code != "" {
		err = fmt.Errorf("refused: %s", code)
	}
	if err == nil {
		return
	}
	if l.failed++; len(l.errs) < maxErrors {
		l.errs = append(l.errs, fmt.Errorf("%s, after %v: %w", n.name, took.Round(time.Millisecond), err))
	}
}

// stop ends the load and tells what became of it.
func (l *load) stop() seen {
	l.cancel()
	l.done.Wait()
	slices.Sort(l.took)
	s := seen{report: FaultReport{Requests: len(l.took)}}
	if n := len(l.took); n > 0 {
		s.report.P99, s.report.Max = l.took[n*99/100], l.took[n-1]
		from, _ := slices.BinarySearch(l.took, slow)
		s.report.Slow = n - from
	}
	if l.failed > 0 {
		s.err = fmt.Errorf("%d of %d requests of known keys failed: %w", l.failed, len(l.took), errors.Join(l.errs...))
	}
	return s
}
