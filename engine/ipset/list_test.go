package ipset_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

func TestListFind(t *testing.T) {
	l := ipset.NewList(prefixesOf(t, "10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "0.0.0.0/32", "255.255.255.255/32",
		"2001:db8::/32", "2001:db8:1::/48", "::1/128", "ffff::/16"))
	for _, c := range []struct{ addr, want string }{
		{"10.1.2.3", "10.0.0.0/8"},
		{"10.255.255.255", "10.0.0.0/8"},
		{"9.255.255.255", ""},
		{"11.0.0.0", ""},
		{"192.0.2.7", "192.0.2.7/32"},
		{"192.0.2.8", ""},
		{"::ffff:192.0.2.7", "192.0.2.7/32"},
		{"0.0.0.0", "0.0.0.0/32"},
		{"0.0.0.1", ""},
		{"255.255.255.255", "255.255.255.255/32"},
		{"2001:db8:1::1", "2001:db8::/32"},
		{"2001:db9::", ""},
		{"::1", "::1/128"},
		{"::", ""},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff::/16"},
		{"2001:db8::1%eth0", ""},
	} {
		p, inside := l.Find(netip.MustParseAddr(c.addr))
		if inside != (c.want != "") || inside && p.String() != c.want {
			t.Errorf("%s: got %v, %v, want %q", c.addr, p, inside, c.want)
		}
	}
	if l.Len() != 7 {
		t.Errorf("got %d prefixes, want 7: two lie within others", l.Len())
	}
}

func TestListOfNothing(t *testing.T) {
	for _, l := range []*ipset.List{nil, ipset.NewList(nil)} {
		if l.Contains(netip.MustParseAddr("10.0.0.1")) || l.Contains(netip.MustParseAddr("::1")) || l.Contains(netip.Addr{}) || l.Len() != 0 {
			t.Errorf("an empty list contains something: %+v", l)
		}
	}
	if all := ipset.NewList(prefixesOf(t, "0.0.0.0/0")); !all.Contains(netip.MustParseAddr("203.0.113.9")) || all.Contains(netip.MustParseAddr("::1")) || all.Contains(netip.Addr{}) {
		t.Error("0.0.0.0/0 must contain every IPv4 address, and nothing else")
	}
}

// TestListAgainstSet holds a List against the trie of a Set.
func TestListAgainstSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		var prefixes []netip.Prefix
		for range r.IntN(200) {
			prefixes = append(prefixes, randomPrefix(r))
		}
		set, err := ipset.New(prefixes)
		if err != nil {
			t.Fatal(err)
		}
		list := ipset.NewList(prefixes)
		for range 2000 {
			addr := randomAddr(r)
			if len(prefixes) > 0 && r.IntN(2) == 0 {
				addr = prefixes[r.IntN(len(prefixes))].Addr()
			}
			if got, want := list.Contains(addr), set.Contains(addr); got != want {
				t.Fatalf("%s in %v: got %v, want %v", addr, prefixes, got, want)
			}
		}
	}
}

// randomAddr returns addresses that are close to each other.
func randomAddr(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256))})
	}
	b := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint64(b[4:], r.Uint64()&0x3ff)
	return netip.AddrFrom16(b)
}

func randomPrefix(r *rand.Rand) netip.Prefix {
	addr := randomAddr(r)
	bits := 8 + r.IntN(25)
	if addr.Is6() {
		bits = 32 + r.IntN(97)
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

func TestListAllocatesNothing(t *testing.T) {
	l := ipset.NewList(prefixesOf(t, "10.0.0.0/8", "2001:db8::/32"))
	v4, v6 := netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { l.Find(v4); l.Find(v6) }); n != 0 {
		t.Errorf("Find allocates %v times", n)
	}
}

func BenchmarkListOf100000(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	prefixes := make([]netip.Prefix, 100_000)
	for i := range prefixes {
		prefixes[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(r.IntN(224)), byte(r.IntN(256)), byte(r.IntN(256)), 0}), 24)
	}
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			ipset.NewList(prefixes)
		}
	})
	l := ipset.NewList(prefixes)
	addrs := make([]netip.Addr, 4096)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{byte(r.IntN(224)), byte(r.IntN(256)), byte(r.IntN(256)), 9})
	}
	b.Run("find", func(b *testing.B) {
		i := 0
		for b.Loop() {
			l.Find(addrs[i%len(addrs)])
			i++
		}
	})
}

func prefixesOf(t *testing.T, texts ...string) []netip.Prefix {
	t.Helper()
	prefixes := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		var err error
		if prefixes[i], err = netip.ParsePrefix(text); err != nil {
			t.Fatal(err)
		}
	}
	return prefixes
}
