package postgres

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/key-ip-sentinel/sentinel/store"
)

// historyRecord is the history of a usage, as CBOR. Networks and addresses of a key
// are few and come again each day: each is written once, and told by its index.
type historyRecord struct {
	_         struct{} `cbor:",toarray"`
	Networks  [][]byte // as netip.Prefix marshals them
	Days      []dayRecord
	Addresses []addressRecord
}

type dayRecord struct {
	_         struct{} `cbor:",toarray"`
	Day       int64    // since 1970
	Allowed   uint64
	Refused   uint64
	Elsewhere uint64
	Uses      []uint64 // index of a network and what was allowed from it, in turn
}

type addressRecord struct {
	_     struct{} `cbor:",toarray"`
	IP    []byte
	First int64 // ms
	Last  int64 // ms after First
}

const secondsPerDay = 24 * 60 * 60

// encodeHistory returns nil for a usage without a history.
func encodeHistory(u store.Usage) ([]byte, error) {
	if len(u.Days) == 0 && len(u.Addresses) == 0 {
		return nil, nil
	}
	var rec historyRecord
	var networks []netip.Prefix
	for _, d := range u.Days {
		day := dayRecord{Day: d.Day.Unix() / secondsPerDay, Allowed: d.Allowed, Refused: d.Refused, Elsewhere: d.Elsewhere}
		for _, n := range d.Networks {
			i := slices.Index(networks, n.Prefix)
			if i < 0 {
				i = len(networks)
				networks = append(networks, n.Prefix)
			}
			day.Uses = append(day.Uses, uint64(i), n.Allowed) // #nosec G115 -- not negative
		}
		rec.Days = append(rec.Days, day)
	}
	for _, p := range networks {
		text, _ := p.MarshalBinary() // never fails
		rec.Networks = append(rec.Networks, text)
	}
	for _, a := range u.Addresses {
		ip, _ := a.IP.MarshalBinary() // never fails
		rec.Addresses = append(rec.Addresses, addressRecord{IP: ip, First: a.First.UnixMilli(), Last: a.Last.UnixMilli() - a.First.UnixMilli()})
	}
	value, err := cbor.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode history: %w", err)
	}
	return value, nil
}

// decodeHistory sets the history of a usage.
func decodeHistory(value []byte, u *store.Usage) error {
	if value == nil {
		return nil
	}
	var rec historyRecord
	if err := cbor.Unmarshal(value, &rec); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	networks := make([]netip.Prefix, len(rec.Networks))
	for i, text := range rec.Networks {
		if err := networks[i].UnmarshalBinary(text); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	var days []store.DayUse
	for _, d := range rec.Days {
		day := store.DayUse{Day: time.Unix(d.Day*secondsPerDay, 0).UTC(), Allowed: d.Allowed, Refused: d.Refused, Elsewhere: d.Elsewhere}
		for pair := range slices.Chunk(d.Uses, 2) {
			if len(pair) != 2 || pair[0] >= uint64(len(networks)) {
				return fmt.Errorf("history: use of network %d, of %d", pair[0], len(networks))
			}
			day.Networks = append(day.Networks, store.NetworkUse{Prefix: networks[pair[0]], Allowed: pair[1]})
		}
		days = append(days, day)
	}
	var addresses []store.AddressUse
	for _, a := range rec.Addresses {
		use := store.AddressUse{First: timeOf(a.First), Last: timeOf(a.First + a.Last)}
		if err := use.IP.UnmarshalBinary(a.IP); err != nil {
			return fmt.Errorf("history: %w", err)
		}
		addresses = append(addresses, use)
	}
	u.Days, u.Addresses = days, addresses
	return nil
}
