// Package bindcache keeps the bindings in use in memory, before the store. It
// is the only importer of ristretto.
//
// Threat: a key is banned, and a request that comes after the ban was
// acknowledged is still let through by an older copy. Ristretto alone allows
// it: Set only queues a value, so a copy that was read before a change can
// appear in the cache after it, and a later Set of the same key may then be
// ignored. Answer: fills and changes of one key hold the same stripe lock, each
// takes the next number of its stripe, a fill before it reads, and a change leaves
// a mark with its number: a copy with a lower number is not believed, nor put into
// the cache. A mark is taken away only after ristretto has worked off everything
// that was queued before it.
//
// What others have changed, another node for instance, is in the store already when
// this process hears of it. To leave the mark needs no stripe lock then, which may be
// held for as long as a write takes: see Drop.
//
// Before ristretto stands a table of entries, two places for each key, where a hit
// costs one look at memory instead of a lock and a map. An entry is put there with
// the lock of its stripe's marks held, and never moved, so that a change, which holds
// that lock too, only has to empty the key's places.
package bindcache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Reader reads one binding from the store.
type Reader interface {
	// Binding returns the binding of a key, or store.ErrNotFound.
	Binding(ctx context.Context, hash store.KeyHash) (store.Binding, error)
}

// Networks tells what the names of networks stand for.
type Networks interface {
	// Set returns what a name stands for, now and later.
	Set(name string) *network.Set
}

const (
	stripes    = 8192 // so many that few keys wait for the write of another one
	sweepEvery = time.Second
	// Ristretto's own advice: ten counters for each entry it is to hold.
	countersPerEntry = 10
	getBuffer        = 64
)

// Cache is a read-through cache of bindings. Keys without a binding are not
// cached: each look-up of one reads the store. It is safe for concurrent use.
type Cache struct {
	reader   Reader
	networks Networks
	hot      [][2]atomic.Pointer[Entry] // by the first bits of the hash; a power of two
	entries  *ristretto.Cache[uint64, *Entry]
	stripes  [stripes]stripe

	stop    chan struct{}
	stopped sync.WaitGroup
	close   sync.Once
}

type stripe struct {
	mu sync.Mutex // held while a key is filled or changed by this process

	// marksMu guards what follows. It is held for moments only: so a hit never waits
	// for the write of another key of its stripe. Who holds both has locked mu first.
	marksMu sync.Mutex
	seq     uint64                   // of the last fill or change
	marks   map[store.KeyHash]uint64 // the seq of the last change, until swept
	marked  atomic.Int32             // len(marks), readable without a lock
	floor   atomic.Uint64            // no copy below it is believed, whatever its key
}

