// Package ratelimit limits how often one client IP may call.
//
// It is the generic cell rate algorithm (GCRA, ITU-T I.371), which allows what
// a token bucket allows and needs one number an address: the theoretical
// arrival time, at which the address has its whole burst again. An entry whose
// time has passed says the same as no entry, so dropping it loses nothing.
//
// Several nodes limit together by telling each other what they have let pass:
// Taken and Charge. Each decides by itself at once, and so may let pass what it
// does not yet know to be too much: within the time d that it takes to hear of the
// others, each of n nodes lets pass no more than it would alone. So an address
// that comes to all of them at the same moment gets n bursts at most instead of
// one. What was too much is a debt, of up to MaxDebt bursts, that it waits for:
// in the long run all nodes together let pass PerMinute, and a limit that was
// reached is exceeded by what one node lets pass within d, once each time that it
// recovers.
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
	// MaxDebt is how many bursts of what other nodes have let pass are waited for
	// at most.
	MaxDebt = 8
	// maxTaken is how many addresses of one shard wait to be told of.
	maxTaken = 1024
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
	// Shared has what is let pass kept for Taken.
	Shared bool
}

// Use is what was let pass of one address, or of a /64: Key stands for it, at all
// nodes.
type Use struct {
	Key uint64
	N   uint32
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
	debt      int64 // beyond the tolerance, what other nodes have let pass
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
		if o.Shared {
			l.shards[i].taken = map[uint64]uint32{}
		}
	}
	if o.Shared {
		l.debt = MaxDebt * l.tolerance
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
// most, or for its debt, instead of until the clock has caught up; forth, it has its
// burst again.
func (l *Limiter) Allow(addr netip.Addr, now time.Time) (ok bool, retryAfter time.Duration) {
	if l == nil {
		return true, 0
	}
	key := keyOf(addr)
	wait := l.shardOf(key).take(key, now.UnixNano(), l.interval, l.tolerance, l.debt)
	return wait == 0, time.Duration(wait)
}

// shardOf is seeded, so that nobody can choose addresses that share a shard.
func (l *Limiter) shardOf(key uint64) *shard {
	return &l.shards[maphash.Comparable(l.seed, key)&l.mask]
}

// Taken returns what was let pass since the last call, of up to limit addresses. The
// rest waits for the next call; so does what there is no room for, which is left out:
// then the other nodes know of less.
func (l *Limiter) Taken(limit int) []Use {
	if l == nil {
		return nil
	}
	var uses []Use
	for i := range l.shards {
		uses = l.shards[i].give(uses, limit)
	}
	return uses
}

// Charge counts what another node has let pass.
func (l *Limiter) Charge(uses []Use, now time.Time) {
	if l == nil {
		return
	}
	for _, u := range uses {
		l.shardOf(u.Key).charge(u, now.UnixNano(), l.interval, l.tolerance+l.debt)
	}
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
