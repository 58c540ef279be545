package engine

import (
	"sync"

	"github.com/key-ip-sentinel/sentinel/store"
)

// flights knows every exchange under way by each of its keys, so that a change
// of a binding can cut what no longer matches it.
//
// An exchange is registered before its keys are looked up. So a change is
// either seen by the look-up, or finds the exchange here: nothing slips through
// between the two.
type flights struct {
	shards [flightShards]flightShard
}

const flightShards = 256

type flightShard struct {
	mu    sync.Mutex
	byKey map[store.KeyHash]*flight // head of a list
}

// flight is one exchange under one of its keys: an element of the list of all
// flights of that key. Its fields are guarded by the shard's lock.
type flight struct {
	hash       store.KeyHash
	x          *Exchange
	key        int // which of x's keys
	prev, next *flight
}

func newFlights() *flights {
	fs := new(flights)
	for i := range fs.shards {
		fs.shards[i].byKey = make(map[store.KeyHash]*flight)
	}
	return fs
}

func (fs *flights) shard(hash store.KeyHash) *flightShard { return &fs.shards[hash[31]] }

func (fs *flights) add(f *flight) {
	s := fs.shard(f.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.byKey[f.hash]
	f.prev, f.next = nil, head
	if head != nil {
		head.prev = f
	}
	s.byKey[f.hash] = f
}

func (fs *flights) remove(f *flight) {
	s := fs.shard(f.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case f.prev != nil:
		f.prev.next = f.next
	case f.next != nil:
		s.byKey[f.hash] = f.next
	default:
		delete(s.byKey, f.hash)
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next, f.x = nil, nil, nil
}

// each calls do for every flight of a key, with the shard's lock held: none
// of them ends meanwhile, and do must not block.
func (fs *flights) each(hash store.KeyHash, do func(*flight)) {
	s := fs.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := s.byKey[hash]; f != nil; f = f.next {
		do(f)
	}
}

// count returns how many exchanges are registered, each once for each key.
func (fs *flights) count() int {
	n := 0
	for i := range fs.shards {
		s := &fs.shards[i]
		s.mu.Lock()
		for _, f := range s.byKey {
			for ; f != nil; f = f.next {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
