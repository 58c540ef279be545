package clientip_test

import (
	"encoding/binary"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/store"
)

var (
	start     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	forwarded = http.Header{"X-Forwarded-For": {"203.0.113.9"}}
)

func key(n int) (hash store.KeyHash) {
	binary.BigEndian.PutUint64(hash[:], uint64(n)+1)
	return hash
}

func peer(s string) clientip.Peer { return clientip.Peer{Addr: netip.MustParseAddr(s)} }

// observe sends n keys, beginning with the one numbered from, and returns how
// many of them warned.
func observe(u *clientip.UnnamedProxy, p clientip.Peer, h http.Header, from, n int, now time.Time) (warned int) {
	for i := range n {
		if u.Observe(p, h, key(from+i), func() time.Time { return now }) {
			warned++
		}
	}
	return warned
}

func TestUnnamedProxyWhom(t *testing.T) {
	trusted := peer("10.0.0.1")
	trusted.Trusted = true
	tests := []struct {
		name string
		peer clientip.Peer
		h    http.Header
		want int
	}{
		{"private", peer("172.17.0.1"), forwarded, 1},
		{"loopback", peer("127.0.0.1"), forwarded, 1},
		{"link-local", peer("fe80::1"), forwarded, 1},
		{"unique local", peer("fd00::1"), forwarded, 1},
		{"carrier NAT", peer("100.64.0.1"), forwarded, 1},
		{"X-Real-IP", peer("10.0.0.1"), http.Header{"X-Real-Ip": {"x"}}, 1},
		{"no forwarding header", peer("10.0.0.1"), http.Header{"Accept": {"x"}}, 0},
		{"no header", peer("10.0.0.1"), nil, 0},
		{"public", peer("203.0.113.9"), forwarded, 0},
		{"trusted", trusted, forwarded, 0},
		{"no address", clientip.Peer{}, forwarded, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var u clientip.UnnamedProxy
			if got := observe(&u, tt.peer, tt.h, 0, 20, start); got != tt.want {
				t.Errorf("got %d warnings, want %d", got, tt.want)
			}
		})
	}
}

func TestUnnamedProxyWhen(t *testing.T) {
	var u clientip.UnnamedProxy
	p := peer("10.0.0.1")
	steps := []struct {
		name    string
		from, n int
		after   time.Duration
		want    int
	}{
		{"four keys", 0, 4, 0, 0},
		{"the same again", 0, 4, time.Minute, 0},
		{"the zero hash", -1, 1, time.Minute, 0},
		{"the fifth", 4, 1, 59 * time.Minute, 1},
		{"the hour after", 5, 20, 118 * time.Minute, 0},
		{"the next hour, four", 0, 4, 119 * time.Minute, 0},
		{"the next hour, fifth", 9, 1, 120 * time.Minute, 1},
		{"four within an hour", 0, 4, 200 * time.Minute, 0},
		{"the fifth after it", 4, 1, 260 * time.Minute, 0},
	}
	for _, s := range steps {
		if got := observe(&u, p, forwarded, s.from, s.n, start.Add(s.after)); got != s.want {
			t.Errorf("%s: got %d warnings, want %d", s.name, got, s.want)
		}
	}
}

// TestUnnamedProxyFull: more peers than are kept neither stop the detection
// nor repeat a warning.
func TestUnnamedProxyFull(t *testing.T) {
	var u clientip.UnnamedProxy
	at := func(i int) clientip.Peer {
		return clientip.Peer{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
	}
	if got := observe(&u, at(0), forwarded, 0, 5, start); got != 1 {
		t.Fatalf("got %d warnings, want 1", got)
	}
	for i := 1; i < 3000; i++ {
		observe(&u, at(i), forwarded, 0, 1, start.Add(time.Duration(i)))
	}
	if got := observe(&u, at(0), forwarded, 5, 5, start.Add(time.Minute)); got != 0 {
		t.Errorf("warned again of the first peer")
	}
	if got := observe(&u, at(5000), forwarded, 0, 5, start.Add(time.Minute)); got != 1 {
		t.Errorf("got %d warnings of a new peer, want 1", got)
	}
	for i := range 2000 {
		observe(&u, at(10000+i), forwarded, 0, 5, start.Add(time.Minute))
	}
	if got := observe(&u, at(9000), forwarded, 0, 5, start.Add(time.Minute)); got != 0 {
		t.Errorf("a peer beyond 1,024 that were warned of is kept")
	}
	if got := observe(&u, at(9000), forwarded, 0, 5, start.Add(3*time.Hour)); got != 1 {
		t.Errorf("got %d warnings once the others expired, want 1", got)
	}
}

func TestUnnamedProxyConcurrent(t *testing.T) {
	var (
		u      clientip.UnnamedProxy
		warned atomic.Int64
		wg     sync.WaitGroup
	)
	for g := range 8 {
		wg.Go(func() {
			warned.Add(int64(observe(&u, peer("10.0.0.1"), forwarded, g*100, 100, start)))
		})
	}
	wg.Wait()
	if got := warned.Load(); got != 1 {
		t.Errorf("got %d warnings, want 1", got)
	}
}

func TestUnnamedProxyDoesNotAllocate(t *testing.T) {
	var u clientip.UnnamedProxy
	observe(&u, peer("10.0.0.1"), forwarded, 0, 1, start)
	allocs := testing.AllocsPerRun(100, func() {
		u.Observe(peer("10.0.0.1"), forwarded, key(0), func() time.Time { return start })
		u.Observe(peer("203.0.113.9"), forwarded, key(0), func() time.Time { return start })
	})
	if allocs != 0 {
		t.Errorf("got %v allocations, want 0", allocs)
	}
}
