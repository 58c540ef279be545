package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/store/memory"
)

func TestDefaultCostIsThatOfTheRFC(t *testing.T) {
	h := newHasher(defaultCost)
	encoded, err := h.hash(t.Context(), "password for tests only")
	if err != nil || !strings.HasPrefix(encoded, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Fatalf("got %s, %v", encoded, err)
	}
	for password, want := range map[string]bool{"password for tests only": true, "password for tests": false} {
		if right, outdated, err := h.verify(t.Context(), encoded, password); right != want || outdated || err != nil {
			t.Errorf("%q: got %v, %v, %v", password, right, outdated, err)
		}
	}
	again, err := h.hash(t.Context(), "password for tests only")
	if err != nil || again == encoded {
		t.Errorf("two hashes of one password are the same, %v", err)
	}
}

// TestKnownHash checks a hash that the reference implementation made, so that
// hashes stay readable by others.
func TestKnownHash(t *testing.T) {
	h := newHasher(cost{memoryKiB: 64, passes: 1, lanes: 1})
	const encoded = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if right, outdated, err := h.verify(t.Context(), encoded, "password"); !right || !outdated || err != nil {
		t.Errorf("got %v, %v, %v", right, outdated, err)
	}
}

func TestTwoHashesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cost{memoryKiB: 64, passes: 1, lanes: 1})
		var leave []func()
		for range hashesAtOnce {
			l, err := h.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := h.verify(ctx, "", "password"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want it to wait until the deadline", err)
		}
		if _, err := h.hash(ctx, "password"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want it to wait until the deadline", err)
		}
		leave[0]()
		if _, err := h.hash(t.Context(), "password"); err != nil {
			t.Errorf("got %v with one place free", err)
		}
		leave[1]()
	})
}

func TestUnreadableHashMatchesNothing(t *testing.T) {
	h := newHasher(cost{memoryKiB: 64, passes: 1, lanes: 1})
	for _, encoded := range []string{"", "$argon2id$", "plain"} {
		if right, outdated, err := h.verify(t.Context(), encoded, encoded); right || outdated || err != nil {
			t.Errorf("%q: got %v, %v, %v", encoded, right, outdated, err)
		}
	}
}

