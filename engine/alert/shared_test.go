package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// cluster is a store and a mailbox that several nodes share, one of which leads.
type cluster struct {
	store.Documents
	mu      sync.Mutex
	last    uint64
	letters []store.Letter
	leader  string
	away    error // of the mailbox
	counts  map[string]uint64
}

func newCluster() *cluster {
	return &cluster{Documents: memory.New(), counts: map[string]uint64{}}
}

func (c *cluster) Post(_ context.Context, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	if c.away == nil {
		c.letters = append(c.letters, store.Letter{ID: c.last, Body: body})
	}
	return c.away
}

func (c *cluster) Letters(_ context.Context, limit int) ([]store.Letter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.letters[:min(limit, len(c.letters))]), c.away
}

func (c *cluster) RemoveLetters(_ context.Context, ids []uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.letters = slices.DeleteFunc(c.letters, func(l store.Letter) bool { return slices.Contains(ids, l.ID) })
	return c.away
}

func (c *cluster) setAway(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = err
}

// Add is part of Counts.
func (c *cluster) Add(_ context.Context, _ time.Duration, add map[string]uint64) (map[string]uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	totals := map[string]uint64{}
	for name, n := range add {
		c.counts[name] += n
		totals[name] = c.counts[name]
	}
	return totals, nil
}

// leadership is that of one node of a cluster.
type leadership struct {
	cluster *cluster
	node    string
}

func (l leadership) IsLeader(context.Context) bool {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	return l.cluster.leader == l.node
}

func (l leadership) Lead(ctx context.Context, do func(ctx context.Context)) { do(ctx) }

// member is a node of a cluster.
type member struct {
	*Shared
	cluster *cluster
	out     *outbox
	node    string
	deposed context.CancelFunc
	leading sync.WaitGroup
}

func (c *cluster) join(t *testing.T, node string, counts Counts) *member {
	t.Helper()
	o := &outbox{}
	opts := options(c, o)
	opts.Node, opts.Logger = node, slog.New(slog.DiscardHandler)
	s, err := NewShared(t.Context(), SharedOptions{
		Options: opts, Leadership: leadership{c, node}, Mailbox: c, Counts: counts,
		CatchUp: func(context.Context) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return &member{Shared: s, cluster: c, out: o, node: node}
}

// lead makes a node the leader. It does not depose the one before, which may be frozen.
func (m *member) lead() {
	m.cluster.mu.Lock()
	m.cluster.leader = m.node
	m.cluster.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	m.deposed = cancel
	m.leading.Go(func() { m.Lead(ctx) })
	synctest.Wait()
}

// depose has a node learn that it is the leader no more.
func (m *member) depose() {
	if m.deposed != nil {
		m.deposed()
		m.leading.Wait()
	}
}

func (m *member) end(t *testing.T) {
	t.Helper()
	m.depose()
	if err := m.Close(context.Background()); err != nil {
		t.Errorf("close %s: %v", m.node, err)
	}
}

// inCluster runs a test with two nodes, of which the first one leads.
func inCluster(t *testing.T, counted bool, test func(t *testing.T, c *cluster, a, b *member)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		var counts Counts
		if counted {
			counts = c
		}
		a, b := c.join(t, "a", counts), c.join(t, "b", counts)
		a.lead()
		test(t, c, a, b)
		a.end(t)
		b.end(t)
	})
}

// TestThresholdOfAllNodes: three refusals here and two there are five, and one message.
func TestThresholdOfAllNodes(t *testing.T) {
	for _, counted := range []bool{false, true} {
		t.Run(fmt.Sprint("counted ", counted), func(t *testing.T) {
			inCluster(t, counted, func(t *testing.T, _ *cluster, a, b *member) {
				a.Intercept(intercept(1), 3)
				pass(5 * time.Second)
				b.Intercept(intercept(1), 1)
				pass(5 * time.Second)
				wantSaid(t, a.out)
				b.Intercept(intercept(1), 1)
				pass(5 * time.Second)
				wantSaid(t, a.out, "opened key_refused 5")
				wantSaid(t, b.out)
				b.Intercept(intercept(1), 7)
				pass(5 * time.Second)
				for _, m := range []*member{a, b} {
					page := m.List(Filter{})
					if page.Total != 1 || page.Alerts[0].Node != "b" || m.Stats().Open != 1 || m.OpenByKind()[KeyRefused] != 1 {
						t.Errorf("%s shows %+v, %+v", m.node, page, m.Stats())
					}
				}
				if got, _ := a.Get(a.List(Filter{}).Alerts[0].ID); got.Count != 12 {
					t.Errorf("counted %d, want 12", got.Count)
				}
				pass(window5)
				wantSaid(t, a.out, "opened key_refused 5", "closed key_refused 12")
				wantSaid(t, b.out)
			})
		})
	}
}

// TestNextLeaderGoesOn: the one before is gone without a word.
func TestNextLeaderGoesOn(t *testing.T) {
	inCluster(t, true, func(t *testing.T, _ *cluster, a, b *member) {
		a.out.fail(func(send.Target, send.Message) error { return errReceiver })
		refuse(a.own, 1) // which is nobody else's matter
		a.Intercept(intercept(2), 5)
		a.Intercept(intercept(3), 4)
		pass(10 * time.Second)
		wantSaid(t, a.out)
		b.lead()
		a.depose()
		pass(time.Minute)
		wantSaid(t, b.out, "opened key_refused 5")
		b.Intercept(intercept(3), 1) // the fifth one: Counts know of the four
		pass(time.Minute)
		wantSaid(t, b.out, "opened key_refused 5", "opened key_refused 5")
		if page := b.List(Filter{State: Open}); page.Total != 2 {
			t.Errorf("open are %+v", page)
		}
	})
}

