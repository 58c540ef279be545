package engine

import (
	"context"
	"fmt"
	"time"
)

// job is what is to be done on the goroutine that writes usage, with its
// context.
type job struct {
	do   func(ctx context.Context) error
	done chan error
}

// runWriter writes usage and what goes with it every 5 s, parts of it in between if
// there is much, and does the jobs that must not come between.
func (e *Engine) runWriter(ctx context.Context) {
	tick := time.NewTicker(flushEvery / usageShards)
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return
		case j := <-e.jobs:
			j.done <- j.do(ctx)
		case <-tick.C:
			all, err := e.nextShard(ctx)
			if err != nil {
				e.storeFailed("write usage", err)
			}
			if all {
				e.writeAll(ctx)
			}
		}
	}
}

func (e *Engine) writeAll(ctx context.Context) {
	// Without a time limit: a write that is broken off may have happened, and
	// would be counted twice.
	if err := e.writeUsage(ctx); err != nil {
		e.storeFailed("write usage", err)
	}
	if err := e.writeRankings(ctx); err != nil {
		e.storeFailed("write who was refused most", err)
	}
	if err := e.writeSuspicions(ctx, e.now()); err != nil {
		e.storeFailed("write which keys seem to be shared", err)
	}
	if err := e.writeMinutes(ctx, false); err != nil {
		e.storeFailed("write the counts by the minute", err)
	}
	e.probeStore(ctx)
	if e.downstream.hasAnswered() {
		e.watcher.DownstreamHealth(nil)
	}
	e.downstream.look(e.now())
}

// onWriter does something on the goroutine that writes usage, where nothing is
// on its way to the store. Once it has begun, it is waited for.
func (e *Engine) onWriter(ctx context.Context, do func(ctx context.Context) error) error {
	j := job{do: do, done: make(chan error, 1)}
	select {
	case e.jobs <- j:
		return <-j.done
	case <-e.life.Done():
		return errClosing
	case <-ctx.Done():
		return ctx.Err()
	}
}

// whileFlushed does something after all usage so far has been written, and
// before any more is.
func (e *Engine) whileFlushed(ctx context.Context, do func() error) error {
	return e.onWriter(ctx, func(writer context.Context) error {
		if err := e.writeUsage(writer); err != nil {
			return err
		}
		return do()
	})
}

// flushNow writes all usage so far.
func (e *Engine) flushNow(ctx context.Context) error {
	return e.whileFlushed(ctx, func() error { return nil })
}

// closeUsage writes the rest, and counts as lost what cannot be written.
func (e *Engine) closeUsage(ctx context.Context) error {
	err := e.writeUsage(ctx)
	if err != nil {
		lost := e.usage.unwritten.hits()
		e.usage.lost.Add(lost)
		e.logger.Error("usage not written", "hits", lost, "error", err)
	}
	if rankErr := e.writeRankings(ctx); rankErr != nil && err == nil {
		err = fmt.Errorf("write who was refused most: %w", rankErr)
	}
	if minutesErr := e.writeMinutes(ctx, true); minutesErr != nil && err == nil {
		err = fmt.Errorf("write the counts by the minute: %w", minutesErr)
	}
	return err
}