// TestEveryRefusalTakesAHash tells by the memory that a hash allocates: what
// returned earlier would tell names that exist from others by the time.
func TestEveryRefusalTakesAHash(t *testing.T) {
	const hashKiB = 8 * 1024
	a, err := New(t.Context(), Options{
		Documents: memory.New(), Key: make([]byte, keyBytes), Logger: slog.New(slog.DiscardHandler),
		cost: cost{memoryKiB: hashKiB, passes: 1, lanes: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"known", "disabled"} {
		if _, err := a.Create(t.Context(), name, Viewer, "password for tests only"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.SetDisabled(t.Context(), "disabled", true, 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"known", "unknown", "disabled", "not a name", ""} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := a.Login(t.Context(), Credentials{Name: name, Password: "another password"})
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) >> 10; !errors.Is(err, ErrWrongLogin) || got < hashKiB || got >= 2*hashKiB {
			t.Errorf("%q: got %v after %d KiB, want one hash of %d KiB", name, err, got, hashKiB)
		}
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLockedErrorRoundsUp(t *testing.T) {
	for rest, want := range map[time.Duration]string{time.Millisecond: "1s", time.Second: "1s", 61 * time.Second: "1m1s"} {
		if got := (&LockedError{RetryAfter: rest}).Error(); !strings.HasSuffix(got, "locked for "+want) {
			t.Errorf("%v: got %q", rest, got)
		}
	}
}

// TestFloodOfPairs fails a million times, each from another address at another
// name, which at two password hashes at a time takes hours.
func TestFloodOfPairs(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	g := newGuard(func() time.Time { return now })
	fail := func(name string, from netip.Addr) error {
		end, err := g.begin(t.Context(), name, from)
		if err == nil {
			end(failed)
		}
		return err
	}
	attacker := netip.MustParseAddr("192.0.2.1")
	for range pairFailures {
		if err := fail("root", attacker); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	for i := range 1_000_000 {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if err := fail(fmt.Sprintf("name-%d-%s", i, strings.Repeat("x", 50)), from); err != nil {
			t.Fatal(err)
		}
	}
	used := heap() - before
	t.Logf("a million pairs take %d KiB", used>>10)
	if used > 48<<20 {
		t.Errorf("a million pairs take %d bytes", used)
	}
	var locked *LockedError
	if err := fail("root", attacker); !errors.As(err, &locked) || locked.RetryAfter != lockFor {
		t.Errorf("got %v: the flood ended the lock", err)
	}
	if len(g.trying) != 0 {
		t.Errorf("%d attempts are still under way", len(g.trying))
	}
	runtime.KeepAlive(g)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestLocksAreBounded(t *testing.T) {
	now, l := time.Unix(1_900_000_000, 0), newLockout()
	for pair := range uint64(maxLocked + 10) {
		for range pairFailures {
			l.fail(pair, now)
		}
	}
	if got := len(l.locked.byKey); got != maxLocked || l.locked.order.Len() != got {
		t.Errorf("got %d locks, want %d", got, maxLocked)
	}
	for pair, want := range map[uint64]bool{9: false, 10: true, maxLocked + 9: true} {
		if got := l.rest(pair, now) > 0; got != want {
			t.Errorf("pair %d: got locked %v, want %v", pair, got, want)
		}
	}
}

func TestQueueForgetsWhatWasPutLongestAgo(t *testing.T) {
	q := newQueue[string](3)
	for _, key := range []uint64{1, 2, 3, 1, 4} {
		q.put(key, fmt.Sprint(key))
	}
	for key, want := range map[uint64]bool{1: true, 2: false, 3: true, 4: true} {
		if got, ok := q.get(key); ok != want || ok && got != fmt.Sprint(key) {
			t.Errorf("%d: got %q, %v, want %v", key, got, ok, want)
		}
	}
}

func TestWhatIsOverIsForgotten(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	g := newGuard(func() time.Time { return now })
	attempt := func(i int) {
		end, err := g.begin(t.Context(), fmt.Sprint(i/pairFailures), netip.AddrFrom4([4]byte{10, 0, 0, 1}))
		if err != nil {
			t.Fatal(err)
		}
		end(failed)
	}
	for i := range 100 { // locks 20 pairs
		attempt(i)
	}
	attempt(1000) // and one more fails
	now = now.Add(window + time.Minute)
	for i := range pairFailures {
		attempt(2000 + i)
	}
	attempt(3000)
	if len(g.pairs.counted.byKey) != 1 || len(g.pairs.locked.byKey) != 1 || len(g.accounts.byKey) != 2 {
		t.Errorf("got %d, %d and %d, want 1, 1 and 2",
			len(g.pairs.counted.byKey), len(g.pairs.locked.byKey), len(g.accounts.byKey))
	}
}

func TestOneAddressHasSixteenAttemptsUnderWay(t *testing.T) {
	g := newGuard(time.Now)
	from := netip.MustParseAddr("2001:db8::1")
	var ends []func(outcome) bool
	for i := range maxTrying {
		end, err := g.begin(t.Context(), fmt.Sprint(i), from.Next())
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	var locked *LockedError
	if _, err := g.begin(t.Context(), "another", from); !errors.As(err, &locked) || locked.RetryAfter != time.Second {
		t.Errorf("got %v", err)
	}
	if _, err := g.begin(t.Context(), "another", netip.MustParseAddr("192.0.2.1")); err != nil {
		t.Errorf("got %v from another address", err)
	}
	ends[0](undecided)
	if _, err := g.begin(t.Context(), "another", from); err != nil {
		t.Errorf("got %v after one has ended", err)
	}
}

// TestTally compares with a list of all failures.
func TestTally(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var count tally
	var all []int64
	minute := int64(0)
	for range 5000 {
		if random.IntN(3) == 0 {
			minute += int64(random.IntN(25))
		}
		want := 0
		for _, m := range all {
			if m > minute-tallyMinutes {
				want++
			}
		}
		if got := count.since(minute); got != want {
			t.Fatalf("minute %d: got %d, want %d", minute, got, want)
		}
		if random.IntN(2) == 0 {
			count, all = count.add(minute), append(all, minute)
		}
	}
	full := tally{}
	for range 1 << 17 {
		full = full.add(5)
	}
	if got := full.since(5); got != 1<<16-1 {
		t.Errorf("got %d, want it to stay at the most it can be", got)
	}
	if got := full.add(3).since(3); got != 1<<16-1 { // a clock that went back
		t.Errorf("got %d, want it to count on", got)
	}
}

func TestRandomText(t *testing.T) {
	counts := map[rune]int{}
	for _, c := range randomText(62_000, base62) {
		counts[c]++
	}
	for _, c := range base62 {
		if n := counts[c]; n < 800 || n > 1200 { // six standard deviations
			t.Errorf("%c came %d times of 62000, want about 1000", c, n)
		}
	}
	if len(counts) != 62 {
		t.Errorf("got %d characters", len(counts))
	}
}

func BenchmarkHash(b *testing.B) {
	h := newHasher(defaultCost)
	b.ReportAllocs()
	for b.Loop() {
		h.nobody.matches("password for tests only")
	}
}
