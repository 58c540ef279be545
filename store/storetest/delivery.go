package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// DeliveryStore is an authority that takes what nodes have gathered.
type DeliveryStore interface {
	store.Store
	store.Delivery
}

// OutboxStore is a store that keeps what its node has gathered.
type OutboxStore interface {
	store.Store
	store.Outbox
}

// RunDelivery tests the contract of store.Delivery. Each call of open returns an empty
// store, which RunDelivery closes.
func RunDelivery(t *testing.T, open func(testing.TB) DeliveryStore) {
	runOn(t, open, map[string]func(t *testing.T, s DeliveryStore){
		"EverythingArrivesOnce": testDeliverOnce,
		"GrownIntercepts":       testDeliverGrown,
		"NodesAreApart":         testDeliverNodes,
		"Races":                 testDeliverRace,
		"InvalidChangesNothing": testDeliverInvalid,
	})
}

// RunOutbox tests the contract of store.Outbox. Each call of open returns an empty
// store, which RunOutbox closes.
func RunOutbox(t *testing.T, open func(testing.TB) OutboxStore) {
	runOn(t, open, map[string]func(t *testing.T, s OutboxStore){
		"EverythingComesBack": testGatherAll,
		"OldestFirst":         testGatherOrder,
		"Limits":              testGatherLimits,
		"Invalid":             testGatherInvalid,
	})
}

// runOn runs tests on a store each.
func runOn[S store.Store](t *testing.T, open func(testing.TB) S, tests map[string]func(t *testing.T, s S)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { wantErr(t, "close", s.Close(), nil) })
			test(t, s)
		})
	}
}

// gathered is a batch with everything in it, as an outbox returns it.
func gathered(n int) store.Batch {
	i := Intercept(n)
	i.ID = uint64(100 + n) // #nosec G115 -- small
	i.Path, i.UserAgent = "/v1/\xff\x00", "not UTF-8: \xc3\x28"
	use := touch(n, n, 3, "10.0.0.1")
	use.Refused, use.Addresses = 2, []store.AddressHits{{IP: i.ClientIP, Hits: 1}}
	return store.Batch{
		Intercepts: []store.Intercept{i},
		Usage: store.UsageBatch{
			Touches:  []store.Touch{use, touch(n+1000, n, 1, "10.0.0.2")}, // of which only one may be bound
			Counters: []store.Counter{{Hour: hour, Name: "requests", N: 5}},
		},
		Audit: []store.AuditEntry{AuditEntry(n)},
	}
}

func testDeliverOnce(t *testing.T, s DeliveryStore) {
	bound(t, s, Binding(1))
	for range 3 {
		wantErr(t, "deliver", s.Deliver(t.Context(), "a", 7, gathered(1)), nil)
	}
	wantErr(t, "deliver an older one", s.Deliver(t.Context(), "a", 6, gathered(1)), nil)
	batch := gathered(1)
	want(t, "usage", sameUsage(ok(s.Usage(t.Context(), Hash(1)))(t), usageOf(batch.Usage.Touches[0])), true)
	want(t, "usage of a key that is not bound", ok(s.Usage(t.Context(), Hash(1001)))(t), store.Usage{})
	want(t, "counters", ok(s.Counters(t.Context(), hour, hour.Add(time.Hour)))(t), batch.Usage.Counters)
	page := ok(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t)
	want(t, "intercepts", len(page.Records), 1)
	got := page.Records[0]
	batch.Intercepts[0].ID, batch.Intercepts[0].At, batch.Intercepts[0].Last = got.ID, got.At, got.Last
	want(t, "intercept", got, batch.Intercepts[0])
	want(t, "audit entries", len(ok(s.ListAudit(t.Context(), store.AuditFilter{}))(t).Entries), 1)
	next := gathered(1)
	next.Intercepts = nil
	wantErr(t, "deliver the next one", s.Deliver(t.Context(), "a", 9, next), nil)
	want(t, "hits", ok(s.Usage(t.Context(), Hash(1)))(t).Hits, 6)
	wantErr(t, "deliver nothing", s.Deliver(t.Context(), "a", 10, store.Batch{}), nil)
}

