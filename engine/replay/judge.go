package replay

import (
	"fmt"
	"net/netip"
	"slices"
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
func newJudge(rule store.Rule, networks Networks, now time.Time, missing func(name string)) (*judge, error) {
	own, err := ipset.New(rule.Prefixes)
	if err != nil {
		return nil, fmt.Errorf("read rule: %w", err)
	}
	j := &judge{all: rule.Kind == store.RuleAll, learns: rule.Learns(now), sets: []*ipset.Set{own}}
	for _, name := range rule.Networks {
		var set *ipset.Set
		known := false
		if networks != nil {
			set, known = networks(name)
		}
		if !known {
			missing(name)
			continue
		}
		j.sets = append(j.sets, set)
	}
	return j, nil
}

func (j *judge) contains(ip netip.Addr) bool {
	return j.all || slices.ContainsFunc(j.sets, func(s *ipset.Set) bool { return s.Contains(ip) })
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
