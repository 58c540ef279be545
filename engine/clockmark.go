package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// ClockMark is the setting that tells when housekeeping last looked at the
	// clock.
	ClockMark = "internal.clock_mark"
	// clockStride is how far the clock may have gone since then to be believed.
	clockStride = 24 * time.Hour
	// clockDoubt is how long housekeeping waits for a clock that went further.
	clockDoubt = 24 * time.Hour
)

// doubtsClock reports whether housekeeping has to wait, because the clock has
// gone too far since it was last looked at.
//
// Threat: a clock that is set months ahead makes every binding look idle. All of
// them would go to the archive, and each key could be bound by whoever comes
// first. Answer: after such a leap housekeeping by itself waits for a day, and
// says so; a machine that was off for so long loses nothing by it.
func (e *Engine) doubtsClock(ctx context.Context) (bool, error) {
	now := e.now().UTC().Round(0) // the wall clock's, which is what may be wrong
	var last time.Time
	stored, err := e.store.Setting(ctx, ClockMark)
	if err == nil {
		err = last.UnmarshalText(stored)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return true, fmt.Errorf("read when the clock was looked at: %w", err)
	}
	if !last.IsZero() && now.Sub(last) > clockStride {
		if e.doubtSince.IsZero() {
			e.doubtSince = time.Now()
			e.logger.Warn("the clock has gone far since housekeeping last saw it: nothing is archived or removed for a day; "+
				"if the clock is right, do it now with sentinel bindings archive run", "last", last, "now", now)
		}
		if time.Since(e.doubtSince) < clockDoubt {
			return true, nil
		}
	}
	e.doubtSince = time.Time{}
	text, err := now.MarshalText()
	if err == nil {
		err = e.store.PutSetting(ctx, ClockMark, text)
	}
	if err != nil {
		return true, fmt.Errorf("note the clock: %w", err)
	}
	return false, nil
}
