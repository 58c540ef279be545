package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Usage is what is known of a key's requests.
type Usage struct {
	LastUsed time.Time  `json:"lastUsed,omitzero"` // allowed; milliseconds, UTC
	LastIP   netip.Addr `json:"lastIp,omitzero"`
	Hits     uint64     `json:"hits"` // allowed

	// The history, which only UsageLog.Usage returns. Days has the days on which
	// there was something, oldest first, of the last UsageDays days up to the
	// newest one. Addresses has the last UsageAddresses addresses that the key
	// was allowed from, newest first.
	Days      []DayUse     `json:"days,omitempty"`
	Addresses []AddressUse `json:"addresses,omitempty"`
}

// How much history there is.
const (
	UsageDays      = 30
	UsageAddresses = 16
	// UsageNetworks is how many networks of one day are kept: more than a key in one
	// pair of hands is used from, and a day of a key that is everywhere stays small.
	UsageNetworks = 32
)

// DayUse is what was counted of a key on one day.
type DayUse struct {
	Day     time.Time `json:"day"` // its start, UTC
	Allowed uint64    `json:"allowed"`
	Refused uint64    `json:"refused"`
	// Networks are those that the key was allowed from, in the order of their
	// prefixes, at most UsageNetworks, the first ones of the day. They and Elsewhere
	// add up to Allowed.
	Networks []NetworkUse `json:"networks,omitempty"`
	// Elsewhere is what was allowed from others, or from where nobody knows any
	// more: all of a day from before networks were kept, which has no Networks.
	Elsewhere uint64 `json:"elsewhere,omitempty"`
}

// NetworkUse is a network that a key was used from on one day.
type NetworkUse struct {
	Prefix  netip.Prefix `json:"prefix"` // as NetworkOf has it
	Allowed uint64       `json:"allowed"`
}

// AddressUse is an address that a key was used from.
type AddressUse struct {
	IP    netip.Addr `json:"ip"`
	First time.Time  `json:"first"` // milliseconds, UTC; as UsageLog knows it
	Last  time.Time  `json:"last"`
}

// Touch is the use of one key since the last batch.
type Touch struct {
	Hash     KeyHash
	LastUsed time.Time // of the batch: up to 5 s after the use
	LastIP   netip.Addr
	Hits     uint64 // added to what is stored; 0: LastUsed and LastIP stay as they are
	Refused  uint64 // added to the day of LastUsed
	// Addresses are those of the batch besides LastIP, in no order, each once, with
	// their part of Hits.
	Addresses []AddressHits
	// Elsewhere is the part of Hits that is of addresses beyond these. What
	// Addresses and Elsewhere leave of Hits is of LastIP.
	Elsewhere uint64
}

// AddressHits is how often a key was used from an address.
type AddressHits struct {
	IP   netip.Addr
	Hits uint64
}

// FromLast returns how many of the hits are of LastIP.
func (t Touch) FromLast() uint64 {
	others := t.Elsewhere
	for _, a := range t.Addresses {
		others += a.Hits
	}
	return t.Hits - min(others, t.Hits)
}

// NAT64 holds all of IPv4 behind translators, RFC 6052: one /64 of it would be
// everybody.
var NAT64 = netip.MustParsePrefix("64:ff9b::/96")

// NetworkOf returns the network that uses and failed logins from an address are counted
// under: an IPv4 address itself, and the /64 of an IPv6 one, within which its host takes
// whatever address it likes; but of a translated IPv4 address (RFC 6052) all bits, as one
// /64 has all of them. It returns the zero Prefix for the zero Addr.
func NetworkOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() || NAT64.Contains(ip) {
		bits = ip.BitLen()
	}
	p, _ := ip.Prefix(bits) // fails for the zero Addr only
	return p
}

// Counter is one count of one hour.
type Counter struct {
	Hour time.Time `json:"hour"` // start of the hour, UTC
	Name string    `json:"name"`
	N    uint64    `json:"n"`
}

// UsageChunk is how many touches AddUsage may write in one transaction.
const UsageChunk = 2_000

// UsageBatch is what AddUsage writes. A touch with an older LastUsed than the
// stored one adds its hits and leaves time and address.
type UsageBatch struct {
	Touches  []Touch
	Counters []Counter // N is added to what is stored
}

// Validate returns an error that wraps ErrInvalid if a counter of b has no name as
// ValidateName has them.
func (b UsageBatch) Validate() error {
	for _, c := range b.Counters {
		if err := ValidateName(c.Name); err != nil {
			return fmt.Errorf("counter: %w", err)
		}
	}
	return nil
}

// Sorted returns a copy of b that shares nothing with it, its touches in the order of
// their hashes.
func (b UsageBatch) Sorted() UsageBatch {
	b = UsageBatch{slices.Clone(b.Touches), slices.Clone(b.Counters)}
	for i := range b.Touches {
		b.Touches[i].Addresses = slices.Clone(b.Touches[i].Addresses)
	}
	SortTouches(b.Touches)
	return b
}

