package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
)

var loginLimits = store.LoginLimits{Failures: 5, Window: time.Hour, LockFor: 2 * time.Hour}

// TestLogins has two nodes count together.
func TestLogins(t *testing.T) {
	database := emptyDatabase(t)
	options := postgres.Options{DSN: server.DSN(database)}
	nodes := []*postgres.Store{openUntilEnd(t, options), openUntilEnd(t, options)}
	pair, next := []byte("pair"), 0
	try := func(fails bool) (wait time.Duration, locked bool) {
		t.Helper()
		next++
		n, attempt := nodes[next%2], fmt.Sprint(next)
		wait, err := n.BeginLogin(t.Context(), pair, attempt, loginLimits)
		if err != nil {
			t.Fatal(err)
		}
		if wait == 0 && fails {
			if locked, err = nodes[next%2].FailLogin(t.Context(), pair, attempt, loginLimits); err != nil {
				t.Fatal(err)
			}
		}
		return wait, locked
	}
	for i := range 4 {
		if wait, locked := try(true); wait > 0 || locked {
			t.Fatalf("failure %d: wait %v, locked %v", i+1, wait, locked)
		}
	}
	if err := nodes[0].ForgetLogins(t.Context(), pair); err != nil { // it has succeeded
		t.Fatal(err)
	}
	for i := range 5 {
		if wait, locked := try(true); wait > 0 || locked != (i == 4) {
			t.Fatalf("failure %d after a success: wait %v, locked %v", i+1, wait, locked)
		}
	}
	for range 2 {
		if wait, _ := try(false); wait < loginLimits.LockFor-time.Minute || wait > loginLimits.LockFor {
			t.Errorf("locked: wait %v, want %v", wait, loginLimits.LockFor)
		}
		if err := nodes[1].ForgetLogins(t.Context(), pair); err != nil { // which ends no lock
			t.Fatal(err)
		}
	}
	if wait, err := nodes[0].BeginLogin(t.Context(), []byte("other"), "a", loginLimits); wait != 0 || err != nil {
		t.Errorf("another pair: %v, %v", wait, err)
	}
	// As if the time had passed.
	server.Exec(t, database, `UPDATE sentinel.logins SET until = 1`)
	if wait, locked := try(true); wait > 0 || locked {
		t.Errorf("after the lock: wait %v, locked %v", wait, locked)
	}
	if n, err := server.Number(database, `SELECT count(*)::float8 FROM sentinel.logins`); n != 1 || err != nil {
		t.Errorf("%v rows are left, %v, want that of the last failure", n, err)
	}
}

// TestLoginsAtTheSameMoment: no more are tried at once than may fail.
func TestLoginsAtTheSameMoment(t *testing.T) {
	s := openUntilEnd(t, postgres.Options{DSN: server.DSN(emptyDatabase(t))})
	pair := []byte{0, 0xff}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			wait, err := s.BeginLogin(t.Context(), pair, fmt.Sprint(i), loginLimits)
			if err != nil {
				t.Error(err)
			} else if wait == 0 {
				admitted.Add(1)
			}
		})
	}
	wg.Wait()
	if got := admitted.Load(); got != int64(loginLimits.Failures) {
		t.Fatalf("%d were admitted at once, want %d", got, loginLimits.Failures)
	}
	for i := range 40 { // those that were not admitted have nothing to undo
		if err := s.UndoLogin(t.Context(), pair, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if wait, err := s.BeginLogin(t.Context(), pair, "after", loginLimits); wait != 0 || err != nil {
		t.Errorf("after all are undone: %v, %v", wait, err)
	}
}

func TestCountLogins(t *testing.T) {
	s := openUntilEnd(t, postgres.Options{DSN: server.DSN(emptyDatabase(t))})
	name := []byte("account")
	for _, step := range []struct{ more, want int }{{0, 0}, {1, 1}, {1, 2}, {3, 5}, {0, 5}} {
		if got, err := s.CountLogins(t.Context(), name, step.more, time.Hour); got != step.want || err != nil {
			t.Errorf("%d more: %d, %v, want %d", step.more, got, err, step.want)
		}
	}
	if got, err := s.CountLogins(t.Context(), []byte("other"), 0, time.Hour); got != 0 || err != nil {
		t.Errorf("another name: %d, %v", got, err)
	}
	if err := s.ForgetLogins(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if got, err := s.CountLogins(t.Context(), name, 1, time.Hour); got != 1 || err != nil {
		t.Errorf("after all is forgotten: %d, %v", got, err)
	}
}