// New returns a cache of about so many entries before reader. While more keys than that
// are in use, it holds up to three times as many: those of the table, which has room
// for up to twice as many, are not always those of ristretto.
func New(reader Reader, networks Networks, entries int) (*Cache, error) {
	if entries < 1 {
		return nil, fmt.Errorf("cache of %d entries, want at least 1", entries)
	}
	r, err := ristretto.NewCache(&ristretto.Config[uint64, *Entry]{
		NumCounters:        int64(entries) * countersPerEntry,
		MaxCost:            int64(entries),
		BufferItems:        getBuffer,
		IgnoreInternalCost: true,
		// Keys are HMAC output already: nobody can choose them to collide.
		KeyToHash: func(k uint64) (uint64, uint64) { return k, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("create binding cache: %w", err)
	}
	// No larger than that its places are enough: an entry stays in its place until
	// another key takes it, so that after a flood of keys all places are taken.
	hot := make([][2]atomic.Pointer[Entry], 1<<bits.Len(uint(entries-1)/2)) // #nosec G115 -- not negative
	c := &Cache{reader: reader, networks: networks, hot: hot, entries: r, stop: make(chan struct{})}
	c.stopped.Go(c.sweep)
	return c, nil
}

// Capacity is about how many entries there is room for.
func (c *Cache) Capacity() int { return int(c.entries.MaxCost()) }

// Get returns the entry of a key, or nil if the key has no binding. An error
// is the store's. A hit allocates nothing and takes no lock.
func (c *Cache) Get(ctx context.Context, hash store.KeyHash) (*Entry, error) {
	places := c.places(hash)
	if e := places[0].Load(); e != nil && e.Hash == hash {
		return e, nil
	}
	if e := places[1].Load(); e != nil && e.Hash == hash {
		return e, nil
	}
	s := c.stripe(hash)
	if e, ok := c.entries.Get(slot(hash)); ok && e.Hash == hash {
		if s.believes(e) {
			return c.promote(s, e), nil
		}
	}
	return c.fill(ctx, s, hash, false)
}

// ReadAhead reads the binding of a key into the cache before anybody asks for it. An
// error is the store's.
func (c *Cache) ReadAhead(ctx context.Context, hash store.KeyHash) error {
	_, err := c.fill(ctx, c.stripe(hash), hash, true)
	return err
}

// places is where the table may have a key.
func (c *Cache) places(hash store.KeyHash) *[2]atomic.Pointer[Entry] {
	return &c.hot[slot(hash)&uint64(len(c.hot)-1)] // #nosec G115 -- not negative
}

// putLocked puts an entry into the table: in its own place, a free one, or that of
// another key.
func (c *Cache) putLocked(e *Entry) {
	places := c.places(e.Hash)
	at := int(e.Hash[len(e.Hash)-1] & 1)
	for i := range places {
		switch there := places[i].Load(); {
		case there != nil && there.Hash == e.Hash:
			places[i].Store(e)
			return
		case there == nil:
			at = i
		}
	}
	places[at].Store(e)
}

// promote puts an entry that ristretto had into the table, unless the key is being
// filled or changed just now, and returns the one to use. It asks ristretto again: a
// change since may have come and its mark gone, and then ristretto has lost the entry
// too.
func (c *Cache) promote(s *stripe, e *Entry) *Entry {
	if !s.mu.TryLock() {
		return e
	}
	defer s.mu.Unlock()
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	if there, ok := c.entries.Get(slot(e.Hash)); !ok || there != e || !s.believesLocked(e) {
		return e
	}
	if !e.ahead {
		c.putLocked(e)
		return e
	}
	used := e.renewed()
	c.keepLocked(used)
	return used
}

// fillAttempts is how often a key is read anew that others change meanwhile.
const fillAttempts = 3

func (c *Cache) fill(ctx context.Context, s *stripe, hash store.KeyHash, ahead bool) (*Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Another request may have filled it while this one waited for the lock.
	if e, ok := c.entries.Get(slot(hash)); ok && e.Hash == hash && s.believes(e) {
		return e, nil
	}
	for attempt := 1; ; attempt++ {
		seq := s.next()
		b, err := c.reader.Binding(ctx, hash)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look up binding: %w", err)
		}
		e, err := c.NewEntry(b)
		if err != nil {
			return nil, err
		}
		e.seq, e.ahead = seq, ahead
		// What is not put is right all the same: it was read after this Get began.
		if c.put(s, e) || attempt == fillAttempts {
			return e, nil
		}
	}
}

// put puts an entry into the cache, unless its key has been changed since it was read.
func (c *Cache) put(s *stripe, e *Entry) bool {
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	if !s.believesLocked(e) {
		return false
	}
	c.keepLocked(e)
	return true
}

func (c *Cache) keepLocked(e *Entry) {
	if !e.ahead {
		c.putLocked(e)
	}
	c.entries.Set(slot(e.Hash), e, 1)
}

// Change runs write, which changes the binding of a key in the store, so that
// no Get that begins after Change has returned sees what was there before.
// What write reports is returned; the older copy is dropped whatever it is,
// for a write that failed may have happened all the same.
func (c *Cache) Change(hash store.KeyHash, write func() error) error {
	s := c.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	err := write()
	c.Drop(hash)
	return err
}

// Replace does what Change does, of a write that returns the binding that the key has
// then. That is kept, unless others have changed it meanwhile: the next Get reads
// nothing, and waits for no write of another key.
func (c *Cache) Replace(hash store.KeyHash, write func() (store.Binding, error)) error {
	s := c.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.next()
	b, err := write()
	if err != nil {
		c.Drop(hash)
		return err
	}
	e, err := c.NewEntry(b)
	if err != nil {
		c.Drop(hash)
		return nil // a Get says the same
	}
	e.seq = seq
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	isLatest := s.believesLocked(e)
	c.dropLocked(s, hash)
	if isLatest {
		e.seq = s.seq
		c.keepLocked(e)
	}
	return nil
}

// ChangeMany runs write, which changes the bindings of many keys in the store.
// It promises what Change does, and that no Get that begins once write runs
// returns before it is done.
func (c *Cache) ChangeMany(hashes []store.KeyHash, write func() error) error {
	var locked [stripes]bool
	for _, hash := range hashes {
		locked[stripeIndex(hash)] = true
	}
	// In the order of their indexes, or two of these could wait for each other.
	for i := range c.stripes {
		if locked[i] {
			c.stripes[i].mu.Lock()
			defer c.stripes[i].mu.Unlock()
		}
	}
	for _, hash := range hashes {
		c.Drop(hash)
	}
	return write()
}

// Drop makes every copy of a key that was read until now one that is not believed, so
// that no Get that begins afterwards sees what was there before. It waits for no write.
func (c *Cache) Drop(hash store.KeyHash) {
	s := c.stripe(hash)
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	c.dropLocked(s, hash)
}

func (c *Cache) dropLocked(s *stripe, hash store.KeyHash) {
	s.seq++
	if s.marks == nil {
		s.marks = make(map[store.KeyHash]uint64)
	}
	s.marks[hash] = s.seq
	s.marked.Store(int32(len(s.marks))) //nolint:gosec // G115: at most one mark for each change within a sweep
	places := c.places(hash)
	for i := range places {
		if e := places[i].Load(); e != nil && e.Hash == hash {
			places[i].CompareAndSwap(e, nil) // or else another key has taken it
		}
	}
	c.entries.Del(slot(hash))
}

// DropAll does what Drop does, of all keys.
func (c *Cache) DropAll() {
	for i := range c.stripes {
		s := &c.stripes[i]
		s.marksMu.Lock()
		s.seq++
		s.floor.Store(s.seq)
		s.marksMu.Unlock()
	}
	// What is put from here on is above the floor; to empty its place does no harm.
	for i := range c.hot {
		for place := range c.hot[i] {
			c.hot[i][place].Store(nil)
		}
	}
}

// Close ends the sweeping. Gets and Changes after it go to the store.
func (c *Cache) Close() {
	c.close.Do(func() {
		close(c.stop)
		c.stopped.Wait()
		c.entries.Close()
	})
}

// next returns the number of a fill that begins now.
func (s *stripe) next() uint64 {
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	s.seq++
	return s.seq
}

// believes reports whether no change has come since an entry was read.
func (s *stripe) believes(e *Entry) bool {
	if s.marked.Load() == 0 {
		return e.seq >= s.floor.Load()
	}
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	return s.believesLocked(e)
}

func (s *stripe) believesLocked(e *Entry) bool { return e.seq >= max(s.floor.Load(), s.marks[e.Hash]) }

func (c *Cache) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
			c.sweepOnce()
		}
	}
}

