package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// tailEvery is how often it is looked for what other nodes have refused.
	tailEvery = time.Second
	// tailOverlap is how many records back each look goes: a node may commit records after
	// another one has committed some with higher IDs.
	tailOverlap = 200
)

// tail tells of what the other nodes of a cluster refuse, while somebody listens. It asks
// nothing while nobody does.
type tail struct {
	since time.Time // what was refused before is not told: nobody listened
	seen  recent    // the last records
	last  uint64    // the highest ID so far
	told  perSecond // of those of others
}

// runTail looks until the engine ends. Only a node of a cluster needs it.
func (e *Engine) runTail() {
	t := &tail{since: e.now()}
	e.every(tailEvery, func() { e.tellOthers(t) })
}

// tellOthers tells of records that are new in the store and not of this node. What it
// cannot read it leaves out: listeners read the lists for all there is.
func (e *Engine) tellOthers(t *tail) {
	if !e.events.IsHeard() {
		t.since, t.last = e.now(), 0
		return
	}
	page, err := e.store.ListIntercepts(e.life, store.InterceptFilter{After: t.last - min(t.last, tailOverlap), Limit: 2 * tailOverlap})
	if err != nil || e.authority.Away() != nil { // then these are the node's own
		return
	}
	var skipped uint64
	for i := len(page.Records) - 1; i >= 0; i-- { // the newest comes first
		rec := page.Records[i]
		t.last = max(t.last, rec.ID)
		switch {
		case !t.seen.add(rec.ID), rec.At.Before(t.since), strings.HasPrefix(rec.RequestID, e.idPrefix):
		case t.told.allow(e.now()):
			e.events.Publish(event.TypeIntercept, rec)
		default:
			skipped++
		}
	}
	e.events.Skip(skipped)
}

// recent remembers the last IDs that were added.
type recent struct {
	ring [2 * tailOverlap]uint64
	next int
}

// add reports whether it was not there.
func (r *recent) add(id uint64) bool {
	if slices.Contains(r.ring[:], id) {
		return false
	}
	r.ring[r.next] = id
	r.next = (r.next + 1) % len(r.ring)
	return true
}
