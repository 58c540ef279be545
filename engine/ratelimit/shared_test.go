package ratelimit_test

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
)

// nodes are limiters that tell each other what they have let pass.
type nodes []*ratelimit.Limiter

func newNodes(t *testing.T, n int, o ratelimit.Options) (all nodes) {
	t.Helper()
	o.Shared = true
	for range n {
		l, err := ratelimit.New(o)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

func (all nodes) exchange(now time.Time) {
	for i, from := range all {
		uses := from.Taken(math.MaxInt)
		for j, to := range all {
			if i != j {
				to.Charge(uses, now)
			}
		}
	}
}

// hammer has an address try at all nodes every step for a time, with an exchange as often
// as said, and returns how many were let pass.
func (all nodes) hammer(addr netip.Addr, begin time.Time, during, step, exchange time.Duration) (passed int) {
	for at := time.Duration(0); at < during; at += step {
		for _, l := range all {
			if ok, _ := l.Allow(addr, begin.Add(at)); ok {
				passed++
			}
		}
		if at%exchange == 0 {
			all.exchange(begin.Add(at))
		}
	}
	return passed
}

var one = netip.MustParseAddr("203.0.113.1")

// TestNodesLimitTogether: at first each lets pass its burst, and in the long run all
// together no more than the limit.
func TestNodesLimitTogether(t *testing.T) {
	const perMinute, burst, count = 60, 10, 3
	all := newNodes(t, count, ratelimit.Options{PerMinute: perMinute, Burst: burst})
	begin := time.Unix(1_900_000_000, 0)
	for range burst * 2 { // all at once, before anybody hears of anything
		for _, l := range all {
			l.Allow(one, begin)
		}
	}
	all.exchange(begin)
	for i, l := range all {
		if ok, wait := l.Allow(one, begin); ok || wait != (2*burst+1)*time.Second {
			t.Errorf("node %d: %t, wait %s", i, ok, wait)
		}
	}
	const minutes = 30
	passed := count*burst + all.hammer(one, begin, minutes*time.Minute, 50*time.Millisecond, 200*time.Millisecond)
	if least, most := perMinute*minutes-burst, perMinute*minutes+count*burst+count; passed < least || passed > most {
		t.Errorf("%d passed in %d minutes, want %d to %d", passed, minutes, least, most)
	}
}

// TestDebtEnds: other nodes may claim what they like, and it is over after MaxDebt bursts.
func TestDebtEnds(t *testing.T) {
	l := newNodes(t, 1, ratelimit.Options{PerMinute: 60, Burst: 10})[0]
	now := time.Unix(1_900_000_000, 0)
	l.Allow(one, now)
	key := l.Taken(10)[0].Key
	for range 100 {
		l.Charge([]ratelimit.Use{{Key: key, N: math.MaxUint32}}, now)
	}
	ok, wait := l.Allow(one, now)
	if ok || wait != (ratelimit.MaxDebt*10+1)*time.Second {
		t.Errorf("got %t, wait %s", ok, wait)
	}
	if ok, _ := l.Allow(one, now.Add(wait)); !ok {
		t.Error("the debt does not end")
	}
}

// TestTakenIsBounded, and told once.
func TestTakenIsBounded(t *testing.T) {
	l := newNodes(t, 1, ratelimit.Options{PerMinute: 60})[0]
	now := time.Unix(1_900_000_000, 0)
	for i := range 300_000 {
		l.Allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	l.Allow(one, now)
	l.Allow(one, now)
	if got := len(l.Taken(100)); got != 100 {
		t.Errorf("told of %d, want 100", got)
	}
	if got := len(l.Taken(math.MaxInt)); got < 1000 || got > 256*1024 {
		t.Errorf("told of %d", got)
	}
	if got := l.Taken(math.MaxInt); len(got) != 0 {
		t.Errorf("told again of %d", len(got))
	}
}

// TestAloneNothingIsTold, nor kept.
func TestAloneNothingIsTold(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Options{PerMinute: 60})
	if err != nil {
		t.Fatal(err)
	}
	l.Allow(one, time.Now())
	if got := l.Taken(10); len(got) != 0 {
		t.Errorf("told %v", got)
	}
	var none *ratelimit.Limiter
	none.Charge([]ratelimit.Use{{Key: 1, N: 1}}, time.Now())
	if got := none.Taken(10); len(got) != 0 {
		t.Errorf("told %v", got)
	}
}
