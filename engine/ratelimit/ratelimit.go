// Package ratelimit limits how often one client IP may call.
//
// It is the generic cell rate algorithm (GCRA, ITU-T I.371), which allows what
// a token bucket allows and needs one number an address: the theoretical
// arrival time, at which the address has its whole burst again. An entry whose
// time has passed says the same as no entry, so dropping it loses nothing.
package ratelimit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"
)

// Bounds and defaults of Options.
const (
	MaxPerMinute        = 1_000_000
	MaxBurst            = 1_000_000
	DefaultMaxAddresses = 1 << 20
	maxMaxAddresses     = 1 << 26
)

const (
	maxShards     = 256
	minShardLimit = 64 // fewer addresses a shard are not worth a shard
)

// Options are the settings of a Limiter.
type Options struct {
	PerMinute int // requests a minute in the long run, 1 to MaxPerMinute
	Burst     int // requests at once, 1 to MaxBurst; 0 means PerMinute
	// MaxAddresses bounds how many addresses are kept at a time, give or take
	// a few per cent as they spread over the shards. 0 means
	// DefaultMaxAddresses, a little over a million, which take about 40 MB.
	MaxAddresses int
}

// Limiter limits requests by client IP. It is safe for concurrent use. A nil
// *Limiter allows everything.
//
// IPv4 addresses count one by one, IPv6 addresses by their /64, which is what
// one customer has at least. The addresses of a NAT64 translator (64:ff9b::/96)
// are in a single /64, and count as the IPv4 addresses inside.
//
// Memory is bounded. While there is room nothing that counts is dropped. When
// as many addresses are kept as may be, and all of them still count, a new one
// takes the place of one that is closest to having its whole burst again (the
// closest of a few picked at random): it is forgiven what little it used.
// Nobody is refused for lack of room, and whoever is at the limit is dropped
// last. So somebody with a million addresses can have addresses of others
// forgotten early, which lets those make a few more requests, and never fewer.
type Limiter struct {
	interval  int64 // nanoseconds that one request costs
	tolerance int64 // interval times burst
	seed      maphash.Seed
	mask      uint64
	shards    []shard
}

// New returns a Limiter that knows no address yet. The error tells all faults
// of the options at once.
func New(o Options) (*Limiter, error) {
	if o.Burst == 0 {
		o.Burst = o.PerMinute
	}
	if o.MaxAddresses == 0 {
		o.MaxAddresses = DefaultMaxAddresses
	}
	if err := errors.Join(
		between("requests a minute", o.PerMinute, MaxPerMinute),
		between("burst", o.Burst, MaxBurst),
		between("addresses", o.MaxAddresses, maxMaxAddresses),
	); err != nil {
		return nil, err
	}
	shards := maxShards
	for shards > 1 && o.MaxAddresses/shards < minShardLimit {
		shards /= 2
	}
	interval := int64(time.Minute) / int64(o.PerMinute)
	l := &Limiter{
		interval:  interval,
		tolerance: interval * int64(o.Burst),
		seed:      maphash.MakeSeed(),
		mask:      uint64(shards) - 1,
		shards:    make([]shard, shards),
	}
	for i := range l.shards {
		l.shards[i].limit = o.MaxAddresses / shards
	}
	return l, nil
}

func between(name string, n, highest int) error {
	if n < 1 || n > highest {
		return fmt.Errorf("rate limit: %s: %d is not between 1 and %d", name, n, highest)
	}
	return nil
}

// Allow reports whether a request of addr at now is within the limit, and
// counts it if it is. If it is not, retryAfter is how long from now until the
// next one will be; a refused request costs nothing. All requests without a
// valid address count as those of one address.
//
// The clock may be set: back, an address waits for one request's interval at
// most, instead of until the clock has caught up; forth, it has its burst again.
func (l *Limiter) Allow(addr netip.Addr, now time.Time) (ok bool, retryAfter time.Duration) {
	if l == nil {
		return true, 0
	}
	key := keyOf(addr)
	// Seeded, so that nobody can choose addresses that share a shard.
	s := &l.shards[maphash.Comparable(l.seed, key)&l.mask]
	wait := s.take(key, now.UnixNano(), l.interval, l.tolerance)
	return wait == 0, time.Duration(wait)
}

// Addresses returns how many addresses are kept, for metrics. Some may have
// their whole burst again.
func (l *Limiter) Addresses() int {
	if l == nil {
		return 0
	}
	n := 0
	for i := range l.shards {
		n += l.shards[i].size()
	}
	return n
}

// Forgotten returns how many addresses were dropped for lack of room while they
// still counted, for metrics. It should stay 0.
func (l *Limiter) Forgotten() uint64 {
	if l == nil {
		return 0
	}
	var n uint64
	for i := range l.shards {
		n += l.shards[i].forgotten()
	}
	return n
}

// nat64 is the upper half of 64:ff9b::/96.
const nat64 = 0x0064_ff9b_0000_0000

// keyOf packs what counts of an address: the upper half of IPv6, and IPv4 as
// ffff:ffff:a.b.c.d::, which is a multicast address and so no client's.
func keyOf(addr netip.Addr) uint64 {
	const four = 0xffff_ffff_0000_0000
	if !addr.IsValid() {
		return 0xffff_fffe_0000_0000
	}
	b := addr.As16()
	upper, lower := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if addr.Is4() || addr.Is4In6() || upper == nat64 && lower>>32 == 0 {
		return four | lower&0xffff_ffff
	}
	return upper
}
