package alert

import "time"

// health is how the store or the downstream is.
type health struct {
	failingSince time.Time // zero: it is well
	cause        string
}

// healthIs notes how it is.
func (c *Center) healthIs(k Kind, err error, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.health[k]
	if err == nil {
		*h = health{}
		return
	}
	if h.failingSince.IsZero() {
		h.failingSince = at
	}
	h.cause = cut(err.Error(), 512)
	// One that is open goes on, even if it is well again by the next tick.
	if c.touchLocked(k, Subject{}, 1, at, Evidence{Error: h.cause}) {
		return
	}
	c.lookAtHealthLocked(at)
}

// lookAtHealthLocked opens an alert of what has failed for long enough, and
// keeps it open as long as it fails.
func (c *Center) lookAtHealthLocked(now time.Time) {
	for k, h := range c.health {
		if h.failingSince.IsZero() || now.Sub(h.failingSince) < c.settings.FailingAfter {
			continue
		}
		if r, ok := c.open[subject{k, ""}]; ok {
			r.value.LastAt = now
			r.touchLocked()
			continue
		}
		c.raiseLocked(k, Subject{}, 1, now, Evidence{Error: h.cause})
	}
}
