package alert

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

const window5 = 5 * time.Minute

func TestThreshold(t *testing.T) {
	type call struct {
		after time.Duration // since the one before
		key   int
		added uint64
	}
	each := func(n int, every time.Duration) (calls []call) {
		for range n {
			calls = append(calls, call{every, 1, 1})
		}
		return calls
	}
	tests := []struct {
		name  string
		calls []call
		want  []string
	}{
		{"one less", each(4, time.Second), nil},
		{"just enough", each(5, time.Second), []string{"opened key_refused 5"}},
		{"just within the window", each(5, window5/4-time.Millisecond), []string{"opened key_refused 5"}},
		{"the fifth when the first is a window ago", each(5, window5/4), nil},
		{"all in one record", []call{{0, 1, 5}}, []string{"opened key_refused 5"}},
		{"more in one record", []call{{0, 1, 3}, {time.Second, 1, 900}}, []string{"opened key_refused 903"}},
		{"of several keys", []call{{0, 1, 4}, {0, 2, 4}, {0, 3, 4}}, nil},
		{"nothing added", []call{{0, 1, 4}, {0, 1, 0}}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *Center, o *outbox) {
				for _, call := range test.calls {
					pass(call.after)
					c.Intercept(intercept(call.key), call.added)
				}
				pass(100 * time.Millisecond)
				wantSaid(t, o, test.want...)
			})
		})
	}
}

func TestThresholdFollowsTheSettings(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		s := testSettings()
		s.ThresholdCount, s.Window = 2, time.Minute
		if err := c.SetSettings(s); err != nil || c.Settings() != s {
			t.Fatalf("got %+v, %v", c.Settings(), err)
		}
		c.Intercept(intercept(1), 1)
		pass(time.Minute)
		c.Intercept(intercept(1), 1)
		pass(time.Minute - time.Millisecond)
		wantSaid(t, o)
		c.Intercept(intercept(1), 1)
		pass(2 * time.Minute)
		wantSaid(t, o, "opened key_refused 2", "closed key_refused 2")
	})
}

// TestCutStreamsAreNoRefusals: those requests were let pass.
func TestCutStreamsAreNoRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		rec := intercept(1)
		rec.Reason = store.ReasonCut
		c.Intercept(rec, 100)
		pass(time.Second)
		wantSaid(t, o)
	})
}

// TestLateRecordsCountByTheirTime: a store that failed for long gives out all
// at once what happened over an hour.
func TestLateRecordsCountByTheirTime(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		pass(time.Hour)
		for i := range 12 {
			rec := intercept(1)
			rec.Last = rec.Last.Add(time.Duration(i-12) * window5)
			c.Intercept(rec, 4)
		}
		pass(time.Second)
		wantSaid(t, o)
	})
}

func TestAnAlertGoesOnAndCloses(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		refuse(c, 1)
		pass(time.Second)
		for range 150 { // two and a half hours
			pass(time.Minute)
			c.Intercept(intercept(1), 1)
		}
		pass(window5 - 2*time.Second)
		wantSaid(t, o, "opened key_refused 5", "reminder key_refused 64", "reminder key_refused 124")
		pass(4 * time.Second)
		wantSaid(t, o, "opened key_refused 5", "reminder key_refused 64", "reminder key_refused 124", "closed key_refused 155")
		list := c.List(Filter{})
		if list.Total != 1 || list.Alerts[0].State != Closed || list.Alerts[0].Reminders != 2 {
			t.Fatalf("got %+v", list)
		}
		a := list.Alerts[0]
		if quiet := a.ClosedAt.Sub(a.LastAt); quiet < window5 || quiet > window5+2*time.Second {
			t.Errorf("closed %v after the last one", quiet)
		}
		// What comes then is a new one, which needs the threshold again.
		c.Intercept(intercept(1), 4)
		pass(time.Second)
		refuse(c, 1)
		pass(time.Second)
		if got := o.said(t); len(got) != 5 || got[4] != "opened key_refused 9" {
			t.Errorf("got %v", got)
		}
		if list := c.List(Filter{}); list.Total != 2 || list.Alerts[0].ID == a.ID {
			t.Errorf("got %+v", list)
		}
	})
}

