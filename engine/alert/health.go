package alert

import "time"

// healthSilence is for how long another node is believed that tells of a failure: it
// tells again as long as that lasts.
const healthSilence = 30 * time.Second

// watched is what a node takes for well or failing.
type watched struct {
	kind Kind
	node string // empty: this one
}

// health is how the store or the downstream is.
type health struct {
	failingSince time.Time
	heard        time.Time
	cause        string
}

// healthIsLocked notes how it is.
func (c *Center) healthIsLocked(s sighting) {
	what := watched{s.Kind, s.Node}
	if !s.Fails {
		delete(c.health, what)
		return
	}
	h := c.health[what]
	if h == nil {
		h = &health{failingSince: s.At}
		c.health[what] = h
	}
	h.heard, h.cause = s.At, s.Evidence.Error
	// One that is open goes on, even if it is well again by the next tick.
	if !c.touchLocked(s) {
		c.lookAtHealthLocked(s.At)
	}
}

// lookAtHealthLocked opens an alert of what has failed for long enough, and
// keeps it open as long as it fails.
func (c *Center) lookAtHealthLocked(now time.Time) {
	for what, h := range c.health {
		if what.node != "" && now.Sub(h.heard) > healthSilence {
			delete(c.health, what)
			continue
		}
		if now.Sub(h.failingSince) < c.settings.FailingAfter {
			continue
		}
		if r, ok := c.open[subject{what.kind, ""}]; ok {
			r.value.LastAt = now
			r.touchLocked()
			continue
		}
		c.raiseLocked(sighting{Kind: what.kind, N: 1, At: now, Node: what.node, Evidence: Evidence{Error: h.cause}})
	}
}
