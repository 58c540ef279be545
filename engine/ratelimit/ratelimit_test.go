package ratelimit_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
)

var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	client = netip.MustParseAddr("203.0.113.9")
)

func newLimiter(tb testing.TB, perMinute, burst, maxAddresses int) *ratelimit.Limiter {
	tb.Helper()
	l, err := ratelimit.New(ratelimit.Options{PerMinute: perMinute, Burst: burst, MaxAddresses: maxAddresses})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// nth returns the nth of many IPv4 addresses.
func nth(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n)+1<<24)
	return netip.AddrFrom4(b)
}

func TestAllow(t *testing.T) {
	l := newLimiter(t, 60, 3, 0) // one a second, three at once
	steps := []struct {
		at         time.Duration
		ok         bool
		retryAfter time.Duration
	}{
		{0, true, 0}, {0, true, 0}, {0, true, 0},
		{0, false, time.Second},
		{400 * time.Millisecond, false, 600 * time.Millisecond},
		{999 * time.Millisecond, false, time.Millisecond},
		{time.Second, true, 0},
		{time.Second, false, time.Second},
		{3500 * time.Millisecond, true, 0},
		{3500 * time.Millisecond, true, 0},
		{3500 * time.Millisecond, false, 500 * time.Millisecond},
		{time.Hour, true, 0}, {time.Hour, true, 0}, {time.Hour, true, 0},
		{time.Hour, false, time.Second},
	}
	for i, s := range steps {
		ok, retryAfter := l.Allow(client, start.Add(s.at))
		if ok != s.ok || retryAfter != s.retryAfter {
			t.Errorf("step %d at %v: got %v, %v, want %v, %v", i, s.at, ok, retryAfter, s.ok, s.retryAfter)
		}
	}
}

// TestAllowAgainstTokenBucket asks golang.org/x/time/rate the same. Rates and
// times are binary fractions of a second, so that its floats are exact and the
// edges are compared too.
func TestAllowAgainstTokenBucket(t *testing.T) {
	for _, tt := range []struct{ perMinute, burst int }{{60, 1}, {60, 5}, {120, 3}, {240, 40}, {480, 7}} {
		l := newLimiter(t, tt.perMinute, tt.burst, 0)
		rnd := rand.New(rand.NewPCG(1, uint64(tt.burst)))
		oracle := map[netip.Addr]*rate.Limiter{}
		now, refused := start, 0
		for range 20_000 {
			now = now.Add(time.Duration(rnd.IntN(4)) * 125 * time.Millisecond / 4)
			addr := nth(rnd.IntN(3))
			if oracle[addr] == nil {
				oracle[addr] = rate.NewLimiter(rate.Limit(tt.perMinute)/60, tt.burst)
			}
			reservation := oracle[addr].ReserveN(now, 1)
			wantWait := reservation.DelayFrom(now)
			if wantWait > 0 {
				reservation.CancelAt(now)
				refused++
			}
			if ok, wait := l.Allow(addr, now); ok != (wantWait == 0) || wait != wantWait {
				t.Fatalf("%+v, %v at %v: got %v, %v, want %v", tt, addr, now.Sub(start), ok, wait, wantWait)
			}
		}
		if refused == 0 || refused == 20_000 {
			t.Errorf("%+v: %d of 20,000 refused, which compares nothing", tt, refused)
		}
	}
}

func TestAllowWhoCountsAsOne(t *testing.T) {
	tests := []struct {
		a, b string
		one  bool
	}{
		{"203.0.113.9", "203.0.113.9", true},
		{"203.0.113.9", "203.0.113.10", false},
		{"203.0.113.9", "::ffff:203.0.113.9", true},
		{"203.0.113.9", "64:ff9b::203.0.113.9", true},
		{"64:ff9b::203.0.113.9", "64:ff9b::203.0.113.10", false},
		{"64:ff9b::1:203.0.113.9", "64:ff9b::203.0.113.9", false},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"::1", "0.0.0.1", false},
		{"fe80::1%a", "fe80::2%b", true},
		{"", "", true},
		{"", "0.0.0.0", false},
		{"", "::", false},
	}
	for _, tt := range tests {
		t.Run(tt.a+" "+tt.b, func(t *testing.T) {
			l := newLimiter(t, 60, 1, 0)
			a, _ := netip.ParseAddr(tt.a)
			b, _ := netip.ParseAddr(tt.b)
			if ok, _ := l.Allow(a, start); !ok {
				t.Error("the first request is refused")
			}
			if ok, _ := l.Allow(b, start); ok == tt.one {
				t.Errorf("the second one: got %v, want %v", ok, !tt.one)
			}
		})
	}
}

func TestAllowWhenTheClockIsSet(t *testing.T) {
	l := newLimiter(t, 60, 2, 0)
	for range 3 {
		l.Allow(client, start)
	}
	back := start.Add(-24 * time.Hour)
	if ok, wait := l.Allow(client, back); ok || wait != time.Second {
		t.Errorf("set back: got %v, %v, want a wait of 1s", ok, wait)
	}
	if ok, wait := l.Allow(client, back.Add(time.Second)); !ok {
		t.Errorf("a second later: got %v, %v, want true", ok, wait)
	}
	if ok, _ := l.Allow(client, start.Add(24*time.Hour)); !ok {
		t.Error("set forth: refused")
	}
}

