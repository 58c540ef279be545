package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

func down(send.Target, send.Message) error { return errReceiver }

// TestAReceiverThatFailsForAWhile gets each alert exactly once.
func TestAReceiverThatFailsForAWhile(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(down)
		for i := range 20 {
			refuse(c, i)
		}
		pass(3 * time.Hour) // all have closed meanwhile
		o.fail(nil)
		pass(maxPause + time.Second)
		ids := map[string]int{}
		for _, s := range o.all() {
			if s.err == nil {
				ids[s.m.ID]++
			}
		}
		for id, n := range ids {
			if n != 1 {
				t.Errorf("%s arrived %d times", id, n)
			}
		}
		if len(ids) != 40 {
			t.Errorf("%d arrived, want each of 20 opened and closed", len(ids))
		}
		for _, d := range c.Deliveries(DeliveryFilter{Limit: 100}).Deliveries {
			last := d.Attempts[len(d.Attempts)-1]
			if d.State != Delivered || d.Tries < 1 || d.EndedAt.IsZero() || last.Error != "" || last.Status != 200 || last.Answer != "ok" {
				t.Errorf("got %+v", d)
			}
		}
		if ch, err := c.Channel(EnvChannel); err != nil || ch.LastError != "" || ch.LastSent.IsZero() || ch.Pending != 0 {
			t.Errorf("got %+v, %v", ch, err)
		}
	})
}

func TestBackoffOfADelivery(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(down)
		c.Bound(store.Binding{Hash: hashOf(1), ArchivedBefore: time.Now()})
		pass(time.Second)
		began := o.all()[0].at
		pass(tryFor + time.Hour)
		all := o.all()
		for i := 1; i < len(all); i++ {
			wait, least := all[i].at.Sub(all[i-1].at), min(firstBackoff<<(i-1), maxBackoff)
			if most := min(least+least/4, maxBackoff); (wait < least-time.Millisecond || wait > most+time.Millisecond) && i < len(all)-1 {
				t.Errorf("attempt %d came after %v, want %v to %v", i, wait, least, most)
			}
		}
		if last := all[len(all)-1].at.Sub(began); last < tryFor || last > tryFor+maxPause {
			t.Errorf("last attempt after %v, want a day", last)
		}
		d := c.Deliveries(DeliveryFilter{}).Deliveries[0]
		if d.State != Failed || d.Tries != len(all) || len(d.Attempts) != maxAttempts || d.Attempts[0].Error != errReceiver.Error() || !d.NextAt.IsZero() {
			t.Errorf("got %+v of %d attempts", d, len(all))
		}
		if s := c.Stats(); s.Failed != 1 || s.Pending != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRetry(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(down)
		c.Bound(store.Binding{Hash: hashOf(1), ArchivedBefore: time.Now()})
		pass(tryFor + time.Hour)
		id := c.Deliveries(DeliveryFilter{State: Failed}).Deliveries[0].ID
		o.fail(nil)
		if d, err := c.Retry(t.Context(), id); err != nil || d.State != Pending || !d.EndedAt.IsZero() {
			t.Fatalf("got %+v, %v", d, err)
		}
		pass(time.Second)
		wantSaid(t, o, "opened returned_binding 1")
		if d := c.Deliveries(DeliveryFilter{}).Deliveries[0]; d.State != Delivered || d.ID != id {
			t.Errorf("got %+v", d)
		}
		if _, err := c.Retry(t.Context(), id); !errors.Is(err, ErrDone) {
			t.Errorf("got %v", err)
		}
		if _, err := c.Retry(t.Context(), "none"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// TestRetryDoesNotWait: somebody has mended the receiver, and says so.
func TestRetryDoesNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(down)
		refuse(c, 1)
		pass(10 * time.Minute)
		o.fail(nil)
		d := c.Deliveries(DeliveryFilter{}).Deliveries
		if _, err := c.Retry(t.Context(), d[len(d)-1].ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := o.said(t); len(got) != 2 { // the other one is due at once too
			t.Errorf("got %v", got)
		}
	})
}

// TestATestThatSucceedsEndsThePause of a channel.
func TestATestThatSucceedsEndsThePause(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(down)
		c.Bound(store.Binding{Hash: hashOf(1), ArchivedBefore: time.Now()})
		pass(30 * time.Minute)
		if r, err := c.Test(t.Context(), EnvChannel); r.OK || err != nil || r.Error != errReceiver.Error() {
			t.Errorf("got %+v, %v", r, err)
		}
		o.fail(nil)
		o.reset()
		if r, err := c.Test(t.Context(), EnvChannel); !r.OK || err != nil {
			t.Errorf("got %+v, %v", r, err)
		}
		synctest.Wait()
		if got := len(o.all()); got != 2 {
			t.Errorf("%d messages, want the test and what waited", got)
		}
	})
}