func TestAcknowledgedAlertsAreNotRemindedOf(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		refuse(c, 1)
		pass(time.Second)
		id := c.List(Filter{}).Alerts[0].ID
		a, err := c.Acknowledge(t.Context(), id, "alice")
		if err != nil || a.AcknowledgedBy != "alice" || a.AcknowledgedAt.IsZero() {
			t.Fatalf("got %+v, %v", a, err)
		}
		if again, err := c.Acknowledge(t.Context(), id, "bob"); err != nil || again.AcknowledgedBy != "alice" {
			t.Errorf("again: got %+v, %v", again, err)
		}
		if _, err := c.Acknowledge(t.Context(), "none", "alice"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		for range 130 {
			pass(time.Minute)
			c.Intercept(intercept(1), 1)
		}
		pass(2 * window5)
		wantSaid(t, o, "opened key_refused 5", "closed key_refused 135")
	})
}

func TestHealth(t *testing.T) {
	fault := errors.New("disk full")
	for kind, report := range map[Kind]func(*Center, error){StoreFailing: (*Center).StoreHealth, DownstreamFailing: (*Center).DownstreamHealth} {
		t.Run(string(kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *Center, o *outbox) {
				report(c, fault)
				pass(9 * time.Second)
				report(c, nil)
				pass(time.Minute)
				wantSaid(t, o) // a moment is no alert
				report(c, fault)
				pass(12 * time.Second)
				wantSaid(t, o, "opened "+string(kind)+" 1")
				// It goes on although nobody says so again.
				pass(time.Hour + time.Minute)
				wantSaid(t, o, "opened "+string(kind)+" 1", "reminder "+string(kind)+" 1")
				report(c, nil)
				pass(window5 - 10*time.Second)
				report(c, fault) // too early to be well
				report(c, nil)
				pass(window5 - 10*time.Second)
				if got := len(o.said(t)); got != 2 {
					t.Errorf("closed too early: %v", o.said(t))
				}
				pass(time.Minute)
				if got := o.said(t); len(got) != 3 || got[2] != "closed "+string(kind)+" 2" {
					t.Errorf("got %v", got)
				}
				if a := c.List(Filter{}).Alerts[0]; a.Evidence.Error != "disk full" {
					t.Errorf("got %+v", a)
				}
			})
		})
	}
}

func TestBindings(t *testing.T) {
	b := store.Binding{Hash: hashOf(1), Hint: "sk-te…0001", Label: "laptop", FirstIP: netip.MustParseAddr("203.0.113.9")}
	returned := b
	returned.ArchivedBefore = time.UnixMilli(1_600_000_000_000).UTC()
	tests := []struct {
		name    string
		enabled bool
		binding store.Binding
		want    []string
	}{
		{"new, not wanted", false, b, nil},
		{"new", true, b, []string{"opened new_binding 1"}},
		{"returned, not wanted", false, returned, []string{"opened returned_binding 1"}},
		{"returned", true, returned, []string{"opened returned_binding 1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *Center, o *outbox) {
				s := testSettings()
				s.NewBindings = test.enabled
				if err := c.SetSettings(s); err != nil {
					t.Fatal(err)
				}
				c.Bound(test.binding)
				pass(3 * time.Hour) // of a moment nobody is reminded, nor that it is over
				wantSaid(t, o, test.want...)
				if list := c.List(Filter{State: Open}); list.Total != 0 {
					t.Errorf("still open: %+v", list)
				}
				if len(test.want) == 0 {
					return
				}
				a := c.List(Filter{}).Alerts[0]
				if a.Subject.Label != "laptop" || a.Evidence.Addresses[0].Address != b.FirstIP || !a.Evidence.ArchivedBefore.Equal(test.binding.ArchivedBefore) {
					t.Errorf("got %+v", a)
				}
			})
		})
	}
}