func TestNilLimiter(t *testing.T) {
	var l *ratelimit.Limiter
	if ok, wait := l.Allow(client, start); !ok || wait != 0 || l.Addresses() != 0 || l.Forgotten() != 0 {
		t.Error("a nil limiter limits")
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := ratelimit.New(ratelimit.Options{PerMinute: -1, Burst: -2, MaxAddresses: -3})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"requests a minute: -1", "burst: -2", "addresses: -3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	for _, o := range []ratelimit.Options{{}, {PerMinute: ratelimit.MaxPerMinute + 1}, {PerMinute: 1, Burst: ratelimit.MaxBurst + 1}} {
		if l, err := ratelimit.New(o); err == nil || l != nil {
			t.Errorf("New took %+v", o)
		}
	}
}

func TestBurstDefault(t *testing.T) {
	l := newLimiter(t, 7, 0, 0)
	n := 0
	for range 20 {
		if ok, _ := l.Allow(client, start); ok {
			n++
		}
	}
	if n != 7 {
		t.Errorf("got a burst of %d, want 7", n)
	}
}

// TestExtremes: the largest numbers do not overflow.
func TestExtremes(t *testing.T) {
	slow := newLimiter(t, 1, ratelimit.MaxBurst, 0)
	fast := newLimiter(t, ratelimit.MaxPerMinute, ratelimit.MaxBurst, 0)
	far := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range ratelimit.MaxBurst + 1 {
		want := i < ratelimit.MaxBurst
		if ok, _ := slow.Allow(client, far); ok != want {
			t.Fatalf("slow, request %d: got %v, want %v", i, ok, want)
		}
		if ok, _ := fast.Allow(client, far); ok != want {
			t.Fatalf("fast, request %d: got %v, want %v", i, ok, want)
		}
	}
}

// TestExpiredAddressesGiveRoom: as long as those that count fit, none of them
// is forgotten, however many there have been.
func TestExpiredAddressesGiveRoom(t *testing.T) {
	const most = 40 // one shard
	l := newLimiter(t, 60, 1, most)
	for i := range 10_000 { // each counts for a second; 20 do at a time
		now := start.Add(time.Duration(i) * 50 * time.Millisecond)
		if ok, _ := l.Allow(nth(i), now); !ok {
			t.Fatalf("address %d is refused", i)
		}
		if ok, _ := l.Allow(nth(i), now); ok {
			t.Fatalf("address %d has no limit", i)
		}
		if got := l.Addresses(); got > most {
			t.Fatalf("%d addresses are kept, want at most %d", got, most)
		}
	}
	if got := l.Forgotten(); got != 0 {
		t.Errorf("%d addresses were forgotten while they counted", got)
	}
}

// TestFullOfLiveAddresses: then new ones are let in all the same, and those at
// their limit stay limited.
func TestFullOfLiveAddresses(t *testing.T) {
	const most = 1000
	l := newLimiter(t, 60, 100, most)
	for range 100 {
		l.Allow(client, start)
	}
	for i := range 100 * most {
		if ok, _ := l.Allow(nth(i), start); !ok {
			t.Fatalf("new address %d is refused", i)
		}
	}
	if got := l.Addresses(); got > most {
		t.Errorf("%d addresses are kept, want at most %d", got, most)
	}
	if got := l.Forgotten(); got < 90*most {
		t.Errorf("%d addresses are counted as forgotten, want about %d", got, 99*most)
	}
	if ok, _ := l.Allow(client, start); ok {
		t.Error("the address at its limit was forgotten before those with one request")
	}
}

// TestMemoryIsGivenBack looks at the count only: what is kept after a flood.
func TestMemoryIsGivenBack(t *testing.T) {
	l := newLimiter(t, 60, 1, 100_000)
	for i := range 100_000 {
		l.Allow(nth(i), start)
	}
	if got := l.Addresses(); got < 90_000 {
		t.Fatalf("%d addresses are kept, want nearly 100,000", got)
	}
	for i := range 20_000 { // enough to reach every shard
		l.Allow(nth(200_000+i), start.Add(time.Hour+time.Duration(i)*time.Millisecond))
	}
	if got := l.Addresses(); got > 25_000 {
		t.Errorf("%d addresses are kept an hour later", got)
	}
}

func TestAllowConcurrent(t *testing.T) {
	l := newLimiter(t, 60, 100, 500)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				if ok, _ := l.Allow(client, start); ok {
					allowed.Add(1)
				}
				l.Allow(nth(g*100+i%100), start)
			}
		})
	}
	wg.Wait()
	if got := allowed.Load(); got != 100 {
		t.Errorf("%d requests of one address were allowed, want its burst of 100", got)
	}
}

func TestAllowDoesNotAllocate(t *testing.T) {
	l := newLimiter(t, 600, 10, 0)
	now := start
	l.Allow(client, now)
	allocs := testing.AllocsPerRun(1000, func() {
		l.Allow(client, now) // allowed and refused ones
		now = now.Add(10 * time.Millisecond)
	})
	if allocs != 0 {
		t.Errorf("got %v allocations, want 0", allocs)
	}
}

// FuzzAllow: two bytes are a request, of one of 16 addresses and some time
// later. Each address gets what a token bucket would give it.
func FuzzAllow(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 8, 1, 0}, uint8(1))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 255}, uint8(3))
	f.Fuzz(func(t *testing.T, requests []byte, burst uint8) {
		b := int(burst%8) + 1
		l := newLimiter(t, 60, b, 0)
		oracle := map[netip.Addr]*rate.Limiter{}
		for now := start; len(requests) >= 2; requests = requests[2:] {
			now = now.Add(time.Duration(requests[1]) * 125 * time.Millisecond)
			addr := nth(int(requests[0] % 16))
			if oracle[addr] == nil {
				oracle[addr] = rate.NewLimiter(1, b)
			}
			if got, _ := l.Allow(addr, now); got != oracle[addr].AllowN(now, 1) {
				t.Fatalf("%v at %v: got %v", addr, now.Sub(start), got)
			}
		}
	})
}
