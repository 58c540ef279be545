package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// interceptsAt returns new records of some times.
func interceptsAt(times ...time.Time) (recs []store.Intercept) {
	for i, at := range times {
		r := storetest.Intercept(i)
		r.At, r.Last = at, at
		recs = append(recs, r)
	}
	return recs
}

func months(t *testing.T, s *postgres.Store) (n int) {
	t.Helper()
	const sql = `SELECT count(*) FROM pg_inherits WHERE inhparent = 'sentinel.intercepts'::regclass`
	if err := stalledQuery(t, s, sql, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMonths writes records of several months, also of clocks that are wrong, and
// drops what is old as a whole.
func TestMonths(t *testing.T) {
	s := openEmpty(t)
	march := time.Date(2026, 3, 31, 23, 59, 59, 999e6, time.UTC)
	april := march.Add(time.Millisecond)
	recs := interceptsAt(march, april, time.Unix(0, 0), time.Time{}, april.AddDate(0, 0, 20), march, time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC))
	if err := s.PutIntercepts(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	if n := months(t, s); n != 9 { // March to May, and two for each that is alone
		t.Errorf("%d months", n)
	}
	page := must(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t)
	for i, r := range page.Records {
		if want := recs[len(recs)-1-i]; r.ID != want.ID || !r.At.Equal(want.At) {
			t.Errorf("record %d of %v, want %d of %v", r.ID, r.At, want.ID, want.At)
		}
	}
	if n := must(s.DeleteIntercepts(t.Context(), april.AddDate(0, 0, 1), 100))(t); n != 5 {
		t.Errorf("deleted %d, want those before April and one of it", n)
	}
	if n := months(t, s); n != 4 { // April, May, and those of 2400
		t.Errorf("%d months are left", n)
	}
	if n := must(s.DeleteIntercepts(t.Context(), april.AddDate(0, 2, 0), 0))(t); n != 0 || months(t, s) != 4 {
		t.Errorf("deleted %d of none", n)
	}
	// Of a month that was dropped there may still be news.
	late := append(interceptsAt(march), recs[0])
	if err := s.PutIntercepts(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if page := must(s.ListIntercepts(t.Context(), store.InterceptFilter{}))(t); len(page.Records) != 3 || page.Records[0].ID != late[0].ID {
		t.Errorf("records: %+v", page.Records)
	}
}

// TestMonthDroppedByAnother has a node whose partition another one has dropped.
func TestMonthDroppedByAnother(t *testing.T) {
	s := openEmpty(t)
	other := openUntilEnd(t, postgres.Options{DSN: dsnOf(t, s)})
	at := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for range 3 {
		if err := s.PutIntercepts(t.Context(), interceptsAt(at)); err != nil {
			t.Fatal(err)
		}
		if n := must(other.DeleteIntercepts(t.Context(), at.AddDate(1, 0, 0), 10))(t); n != 1 {
			t.Errorf("deleted %d", n)
		}
	}
}

// TestMonthsAmongWriters makes, drops, writes and reads months at once, on several
// nodes: nothing locks out another for good, and nothing fails.
func TestMonthsAmongWriters(t *testing.T) {
	first := openEmpty(t)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 12 {
		if err := first.PutIntercepts(t.Context(), interceptsAt(start.AddDate(-1, i, 0))); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for node := range 3 {
		s := first
		if node > 0 {
			s = openUntilEnd(t, postgres.Options{DSN: dsnOf(t, first)})
		}
		for writer := range 3 {
			wg.Go(func() {
				for i := range 12 {
					recs := interceptsAt(start.AddDate(0, i, writer), start.AddDate(0, i+1, 0))
					if err := s.PutIntercepts(context.Background(), recs); err != nil {
						t.Errorf("put: %v", err)
					}
					if _, err := s.ListIntercepts(context.Background(), store.InterceptFilter{}); err != nil {
						t.Errorf("list: %v", err)
					}
				}
			})
		}
		wg.Go(func() {
			for i := range 12 {
				if _, err := s.DeleteIntercepts(context.Background(), start.AddDate(-1, i+1, 0), 1_000); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if page := must(first.ListIntercepts(t.Context(), store.InterceptFilter{Time: store.TimeRange{Before: start}}))(t); len(page.Records) != 0 {
		t.Errorf("%d old records are left", len(page.Records))
	}
}

// TestDeliveredTwice has the index that delivery from an outbox will need.
func TestDeliveredTwice(t *testing.T) {
	s := openEmpty(t)
	if err := s.PutIntercepts(t.Context(), interceptsAt(time.Unix(0, 0), time.Unix(1, 0), time.Unix(2, 0))); err != nil {
		t.Fatal(err)
	}
	for id, wantErr := range []bool{false, true} {
		_, err := exec(t, s, fmt.Sprintf(`UPDATE sentinel.intercepts SET node = 'a', sequence = 7 WHERE id = %d`, id+1))
		if (err != nil) != wantErr {
			t.Errorf("record %d: %v", id+1, err)
		}
	}
}
