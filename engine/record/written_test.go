package record

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// told gathers what a recorder tells.
type told struct {
	written []Written
	dropped []store.Intercept
}

func (t *told) take() (written []Written) {
	written, t.written = t.written, nil
	return written
}

func newTelling(t *testing.T, w Writer, capacity int) (*Recorder, *told) {
	t.Helper()
	all := new(told)
	r, err := New(Options{
		Writer: w, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Capacity: capacity,
		Written: func(batch []Written) { all.written = append(all.written, batch...) },
		Dropped: func(rec store.Intercept) { all.dropped = append(all.dropped, rec) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, all
}

// TestWrittenTellsWhatIsNew: each refusal is told of once, also where a record
// is written again and where the store fails in between.
func TestWrittenTellsWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sink)
		r, all := newTelling(t, s, 0)
		tick := func() []Written {
			time.Sleep(writeEvery)
			synctest.Wait()
			return all.take()
		}
		r.Add(intercept(1))
		r.Add(intercept(1))
		got := tick()
		if len(got) != 1 || !got[0].New || got[0].Added != 2 || got[0].Intercept.ID != 1 || got[0].Intercept.Count != 2 {
			t.Errorf("at first: got %+v", got)
		}
		if got := tick(); len(got) != 0 {
			t.Errorf("without a refusal: got %+v", got)
		}
		s.refuse(errors.New("medium is broken"))
		r.Add(intercept(1))
		if got := tick(); len(got) != 0 {
			t.Errorf("not written: got %+v", got)
		}
		s.refuse(nil)
		r.Add(intercept(2))
		for _, w := range tick() {
			isNew := w.Intercept.Hash == store.KeyHash{2}
			if w.New != isNew || w.Added != 1 || w.Intercept.ID == 0 {
				t.Errorf("then: got %+v", w)
			}
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseTellsOfTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, all := newTelling(t, new(sink), 0)
		r.Add(intercept(1))
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if len(all.written) != 1 {
			t.Errorf("got %+v", all.written)
		}
	})
}

func TestDroppedTellsWhatHadNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, all := newTelling(t, new(sink), 1)
		r.Add(intercept(1))
		r.Add(intercept(2))
		r.Add(intercept(1))
		if len(all.dropped) != 1 || all.dropped[0].Hash != (store.KeyHash{2}) || r.Dropped() != 1 {
			t.Errorf("got %+v, %d", all.dropped, r.Dropped())
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if len(all.written) != 1 || all.written[0].Added != 2 {
			t.Errorf("written %+v", all.written)
		}
	})
}
