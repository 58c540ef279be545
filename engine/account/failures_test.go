package account_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

var errAway = errors.New("away")

// failures are those of all nodes, in memory.
type failures struct {
	mu     sync.Mutex
	tries  map[string]map[string]bool // of a pair: whether each has failed
	locked map[string]time.Time
	counts map[string]int
	away   bool
	calls  int
}

func newFailures() *failures {
	return &failures{tries: map[string]map[string]bool{}, locked: map[string]time.Time{}, counts: map[string]int{}}
}

func (f *failures) enter() error {
	f.calls++
	if f.away {
		return errAway
	}
	return nil
}

func (f *failures) Begin(_ context.Context, pair string) (string, time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter(); err != nil {
		return "", 0, err
	}
	if rest := time.Until(f.locked[pair]); rest > 0 {
		return "", rest, nil
	}
	if len(f.tries[pair]) >= account.FailuresToLock {
		return "", time.Second, nil
	}
	if f.tries[pair] == nil {
		f.tries[pair] = map[string]bool{}
	}
	id := strings.Repeat("i", f.calls)
	f.tries[pair][id] = false
	return id, 0, nil
}

func (f *failures) Failed(_ context.Context, pair, attempt string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter(); err != nil {
		return false, err
	}
	f.tries[pair][attempt] = true
	n := 0
	for _, failed := range f.tries[pair] {
		if failed {
			n++
		}
	}
	if n < account.FailuresToLock {
		return false, nil
	}
	delete(f.tries, pair)
	f.locked[pair] = time.Now().Add(account.LockFor)
	return true, nil
}

func (f *failures) Undone(_ context.Context, pair, attempt string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tries[pair], attempt)
	return f.enter()
}

func (f *failures) Succeeded(_ context.Context, pair string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tries, pair)
	return f.enter()
}

func (f *failures) Count(_ context.Context, name string, more int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter(); err != nil {
		return 0, err
	}
	f.counts[name] += more
	return f.counts[name], nil
}

func (f *failures) Forget(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.counts, name)
	return f.enter()
}

func (f *failures) setAway(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

// nodes are the accounts of two nodes.
func (f *fixture) nodes(t *testing.T, all *failures) (a, b *fixture) {
	t.Helper()
	sharing := func(o *account.Options) { o.Failures = all }
	return &fixture{Accounts: f.node(t, sharing)}, &fixture{Accounts: f.node(t, sharing)}
}

// TestLockoutOfAllNodes: three failures here and two there lock the pair, and it is told
// once.
func TestLockoutOfAllNodes(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		a, b := f.nodes(t, newFailures())
		a.fail(t, 3, "root", home)
		b.fail(t, 2, "root", home)
		wantLocked(t, a.login(t, "root", password, "", home), account.LockFor)
		wantLocked(t, b.login(t, "root", password, "", home), account.LockFor)
		if got := *f.lockouts.Load(); len(got) != 1 {
			t.Errorf("told of %q", got)
		}
		wantErr(t, a.login(t, "root", password, "", elsewhere), nil) // another address
		time.Sleep(account.LockFor + time.Minute)
		wantErr(t, b.login(t, "root", password, "", home), nil)
	})
}

// TestSuccessElsewhereForgets what other nodes count of a pair.
func TestSuccessElsewhereForgets(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		a, b := f.nodes(t, newFailures())
		for range 3 {
			b.fail(t, 1, "root", home)
			wantErr(t, a.login(t, "root", password, "", home), nil)
		}
		a.fail(t, 4, "root", home)
		wantErr(t, a.login(t, "root", password, "", home), nil)
	})
}

// TestFailuresElsewhereDelay: an account that many addresses fail on at another node
// answers later here too.
func TestFailuresElsewhereDelay(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		a, b := f.nodes(t, newFailures())
		from := home
		for range 30 {
			from = from.Next()
			a.fail(t, 1, "root", from)
		}
		begin := time.Now()
		wantErr(t, b.login(t, "root", password, "", home), nil)
		if took := time.Since(begin); took != 10*250*time.Millisecond {
			t.Errorf("answered after %s", took)
		}
	})
}

// TestEachNodeWithoutTheOthers: what all count is away, and comes back.
func TestEachNodeWithoutTheOthers(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		all := newFailures()
		a, b := f.nodes(t, all)
		all.setAway(true)
		a.fail(t, 4, "root", home)
		b.fail(t, 4, "root", home)
		all.setAway(false)
		wantErr(t, a.login(t, "root", wrong, "", home), account.ErrWrongLogin)
		wantLocked(t, a.login(t, "root", password, "", home), account.LockFor) // by its own memory
		wantErr(t, b.login(t, "root", password, "", home), nil)
	})
}
