// Package catalog keeps in memory what bindings are searched and ordered by, so
// that any page of a million of them is one scan of memory.
package catalog

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
	"unique"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt/fold"
)

// shards is how many parts the rows are in, by the first bits of the hash: an
// insertion moves the rows of one part only, some 20 KB of a million bindings.
const shards = 1 << shardBits

const shardBits = 12

// Catalog is the searchable part of all bindings and their usage. It is not safe
// for concurrent use.
type Catalog struct {
	shards [shards][]row // each in the order of hashes
	extras []extra
	free   []uint32 // indexes of extras that are not in use
}

// row is one binding in 80 bytes, without a pointer for the garbage collector
// to follow. What does not fit is in an extra.
type row struct {
	hash    store.KeyHash
	created int64 // ms
	used    int64 // ms; never if it was never used
	hits    uint64
	net     uint64 // of the only prefix: the first 64 bits of its address
	bits    uint8  // of the only prefix: its length
	hintLen uint8
	flags   uint16
	hint    [hintBytes]byte // with flagExtra, the index of the extra
}

// hintBytes is as long as the hint of nearly all keys: sk-, two characters, … and
// four characters.
const hintBytes = 12

// What a row is.
const (
	flagBanned   uint16 = 1 << iota
	flagSingle          // the kind of rule, as are the next three
	flagMultiple        //
	flagAll             //
	flagLearn           //
	flagReturned        // was archived before
	flagPrefix          // net and bits have the only prefix
	flagV6              // which is one of IPv6
	flagFold            // its hint or label is not simple, as package fold has it
	flagExtra           // has an extra, in which its hint and label are
	flagNamed           // its rule names networks, which are in the extra
)

// extra is what few bindings have.
type extra struct {
	hint, label []byte
	sources     *sources // nil: net and bits of the row say all
}

// sources is what a rule lets pass that does not fit into a row.
type sources struct {
	prefixes []netip.Prefix // in order, none within another
	networks []name
}

// name is that of a network, of which many rows may have the same.
type name = unique.Handle[string]

func namesOf(texts []string) (names []name) {
	for _, text := range texts {
		names = append(names, unique.Make(text))
	}
	return names
}

// Len returns the number of bindings.
func (c *Catalog) Len() (n int) {
	for _, rows := range c.shards {
		n += len(rows)
	}
	return n
}

// Put adds a binding that was never used, or takes the place of the one of the
// same key, whose usage stays.
func (c *Catalog) Put(b store.Binding) {
	i, found := c.index(b.Hash)
	shard := &c.shards[shardOf(b.Hash)]
	if !found {
		*shard = insert(*shard, i, c.newRow(b, store.Usage{}))
		return
	}
	r := &(*shard)[i]
	used, hits := r.used, r.hits
	c.drop(r)
	*r = c.newRow(b, store.Usage{})
	r.used, r.hits = used, hits
}

// SetUsage sets the usage of a binding, if there is one.
func (c *Catalog) SetUsage(hash store.KeyHash, lastUsed time.Time, hits uint64) {
	if i, found := c.index(hash); found {
		r := &c.shards[shardOf(hash)][i]
		r.used, r.hits = lastUsed.UnixMilli(), hits
	}
}

// Delete removes a binding, if it is there.
func (c *Catalog) Delete(hash store.KeyHash) {
	if i, found := c.index(hash); found {
		shard := &c.shards[shardOf(hash)]
		c.drop(&(*shard)[i])
		*shard = slices.Delete(*shard, i, i+1)
	}
}

func shardOf(hash store.KeyHash) int {
	return int(binary.BigEndian.Uint16(hash[:]) >> (16 - shardBits))
}

