package engine

import (
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/engine/record"
	"github.com/key-ip-sentinel/sentinel/store"
)

// interceptEvents is how many new intercepts are told one by one in a second: a
// flood of them tells nobody more, and must not push out other events.
const interceptEvents = 50

// Events is where the engine tells what happens: new intercepts, of which at
// most interceptEvents a second are told one by one, and changes of bindings.
// Others may publish there too.
func (e *Engine) Events() *event.Bus { return e.events }

// tellBinding tells of the change of one binding.
func (e *Engine) tellBinding(action event.Action, b store.Binding) {
	e.events.Publish(event.TypeBinding, event.Binding{
		Action: action, Hash: b.Hash, Hint: b.Hint, Label: b.Label, Revision: b.Revision,
	})
}

// tellBound tells of a first use.
func (e *Engine) tellBound(b store.Binding) {
	e.watcher.Bound(b)
	e.events.Publish(event.TypeBinding, event.Binding{
		Action: event.Bound, Hash: b.Hash, Hint: b.Hint, ClientIP: b.FirstIP, Revision: b.Revision,
	})
}

// tellMany tells of one act that changed many bindings.
func (e *Engine) tellMany(action event.Action, count int) {
	if count > 0 {
		e.events.Publish(event.TypeBinding, event.Binding{Action: action, Count: count})
	}
}

// editAction names what an edit did.
func editAction(before, after store.Binding) event.Action {
	switch {
	case before.Status == after.Status:
		return event.Edited
	case after.Status == store.StatusBanned:
		return event.Banned
	default:
		return event.Unbanned
	}
}

// recorded is called by the recorder with what the store has taken.
func (e *Engine) recorded(batch []record.Written) {
	now := e.now()
	var skipped uint64
	for i := range batch {
		store.GiveWay(i)
		w := &batch[i]
		e.rank(&w.Intercept, w.Added, now)
		e.watcher.Intercept(w.Intercept, w.Added)
		switch {
		case !w.New:
		case e.told.allow(now):
			e.events.Publish(event.TypeIntercept, w.Intercept)
		default:
			skipped++
		}
	}
	e.events.Skip(skipped)
}

// notRecorded is called by the recorder with what it had no room for: whoever
// floods the records must not hide who was refused most.
func (e *Engine) notRecorded(rec store.Intercept) {
	e.rank(&rec, 1, e.now())
	e.watcher.Intercept(rec, 1)
}

func (e *Engine) rank(rec *store.Intercept, n uint64, now time.Time) {
	if rec.Reason != store.ReasonCut { // a request that was let pass, and ended later
		e.rankings.add(rec, n, now)
	}
}

// perSecond counts up to interceptEvents in each second.
type perSecond struct {
	second int64
	n      int
}

func (p *perSecond) allow(now time.Time) bool {
	if second := now.Unix(); second != p.second {
		p.second, p.n = second, 0
	}
	p.n++
	return p.n <= interceptEvents
}
