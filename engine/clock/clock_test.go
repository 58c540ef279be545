package clock

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// authority is a clock that is ahead of the test's, and takes its time to answer.
type authority struct {
	ahead, wait atomic.Int64
	away        atomic.Bool
}

func (a *authority) Time(ctx context.Context) (time.Time, error) {
	wait := time.Duration(a.wait.Load())
	select {
	case <-time.After(wait / 2):
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	at := time.Now().Add(time.Duration(a.ahead.Load()))
	time.Sleep(wait / 2)
	if a.away.Load() {
		return time.Time{}, errors.New("away")
	}
	return at, nil
}

func start(t *testing.T, a *authority, log *strings.Builder) *Clock {
	t.Helper()
	c := Start(t.Context(), a, slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(c.Close)
	return c
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// wantAhead compares how far the clock is ahead of the own one, which is that of the test.
func wantAhead(t *testing.T, c *Clock, want time.Duration) {
	t.Helper()
	if got := c.Now().Sub(time.Now().Round(0)); got != want {
		t.Errorf("the clock is %v ahead of the own one, want %v", got, want)
	}
}

func TestOwnClockCountsWithinTolerance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, log := &authority{}, &strings.Builder{}
		a.ahead.Store(int64(Tolerance))
		c := start(t, a, log)
		wantAhead(t, c, 0)
		if ahead, isKnown := c.Ahead(); ahead != -Tolerance || !isKnown {
			t.Errorf("got %v, %v, want -%v", ahead, isKnown, Tolerance)
		}
		if log.Len() > 0 {
			t.Errorf("it says %s", log)
		}
	})
}

func TestWrongClockIsCorrected(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			a, log := &authority{}, &strings.Builder{}
			a.ahead.Store(int64(-off))
			a.wait.Store(int64(time.Second))
			c := start(t, a, log)
			wantAhead(t, c, -off)
			if ahead, _ := c.Ahead(); ahead != off {
				t.Errorf("it is %v ahead, want %v", ahead, off)
			}
			pass(time.Minute)
			if n := strings.Count(log.String(), "is wrong"); n != 1 {
				t.Errorf("it was told %d times, want once:\n%s", n, log)
			}

			// While the authority is away, what it said goes on to count.
			a.away.Store(true)
			pass(time.Hour)
			wantAhead(t, c, -off)

			a.away.Store(false)
			a.ahead.Store(0)
			pass(2 * askEvery)
			wantAhead(t, c, 0)
			if n := strings.Count(log.String(), "right again"); n != 1 {
				t.Errorf("it was told %d times that the clock is right again, want once:\n%s", n, log)
			}
		})
	}
}

func TestNoAnswerIsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, log := &authority{}, &strings.Builder{}
		a.ahead.Store(int64(time.Hour))
		a.wait.Store(int64(3 * maxWait)) // it tells the time too late to be of use
		c := start(t, a, log)
		wantAhead(t, c, 0)
		if _, isKnown := c.Ahead(); isKnown {
			t.Error("it knows what it was not told")
		}
	})
	var alone Clock
	if _, isKnown := alone.Ahead(); isKnown || time.Since(alone.Now()) > time.Minute {
		t.Error("the zero value does not go by the own clock")
	}
	alone.Close()
}
