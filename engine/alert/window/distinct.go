package window

import (
	"hash/maphash"
	"math"
	"math/bits"
)

// distinctBits is the size of the bitmap: 32 KiB, good for a million or two.
const distinctBits = 1 << 18

// Distinct estimates how many different things there were, within a few
// hundredths for up to a million (linear counting: Whang, Vander-Zanden, Taylor:
// A Linear-Time Probabilistic Counting Algorithm for Database Applications,
// 1990). The zero value has seen nothing. It is not safe for concurrent use.
type Distinct struct {
	seed maphash.Seed
	bits []uint64
	set  int
}

// Add notes a thing.
func (d *Distinct) Add(thing string) {
	if d.bits == nil {
		d.bits, d.seed = make([]uint64, distinctBits/64), maphash.MakeSeed()
	}
	h := maphash.String(d.seed, thing) % distinctBits
	before := d.bits[h/64]
	d.bits[h/64] |= 1 << (h % 64)
	d.set += bits.OnesCount64(d.bits[h/64]) - bits.OnesCount64(before)
}

// Count returns the estimate.
func (d *Distinct) Count() uint64 {
	free := max(distinctBits-d.set, 1)
	return uint64(math.Round(distinctBits * math.Log(float64(distinctBits)/float64(free))))
}
