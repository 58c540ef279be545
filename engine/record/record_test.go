package record

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// sink takes records as a store does, and can be made to refuse.
type sink struct {
	mu     sync.Mutex
	nextID uint64
	rows   map[uint64]store.Intercept
	writes int
	err    error
}

func (s *sink) PutIntercepts(_ context.Context, recs []store.Intercept) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.writes++
	if s.rows == nil {
		s.rows = make(map[uint64]store.Intercept)
	}
	for i := range recs {
		if recs[i].ID == 0 {
			s.nextID++
			recs[i].ID = s.nextID
		}
		s.rows[recs[i].ID] = recs[i]
	}
	return nil
}

func (s *sink) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// counts returns the counts of the records, in the order of their IDs.
func (s *sink) counts() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var counts []uint64
	for id := range s.nextID {
		counts = append(counts, s.rows[id+1].Count)
	}
	return counts
}

func newRecorder(t *testing.T, w Writer, capacity int) *Recorder {
	t.Helper()
	r, err := New(Options{Writer: w, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func intercept(key byte) store.Intercept {
	return store.Intercept{
		At: time.Now(), Hash: store.KeyHash{key}, ClientIP: netip.MustParseAddr("192.0.2.1"), Reason: store.ReasonIPNotAllowed,
	}
}

func TestARecordIsWrittenWithinAQuarterOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sink)
		r := newRecorder(t, s, 0)
		r.Add(intercept(1))
		time.Sleep(writeEvery)
		synctest.Wait()
		if got, want := s.counts(), []uint64{1}; !slices.Equal(got, want) {
			t.Errorf("got counts %v, want %v", got, want)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRepeatsWithinASecondAreOneRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sink)
		r := newRecorder(t, s, 0)
		for range 9 { // 0 to 800 ms: across three writes
			r.Add(intercept(1))
			time.Sleep(100 * time.Millisecond)
		}
		r.Add(intercept(2))
		time.Sleep(200 * time.Millisecond)
		r.Add(intercept(1)) // 1,100 ms after the first
		time.Sleep(writeEvery)
		synctest.Wait()
		if got, want := s.counts(), []uint64{9, 1, 1}; !slices.Equal(got, want) {
			t.Errorf("got counts %v, want %v", got, want)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatTheStoreRefusesIsKeptThenCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{err: store.ErrUnavailable}
		r := newRecorder(t, s, 2)
		for key := range byte(5) {
			r.Add(intercept(key))
		}
		time.Sleep(4 * writeEvery)
		if got := r.Dropped(); got != 3 {
			t.Errorf("got %d dropped with room for 2 of 5, want 3", got)
		}
		s.refuse(nil)
		time.Sleep(writeEvery)
		synctest.Wait()
		if got, want := s.counts(), []uint64{1, 1}; !slices.Equal(got, want) {
			t.Errorf("got counts %v after the store came back, want %v", got, want)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWritesTheRestAndCountsWhatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sink)
		r := newRecorder(t, s, 0)
		r.Add(intercept(1))
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := s.counts(), []uint64{1}; !slices.Equal(got, want) {
			t.Errorf("got counts %v, want %v", got, want)
		}
		r.Add(intercept(2))
		if got := r.Dropped(); got != 1 {
			t.Errorf("got %d dropped after Close, want 1", got)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestCloseCountsWhatTheStoreDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{err: store.ErrUnavailable}
		r := newRecorder(t, s, 0)
		r.Add(intercept(1))
		r.Add(intercept(1))
		if err := r.Close(t.Context()); err == nil {
			t.Error("Close reports no error although nothing was written")
		}
		if got := r.Dropped(); got != 2 {
			t.Errorf("got %d dropped, want 2", got)
		}
	})
}

// TestManyAreWrittenSooner: a flood is written in small batches, but not in more than
// twenty a second.
func TestManyAreWrittenSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sink)
		r := newRecorder(t, s, 0)
		flood := func(n int, from byte) {
			for i := range n {
				rec := intercept(from)
				rec.Hash[1], rec.Hash[2] = byte(i>>8), byte(i)
				r.Add(rec)
			}
			synctest.Wait()
		}
		want := func(when string, writes, rows int) {
			t.Helper()
			if s.mu.Lock(); s.writes != writes || len(s.rows) != rows {
				t.Errorf("%s: %d writes of %d records, want %d of %d", when, s.writes, len(s.rows), writes, rows)
			}
			s.mu.Unlock()
		}
		flood(writeMany-1, 1)
		want("few", 0, 0)
		flood(1, 2)
		want("many", 1, writeMany)
		flood(3*writeMany, 3)
		want("many right after those before", 1, writeMany)
		time.Sleep(manyApart)
		synctest.Wait()
		want("a twentieth of a second later", 2, 4*writeMany)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatIsStoredIsForgotten: what takes in no more refusals takes no memory.
func TestWhatIsStoredIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sink)
		r := newRecorder(t, s, 4)
		for range 3 { // each time, it has room for as many as before
			for key := range byte(3) {
				r.Add(intercept(key))
			}
			time.Sleep(mergeWithin)
			r.Add(intercept(1)) // in the place of one that is still known
			time.Sleep(2 * mergeWithin)
			synctest.Wait()
		}
		if dropped := r.Dropped(); dropped != 0 {
			t.Errorf("%d dropped", dropped)
		}
		if got := s.counts(); len(got) != 12 {
			t.Errorf("got counts %v, want 12 records", got)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if r.mu.Lock(); len(r.recent) > 0 || len(r.order) > 0 {
			t.Errorf("%d are still known, %d are in order", len(r.recent), len(r.order))
		}
		r.mu.Unlock()
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
