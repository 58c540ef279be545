// Package sharing finds keys that several people seem to use.
//
// A rule of one address holds a key to it. A rule that lets a key be used from several
// networks, or from all, cannot tell its owner, who moves from one to the other, from
// somebody who got the key. But who moves is in one place at a time: a minute in which
// a key is used from two networks is a strike, and a key with so many strikes on one
// day is suspected. It is not refused: that is for people to decide.
package sharing

import (
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Limits of what is kept.
const (
	// MaxSuspicions is how many there may be. One more takes the place of one that
	// has been quiet for staleAfter, or else is only counted.
	MaxSuspicions = 1_000
	// MaxEvidence is how many minutes of a suspicion are shown, the newest ones.
	MaxEvidence = 20
	// MaxNetworks is how many networks of one minute are shown.
	MaxNetworks = 8

	staleAfter = store.UsageDays * 24 * time.Hour
	// gatheredKeys is how many keys are looked at in one minute, and suspects how
	// many have strikes on one day, of which the newest suspectEvidence are kept.
	gatheredKeys    = 100_000
	suspects        = 10_000
	suspectEvidence = 5
)

// Suspicion is a key that several people seem to use.
type Suspicion struct {
	Hash  store.KeyHash `json:"hash"`
	Hint  string        `json:"hint"`
	First time.Time     `json:"first"` // minutes, UTC
	Last  time.Time     `json:"last"`
	// Minutes is how many there were in which it was used from several networks.
	Minutes  int        `json:"minutes"`
	Evidence []Evidence `json:"evidence"` // the newest first

	revision uint64
	changed  bool // since it was stored
}

// Evidence is a minute in which a key was used from several networks.
type Evidence struct {
	Minute   time.Time      `json:"minute"`
	Networks []netip.Prefix `json:"networks"` // as store.NetworkOf has them, in order; up to MaxNetworks
}

func (s *Suspicion) add(e Evidence, keep int) {
	if s.Minutes == 0 {
		s.First = e.Minute
	}
	s.Last = e.Minute
	s.Minutes++
	s.Evidence = append([]Evidence{e}, s.Evidence[:min(len(s.Evidence), keep-1)]...)
	s.changed = true
}

// joined returns a suspicion that another node has stored with what this one, which has
// changed since it was read, has beyond it. A minute that both have seen is one minute.
func (s *Suspicion) joined(stored Suspicion) Suspicion {
	for _, e := range slices.Backward(s.Evidence) {
		if !slices.ContainsFunc(stored.Evidence, func(known Evidence) bool { return known.Minute.Equal(e.Minute) }) {
			stored.add(e, MaxEvidence)
		}
	}
	slices.SortFunc(stored.Evidence, func(a, b Evidence) int { return b.Minute.Compare(a.Minute) })
	stored.Last = stored.Evidence[0].Minute
	return stored
}

func (s *Suspicion) clone() Suspicion {
	c := *s
	c.Evidence = slices.Clone(s.Evidence)
	for i := range c.Evidence {
		c.Evidence[i].Networks = slices.Clone(c.Evidence[i].Networks)
	}
	return c
}

// networks returns those of all evidence, up to MaxNetworks.
func (s *Suspicion) networks() (list []netip.Prefix) {
	for _, e := range s.Evidence {
		for _, p := range e.Networks {
			if len(list) < MaxNetworks && !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	return list
}

// gathered is where a key was used from in one minute.
type gathered struct {
	first  netip.Prefix
	others []netip.Prefix
}

func (g *gathered) add(p netip.Prefix) {
	switch {
	case !g.first.IsValid():
		g.first = p
	case p != g.first && len(g.others) < MaxNetworks-1 && !slices.Contains(g.others, p):
		g.others = append(g.others, p)
	}
}

// evidence returns nothing where there is only one network.
func (g *gathered) evidence(minute time.Time) (e Evidence, ok bool) {
	if len(g.others) == 0 {
		return e, false
	}
	e = Evidence{minute, append(slices.Clip(g.others), g.first)}
	slices.SortFunc(e.Networks, netip.Prefix.Compare)
	return e, true
}
