package alert

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// TestAFloodOfKeysMakesFewAlerts: 20,000 keys reach the threshold.
func TestAFloodOfKeysMakesFewAlerts(t *testing.T) {
	const keys = 20_000
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		for i := range keys {
			refuse(c, i)
			if i%1000 == 999 {
				pass(10 * time.Millisecond)
			}
		}
		pass(5 * time.Second)
		list := c.List(Filter{State: Open, Limit: 1000})
		if list.Total != maxOpen+1 {
			t.Fatalf("%d alerts", list.Total)
		}
		var collective *Alert
		for cursor := ""; ; {
			page := c.List(Filter{State: Open, Cursor: cursor})
			for _, a := range page.Alerts {
				if a.Subject.Collective {
					collective = &a
				}
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if collective == nil || collective.Count != 5*(keys-maxOpen) {
			t.Fatalf("got %+v", collective)
		}
		if n := float64(collective.Subjects); n < 0.97*(keys-maxOpen) || n > 1.03*(keys-maxOpen) {
			t.Errorf("about %v subjects, want %d", n, keys-maxOpen)
		}
		if s := c.Stats(); s.Inputs != 0 || s.CountedNow != 0 {
			t.Errorf("stats %+v", s)
		}
		if got := len(o.all()); got != maxOpen+1 {
			t.Errorf("%d messages", got)
		}
		pass(window5)
		if list := c.List(Filter{State: Open}); list.Total != 0 {
			t.Errorf("%d are still open", list.Total)
		}
		if got := len(o.all()); got != 2*(maxOpen+1) {
			t.Errorf("%d messages", got)
		}
	})
}

// TestCountersAreBounded: keys that come once.
func TestCountersAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		for i := range 2 * maxCounted {
			c.Intercept(intercept(i), 1)
			if i%1000 == 999 {
				pass(time.Millisecond)
			}
		}
		pass(time.Second)
		if s := c.Stats(); s.CountedNow != maxCounted || s.Uncounted != maxCounted {
			t.Errorf("stats %+v", s)
		}
		pass(window5 + time.Minute)
		if s := c.Stats(); s.CountedNow != 0 {
			t.Errorf("%d are counted after a window", s.CountedNow)
		}
		wantSaid(t, o)
	})
}

// TestInputsNeverBlock: nobody looks at them, and what has no room is counted.
func TestInputsNeverBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := options(memory.New(), &outbox{})
		sealer, err := newSealer(opts.Key, opts.OldKeys)
		if err != nil {
			t.Fatal(err)
		}
		c := newCenter(opts, sealer)
		for i := range maxQueued + 100 {
			c.Intercept(intercept(i), 1)
		}
		if s := c.Stats(); s.Inputs != 100 {
			t.Errorf("%d dropped, want 100", s.Inputs)
		}
		c.start()
		pass(time.Second)
		if s := c.Stats(); s.CountedNow != maxQueued {
			t.Errorf("stats %+v", s)
		}
		closeCenter(t, c)
	})
}
