package alert

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

func TestARestartRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, o := memory.New(), &outbox{}
		c := open(t, options(documents, o))
		refuse(c, 1)
		c.Lockout("alice", netip.MustParseAddr("203.0.113.9"))
		pass(time.Minute)
		id := c.List(Filter{Kind: KeyRefused}).Alerts[0].ID
		closeCenter(t, c)
		wantSaid(t, o, "opened key_refused 5", "opened login_lockout 1")

		pass(time.Hour) // nobody watches: that is no quiet window
		c = open(t, options(documents, o))
		pass(window5 - time.Minute)
		refuse(c, 1) // the same alert
		pass(2 * time.Second)
		if list := c.List(Filter{State: Open}); list.Total != 2 {
			t.Errorf("open after the restart: %+v", list)
		}
		closeCenter(t, c)
		c = open(t, options(documents, o))
		pass(3 * window5)
		closeCenter(t, c)
		c = open(t, options(documents, o))
		pass(window5)
		if a, err := c.Get(id); err != nil || a.State != Closed || a.Count != 10 {
			t.Errorf("got %+v, %v", a, err)
		}
		closeCenter(t, c)
		got := o.said(t)
		slices.Sort(got)
		// A restart after an hour reminds at once of what goes on.
		want := []string{"closed key_refused 10", "closed login_lockout 1", "opened key_refused 5", "opened login_lockout 1", "reminder key_refused 10"}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// journal keeps every change of documents, so that the store can be made as it
// was after each of them, as a kill -9 would have left it.
type journal struct {
	store.Documents
	mu      sync.Mutex
	changes []store.Document // without a body: deleted
}

func (j *journal) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	stored, err := j.Documents.PutDocument(ctx, d)
	if err == nil {
		j.changes = append(j.changes, stored)
	}
	return stored, err
}

func (j *journal) DeleteDocument(ctx context.Context, kind, id string, revision uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.Documents.DeleteDocument(ctx, kind, id, revision)
	if err == nil {
		j.changes = append(j.changes, store.Document{Kind: kind, ID: id})
	}
	return err
}

// after returns a store as it was after n changes.
func (j *journal) after(t *testing.T, n int) store.Documents {
	t.Helper()
	documents := memory.New()
	for _, d := range j.changes[:n] {
		there, err := documents.Document(t.Context(), d.Kind, d.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		if d.Body == nil {
			err = documents.DeleteDocument(t.Context(), d.Kind, d.ID, there.Revision)
		} else {
			d.Revision = there.Revision
			_, err = documents.PutDocument(t.Context(), d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return documents
}

// TestAKillAtAnyMomentRepeatsNoTransition kills a center after each of its
// writes, and lets another one go on: in the end there is exactly one delivery
// of each transition for each channel, and each has arrived.
func TestAKillAtAnyMomentRepeatsNoTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{Documents: memory.New()}
		first := &outbox{}
		c := open(t, options(j, first))
		chat(t, c, "ops", send.DingTalk)
		first.fail(func(send.Target, send.Message) error { return errReceiver })
		refuse(c, 1)
		refuse(c, 2)
		pass(20 * time.Second)
		first.fail(nil)
		pass(2 * window5)
		closeCenter(t, c)
		if n := len(j.changes); n < 20 {
			t.Fatalf("%d writes", n)
		}
		for n := range len(j.changes) + 1 {
			documents, o := j.after(t, n), &outbox{}
			arrived := deliveredIn(t, documents)
			c := open(t, options(documents, o))
			pass(3 * window5)
			checkDeliveries(t, n, c)
			closeCenter(t, c)
			for _, s := range o.all() {
				if arrived[s.m.ID] {
					t.Errorf("killed after write %d: %s came again", n, s.m.ID)
				}
				arrived[s.m.ID] = true
			}
		}
	})
}

// deliveredIn returns the IDs of the deliveries that have arrived.
func deliveredIn(t *testing.T, documents store.Documents) map[string]bool {
	t.Helper()
	list, err := documents.ListDocuments(t.Context(), "delivery")
	if err != nil {
		t.Fatal(err)
	}
	arrived := map[string]bool{}
	for _, d := range list {
		var r deliveryRecord
		if err := json.Unmarshal(d.Body, &r); err != nil {
			t.Fatal(err)
		}
		if r.State == Delivered {
			arrived[r.ID] = true
		}
	}
	return arrived
}

// hooked calls after once, when the first alert has been written.
type hooked struct {
	*journal
	once  sync.Once
	after func()
}

func (h *hooked) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	stored, err := h.journal.PutDocument(ctx, d)
	if d.Kind == "alert" {
		h.once.Do(h.after)
	}
	return stored, err
}

// TestATransitionIsWrittenBeforeItsDeliveries, even if it happens while an
// earlier one of the same alert is being written.
func TestATransitionIsWrittenBeforeItsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, o := &hooked{journal: &journal{Documents: memory.New()}}, &outbox{}
		c := open(t, options(h, o))
		h.after = func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, r := range c.alerts.rows {
				c.tellLocked(r, Reminder, c.stamp())
			}
		}
		refuse(c, 1)
		pass(time.Second)
		closeCenter(t, c)
		written := map[string]int{} // transitions of alerts
		deliveries := map[string]bool{}
		for _, d := range h.changes {
			if d.Kind == "alert" {
				var r alertRecord
				if err := json.Unmarshal(d.Body, &r); err != nil {
					t.Fatal(err)
				}
				written[r.ID] = r.Transitions
				continue
			}
			parts := strings.Split(d.ID, ".")
			if n, err := strconv.Atoi(parts[1]); err != nil || n >= written[parts[0]] {
				t.Errorf("delivery %s is written when its alert has %d transitions", d.ID, written[parts[0]])
			}
			deliveries[d.ID] = true
		}
		if len(deliveries) != 2 {
			t.Errorf("deliveries %v", deliveries)
		}
	})
}

// checkDeliveries checks that there is one delivery of each transition of each
// alert for each channel, and that it has arrived.
func checkDeliveries(t *testing.T, n int, c *Center) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	count := map[string]int{}
	for id, d := range c.deliveries.rows {
		if d.value.State != Delivered {
			t.Errorf("killed after write %d: %s is %s", n, id, d.value.State)
		}
		count[d.value.AlertID]++
	}
	for id, a := range c.alerts.rows {
		if a.value.State != Closed || a.value.Transitions != 2 || len(a.value.Waiting) != 0 || count[id] != 4 {
			t.Errorf("killed after write %d: %s is %s after %d transitions with %d deliveries", n, id, a.value.State, a.value.Transitions, count[id])
		}
	}
	if len(c.alerts.rows)*4 != len(c.deliveries.rows) {
		t.Errorf("killed after write %d: %d deliveries of %d alerts", n, len(c.deliveries.rows), len(c.alerts.rows))
	}
}

func TestDocumentsOfAScopeAreItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, one, two := memory.New(), &outbox{}, &outbox{}
		opts := options(documents, one)
		opts.Scope = "one"
		a := open(t, opts)
		opts.Scope, opts.sender = "two", two
		b := open(t, opts)
		chat(t, a, "ops", send.Slack)
		refuse(a, 1)
		pass(time.Minute) // channels are shared, and read again by then
		refuse(b, 1)
		pass(time.Minute)
		if len(one.all()) != 2 || len(two.all()) != 2 {
			t.Errorf("%d and %d messages, want 2 each", len(one.all()), len(two.all()))
		}
		closeCenter(t, a)
		closeCenter(t, b)
	})
}
