package ratelimit

import (
	"sync"
	"time"
)

const (
	// evictSample is how many addresses are looked at to evict one.
	evictSample = 16
	// sweepEvery is the longest time between two sweeps of a shard in use.
	sweepEvery = int64(time.Minute)
	// minSweep is the size below which a shard is not swept for its size.
	minSweep = 64
)

// shard is the part of the addresses that share a lock.
type shard struct {
	mu       sync.Mutex
	arrivals map[uint64]int64  // theoretical arrival times, in Unix nanoseconds
	limit    int               // most entries of arrivals
	sweepAt  int               // size at which to sweep
	inserts  int               // since the last sweep
	swept    int64             // time of the last sweep
	peak     int               // largest size since arrivals was made
	dropped  uint64            // entries that were evicted while they counted
	taken    map[uint64]uint32 // what was let pass, for other nodes; nil: there are none

	_ [64]byte // fills a pair of cache lines, so that shards do not share one
}

// take counts a request of key at now, or returns how long it must wait.
func (s *shard) take(key uint64, now, interval, tolerance, debt int64) (wait int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arrival, known := s.arrivals[key]
	if arrival > now+tolerance+debt { // only after the clock was set back
		arrival = now + tolerance + debt
		s.arrivals[key] = arrival
	}
	arrival = max(arrival, now) + interval
	if wait = arrival - tolerance - now; wait > 0 {
		return wait
	}
	if !known {
		s.makeRoomLocked(now)
	}
	s.arrivals[key] = arrival
	if s.taken != nil {
		s.noteLocked(key)
	}
	return 0
}

// noteLocked keeps a use for the other nodes, if there is room.
func (s *shard) noteLocked(key uint64) {
	if n := s.taken[key]; n > 0 || len(s.taken) < maxTaken {
		s.taken[key] = n + 1
	}
}

// give moves what was let pass into uses, up to limit of them.
func (s *shard) give(uses []Use, limit int) []Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, n := range s.taken {
		if len(uses) >= limit {
			break
		}
		uses = append(uses, Use{key, n})
		delete(s.taken, key)
	}
	return uses
}

// charge counts requests that were let pass elsewhere, up to a debt.
func (s *shard) charge(u Use, now, interval, most int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arrival, known := s.arrivals[u.Key]
	if !known {
		s.makeRoomLocked(now)
	}
	// As many as would be a debt of more say no more.
	n := min(int64(u.N), most/interval+1)
	s.arrivals[u.Key] = min(max(arrival, now)+n*interval, now+most)
}

// makeRoomLocked makes room for one more entry. Sweeping costs a look at every
// entry, so it is done when the shard has doubled, or when a quarter of a full
// one has been replaced: a few entries for each insert on average.
func (s *shard) makeRoomLocked(now int64) {
	s.inserts++
	full := len(s.arrivals) >= s.limit
	switch age := now - s.swept; {
	case s.arrivals == nil,
		full && s.inserts > s.limit/4,
		!full && len(s.arrivals) >= s.sweepAt,
		age >= sweepEvery, age < 0:
		s.sweepLocked(now)
	}
	if len(s.arrivals) >= s.limit {
		s.evictLocked(now)
	}
	s.peak = max(s.peak, len(s.arrivals)+1)
}

// sweepLocked drops the entries whose time has passed. Maps do not shrink, so
// one that is mostly empty is replaced.
func (s *shard) sweepLocked(now int64) {
	for key, arrival := range s.arrivals {
		if arrival <= now {
			delete(s.arrivals, key)
		}
	}
	size := len(s.arrivals)
	if s.arrivals == nil || s.peak >= minSweep && size < s.peak/4 {
		kept := make(map[uint64]int64, size)
		for key, arrival := range s.arrivals {
			kept[key] = arrival
		}
		s.arrivals, s.peak = kept, size
	}
	s.sweepAt = min(max(2*size, minSweep), s.limit)
	s.inserts, s.swept = 0, now
}

// evictLocked drops one entry: the earliest of a few. The order of a map begins
// at a random place.
func (s *shard) evictLocked(now int64) {
	var (
		victim   uint64
		earliest int64
		seen     int
	)
	for key, arrival := range s.arrivals {
		if seen == 0 || arrival < earliest {
			victim, earliest = key, arrival
		}
		if seen++; seen == evictSample {
			break
		}
	}
	if earliest > now {
		s.dropped++
	}
	delete(s.arrivals, victim)
}

func (s *shard) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.arrivals)
}

func (s *shard) forgotten() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}
