package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/process"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

// RaceOptions of Race. All but Log are required.
type RaceOptions struct {
	Binary string    // path of the executable
	Dir    string    // an empty directory for its data and its log
	Keys   int       // how many keys are raced for
	Log    io.Writer // hears how it goes; nil: nobody does
}

// RaceReport is what Race has seen.
type RaceReport struct {
	Keys int
	Won  [2]int // by the first and by the second address
}

// Race sends each of Keys new keys from two addresses at once. For every other
// key the downstream holds its answers back until both requests are there, so
// that only the binding itself can decide. One of the two must get the answer;
// the other one 403, without a byte of the answer's head or body, and again
// when it comes back later.
func Race(ctx context.Context, opts RaceOptions) (RaceReport, error) {
	down, err := startDownstream()
	if err != nil {
		return RaceReport{}, err
	}
	r := &race{environment: newEnvironment(opts.Binary, opts.Dir, down, opts.Log), down: down, keys: opts.Keys}
	err = errors.Join(r.run(ctx), down.Close())
	return RaceReport{Keys: opts.Keys, Won: [2]int{int(r.won[0].Load()), int(r.won[1].Load())}}, err
}

type race struct {
	environment
	down   *downstream
	keys   int
	won    [2]atomic.Int64
	faults list
}

func (r *race) run(ctx context.Context) error {
	p, err := process.Start(ctx, r.options)
	if err != nil {
		return err
	}
	if err := errors.Join(r.raceAll(ctx, p), r.checkCounts(ctx, p), r.faults.err()); err != nil {
		return errors.Join(err, p.Kill())
	}
	r.printf("%d keys raced for: %d won by %v, %d by %v", r.keys, r.won[0].Load(), home, r.won[1].Load(), other)
	return p.Stop()
}

func (r *race) raceAll(ctx context.Context, p *process.Process) error {
	return forEach(ctx, r.keys, p.Addr(), home, func(ctx context.Context, first *wire.Client, i int) error {
		second := wire.NewClient(p.Addr(), other)
		defer func() { _ = second.Close() }()
		key := wire.Key(raceSeries, i)
		if i%2 == 0 {
			r.down.pair(key)
		}
		return r.raceFor(ctx, key, [2]*wire.Client{first, second})
	})
}

func (r *race) raceFor(ctx context.Context, key string, clients [2]*wire.Client) error {
	var answers [2]wire.Answer
	group, groupCtx := errgroup.WithContext(ctx)
	for i, c := range clients {
		group.Go(func() error {
			var err error
			answers[i], err = use(groupCtx, c, key)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("race for key %s: %w", key, err)
	}
	winner := 0
	if answers[1].Status == http.StatusOK {
		winner = 1
	}
	won, lost := answers[winner], answers[1-winner]
	switch {
	case won.Status != http.StatusOK || lost.Status != http.StatusForbidden:
		r.faults.addf("key %s: got %d and %d, want 200 and 403 or the reverse", key, answers[0].Status, answers[1].Status)
	case !bytes.Contains(won.Body, []byte(marker)):
		r.faults.addf("key %s: the winner got %q", key, won.Raw)
	case bytes.Contains(lost.Raw, []byte(marker)):
		r.faults.addf("key %s: the loser saw the answer: %q", key, lost.Raw)
	default:
		r.won[winner].Add(1)
		if err := wantStatus(ctx, clients[1-winner], key, http.StatusForbidden); err != nil {
			r.faults.addf("key %s: the loser came back: %w", key, err)
		}
	}
	return nil
}

// checkCounts holds what the process has counted against what was seen.
func (r *race) checkCounts(ctx context.Context, p *process.Process) error {
	counts, err := p.Counts(ctx)
	if err != nil {
		return err
	}
	if got := counts["bound"]; got != uint64(r.keys) { // #nosec G115 -- a count
		r.faults.addf("the process counts %d keys bound, want %d", got, r.keys)
	}
	if n := r.down.lonely(); n > 0 {
		r.faults.addf("%d answers waited in vain for the other request of their pair", n)
	}
	return nil
}