// TestFrozenLeaderSendsNothing: it was the leader, does not know that it is not, and what
// happens makes it write and send.
func TestFrozenLeaderSendsNothing(t *testing.T) {
	inCluster(t, false, func(t *testing.T, _ *cluster, a, b *member) {
		a.Intercept(intercept(1), 5)
		pass(5 * time.Second)
		b.lead() // a goes on in the belief that it leads
		a.Intercept(intercept(2), 5)
		pass(5 * time.Second)
		pass(window5)
		wantSaid(t, a.out, "opened key_refused 5")
		wantSaid(t, b.out, "closed key_refused 5")
		list, err := b.opts.Documents.ListDocuments(t.Context(), AlertKind)
		if err != nil || len(list) != 1 {
			t.Errorf("%d alerts are written, %v", len(list), err)
		}
	})
}

// TestOtherNodeAsksTheLeader: what people do on a node that is not the leader.
func TestOtherNodeAsksTheLeader(t *testing.T) {
	inCluster(t, false, func(t *testing.T, c *cluster, a, b *member) {
		ctx := t.Context()
		chat(t, a.leader(), "team", send.Slack)
		if _, err := b.CreateChannel(ctx, "mine", ChannelInput{Type: send.Webhook, Enabled: true, URL: ptr("https://b.example.com/x")}); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		if got := len(a.Channels()); got != 3 {
			t.Errorf("the leader has %d channels", got)
		}
		a.out.fail(func(send.Target, send.Message) error { return &send.Error{Rejected: true} })
		b.Intercept(intercept(1), 5)
		pass(5 * time.Second)
		id := b.List(Filter{}).Alerts[0].ID
		if acked, err := b.Acknowledge(ctx, id, "alice"); err != nil || acked.AcknowledgedBy != "alice" {
			t.Fatalf("acknowledge: %+v, %v", acked, err)
		}
		pass(5 * time.Second)
		for _, m := range []*member{a, b} {
			if got, err := m.Get(id); err != nil || got.AcknowledgedBy != "alice" {
				t.Errorf("%s shows %+v, %v", m.node, got, err)
			}
		}
		a.out.fail(nil)
		for _, d := range b.Deliveries(DeliveryFilter{AlertID: id}).Deliveries {
			if _, err := b.Retry(ctx, d.ID); err != nil {
				t.Fatal(err)
			}
		}
		pass(5 * time.Second)
		for _, d := range b.Deliveries(DeliveryFilter{AlertID: id}).Deliveries {
			if _, err := b.Retry(ctx, d.ID); d.State != Delivered || !errors.Is(err, ErrDone) {
				t.Errorf("delivery %s: %s, %v", d.ID, d.State, err)
			}
		}
		for _, err := range []error{second(b.Acknowledge(ctx, "none", "x")), second(b.Retry(ctx, "none")), second(b.Get("none"))} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("what is not there: %v", err)
			}
		}
		c.setAway(store.ErrUnavailable)
		b.Intercept(intercept(2), 5)
		if _, err := b.Acknowledge(ctx, id, "bob"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("acknowledge without an authority: %v", err)
		}
		c.setAway(nil)
	})
}

func second[T any](_ T, err error) error { return err }

// TestNobodyLeads: the authority is away. Each node tells of that by itself, and of the
// rest after a while.
func TestNobodyLeads(t *testing.T) {
	inCluster(t, false, func(t *testing.T, c *cluster, a, b *member) {
		c.setAway(store.ErrUnavailable)
		c.mu.Lock()
		c.leader = ""
		c.mu.Unlock()
		a.depose()
		b.StoreHealth(store.ErrUnavailable)
		b.Intercept(intercept(1), 5)
		pass(30 * time.Second)
		wantSaid(t, b.out, "opened store_failing 1")
		pass(time.Minute)
		wantSaid(t, b.out, "opened store_failing 1", "opened key_refused 5")
		wantSaid(t, a.out)
		page := b.List(Filter{Limit: 1})
		next := b.List(Filter{Limit: 1, Cursor: page.Next})
		if page.Total != 2 || len(next.Alerts) != 1 || next.Alerts[0].ID == page.Alerts[0].ID || next.Next != "" {
			t.Errorf("pages %+v, %+v", page, next)
		}
		c.setAway(nil)
		b.lead()
		b.StoreHealth(nil)
		b.Intercept(intercept(2), 5)
		pass(10 * time.Second)
		wantSaid(t, b.out, "opened store_failing 1", "opened key_refused 5", "opened key_refused 5")
	})
}

// TestDownstreamOfOneNode: the downstream fails for one node and not for the other.
func TestDownstreamOfOneNode(t *testing.T) {
	inCluster(t, false, func(t *testing.T, _ *cluster, a, b *member) {
		b.DownstreamHealth(errReceiver) // and no request after it
		for range 60 {
			a.DownstreamHealth(nil)
			pass(5 * time.Second)
		}
		if said := a.out.said(t); len(said) != 1 {
			t.Errorf("said %v", said)
		}
		b.DownstreamHealth(nil)
		pass(window5 + time.Minute)
		if said := a.out.said(t); len(said) != 2 {
			t.Errorf("said %v", said)
		}
	})
}

// TestAFloodBeforeTheLeader: more than a node keeps is counted, and nothing blocks.
func TestAFloodBeforeTheLeader(t *testing.T) {
	inCluster(t, false, func(t *testing.T, _ *cluster, a, b *member) {
		for i := range maxGathered + 10 {
			b.Intercept(intercept(i), 1)
		}
		pass(10 * time.Second)
		if got := b.Stats().Inputs; got != 10 {
			t.Errorf("%d dropped, want 10", got)
		}
		if got := a.Stats().CountedNow; got != maxGathered {
			t.Errorf("the leader counts %d", got)
		}
	})
}
