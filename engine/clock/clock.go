// Package clock keeps the time of a cluster, which is that of its authority.
//
// A node asks the authority for the time every few seconds. As long as its own clock is
// within Tolerance of that, it goes by its own. A node whose clock is wrong goes by the
// authority's: what it was last told, and how long ago that was by the clock that nobody
// sets. So a session, an exception and the window of an alert end at one moment on all
// nodes, and an own clock that is set has no effect, not even until the next question.
// Before the first answer, and on a node that runs alone, there is the own clock only.
package clock

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	askEvery = 3 * time.Second
	// Tolerance is how far the own clock may be from that of the authority.
	Tolerance = 2 * time.Second
	// maxWait is the longest wait for an answer that still tells the time: it is taken for
	// what was so at the middle of the wait.
	maxWait = 2 * time.Second
)

// Authority is who knows the time.
type Authority interface {
	// Time returns the time by the authority's clock.
	Time(ctx context.Context) (time.Time, error)
}

// Clock is the time of a cluster. It is safe for concurrent use. The zero value goes by
// the own clock.
type Clock struct {
	authority Authority
	logger    *slog.Logger
	told      atomic.Pointer[reading]
	isOff     bool // as last told of; only ask uses it

	cancel  context.CancelFunc
	stopped sync.WaitGroup
}

// reading is one answer of the authority.
type reading struct {
	shared time.Time // without a monotonic reading
	own    time.Time // at the same moment
}

// Start asks once, and then every few seconds until Close.
func Start(ctx context.Context, authority Authority, logger *slog.Logger) *Clock {
	c := &Clock{authority: authority, logger: logger}
	running, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.ask(ctx)
	c.stopped.Go(func() { c.run(running) })
	return c
}

func (c *Clock) run(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.ask(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// ask asks the authority. Without an answer, what it told before goes on to count.
func (c *Clock) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	asked := time.Now()
	shared, err := c.authority.Time(ctx)
	took := time.Since(asked)
	if err != nil || took > maxWait {
		return
	}
	c.told.Store(&reading{shared: shared.Round(0), own: asked.Add(took / 2)})
	ahead, _ := c.Ahead()
	switch isOff := ahead.Abs() > Tolerance; {
	case isOff && !c.isOff:
		c.logger.Warn("the clock of this node is wrong: it goes by that of PostgreSQL, but for the times of its log and of certificates", "ahead", ahead.Round(time.Millisecond))
		c.isOff = true
	case !isOff && c.isOff:
		c.logger.Info("the clock of this node is right again")
		c.isOff = false
	}
}

// Now returns the time of the cluster. Like that of any clock, it may go back.
func (c *Clock) Now() time.Time {
	now, shared := c.read()
	if shared.IsZero() || now.Round(0).Sub(shared).Abs() <= Tolerance {
		return now
	}
	return shared
}

// Ahead returns how far the own clock is ahead of that of the authority, negative if it is
// behind, and whether that is known.
func (c *Clock) Ahead() (d time.Duration, isKnown bool) {
	now, shared := c.read()
	if shared.IsZero() {
		return 0, false
	}
	return now.Round(0).Sub(shared), true
}

// read returns the time by both clocks; that of the authority is zero if it is not known.
func (c *Clock) read() (own, shared time.Time) {
	own = time.Now()
	if r := c.told.Load(); r != nil {
		shared = r.shared.Add(own.Sub(r.own))
	}
	return own, shared
}

// Close ends the questions. Now goes on.
func (c *Clock) Close() {
	if c.cancel == nil {
		return
	}
	c.cancel()
	c.stopped.Wait()
}
