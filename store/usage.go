package store

import (
	"cmp"
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
)

// DayUse is what was counted of a key on one day.
type DayUse struct {
	Day     time.Time `json:"day"` // its start, UTC
	Allowed uint64    `json:"allowed"`
	Refused uint64    `json:"refused"`
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
	// Addresses are those of the batch, in no order; LastIP need not be among
	// them.
	Addresses []netip.Addr
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
	u.Days = addDay(u.Days, DayUse{Day: at.Truncate(24 * time.Hour), Allowed: t.Hits, Refused: t.Refused})
	seen := t.Addresses
	if t.LastIP.IsValid() && t.Hits > 0 && !slices.Contains(seen, t.LastIP) {
		seen = append(slices.Clip(seen), t.LastIP)
	}
	u.Addresses = addAddresses(u.Addresses, seen, at)
	return u
}

func addDay(days []DayUse, d DayUse) []DayUse {
	if d.Allowed == 0 && d.Refused == 0 {
		return days
	}
	days = slices.Clone(days)
	i, found := slices.BinarySearchFunc(days, d, func(a, b DayUse) int { return a.Day.Compare(b.Day) })
	if found {
		days[i].Allowed += d.Allowed
		days[i].Refused += d.Refused
	} else {
		days = slices.Insert(days, i, d)
	}
	oldest := days[len(days)-1].Day.AddDate(0, 0, 1-UsageDays)
	return slices.DeleteFunc(days, func(d DayUse) bool { return d.Day.Before(oldest) })
}

func addAddresses(list []AddressUse, seen []netip.Addr, at time.Time) []AddressUse {
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
