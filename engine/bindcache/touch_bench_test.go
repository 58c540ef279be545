package bindcache

import (
	"net/netip"
	"testing"
	"time"
)

// BenchmarkTouch is a use of a key: from the one address of its rule, always from one
// of several, from several in turn, and from more than are told apart.
func BenchmarkTouch(b *testing.B) {
	for _, c := range []struct {
		name      string
		rule      string
		addresses int
	}{{"one address", "10.0.0.0/32", 1}, {"always the same", "10.0.0.0/8", 1}, {"two in turn", "10.0.0.0/8", 2}, {"sixteen in turn", "10.0.0.0/8", 16}, {"hundred in turn", "10.0.0.0/8", 100}} {
		b.Run(c.name, func(b *testing.B) {
			e, err := newEntry(bound(1, c.rule))
			if err != nil {
				b.Fatal(err)
			}
			list := make([]netip.Addr, c.addresses)
			for i := range list {
				list[i] = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) // #nosec G115 -- small
				e.Touch(list[i])
			}
			e.TakeUsage(time.UnixMilli(1))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Touch(list[i%len(list)])
			}
		})
	}
}
