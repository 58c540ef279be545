package ratelimit_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
)

func BenchmarkAllow(b *testing.B) {
	const many = ratelimit.DefaultMaxAddresses
	b.Run("known", func(b *testing.B) {
		l := newLimiter(b, 600, 100, 0)
		b.ReportAllocs()
		for b.Loop() {
			l.Allow(client, start)
		}
	})
	b.Run("one of a million", func(b *testing.B) {
		l := newLimiter(b, 600, 100, 0)
		for i := range many {
			l.Allow(nth(i), start)
		}
		var workers atomic.Int64
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for i := int(workers.Add(1)) << 18; pb.Next(); i += 7919 {
				l.Allow(nth(i%many), start)
			}
		})
	})
	b.Run("new, full of live ones", func(b *testing.B) {
		l := newLimiter(b, 600, 100, 0)
		for i := range many {
			l.Allow(nth(i), start)
		}
		b.ReportAllocs()
		i := many
		for b.Loop() {
			l.Allow(nth(i), start)
			i++
		}
	})
	b.Run("new, as many expire", func(b *testing.B) {
		l := newLimiter(b, 60, 100, 0) // a request counts for a second: half a million of them
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			l.Allow(nth(i), start.Add(time.Duration(i)*2*time.Microsecond))
			i++
		}
	})
}

// BenchmarkMemory reports what one address costs when the limiter is full, and
// the most it costs on the way there.
func BenchmarkMemory(b *testing.B) {
	const step = ratelimit.DefaultMaxAddresses / 16
	var full, most float64
	for b.Loop() {
		before := heap()
		l := newLimiter(b, 60, 1, 0)
		most = 0
		for i := range ratelimit.DefaultMaxAddresses {
			l.Allow(nth(i), start)
			if i%step == step-1 {
				full = heap() - before
				most = max(most, full)
			}
		}
		full /= float64(l.Addresses())
		runtime.KeepAlive(l)
	}
	b.ReportMetric(full, "B/address")
	b.ReportMetric(most/(1<<20), "MiB-most")
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
