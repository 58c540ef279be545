package alert

import (
	"testing"
	"time"
)

func TestWhatHasEndedIsKeptForAWhile(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, _ *outbox) {
		s := testSettings()
		s.RetentionDays = 2
		if err := c.SetSettings(s); err != nil {
			t.Fatal(err)
		}
		refuse(c, 1)
		pass(47 * time.Hour)
		refuse(c, 2)
		pass(time.Minute)
		if list := c.List(Filter{}); list.Total != 2 {
			t.Errorf("got %+v", list)
		}
		pass(2 * time.Hour)
		if list := c.List(Filter{}); list.Total != 1 || list.Alerts[0].Subject.Hash != hashOf(2) {
			t.Errorf("got %+v", list)
		}
		if d := c.Deliveries(DeliveryFilter{}).Deliveries; len(d) != 2 || d[0].AlertID != c.List(Filter{}).Alerts[0].ID {
			t.Errorf("got %+v", d)
		}
		alerts, deliveries, err := c.Purge(t.Context(), time.Now())
		if alerts != 1 || deliveries != 2 || err != nil {
			t.Errorf("purged %d, %d, %v", alerts, deliveries, err)
		}
		for _, kind := range []string{"alert", "delivery"} {
			if list, err := c.documents.ListDocuments(t.Context(), kind); len(list) != 0 || err != nil {
				t.Errorf("%d documents of kind %s, %v", len(list), kind, err)
			}
		}
	})
}

// TestOnlySoMuchIsKept: of each kind and channel.
func TestOnlySoMuchIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, _ *outbox) {
		for round := range 5 {
			for i := range maxOpen {
				refuse(c, round*maxOpen+i)
			}
			pass(2 * window5)
		}
		if list := c.List(Filter{}); list.Total != maxClosed {
			t.Errorf("%d alerts", list.Total)
		}
		if list, err := c.documents.ListDocuments(t.Context(), "delivery"); len(list) != maxFinished || err != nil {
			t.Errorf("%d deliveries, %v", len(list), err)
		}
	})
}

func TestPages(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, _ *outbox) {
		for i := range 25 {
			refuse(c, i)
			pass(time.Millisecond)
		}
		pass(time.Second)
		var keys []string
		for cursor := ""; ; {
			page := c.List(Filter{Limit: 10, Cursor: cursor})
			if page.Total != 25 {
				t.Errorf("total %d", page.Total)
			}
			for _, a := range page.Alerts {
				keys = append(keys, a.Subject.Hint)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if len(keys) != 25 || keys[0] != "sk-te…0024" || keys[24] != "sk-te…0000" {
			t.Errorf("got %v", keys)
		}
		ids := map[string]bool{}
		for cursor := ""; ; {
			page := c.Deliveries(DeliveryFilter{Limit: 10, Cursor: cursor})
			for _, d := range page.Deliveries {
				ids[d.ID] = true
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if len(ids) != 25 {
			t.Errorf("%d deliveries", len(ids))
		}
		for name, f := range map[string]Filter{
			"kind": {Kind: LoginLockout}, "state": {State: Closed}, "hash": {Hash: hashOf(99)}, "text": {Text: "nobody"},
		} {
			if list := c.List(f); list.Total != 0 {
				t.Errorf("%s: got %d", name, list.Total)
			}
		}
		if list := c.List(Filter{Kind: KeyRefused, State: Open, Hash: hashOf(3), Text: "SK-TE…0003"}); list.Total != 1 {
			t.Errorf("got %+v", list)
		}
	})
}