func testDeliverGrown(t *testing.T, s DeliveryStore) {
	first, other := gathered(1), gathered(2)
	first.Intercepts = append(first.Intercepts, other.Intercepts...)
	wantErr(t, "deliver", s.Deliver(t.Context(), "a", 1, first), nil)
	grown := store.Batch{Intercepts: slices.Clone(first.Intercepts[:1]), Grown: []int{0}}
	grown.Intercepts[0].Count = 99
	never := Intercept(5)
	never.ID = 5
	grown.Intercepts, grown.Grown = append(grown.Intercepts, never), append(grown.Grown, 1)
	wantErr(t, "deliver what has grown", s.Deliver(t.Context(), "a", 2, grown), nil)
	records := ok(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t).Records
	want(t, "intercepts", len(records), 2)
	want(t, "count of the one that has grown", records[1].Count, 99)
	want(t, "count of the other one", records[0].Count, other.Intercepts[0].Count)
}

func testDeliverNodes(t *testing.T, s DeliveryStore) {
	bound(t, s, Binding(1))
	for _, node := range []string{"a", "b", "c"} {
		wantErr(t, "deliver", s.Deliver(t.Context(), node, 1, gathered(1)), nil)
	}
	want(t, "hits", ok(s.Usage(t.Context(), Hash(1)))(t).Hits, 9)
	want(t, "intercepts", len(ids(t, s, store.InterceptFilter{})), 3)
}

// testDeliverRace has two deliver the same batches, as a node that was started anew
// while its last delivery was still under way, among other writers.
func testDeliverRace(t *testing.T, s DeliveryStore) {
	const batches = 20
	bound(t, s, Binding(1))
	together(4, func(i int) {
		for n := range uint64(batches) {
			var err error
			batch := gathered(1)
			batch.Intercepts[0].ID = n + 1
			switch i {
			case 0, 1:
				err = s.Deliver(t.Context(), "a", n+1, batch)
			case 2:
				err = s.Deliver(t.Context(), "b", n+1, batch)
			default:
				err = s.AddUsage(t.Context(), store.UsageBatch{Touches: []store.Touch{touch(1, 1, 3, "10.0.0.1")}})
			}
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		}
	})
	want(t, "hits", ok(s.Usage(t.Context(), Hash(1)))(t).Hits, 3*3*batches)
	want(t, "intercepts", len(ids(t, s, store.InterceptFilter{Limit: 1_000})), 2*batches)
}

func testDeliverInvalid(t *testing.T, s DeliveryStore) {
	batch := gathered(1)
	batch.Usage.Counters[0].Name = ""
	wantErr(t, "counter without a name", s.Deliver(t.Context(), "a", 1, batch), store.ErrInvalid)
	wantErr(t, "canceled", s.Deliver(canceled(t), "a", 1, gathered(1)), canceled(t).Err())
	want(t, "intercepts", len(ids(t, s, store.InterceptFilter{})), 0)
	wantErr(t, "deliver", s.Deliver(t.Context(), "a", 1, gathered(1)), nil)
	want(t, "intercepts", len(ids(t, s, store.InterceptFilter{})), 1)
}

// roomy is a limit that nothing here reaches.
var roomy = store.OutboxLimit{Batches: 1_000, Bytes: 1 << 20}

// fresh is a batch that has not been gathered yet.
func fresh(n int) store.Batch {
	b := gathered(n)
	b.Intercepts[0].ID = 0
	return b
}

func testGatherAll(t *testing.T, s OutboxStore) {
	bound(t, s, Binding(1))
	batch := fresh(1)
	wantErr(t, "gather", s.Gather(t.Context(), &batch, roomy), nil)
	if batch.Intercepts[0].ID == 0 || batch.Audit[0].ID == 0 || len(batch.Grown) != 0 {
		t.Errorf("IDs %d and %d, grown %v", batch.Intercepts[0].ID, batch.Audit[0].ID, batch.Grown)
	}
	want(t, "hits", ok(s.Usage(t.Context(), Hash(1)))(t).Hits, 3)
	want(t, "intercepts", ids(t, s, store.InterceptFilter{}), []uint64{batch.Intercepts[0].ID})
	sequence, got, err := s.FirstBatch(t.Context())
	wantErr(t, "first batch", err, nil)
	want(t, "sequence", sequence, 1)
	for _, side := range []*store.Batch{&got, &batch} {
		for i := range side.Intercepts {
			r := &side.Intercepts[i]
			r.At, r.Last = store.StoredTime(r.At), store.StoredTime(r.Last)
		}
		for i := range side.Audit {
			side.Audit[i].At = store.StoredTime(side.Audit[i].At)
		}
		slices.SortFunc(side.Usage.Touches, func(a, b store.Touch) int { return compareHashes(a.Hash, b.Hash) })
		for i := range side.Usage.Touches {
			side.Usage.Touches[i].LastUsed = side.Usage.Touches[i].LastUsed.UTC()
		}
		for i := range side.Usage.Counters {
			side.Usage.Counters[i].Hour = side.Usage.Counters[i].Hour.UTC()
		}
	}
	want(t, "batch", got, batch)
	batch.Intercepts[0].Count = 50
	wantErr(t, "gather what has grown", s.Gather(t.Context(), &store.Batch{Intercepts: batch.Intercepts}, roomy), nil)
	wantErr(t, "remove", s.RemoveBatches(t.Context(), 1), nil)
	_, got, err = s.FirstBatch(t.Context())
	wantErr(t, "second batch", err, nil)
	want(t, "grown", got.Grown, []int{0})
}

