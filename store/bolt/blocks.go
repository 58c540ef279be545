package bolt

import (
	"math"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Intercepts are in blocks of so many IDs. For each block there is a summary, by
// which a search passes over it without a look at its records: most searches are
// for one key or a time, and few records of a million are of that.
const blockBits = 10

// filterBytes is the size of the Bloom filter of a block, with eight bits a
// record: a block without a key is passed over in 97 of 100 cases.
const filterBytes = 1 << blockBits

// block is the summary of a block: it may tell of more than there is, but never of
// less.
type block struct {
	min, max int64  // At of all records lie within, in ms
	filter   []byte // of their key hashes
}

func blockOf(id uint64) uint64 { return id >> blockBits }

// firstOf returns the first ID of a block.
func firstOf(number uint64) uint64 { return number << blockBits }

func newBlock() *block {
	return &block{min: math.MaxInt64, max: math.MinInt64, filter: make([]byte, filterBytes)}
}

// parseBlock returns nil for what is no summary.
func parseBlock(value []byte) *block {
	const times = 16
	if len(value) != times+filterBytes {
		return nil
	}
	return &block{
		min:    int64(be.Uint64(value)),     // #nosec G115 -- as encoded
		max:    int64(be.Uint64(value[8:])), // #nosec G115 -- as encoded
		filter: value[times:],
	}
}

func (b *block) encode() []byte {
	value := be.AppendUint64(make([]byte, 0, 16+filterBytes), uint64(b.min)) // #nosec G115 -- decoded the same way
	value = be.AppendUint64(value, uint64(b.max))                            // #nosec G115 -- decoded the same way
	return append(value, b.filter...)
}

func (b *block) add(hash store.KeyHash, at int64) {
	b.min, b.max = min(b.min, at), max(b.max, at)
	for _, bit := range filterBits(hash) {
		b.filter[bit/8] |= 1 << (bit % 8)
	}
}

// mayHave reports whether a record of a key may be in the block.
func (b *block) mayHave(hash store.KeyHash) bool {
	for _, bit := range filterBits(hash) {
		if b.filter[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

// filterBits returns the bits of a key hash, which is as good as random already.
func filterBits(hash store.KeyHash) [3]uint64 {
	const bits = filterBytes * 8
	h := be.Uint64(hash[:])
	return [3]uint64{h % bits, h / bits % bits, h / bits / bits % bits}
}

// mayMatch reports whether a record of the block may be chosen.
func (b *block) mayMatch(f *store.InterceptFilter) bool {
	before := f.Time.Before.IsZero() || b.min < ceilMs(f.Time.Before)
	since := f.Time.Since.IsZero() || b.max >= ceilMs(f.Time.Since)
	return before && since && (f.Hash.IsZero() || b.mayHave(f.Hash))
}

// blockAt reads the summary of a block; nil if there is none, as for those that
// were filled before format 3.
func blockAt(tx *bbolt.Tx, number uint64) *block {
	return parseBlock(mustBucket(tx, bucketBlocks).Get(interceptKey(number)))
}

// openBlock returns the summary of a block, to be added to. One that is not there
// is made from the records of the block.
func (w *writeTx) openBlock(number uint64) (*block, error) {
	if b := blockAt(w.tx, number); b != nil {
		own := newBlock()
		own.min, own.max = b.min, b.max
		copy(own.filter, b.filter)
		return own, nil
	}
	b := newBlock()
	c := w.bucket(bucketIntercepts).Cursor()
	for k, v := c.Seek(interceptKey(firstOf(number))); len(k) == 8 && blockOf(be.Uint64(k)) == number; k, v = c.Next() {
		h, err := cutInterceptHead(v)
		if err != nil {
			return nil, err
		}
		b.add(h.hash, h.at)
	}
	return b, nil
}

func (w *writeTx) putBlock(number uint64, b *block) error {
	w.bucket(bucketBlocks).FillPercent = 0.95 // it grows at its end only
	return w.put(bucketBlocks, interceptKey(number), b.encode())
}

// dropIfEmpty removes the summary of a block without a record.
func (w *writeTx) dropIfEmpty(number uint64) error {
	k, _ := w.bucket(bucketIntercepts).Cursor().Seek(interceptKey(firstOf(number)))
	if len(k) == 8 && blockOf(be.Uint64(k)) == number {
		return nil
	}
	return w.remove(bucketBlocks, interceptKey(number))
}
