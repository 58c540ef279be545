package bolt

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// The history of a key is in a bucket beside the one of its usage, and is written
// much less often: usage tells the rest. A key that is used from the address from
// which it was used last, on the day on which it was used last, changes nothing in
// its history, for
//
//   - what was allowed on the newest day is what the usage has counted, less what
//     it had counted when the day began (base);
//   - what of that is of no other network is of the one that was used last;
//   - the last time of the address that was used last is the last use.
//
// So nearly all touches write the dense pages of usage only, and a key costs
// one write of its history a day, and one for each change of its address. Nothing
// is estimated: what comes back is what store.Usage.Add says.
//
// A value begins with flags. If there are days, the newest one follows (in days
// since 1970), base, what was refused on the newest day, the number of earlier
// days, and for each of these, the newest first, how many days it is before the one
// after it, and what was allowed and refused. If there are networks, these follow, as
// history_networks.go has them. To the end, there follow the addresses: for each the
// length of its bytes, its bytes, its first time in ms, and how long after that its
// last time is. All numbers are varints, signed ones where they may be negative.
const (
	historyDays     = 1 << iota // there are days
	historyKnown                // the address that was used last is among the addresses
	historyNetworks             // there are networks: always where there are days, but in values of formats before 4
)

// emptyHistory is the length of a value without days and addresses.
const emptyHistory = 1

// history is a value, taken apart.
type history struct {
	days      []store.DayUse // oldest first; Allowed of the last one is not set
	base      uint64
	networks  []dayNetworks      // of the days, the newest first; none: unknown
	addresses []store.AddressUse // in no order
}

// complete returns the usage with its history.
func (h *history) complete(u store.Usage) store.Usage {
	u.Days, u.Addresses = h.days, h.addresses
	if n := len(u.Days); n > 0 {
		u.Days[n-1].Allowed = u.Hits - min(h.base, u.Hits)
		h.completeNetworks(u)
	}
	for i, a := range u.Addresses {
		if a.IP == u.LastIP && u.LastUsed.After(a.Last) {
			u.Addresses[i].Last = u.LastUsed
		}
	}
	slices.SortFunc(u.Addresses, func(a, b store.AddressUse) int { return cmp.Or(b.Last.Compare(a.Last), a.IP.Compare(b.IP)) })
	return u
}

// covers reports whether a touch leaves a history as it is. It does not decode it.
func covers(past []byte, u store.Usage, t store.Touch) bool {
	if len(past) == 0 || past[0] != historyDays|historyKnown|historyNetworks ||
		t.Hits == 0 || t.Refused > 0 || t.LastIP != u.LastIP || len(t.Addresses) > 0 || t.Elsewhere > 0 {
		return false
	}
	at := store.StoredTime(t.LastUsed)
	newest, _ := binary.Varint(past[1:])
	return !at.Before(u.LastUsed) && newest == dayNumber(at)
}

const secondsPerDay = 24 * 60 * 60

// dayNumber returns the day of a time, in days since 1970.
func dayNumber(t time.Time) int64 {
	return t.Truncate(secondsPerDay*time.Second).Unix() / secondsPerDay
}

// encodeHistory returns the value of the history of a usage that is whole.
func encodeHistory(u store.Usage) []byte {
	out := make([]byte, emptyHistory, 64)
	if len(u.Days) > 0 {
		out[0] |= historyDays | historyNetworks
		out = appendDays(out, u)
		out = appendNetworks(out, u)
	}
	for _, a := range u.Addresses {
		if a.IP == u.LastIP {
			out[0] |= historyKnown
		}
		out = appendAddr(out, a.IP)
		out = binary.AppendVarint(out, a.First.UnixMilli())
		out = binary.AppendVarint(out, a.Last.UnixMilli()-a.First.UnixMilli())
	}
	return out
}

func appendDays(out []byte, u store.Usage) []byte {
	last := len(u.Days) - 1
	newest := u.Days[last]
	out = binary.AppendVarint(out, dayNumber(newest.Day))
	out = binary.AppendUvarint(out, u.Hits-newest.Allowed)
	out = binary.AppendUvarint(out, newest.Refused)
	out = binary.AppendUvarint(out, uint64(last)) // #nosec G115 -- not negative
	for i := last - 1; i >= 0; i-- {
		out = binary.AppendVarint(out, dayNumber(u.Days[i+1].Day)-dayNumber(u.Days[i].Day))
		out = binary.AppendUvarint(out, u.Days[i].Allowed)
		out = binary.AppendUvarint(out, u.Days[i].Refused)
	}
	return out
}

// decodeHistory returns the zero history for no value.
func decodeHistory(value []byte) (h history, err error) {
	if value == nil {
		return h, nil
	}
	r := varints{rest: value}
	flags := r.byte()
	if flags&historyDays != 0 {
		r.days(&h)
	}
	var table []netip.Prefix
	if flags&historyDays != 0 && flags&historyNetworks != 0 {
		table = r.networks(&h)
	}
	for len(r.rest) > 0 && !r.bad {
		var a store.AddressUse
		if a.IP, err = parseAddr(r.bytes(r.uint())); err != nil {
			return h, err
		}
		first := r.int()
		a.First, a.Last = time.UnixMilli(first).UTC(), time.UnixMilli(first+r.int()).UTC()
		h.addresses = append(h.addresses, a)
	}
	if !h.resolveNetworks(table) || r.bad {
		return history{}, damaged("history of %d bytes", len(value))
	}
	return h, nil
}

// varints reads a value; what is not there makes it bad.
type varints struct {
	rest []byte
	bad  bool
}

// days reads the days of a history.
func (r *varints) days(h *history) {
	day := r.checked(r.int())
	h.base = r.uint()
	h.days = []store.DayUse{{Day: dayAt(day), Refused: r.uint()}}
	for n := r.uint(); n > 0 && !r.bad; n-- {
		day = r.checked(day - r.int())
		h.days = append(h.days, store.DayUse{Day: dayAt(day), Allowed: r.uint(), Refused: r.uint()})
	}
	slices.Reverse(h.days)
}

// checked returns the number of a day, if there can be such a one.
func (r *varints) checked(day int64) int64 {
	r.bad = r.bad || day > maxDay || day < -maxDay
	return day
}

func dayAt(day int64) time.Time { return time.Unix(day*secondsPerDay, 0).UTC() }

// maxDay is one that no time in milliseconds reaches.
const maxDay = math.MaxInt64 / 1_000 / secondsPerDay

func (r *varints) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *varints) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *varints) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return v & r.skip(n)
}

func (r *varints) int() int64 {
	v, n := binary.Varint(r.rest)
	return v & int64(r.skip(n)) // #nosec G115 -- all bits or none
}

// skip moves over a number of n bytes, and returns what leaves it, or makes it 0
// if n says that it is none.
func (r *varints) skip(n int) (mask uint64) {
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return ^uint64(0)
}

// decodeWholeUsage returns a usage with its history.
func decodeWholeUsage(usage, past []byte) (store.Usage, error) {
	u, err := decodeUsage(usage)
	if err != nil {
		return u, err
	}
	h, err := decodeHistory(past)
	if err != nil {
		return u, err
	}
	return h.complete(u), nil
}