func testGatherOrder(t *testing.T, s OutboxStore) {
	for n := range 5 {
		batch := fresh(n)
		wantErr(t, "gather", s.Gather(t.Context(), &batch, roomy), nil)
	}
	want(t, "batches", ok(s.OutboxSize(t.Context()))(t).Batches, 5)
	for n := range uint64(5) {
		sequence, batch, err := s.FirstBatch(t.Context())
		wantErr(t, "first", err, nil)
		want(t, "sequence", sequence, n+1)
		want(t, "intercept", batch.Intercepts[0].Hash, Intercept(int(n)).Hash) // #nosec G115 -- small
		wantErr(t, "remove", s.RemoveBatches(t.Context(), sequence), nil)
	}
	_, _, err := s.FirstBatch(t.Context())
	wantErr(t, "no more", err, store.ErrNotFound)
	want(t, "size", ok(s.OutboxSize(t.Context()))(t), store.OutboxSize{})
	batch := fresh(9)
	wantErr(t, "gather", s.Gather(t.Context(), &batch, roomy), nil)
	sequence, _, err := s.FirstBatch(t.Context())
	if err != nil || sequence != 6 {
		t.Errorf("sequence %d after 5 that are gone, %v", sequence, err)
	}
}

func testGatherLimits(t *testing.T, s OutboxStore) {
	for n := range 4 {
		batch := fresh(n)
		wantErr(t, "gather", s.Gather(t.Context(), &batch, store.OutboxLimit{Batches: 2, Bytes: 1 << 20}), nil)
	}
	one := fresh(1)
	size := ok(s.OutboxSize(t.Context()))(t)
	want(t, "batches", size.Batches, 2)
	want(t, "dropped", size.Dropped, uint64(2*one.Len())) // #nosec G115 -- not negative
	want(t, "intercepts in the log", len(ids(t, s, store.InterceptFilter{})), 4)
	wantErr(t, "gather", s.Gather(t.Context(), &one, store.OutboxLimit{Batches: 100, Bytes: size.Bytes}), nil)
	after := ok(s.OutboxSize(t.Context()))(t)
	want(t, "bytes", after.Bytes, size.Bytes)
	want(t, "dropped", after.Dropped, size.Dropped+uint64(one.Len())) // #nosec G115 -- not negative
	wantErr(t, "remove", s.RemoveBatches(t.Context(), 2), nil)
	want(t, "size", ok(s.OutboxSize(t.Context()))(t), store.OutboxSize{Dropped: after.Dropped})
}

func testGatherInvalid(t *testing.T, s OutboxStore) {
	noName := fresh(1)
	noName.Usage.Counters[0].Name = ""
	wantErr(t, "counter without a name", s.Gather(t.Context(), &noName, roomy), store.ErrInvalid)
	many := store.Batch{Usage: store.UsageBatch{Touches: make([]store.Touch, store.UsageChunk+1)}}
	wantErr(t, "too many touches", s.Gather(t.Context(), &many, roomy), store.ErrInvalid)
	batch := fresh(1)
	wantErr(t, "canceled", s.Gather(canceled(t), &batch, roomy), canceled(t).Err())
	if _, _, err := s.FirstBatch(t.Context()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("first batch: %v", err)
	}
	want(t, "intercepts", len(ids(t, s, store.InterceptFilter{})), 0)
	wantErr(t, "remove nothing", s.RemoveBatches(t.Context(), 9), nil)
}