// SortTouches puts touches in the order of their hashes, and leaves those of one key in theirs.
func SortTouches(list []Touch) {
	if slices.IsSortedFunc(list, func(a, b Touch) int { return bytes.Compare(a.Hash[:], b.Hash[:]) }) {
		return
	}
	type place struct {
		start uint64 // of the hash: hardly any two are the same
		at    int
	}
	// Touches are large: their places are sorted, and then each is moved once.
	places := make([]place, len(list))
	for i := range list {
		places[i] = place{binary.BigEndian.Uint64(list[i].Hash[:]), i}
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := cmp.Compare(a.start, b.start); c != 0 {
			return c
		}
		if c := bytes.Compare(list[a.at].Hash[:], list[b.at].Hash[:]); c != 0 {
			return c
		}
		return a.at - b.at
	})
	for i := range list {
		from := places[i].at
		for from < i { // what was there has been swapped to where its successor came from
			from = places[from].at
		}
		list[i], list[from] = list[from], list[i]
	}
}

// AddInChunks is AddUsage for implementations: add gets the touches in the order of their
// hashes, UsageChunk at a time, and the counters with the first of them. So a chunk
// changes few pages, and a first use that comes meanwhile waits for one chunk only.
// Nothing that add gets belongs to the caller.
func AddInChunks(ctx context.Context, batch UsageBatch, add func(UsageBatch) error) error {
	if err := batch.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	rest := batch.Sorted()
	for isFirst := true; len(rest.Touches) > 0 || len(rest.Counters) > 0; isFirst = false {
		n := min(len(rest.Touches), UsageChunk)
		err := add(UsageBatch{rest.Touches[:n], rest.Counters})
		if err != nil && !isFirst {
			return &UnfinishedError{Rest: rest, Err: err}
		}
		if err != nil {
			return err
		}
		rest = UsageBatch{Touches: rest.Touches[n:]}
	}
	return nil
}

// UnfinishedError is the error of an AddUsage that has stored a part of its
// batch.
type UnfinishedError struct {
	// Rest is what was not stored, and can be added later. If Err is that of a
	// done context, the first UsageChunk touches of it may have been stored.
	Rest UsageBatch
	Err  error // why it was not
}

// Error says how much is left and why.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("usage of %d keys left to add: %v", len(e.Rest.Touches), e.Err)
}

// Unwrap returns the cause.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// Add returns the usage with a touch added, its history cut to what is kept:
// what every implementation's own way must agree with.
func (u Usage) Add(t Touch) Usage {
	at := StoredTime(t.LastUsed)
	if t.Hits > 0 && !at.Before(u.LastUsed) {
		u.LastUsed, u.LastIP = at, t.LastIP
	}
	u.Hits += t.Hits
	u.Days = addDay(u.Days, t, at)
	u.Addresses = addAddresses(u.Addresses, t, at)
	return u
}

func addDay(days []DayUse, t Touch, at time.Time) []DayUse {
	if t.Hits == 0 && t.Refused == 0 {
		return days
	}
	days = slices.Clone(days)
	day := at.Truncate(24 * time.Hour)
	i, found := slices.BinarySearchFunc(days, day, func(d DayUse, day time.Time) int { return d.Day.Compare(day) })
	if !found {
		days = slices.Insert(days, i, DayUse{Day: day})
	}
	d := &days[i]
	d.Allowed += t.Hits
	d.Refused += t.Refused
	d.Networks = slices.Clone(d.Networks)
	left := t.Hits
	for _, a := range append([]AddressHits{{t.LastIP, t.FromLast()}}, t.Addresses...) {
		n := min(a.Hits, left)
		left -= n
		d.addNetwork(NetworkOf(a.IP), n)
	}
	d.Elsewhere += left
	oldest := days[len(days)-1].Day.AddDate(0, 0, 1-UsageDays)
	return slices.DeleteFunc(days, func(d DayUse) bool { return d.Day.Before(oldest) })
}

func (d *DayUse) addNetwork(network netip.Prefix, n uint64) {
	i, found := slices.BinarySearchFunc(d.Networks, network, func(u NetworkUse, p netip.Prefix) int { return u.Prefix.Compare(p) })
	switch {
	case n == 0:
	case found:
		d.Networks[i].Allowed += n
	case len(d.Networks) >= UsageNetworks || !network.IsValid():
		d.Elsewhere += n
	default:
		d.Networks = slices.Insert(d.Networks, i, NetworkUse{network, n})
	}
}

func addAddresses(list []AddressUse, t Touch, at time.Time) []AddressUse {
	seen := make([]netip.Addr, 0, 1+len(t.Addresses))
	if t.LastIP.IsValid() && t.Hits > 0 {
		seen = append(seen, t.LastIP)
	}
	for _, a := range t.Addresses {
		seen = append(seen, a.IP)
	}
	list = slices.Clone(list)
	for _, ip := range seen {
		if i := slices.IndexFunc(list, func(a AddressUse) bool { return a.IP == ip }); i >= 0 {
			if at.After(list[i].Last) {
				list[i].Last = at
			}
			continue
		}
		list = append(list, AddressUse{IP: ip, First: at, Last: at})
	}
	slices.SortFunc(list, func(a, b AddressUse) int { return cmp.Or(b.Last.Compare(a.Last), a.IP.Compare(b.IP)) })
	return list[:min(len(list), UsageAddresses)]
}
