package bolt

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// putMany stores records of many keys, an hour each thousand.
func putMany(t *testing.T, s *Store, n int) []store.Intercept {
	t.Helper()
	recs := make([]store.Intercept, n)
	for i := range recs {
		recs[i] = storetest.Intercept(i)
	}
	if err := s.PutIntercepts(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	return recs
}

// search runs a search, and returns what was found and what it cost.
func search(t *testing.T, s *Store, f store.InterceptFilter) (page store.InterceptPage, cost int) {
	t.Helper()
	own := interceptSearch{filter: f, limit: store.MaxPage, budget: interceptBudget}
	err := s.view(t.Context(), func(tx *bbolt.Tx) (err error) {
		page, err = own.run(t.Context(), tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return page, interceptBudget - own.budget
}

// TestSearchPassesOver looks for few of many records.
func TestSearchPassesOver(t *testing.T) {
	const n = 20_000
	s := openTest(t)
	recs := putMany(t, s, n)
	at := recs[n/2].At
	cases := []struct {
		name   string
		f      store.InterceptFilter
		found  int
		atMost int // blocks that are looked into
	}{
		{"one key", store.InterceptFilter{Hash: recs[5_000].Hash}, 1, 4},
		{"no key", store.InterceptFilter{Hash: storetest.Hash(1 << 30)}, 0, 4},
		{"a minute", store.InterceptFilter{Time: store.TimeRange{Since: at, Before: at.Add(time.Minute)}}, 60, 2},
		{"before all", store.InterceptFilter{Time: store.TimeRange{Before: recs[0].At.Add(-time.Minute)}}, 0, 0},
	}
	for _, c := range cases {
		page, cost := search(t, s, c.f)
		if len(page.Records) != c.found || page.Next != 0 {
			t.Errorf("%s: %d records, next %d, want %d", c.name, len(page.Records), page.Next, c.found)
		}
		if most := c.atMost<<blockBits + n>>blockBits + 10 + costOfDecoding*c.found; cost > most {
			t.Errorf("%s: cost %d, want at most %d", c.name, cost, most)
		}
	}
}

// TestSearchWithoutSummaries looks into records from before there were any, and
// those beside them.
func TestSearchWithoutSummaries(t *testing.T) {
	s := openTest(t)
	recs := putMany(t, s, 5_000)
	for number := range uint64(4) {
		if number == 1 {
			continue
		}
		err := s.write(t.Context(), func(w *writeTx) error { return w.remove(bucketBlocks, interceptKey(number)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{0, 500, 1_500, 2_500, 3_500, 4_500, 4_999} {
		page, _ := search(t, s, store.InterceptFilter{Hash: recs[i].Hash})
		if len(page.Records) != 1 || page.Records[0].ID != recs[i].ID {
			t.Errorf("record %d: found %d", i, len(page.Records))
		}
	}
	grown := []store.Intercept{recs[100]} // brings the summary of a block that had none
	if err := s.PutIntercepts(t.Context(), grown); err != nil {
		t.Fatal(err)
	}
	if page, _ := search(t, s, store.InterceptFilter{Hash: recs[500].Hash}); len(page.Records) != 1 {
		t.Error("the new summary lacks what was there before")
	}
}

// TestSummariesGoWithTheirRecords deletes all of some blocks.
func TestSummariesGoWithTheirRecords(t *testing.T) {
	s := openTest(t)
	recs := putMany(t, s, 5_000)
	if _, err := s.DeleteIntercepts(t.Context(), recs[3_000].At, 1_000_000); err != nil {
		t.Fatal(err)
	}
	var numbers []uint64
	err := s.view(t.Context(), func(tx *bbolt.Tx) error {
		return mustBucket(tx, bucketBlocks).ForEach(func(k, _ []byte) error {
			numbers = append(numbers, be.Uint64(k))
			return nil
		})
	})
	if err != nil || !slices.Equal(numbers, []uint64{2, 3, 4}) {
		t.Errorf("summaries of %d, %v", numbers, err)
	}
}

// TestBudgetEndsASearch asks for what cannot be passed over, page by page.
func TestBudgetEndsASearch(t *testing.T) {
	s := openTest(t)
	putMany(t, s, 5_000)
	f := store.InterceptFilter{Reason: store.ReasonCut}
	pages := 0
	for more := true; more; pages++ {
		own := interceptSearch{filter: f, limit: 10, budget: 1_000}
		err := s.view(t.Context(), func(tx *bbolt.Tx) error {
			page, err := own.run(t.Context(), tx)
			if len(page.Records) > 0 || page.Next != 0 && f.Before != 0 && page.Next >= f.Before {
				t.Fatalf("%d records, next %d after %d", len(page.Records), page.Next, f.Before)
			}
			f.Before, more = page.Next, page.Next != 0
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if pages < 5 || pages > 7 {
		t.Errorf("%d pages", pages)
	}
}

func TestBlockNeverTellsLess(t *testing.T) {
	b := newBlock()
	for n := range 1 << blockBits {
		b.add(storetest.Hash(n), int64(n))
	}
	b = parseBlock(b.encode())
	for n := range 1 << blockBits {
		if !b.mayHave(storetest.Hash(n)) {
			t.Fatalf("key %d is not in the filter", n)
		}
	}
	wrong := 0
	for n := range 10_000 {
		if b.mayHave(storetest.Hash(1_000_000 + n)) {
			wrong++
		}
	}
	if wrong > 500 {
		t.Errorf("%d of 10000 keys are taken for others", wrong)
	}
	if b.min != 0 || b.max != 1<<blockBits-1 || parseBlock(bytes.Repeat([]byte{1}, 10)) != nil {
		t.Errorf("from %d to %d", b.min, b.max)
	}
}
