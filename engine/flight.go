package engine

import (
	"encoding/binary"
	"sync"

	"github.com/key-ip-sentinel/sentinel/store"
)

// flights knows every exchange under way by each of its keys, so that a change
// of a binding can cut what no longer matches it.
//
// An exchange is registered before its keys are looked up. So a change is
// either seen by the look-up, or finds the exchange here: nothing slips through
// between the two.
//
// It is a hash table with a lock for each slot, and lists that the exchanges
// themselves are the elements of: registering one allocates nothing.
type flights struct {
	slots [flightSlots]flightSlot
}

const flightSlots = 1 << 12

type flightSlot struct {
	mu   sync.Mutex
	head *flight
}

// flight is one exchange under one of its keys: an element of the list of its
// slot. Its fields are guarded by the slot's lock.
type flight struct {
	hash       store.KeyHash
	x          *Exchange
	key        int // which of x's keys
	prev, next *flight
}

func newFlights() *flights { return new(flights) }

func (fs *flights) slot(hash *store.KeyHash) *flightSlot {
	return &fs.slots[binary.LittleEndian.Uint16(hash[30:])%flightSlots]
}

func (fs *flights) add(f *flight) {
	s := fs.slot(&f.hash)
	s.mu.Lock()
	f.prev, f.next = nil, s.head
	if s.head != nil {
		s.head.prev = f
	}
	s.head = f
	s.mu.Unlock()
}

func (fs *flights) remove(f *flight) {
	s := fs.slot(&f.hash)
	s.mu.Lock()
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		s.head = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next, f.x = nil, nil, nil
	s.mu.Unlock()
}

// each calls do for every flight of a key, with the slot's lock held: none of
// them ends meanwhile, and do must not block.
func (fs *flights) each(hash store.KeyHash, do func(*flight)) {
	s := fs.slot(&hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := s.head; f != nil; f = f.next {
		if f.hash == hash {
			do(f)
		}
	}
}

// keys returns every key of an exchange that is registered.
func (fs *flights) keys() map[store.KeyHash]struct{} {
	keys := make(map[store.KeyHash]struct{})
	for i := range fs.slots {
		s := &fs.slots[i]
		s.mu.Lock()
		for f := s.head; f != nil; f = f.next {
			keys[f.hash] = struct{}{}
		}
		s.mu.Unlock()
	}
	return keys
}
