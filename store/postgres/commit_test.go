package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// TestPoisonedRow has one binding among many of a transaction that the server
// refuses: it alone fails.
func TestPoisonedRow(t *testing.T) {
	s := openEmpty(t)
	if _, err := exec(t, s, `ALTER TABLE sentinel.bindings ADD CHECK (label <> 'poison')`); err != nil {
		t.Fatal(err)
	}
	// The committer waits for this lock while calls queue up behind it.
	blocker, err := pgx.Connect(t.Context(), dsnOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blocker.Close(context.Background()) }() // it has served
	for _, sql := range []string{`begin`, `SELECT FROM sentinel.head FOR UPDATE`} {
		if _, err := blocker.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.PutSetting(context.Background(), "first", nil); err != nil {
			t.Errorf("the one that waits: %v", err)
		}
	})
	eventually(t, "the committer waits for the lock", waitsForLock(t, s, true))
	const keys = 50
	errs := make([]error, keys)
	for n := range keys {
		wg.Go(func() {
			b := storetest.Binding(n)
			if n == 7 {
				b.Label = "poison"
			}
			if n%5 == 4 {
				errs[n] = s.PutSetting(context.Background(), "mode", nil)
				return
			}
			var created bool
			if _, created, errs[n] = s.Bind(context.Background(), b); errs[n] == nil && !created {
				t.Errorf("key %d was there", n)
			}
		})
	}
	eventually(t, "all but the one that waits are queued", func() bool { return s.Queued() == keys })
	if _, err := blocker.Exec(t.Context(), `commit`); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for n, err := range errs {
		if (n == 7) != errors.Is(err, store.ErrUnavailable) || n != 7 && err != nil {
			t.Errorf("key %d: %v", n, err)
		}
	}
	c := taken{records: map[string]store.Change{}}
	c.catchUp(t, s, 1_000) // which fails for a gap
	if n, err := s.CountBindings(t.Context()); n != keys*4/5-1 || err != nil {
		t.Errorf("%d bindings, %v", n, err)
	}
}

// TestOneKeyInOneTransaction has many calls for one key in one transaction.
func TestOneKeyInOneTransaction(t *testing.T) {
	s := openEmpty(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	winners := 0
	for range 100 {
		wg.Go(func() {
			b, created, err := s.Bind(context.Background(), storetest.Binding(1))
			if err != nil || b.Revision != 1 {
				t.Errorf("bind: revision %d, %v", b.Revision, err)
			}
			if created {
				mu.Lock()
				winners++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
	if n := must(s.Position(t.Context()))(t); n != 1 {
		t.Errorf("position %d", n)
	}
}

// TestCallersLeave has a transaction of which all callers have left: it is given up,
// and holds up nobody.
func TestCallersLeave(t *testing.T) {
	s := openEmpty(t)
	blocker, err := pgx.Connect(t.Context(), dsnOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blocker.Close(context.Background()) }() // it has served
	for _, sql := range []string{`begin`, `SELECT FROM sentinel.head FOR UPDATE`} {
		if _, err := blocker.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- s.PutSetting(ctx, "mode", nil) }()
	eventually(t, "it waits for the lock", waitsForLock(t, s, true))
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "nothing waits any more", waitsForLock(t, s, false))
	if _, err := blocker.Exec(t.Context(), `commit`); err != nil {
		t.Fatal(err)
	}
	if err := s.PutSetting(t.Context(), "other", nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Setting(t.Context(), "mode"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was given up: %v", err)
	}
}

// waitsForLock tells whether somebody waits for a lock of the database of s, or, if
// that is wanted, whether nobody does.
func waitsForLock(t *testing.T, s *postgres.Store, want bool) func() bool {
	return func() bool {
		var isSo bool
		const sql = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`
		return stalledQuery(t, s, sql, &isSo) == nil && isSo == want
	}
}
