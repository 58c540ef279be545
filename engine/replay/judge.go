package replay

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
)

// judge is a rule that is ready to be asked.
type judge struct {
	all    bool
	learns bool // could take a prefix more
	sets   []*ipset.Set
}

// newJudge tells missing the names of networks that nobody knows.
func newJudge(rule store.Rule, around Surroundings, now time.Time, missing func(name string)) (*judge, error) {
	own, err := ipset.New(rule.Prefixes)
	if err != nil {
		return nil, fmt.Errorf("read rule: %w", err)
	}
	j := &judge{all: rule.Kind == store.RuleAll, learns: rule.Learns(now), sets: []*ipset.Set{own}}
	for _, name := range rule.Networks {
		var set *ipset.Set
		known := false
		if around.Networks != nil {
			set, known = around.Networks(name)
		}
		if !known {
			missing(name)
			continue
		}
		j.sets = append(j.sets, set)
	}
	return j, nil
}

func (j *judge) reach(network netip.Prefix) ipset.Reach {
	if j.all {
		return ipset.ReachesWhole
	}
	most := ipset.ReachesNone
	for _, s := range j.sets {
		most = max(most, s.Reach(network))
	}
	return most
}

// outcome is what becomes of requests.
type outcome int

const (
	passes outcome = iota
	refuses
	partly // of an IPv6 /64, a part passes
	learns // it is refused, unless the rule has learnt the network
)

// decide returns what becomes of uses from a network, or from the one address that it
// is. It follows the order of the engine: a ban, an exception, a blocked network, the
// rule. Of what is blocked, it sees only what blocks the first address of a network.
func (s *subject) decide(network netip.Prefix, around Surroundings) outcome {
	if s.Status == store.StatusBanned {
		return refuses
	}
	isBlocked := around.Blocks != nil && around.Blocks(network.Addr())
	reach := s.reach(network)
	if reach == ipset.ReachesWhole && !isBlocked {
		return passes
	}
	exempt := ipset.ReachesNone
	if around.Exempts != nil {
		exempt = around.Exempts(s.Hash, network)
	}
	switch {
	case exempt == ipset.ReachesWhole:
		return passes
	case exempt == ipset.ReachesPart:
		return partly
	case isBlocked:
		return refuses
	case reach == ipset.ReachesPart:
		return partly
	case s.learns:
		return learns
	default:
		return refuses
	}
}
