package ipset_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

func mustSet(tb testing.TB, list string) *ipset.Set {
	tb.Helper()
	prefixes, err := ipset.ParseList(list)
	if err != nil {
		tb.Fatal(err)
	}
	set, err := ipset.New(prefixes)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

func TestContains(t *testing.T) {
	tests := []struct {
		name, list, addr string
		want             bool
	}{
		{"empty set", "", "10.0.0.1", false},
		{"single, inside", "10.0.0.0/8", "10.255.255.255", true},
		{"single, outside", "10.0.0.0/8", "11.0.0.0", false},
		{"single, mapped", "10.0.0.0/8", "::ffff:10.0.0.1", true},
		{"single, zone", "fe80::/10", "fe80::1%eth0", false},
		{"single, other family", "::/0", "10.0.0.1", false},
		{"single, mapped is not IPv6", "::/0", "::ffff:10.0.0.1", false},
		{"several, first", "10.0.0.0/8 192.0.2.0/24", "10.0.0.1", true},
		{"several, second", "10.0.0.0/8 192.0.2.0/24", "192.0.2.255", true},
		{"several, neither", "10.0.0.0/8 192.0.2.0/24", "192.0.3.0", false},
		{"several, mapped", "10.0.0.0/8 192.0.2.0/24", "::ffff:192.0.2.1", true},
		{"several, zone", "10.0.0.0/8 fe80::/10", "fe80::1%eth0", false},
		{"everything, IPv4", "0.0.0.0/0 ::/0", "255.255.255.255", true},
		{"everything, IPv6", "0.0.0.0/0 ::/0", "ffff::", true},
		{"all IPv6 and one IPv4", "::/0 10.0.0.1", "10.0.0.2", false},
		{"covered first", "10.0.0.0/24 10.0.0.0/8 ::1", "10.1.0.0", true},
		{"covered last", "10.0.0.0/8 10.0.0.0/24 ::1", "10.1.0.0", true},
		{"repeated", "10.0.0.0/8 10.0.0.0/8", "10.1.0.0", true},
		{"adjacent", "10.0.0.0/25 10.0.0.128/25", "10.0.0.128", true},
		{"host", "10.0.0.1 2001:db8::1", "2001:db8::1", true},
		{"next to host", "10.0.0.1 2001:db8::1", "2001:db8::2", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := mustSet(t, tt.list)
			for range 2 { // the second answer comes from the memo
				if got := set.Contains(netip.MustParseAddr(tt.addr)); got != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestContainsNothing(t *testing.T) {
	var none *ipset.Set
	for name, set := range map[string]*ipset.Set{"nil": none, "zero": {}, "empty": mustSet(t, "")} {
		for _, addr := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			if set.Contains(addr) {
				t.Errorf("%s set contains %v", name, addr)
			}
		}
	}
	for _, list := range []string{"0.0.0.0/0", "::/0", "0.0.0.0/0 ::/0"} {
		if mustSet(t, list).Contains(netip.Addr{}) {
			t.Errorf("%s contains the invalid address", list)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, p := range []netip.Prefix{
		{},
		netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 8),
		netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.0"), 104),
		netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 33),
	} {
		if _, err := ipset.New([]netip.Prefix{netip.MustParsePrefix("::1/128"), p}); err == nil {
			t.Errorf("New took %v", p)
		}
	}
}

func TestNewLeavesTheSlice(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("9.0.0.0/8")}
	if _, err := ipset.New(prefixes); err != nil {
		t.Fatal(err)
	}
	if prefixes[0].String() != "10.0.0.0/8" {
		t.Errorf("the caller's slice is now %v", prefixes)
	}
}

// TestContainsManyGoroutines asks more addresses than the memo holds from
// several goroutines, so that slots are overwritten all the time.
func TestContainsManyGoroutines(t *testing.T) {
	set := mustSet(t, "10.0.0.0/9 10.192.0.0/10 192.0.2.0/24 2001:db8::/32")
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 1))
			for range 5000 {
				b := byte(rnd.Uint32())
				addr := netip.AddrFrom4([4]byte{10, b, 0, byte(rnd.Uint32N(4))})
				if got, want := set.Contains(addr), b < 128 || b >= 192; got != want {
					t.Errorf("%v: got %v, want %v", addr, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestContainsDoesNotAllocate(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	for _, list := range []string{"", "192.0.2.1", "192.0.2.0/24 10.0.0.0/8"} {
		set := mustSet(t, list)
		if allocs := testing.AllocsPerRun(100, func() { set.Contains(addr) }); allocs != 0 {
			t.Errorf("set %q: got %v allocations, want 0", list, allocs)
		}
	}
}

// FuzzContains compares with asking every prefix in turn. Each 5 bytes of
// seeds are a prefix of a small space, so that prefixes meet.
func FuzzContains(f *testing.F) {
	f.Add([]byte{0, 8, 10, 0, 0, 0, 24, 10, 0, 0}, uint32(0x0a010203), false)
	f.Add([]byte{0, 24, 10, 0, 0, 0, 8, 10, 0, 0, 1, 64, 1, 2, 3}, uint32(0x0a010203), true)
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, uint32(0), false)
	f.Fuzz(func(t *testing.T, seeds []byte, number uint32, six bool) {
		var prefixes []netip.Prefix
		for ; len(seeds) >= 5; seeds = seeds[5:] {
			addr := addrOf(binary.BigEndian.Uint32(seeds[1:5])<<8, seeds[0]%2 == 1)
			bits := int(seeds[1]) % (addr.BitLen() + 1)
			prefixes = append(prefixes, netip.PrefixFrom(addr, bits).Masked())
		}
		set, err := ipset.New(prefixes)
		if err != nil {
			t.Fatal(err)
		}
		asked := []netip.Addr{addrOf(number, six)}
		for _, p := range prefixes { // and the neighbourhood of every edge
			asked = append(asked, p.Addr(), p.Addr().Prev(), p.Addr().Next(), last(p), last(p).Next())
		}
		for range 2 {
			for _, addr := range asked {
				if got, want := set.Contains(addr), linear(prefixes, addr); got != want {
					t.Fatalf("%v contains %v: got %v, want %v", prefixes, addr, got, want)
				}
			}
		}
	})
}

func linear(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// addrOf spreads the bits of n over an address.
func addrOf(n uint32, six bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint32(b[:4], n)
	if !six {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	binary.BigEndian.PutUint32(b[12:], n)
	return netip.AddrFrom16(b).Unmap()
}

// last returns the highest address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func BenchmarkContains(b *testing.B) {
	many := ""
	for i := range 200 {
		many += fmt.Sprintf("10.%d.0.0/16 ", i)
	}
	for _, bm := range []struct{ name, list string }{
		{"single", "10.9.0.0/16"}, {"200", many},
	} {
		b.Run(bm.name, func(b *testing.B) {
			set, addr := mustSet(b, bm.list), netip.MustParseAddr("10.9.8.7")
			b.ReportAllocs()
			for b.Loop() {
				set.Contains(addr)
			}
		})
	}
	b.Run("200, every address new", func(b *testing.B) {
		set, addr := mustSet(b, many), netip.MustParseAddr("10.0.0.0")
		b.ReportAllocs()
		for b.Loop() {
			set.Contains(addr)
			addr = addr.Next()
		}
	})
}