func TestAReceiverThatAsksToWait(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(func(send.Target, send.Message) error { return &send.Error{RetryAfter: 20 * time.Minute} })
		refuse(c, 1)
		pass(time.Second)
		o.fail(nil)
		pass(19 * time.Minute)
		if got := len(o.all()); got != 1 {
			t.Errorf("%d attempts while it wants none", got)
		}
		pass(2 * time.Minute)
		wantSaid(t, o, "opened key_refused 5", "closed key_refused 5")
	})
}

// TestARejectedMessageHoldsUpNoOther: the receiver does not like one of them.
func TestARejectedMessageHoldsUpNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(func(_ send.Target, m send.Message) error {
			if strings.Contains(m.Title, "sk-te…0003") {
				return &send.Error{Rejected: true}
			}
			return nil
		})
		for i := range 10 {
			refuse(c, i)
		}
		pass(time.Second)
		if got := len(o.said(t)); got != 9 {
			t.Errorf("%d arrived", got)
		}
		if d := c.Deliveries(DeliveryFilter{State: Pending}).Deliveries; len(d) != 1 {
			t.Errorf("got %+v", d)
		}
	})
}

// TestASlowReceiverDelaysNothingElse: it takes a while for each message, and
// the other channel, and the center, do not wait.
func TestASlowReceiverDelaysNothingElse(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		chat(t, c, "slow", send.Webhook)
		o.fail(func(target send.Target, _ send.Message) error {
			if target.URL != testURL {
				time.Sleep(10 * time.Second)
			}
			return nil
		})
		for i := range 50 {
			refuse(c, i)
		}
		pass(time.Second)
		if got := len(o.all()); got != 50 {
			t.Errorf("%d messages to the quick one", got)
		}
		if ch, err := c.Channel("slow"); err != nil || ch.Pending != 50 {
			t.Errorf("got %+v, %v", ch, err)
		}
		pass(500 * time.Second)
		if got := c.Deliveries(DeliveryFilter{Channel: "slow", State: Delivered, Limit: 100}); len(got.Deliveries) != 50 {
			t.Errorf("%d arrived", len(got.Deliveries))
		}
	})
}

// TestChatsGetOneMessageOfMany: a vendor allows so many a minute.
func TestChatsGetOneMessageOfMany(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		chat(t, c, "ops", send.DingTalk)
		s := testSettings()
		s.WebhookURL = ""
		if err := c.SetSettings(s); err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			refuse(c, i)
			pass(100 * time.Millisecond)
		}
		pass(3 * time.Minute)
		sections, most := 0, 0
		all := o.all()
		for i, s := range all {
			sections += len(s.m.Sections)
			within := 0
			for _, other := range all[i:] {
				if other.at.Sub(s.at) < time.Minute {
					within++
				}
			}
			most = max(most, within)
		}
		if sections != 300 {
			t.Errorf("%d alerts in %d messages", sections, len(all))
		}
		if most > perMinute[send.DingTalk] {
			t.Errorf("%d messages within a minute", most)
		}
		var together int
		for _, d := range c.Deliveries(DeliveryFilter{Limit: 300}).Deliveries {
			together = max(together, d.Attempts[0].Together)
		}
		if together != maxTogether {
			t.Errorf("at most %d together", together)
		}
	})
}

func TestFewMessagesAreNotPutTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		chat(t, c, "ops", send.Slack, LoginLockout)
		for i := range togetherFrom - 1 {
			c.Lockout(fmt.Sprint("account", i), intercept(1).ClientIP)
		}
		pass(time.Second)
		n := 0
		for _, s := range o.all() {
			if s.target.Type == send.Slack && len(s.m.Sections) == 1 {
				n++
			}
		}
		if n != togetherFrom-1 {
			t.Errorf("%d messages of one alert", n)
		}
	})
}