// index returns where the row of a key is in its shard, or would be.
func (c *Catalog) index(hash store.KeyHash) (i int, found bool) {
	rows := c.shards[shardOf(hash)]
	lo, hi := 0, len(rows)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1) // #nosec G115 -- not negative
		if bytes.Compare(rows[mid].hash[:], hash[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(rows) && rows[lo].hash == hash
}

// insert grows a shard by little: append would double it.
func insert(rows []row, i int, r row) []row {
	if len(rows) == cap(rows) {
		rows = append(make([]row, 0, roomFor(len(rows)+1)), rows...)
	}
	return slices.Insert(rows, i, r)
}

// roomFor is the capacity that a shard of n rows gets.
func roomFor(n int) int { return n + n/16 + 1 }

// newRow makes a row, with an extra where it needs one.
func (c *Catalog) newRow(b store.Binding, u store.Usage) row {
	r := row{hash: b.Hash, created: b.CreatedAt.UnixMilli(), used: u.LastUsed.UnixMilli(), hits: u.Hits, flags: flagsOf(b)}
	prefixes := b.Rule.Prefixes
	if len(prefixes) == 1 && r.setPrefix(prefixes[0]) {
		prefixes = nil
	}
	e := extra{sources: newSources(prefixes, b.Rule.Networks)}
	if e.sources == nil && b.Label == "" && len(b.Hint) <= hintBytes {
		r.hintLen = uint8(copy(r.hint[:], b.Hint)) // #nosec G115 -- at most hintBytes
		return r
	}
	r.flags |= flagExtra
	e.hint, e.label = []byte(b.Hint), []byte(b.Label)
	binary.NativeEndian.PutUint32(r.hint[:], c.keep(e))
	return r
}

// newSources returns nil for nothing.
func newSources(prefixes []netip.Prefix, networks []string) *sources {
	if len(prefixes) == 0 && len(networks) == 0 {
		return nil
	}
	return &sources{prefixes: disjoint(prefixes), networks: namesOf(networks)}
}

func flagsOf(b store.Binding) (flags uint16) {
	switch b.Rule.Kind {
	case store.RuleSingle:
		flags = flagSingle
	case store.RuleMultiple:
		flags = flagMultiple
	case store.RuleAll:
		flags = flagAll
	case store.RuleLearn:
		flags = flagLearn
	}
	if len(b.Rule.Networks) > 0 {
		flags |= flagNamed
	}
	if b.Status == store.StatusBanned {
		flags |= flagBanned
	}
	if !b.ArchivedBefore.IsZero() {
		flags |= flagReturned
	}
	if !fold.IsSimple([]byte(b.Hint)) || !fold.IsSimple([]byte(b.Label)) {
		flags |= flagFold
	}
	return flags
}

// setPrefix takes a prefix of which the first 64 bits are all.
func (r *row) setPrefix(p netip.Prefix) bool {
	if p.Bits() < 0 || p.Bits() > 64 {
		return false
	}
	r.flags |= flagPrefix
	if p.Addr().Is6() {
		r.flags |= flagV6
	}
	r.net, r.bits = firstBits(p.Addr()), uint8(p.Bits()) // #nosec G115 -- at most 64
	return true
}

// firstBits returns the first 64 bits of an address; those of an IPv4 address
// are followed by zeros.
func firstBits(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])) << 32
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:])
}

// keep stores an extra, and returns its index.
func (c *Catalog) keep(e extra) uint32 {
	if n := len(c.free); n > 0 {
		i := c.free[n-1]
		c.free = c.free[:n-1]
		c.extras[i] = e
		return i
	}
	c.extras = append(c.extras, e)
	return uint32(len(c.extras) - 1) // #nosec G115 -- four billion bindings do not fit into memory
}

// drop gives the extra of a row free.
func (c *Catalog) drop(r *row) {
	if r.flags&flagExtra != 0 {
		i := binary.NativeEndian.Uint32(r.hint[:])
		c.extras[i] = extra{}
		c.free = append(c.free, i)
	}
}

func (c *Catalog) extraOf(r *row) *extra { return &c.extras[binary.NativeEndian.Uint32(r.hint[:])] }

func (c *Catalog) hintOf(r *row) []byte {
	if r.flags&flagExtra != 0 {
		return c.extraOf(r).hint
	}
	return r.hint[:r.hintLen]
}

func (c *Catalog) labelOf(r *row) []byte {
	if r.flags&flagExtra != 0 {
		return c.extraOf(r).label
	}
	return nil
}

// disjoint returns prefixes in order, without those that are within another.
func disjoint(prefixes []netip.Prefix) []netip.Prefix {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	kept := sorted[:0]
	for _, p := range sorted {
		if len(kept) == 0 || !kept[len(kept)-1].Overlaps(p) {
			kept = append(kept, p)
		}
	}
	return slices.Clip(kept)
}

// overlapsAny reports whether a network overlaps one of those that disjoint
// returned: the last one that begins at or before it may contain it, the first
// one that begins behind may be within it.
func overlapsAny(prefixes []netip.Prefix, network netip.Prefix) bool {
	i, _ := slices.BinarySearchFunc(prefixes, network, func(p, n netip.Prefix) int {
		if c := p.Addr().Compare(n.Addr()); c != 0 {
			return c
		}
		return -1 // of those that begin together, i is behind
	})
	return i > 0 && prefixes[i-1].Overlaps(network) || i < len(prefixes) && prefixes[i].Overlaps(network)
}

// Loader fills a catalog with bindings in the order of their hashes.
type Loader struct {
	catalog *Catalog
	shard   int   // the one that is filled now
	rows    []row // its rows, until it is full
}

// NewLoader returns a Loader of an empty catalog.
func NewLoader() *Loader { return &Loader{catalog: new(Catalog)} }

// Add adds a binding whose hash is above those of all before.
func (l *Loader) Add(b store.Binding, u store.Usage) {
	if shard := shardOf(b.Hash); shard != l.shard {
		l.flush()
		l.shard = shard
	}
	l.rows = append(l.rows, l.catalog.newRow(b, u))
}

// Catalog returns the catalog. The Loader must not be used any more.
func (l *Loader) Catalog() *Catalog {
	l.flush()
	return l.catalog
}

func (l *Loader) flush() {
	if len(l.rows) > 0 {
		l.catalog.shards[l.shard] = append(make([]row, 0, roomFor(len(l.rows))), l.rows...)
		l.rows = l.rows[:0]
	}
}