// sweepOnce takes away the marks that nothing older can follow any more.
func (c *Cache) sweepOnce() {
	type mark struct {
		s    *stripe
		hash store.KeyHash
		seq  uint64
	}
	var seen []mark
	for i := range c.stripes {
		s := &c.stripes[i]
		if s.marked.Load() == 0 {
			continue
		}
		s.marksMu.Lock()
		for hash, seq := range s.marks {
			seen = append(seen, mark{s, hash, seq})
		}
		s.marksMu.Unlock()
	}
	if len(seen) == 0 {
		return
	}
	c.entries.Wait() // every copy older than these marks was queued before
	for _, m := range seen {
		m.s.forget(m.hash, m.seq)
	}
}

// forget takes a mark away, unless a later change has left another one. A fill that
// has read before the change must have ended, which is what mu is for.
func (s *stripe) forget(hash store.KeyHash, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	if s.marks[hash] == seq {
		delete(s.marks, hash)
		s.marked.Store(int32(len(s.marks))) //nolint:gosec // G115: as above
	}
}

func (c *Cache) stripe(hash store.KeyHash) *stripe { return &c.stripes[stripeIndex(hash)] }

func stripeIndex(hash store.KeyHash) int { return int(binary.LittleEndian.Uint16(hash[8:]) % stripes) }

func slot(hash store.KeyHash) uint64 { return binary.LittleEndian.Uint64(hash[:]) }
