package alert

import (
	"net/netip"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// BenchmarkIntercept is what the writer of intercepts pays for each record, and
// BenchmarkDecide what it costs behind its back.
func BenchmarkIntercept(b *testing.B) {
	c := open(b, options(memory.New(), &outbox{}))
	defer closeCenter(b, c)
	rec := intercept(1)
	b.ReportAllocs()
	for b.Loop() {
		c.Intercept(rec, 1)
	}
}

// BenchmarkDecide looks at intercepts of a hundred thousand keys, more than are
// counted at a time.
func BenchmarkDecide(b *testing.B) {
	c := open(b, options(memory.New(), &outbox{}))
	defer closeCenter(b, c)
	rec := intercept(1)
	rec.ClientIP = netip.MustParseAddr("198.51.100.7")
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		rec.Hash = hashOf(n % 100_000)
		rec.Last = time.Now()
		c.see(sawIntercept(rec, 1))
	}
}
