package engine

import (
	"context"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/event"
)

// endEvery is how late streams may be cut that an exception let pass which has
// ended.
const endEvery = time.Second

// endWhatIsOver ends what ends by itself.
func (e *Engine) endWhatIsOver(ctx context.Context) {
	for _, hash := range e.exceptions.End() {
		e.reexamineStored(ctx, hash)
		e.events.Publish(event.TypeException, event.Exception{Change: event.Ended, Hash: hash})
	}
	if over, err := e.blocked.End(ctx, e.leadership.IsLeader); err != nil {
		e.storeFailed("end blocking of networks", err)
	} else if len(over) > 0 {
		e.logger.Info("networks are not blocked any more: their time is over", "networks", len(over))
		e.events.Publish(event.TypeBlocked, event.Blocked{Change: event.Ended, Count: len(over)})
	}
}

// reexamineAll cuts the exchanges that no longer pass after a change of what many
// bindings rest on.
func (e *Engine) reexamineAll(ctx context.Context) {
	for hash := range e.flights.keys() {
		e.reexamineStored(ctx, hash)
	}
}
