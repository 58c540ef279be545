package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/top"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// rankingCapacity is how many keys, addresses and networks are counted at a
	// time: of a flood of a million that occur once each, what occurred 250 times
	// stands out. All of them together take a few megabytes.
	rankingCapacity = 4096
	// rankingStored is how many of each are stored.
	rankingStored = 100
	// rankingShown is how many of each the dashboard has.
	rankingShown = 20
	// rankingKind is the kind of the documents; their IDs are the hour or the
	// day, as these layouts have it, and of a node of a cluster a slash and its ID.
	rankingKind = "top"
	hourLayout  = "2006-01-02T15"
	dayLayout   = "2006-01-02"
)

// refusedKey is a key with what may be shown of it, which goes with it.
type refusedKey struct {
	hash store.KeyHash
	hint string
}

func compareKeys(a, b refusedKey) int                  { return slices.Compare(a.hash[:], b.hash[:]) }
func compareAddresses(a, b netip.Addr) int             { return a.Compare(b) }
func compareNetworks(a, b netip.Prefix) int            { return a.Addr().Compare(b.Addr()) }
func (k rankedKey) count() top.Count[refusedKey]       { return count(refusedKey{k.Hash, k.Hint}, k.ranked) }
func (a rankedAddress) count() top.Count[netip.Addr]   { return count(a.Address, a.ranked) }
func (n rankedNetwork) count() top.Count[netip.Prefix] { return count(n.Network, n.ranked) }

// ranking is who was refused most in one hour or on one day.
type ranking struct {
	id        string
	keys      *top.Sketch[refusedKey]
	addresses *top.Sketch[netip.Addr]
	networks  *top.Sketch[netip.Prefix]

	changed  bool
	loaded   bool   // what the store has of it is in it
	revision uint64 // of the document
}

func newRanking(id string) *ranking {
	return &ranking{
		id: id, keys: top.New[refusedKey](rankingCapacity), addresses: top.New[netip.Addr](rankingCapacity),
		networks: top.New[netip.Prefix](rankingCapacity),
	}
}

func (r *ranking) add(rec *store.Intercept, n uint64) {
	r.keys.Add(refusedKey{rec.Hash, rec.Hint}, n)
	if rec.ClientIP.IsValid() {
		r.addresses.Add(rec.ClientIP, n)
		r.networks.Add(networkOf(rec.ClientIP), n)
	}
	r.changed = true
}

// networkOf is the network that an address is counted under: what one customer
// or site has at least.
func networkOf(ip netip.Addr) netip.Prefix {
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	network, _ := ip.Prefix(bits) // an error is that of an invalid address
	return network
}

// rankings are those that still grow.
type rankings struct {
	mu        sync.Mutex
	hour, day *ranking
	number    int64      // of the hour, since 1970
	ended     []*ranking // and not stored yet
}

// add counts refusals of a key from an address, at a time that is that of all
// adds or later.
func (rs *rankings) add(rec *store.Intercept, n uint64, now time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.turnLocked(now)
	rs.hour.add(rec, n)
	rs.day.add(rec, n)
}

// turnLocked begins anew where an hour or a day is over.
func (rs *rankings) turnLocked(now time.Time) {
	number := now.Unix() / int64(time.Hour/time.Second)
	if rs.hour != nil && number == rs.number {
		return
	}
	rs.number, now = number, now.UTC()
	rs.hour = rs.turnOneLocked(rs.hour, now.Format(hourLayout))
	rs.day = rs.turnOneLocked(rs.day, now.Format(dayLayout))
}

// maxEnded bounds how many wait for a store that takes nothing: two days' worth.
const maxEnded = 50

func (rs *rankings) turnOneLocked(r *ranking, id string) *ranking {
	if r != nil && r.id == id {
		return r
	}
	if r != nil && r.changed {
		rs.ended = append(rs.ended, r)
		rs.ended = rs.ended[max(0, len(rs.ended)-maxEnded):]
	}
	return newRanking(id)
}

// storedRanking is a ranking as its document has it.
type storedRanking struct {
	Keys      []rankedKey     `json:"keys,omitempty"`
	Addresses []rankedAddress `json:"addresses,omitempty"`
	Networks  []rankedNetwork `json:"networks,omitempty"`
}

// ranked is a count: of N at most Over are not the key's.
type ranked struct {
	N    uint64 `json:"n"`
	Over uint64 `json:"over,omitempty"`
}

type rankedKey struct {
	Hash store.KeyHash `json:"hash"`
	Hint string        `json:"hint"`
	ranked
}

type rankedAddress struct {
	Address netip.Addr `json:"address"`
	ranked
}

type rankedNetwork struct {
	Network netip.Prefix `json:"network"`
	ranked
}

func count[K comparable](key K, r ranked) top.Count[K] {
	return top.Count[K]{Key: key, N: r.N, Over: r.Over}
}

// stored returns the ranking as it is stored.
func (r *ranking) stored() storedRanking {
	var s storedRanking
	for _, c := range r.keys.Top(rankingStored, compareKeys) {
		s.Keys = append(s.Keys, rankedKey{c.Key.hash, c.Key.hint, ranked{c.N, c.Over}})
	}
	for _, c := range r.addresses.Top(rankingStored, compareAddresses) {
		s.Addresses = append(s.Addresses, rankedAddress{c.Key, ranked{c.N, c.Over}})
	}
	for _, c := range r.networks.Top(rankingStored, compareNetworks) {
		s.Networks = append(s.Networks, rankedNetwork{c.Key, ranked{c.N, c.Over}})
	}
	return s
}

// merge adds what is stored.
func (r *ranking) merge(s storedRanking) {
	for _, k := range s.Keys {
		r.keys.Merge(k.count())
	}
	for _, a := range s.Addresses {
		r.addresses.Merge(a.count())
	}
	for _, n := range s.Networks {
		r.networks.Merge(n.count())
	}
}

func parseRanking(d store.Document) (storedRanking, error) {
	var s storedRanking
	if err := json.Unmarshal(d.Body, &s); err != nil {
		return storedRanking{}, fmt.Errorf("read who was refused most in %s: %w", d.ID, err)
	}
	return s, nil
}