// TestTooManyWait: reminders go first, then the oldest.
func TestTooManyWait(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(down)
		for round := range 3 {
			for i := range maxOpen {
				refuse(c, round*maxOpen+i)
			}
			pass(2 * window5)
		}
		ch, err := c.Channel(EnvChannel)
		if err != nil || ch.Pending != maxPending || ch.Dropped != 2*3*maxOpen-maxPending {
			t.Errorf("got %+v, %v", ch, err)
		}
		if d := c.Deliveries(DeliveryFilter{State: Dropped, Limit: 1000}); len(d.Deliveries) == 0 || len(d.Deliveries) > maxFinished {
			t.Errorf("%d dropped ones are kept", len(d.Deliveries))
		}
	})
}

// TestOldRemindersAreDropped: of one alert only the last one waits, and comes
// after what was before it.
func TestOldRemindersAreDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		o.fail(down)
		c.DownstreamHealth(errReceiver)
		pass(5*time.Hour + time.Minute)
		reminders := 0
		for _, d := range c.Deliveries(DeliveryFilter{State: Pending}).Deliveries {
			if d.Event == Reminder {
				reminders++
			}
		}
		if reminders != 1 {
			t.Errorf("%d reminders wait", reminders)
		}
		if ch, _ := c.Channel(EnvChannel); ch.Dropped != 4 {
			t.Errorf("got %+v", ch)
		}
		o.fail(nil)
		pass(maxPause + time.Second)
		wantSaid(t, o, "opened downstream_failing 1", "reminder downstream_failing 1")
	})
}

func TestAChannelThatIsOffKeepsForADay(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		ch := chat(t, c, "ops", send.Webhook, LoginLockout)
		o.fail(down)
		c.Lockout("alice", intercept(1).ClientIP)
		pass(time.Second)
		in := ChannelInput{Type: send.Webhook, Kinds: ch.Kinds}
		if _, err := c.UpdateChannel(t.Context(), "ops", in, ch.Revision); err != nil {
			t.Fatal(err)
		}
		o.fail(nil)
		c.Lockout("bob", intercept(1).ClientIP) // not for a channel that is off
		pass(tryFor - time.Minute)
		if d := c.Deliveries(DeliveryFilter{Channel: "ops"}).Deliveries; len(d) != 1 || d[0].State != Pending {
			t.Errorf("got %+v", d)
		}
		pass(2 * time.Minute)
		if d := c.Deliveries(DeliveryFilter{Channel: "ops"}).Deliveries; len(d) != 1 || d[0].State != Failed {
			t.Errorf("got %+v", d)
		}
	})
}

func TestChannelsHearOfTheirKinds(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		chat(t, c, "keys", send.Webhook, KeyRefused, UnknownKeys)
		chat(t, c, "logins", send.Webhook, LoginLockout)
		refuse(c, 1)
		c.Lockout("alice", intercept(1).ClientIP)
		pass(time.Second)
		got := map[string]int{}
		for _, s := range o.all() {
			got[s.target.URL+" "+string(body(t, s.m).Alert.Kind)]++
		}
		want := map[string]int{
			testURL + " key_refused": 1, testURL + " login_lockout": 1,
			"https://chat.example.com/keys key_refused": 1, "https://chat.example.com/logins login_lockout": 1,
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// TestCloseBreaksOffWhenItMust: an attempt hangs, and is made again later.
func TestCloseBreaksOffWhenItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, o := memory.New(), &outbox{}
		c := open(t, options(documents, o))
		hang := make(chan struct{})
		o.fail(func(send.Target, send.Message) error {
			select {
			case <-hang:
			case <-c.life.Done():
			}
			return nil
		})
		refuse(c, 1)
		pass(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Log(err) // what could not be written with a context that has ended
		}
		close(hang)
		o.fail(nil)
		c = open(t, options(documents, o))
		pass(time.Second)
		wantSaid(t, o, "opened key_refused 5")
		closeCenter(t, c)
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}