func TestLockouts(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		c.Lockout("alice", netip.MustParseAddr("203.0.113.9"))
		c.Lockout("alice", netip.MustParseAddr("203.0.113.8"))
		c.Lockout("bob", netip.MustParseAddr("203.0.113.9"))
		pass(time.Second)
		if list := c.List(Filter{Text: "ALI"}); list.Total != 1 || list.Alerts[0].Count != 2 || len(list.Alerts[0].Evidence.Addresses) != 2 {
			t.Errorf("got %+v", list)
		}
		pass(2 * window5)
		if got := o.said(t); len(got) != 4 {
			t.Errorf("got %v", got)
		}
	})
}

func TestUnknownKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		s := testSettings()
		s.UnknownKeyCount, s.UnknownKeyWindow = 3, time.Minute
		if err := c.SetSettings(s); err != nil {
			t.Fatal(err)
		}
		for _, from := range []string{"203.0.113.9", "203.0.113.8", "::ffff:203.0.113.9", "203.0.113.8"} {
			c.UnknownKey(netip.MustParseAddr(from))
		}
		c.UnknownKey(netip.Addr{})
		pass(time.Second)
		wantSaid(t, o)
		// One IPv6 host has a whole /64.
		for i := range 3 {
			c.UnknownKey(netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1)))
		}
		pass(time.Second)
		wantSaid(t, o, "opened unknown_keys 3")
		if a := c.List(Filter{}).Alerts[0]; a.Subject.Network.String() != "2001:db8::/64" || len(a.Evidence.Addresses) != 3 {
			t.Errorf("got %+v", a)
		}
		pass(time.Minute + time.Second) // its own window, not that of the others
		wantSaid(t, o, "opened unknown_keys 3", "closed unknown_keys 3")
		s.UnknownKeyCount = 0
		if err := c.SetSettings(s); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			c.UnknownKey(netip.MustParseAddr("203.0.113.9"))
		}
		pass(time.Second)
		if got := o.said(t); len(got) != 2 {
			t.Errorf("got %v", got)
		}
	})
}

func TestEvidence(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, _ *outbox) {
		for i := range 40 { // more addresses than are kept
			rec := intercept(1)
			rec.ClientIP = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
			c.Intercept(rec, 1)
		}
		rec := intercept(1)
		rec.Path, rec.Observed, rec.Reason = "/v1/models", true, store.ReasonKeyBanned
		c.Intercept(rec, 100)
		pass(time.Second)
		e := c.List(Filter{}).Alerts[0].Evidence
		if len(e.Addresses) != maxAddresses || e.Addresses[0].Address != rec.ClientIP || e.Addresses[0].Count < 100 {
			t.Errorf("addresses %+v", e.Addresses)
		}
		if e.Path != "/v1/models" || e.Reason != store.ReasonKeyBanned || !e.Observed || e.Method != "POST" {
			t.Errorf("got %+v", e)
		}
	})
}

func TestLabelsAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		opts := options(memory.New(), o)
		opts.Label = func(_ context.Context, hash store.KeyHash) string {
			return map[store.KeyHash]string{hashOf(1): "laptop"}[hash]
		}
		c := open(t, opts)
		refuse(c, 1)
		refuse(c, 2)
		pass(time.Second)
		labels := map[string]bool{}
		for _, s := range o.all() {
			labels[body(t, s.m).Alert.Subject.Label] = true
		}
		if len(labels) != 2 || !labels["laptop"] || !labels[""] {
			t.Errorf("got %v", labels)
		}
		if list := c.List(Filter{Text: "lapt"}); list.Total != 1 {
			t.Errorf("got %+v", list)
		}
		closeCenter(t, c)
	})
}
