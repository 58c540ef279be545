package engine

import (
	"context"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine/replay"
)

// Replay tells which requests of the past a rule would have refused, as
// replay.Run does, up to this moment. One runs at a time, since each may read all
// that is stored; others wait.
func (e *Engine) Replay(ctx context.Context, q replay.Query) (replay.Result, error) {
	select {
	case e.replays <- struct{}{}:
		defer func() { <-e.replays }()
	case <-ctx.Done():
		return replay.Result{}, ctx.Err()
	}
	if err := e.flushNow(ctx); err != nil {
		return replay.Result{}, fmt.Errorf("write usage before a replay: %w", err)
	}
	if err := e.recorder.Flush(ctx); err != nil {
		return replay.Result{}, fmt.Errorf("write intercepts before a replay: %w", err)
	}
	now := e.now().UTC()
	q.Surroundings = replay.Surroundings{Networks: e.networks.Find, Exempts: e.exceptions.Reach, Blocks: e.blocked.Blocks}
	result, err := replay.Run(ctx, e.store, q, now)
	if err != nil {
		return result, err
	}
	result.Uncertain.Dropped = e.recorder.Dropped()
	if oldest, ends := before(now, e.Retention().InterceptDays); ends && q.Since.Before(oldest) {
		result.Uncertain.InterceptsFrom = oldest
	}
	return result, nil
}
