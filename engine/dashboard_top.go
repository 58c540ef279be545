package engine

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/top"
	"github.com/key-ip-sentinel/sentinel/store"
)

// topRefused returns who was refused most.
func (e *Engine) topRefused(ctx context.Context, now time.Time) (t TopRefused, err error) {
	hours, days := make([]string, 24), make([]string, dashboardDays)
	for i := range hours {
		hours[i] = now.Add(-time.Duration(i) * time.Hour).Format(hourLayout)
	}
	for i := range days {
		days[i] = now.AddDate(0, 0, -i).Format(dayLayout)
	}
	read := make(map[string]storedRanking, len(hours)+len(days))
	err = e.onWriter(ctx, func(context.Context) error {
		for _, id := range append(hours[:len(hours):len(hours)], days...) {
			r, err := e.rankingOf(ctx, id)
			if err != nil {
				return err
			}
			read[id] = r
		}
		e.keepOldRankings(read, hours[0], days[0])
		return e.addOtherRankings(ctx, read)
	})
	labels := make(map[store.KeyHash]string)
	for _, p := range []struct {
		to  *TopLists
		ids []string
	}{{&t.Last24Hours, hours}, {&t.Last7Days, days[:7]}, {&t.Last30Days, days}} {
		*p.to = topLists(read, p.ids)
		for i := range p.to.Keys {
			label, labelErr := e.labelOf(ctx, labels, p.to.Keys[i].Hash)
			p.to.Keys[i].Label = label
			err = errors.Join(err, labelErr)
		}
	}
	return t, err
}

// keepOldRankings remembers those that do not change any more.
func (e *Engine) keepOldRankings(read map[string]storedRanking, growing ...string) {
	e.oldRankings = make(map[string]storedRanking, len(read))
	for id, r := range read {
		e.oldRankings[id] = r
	}
	for _, id := range growing {
		delete(e.oldRankings, id)
	}
}

func (e *Engine) labelOf(ctx context.Context, known map[store.KeyHash]string, hash store.KeyHash) (string, error) {
	if label, ok := known[hash]; ok {
		return label, nil
	}
	b, err := e.store.Binding(ctx, hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	known[hash] = b.Label
	return b.Label, nil
}

// topLists adds up rankings.
func topLists(read map[string]storedRanking, ids []string) TopLists {
	keys, addresses, networks := make(sums[refusedKey]), make(sums[netip.Addr]), make(sums[netip.Prefix])
	for _, id := range ids {
		for _, k := range read[id].Keys {
			keys.add(k.count())
		}
		for _, a := range read[id].Addresses {
			addresses.add(a.count())
		}
		for _, n := range read[id].Networks {
			networks.add(n.count())
		}
	}
	lists := TopLists{Keys: []TopKey{}, Addresses: []TopAddress{}, Networks: []TopNetwork{}}
	for _, c := range keys.top(compareKeys) {
		lists.Keys = append(lists.Keys, TopKey{Hash: c.Key.hash, Hint: c.Key.hint, Count: c.Least()})
	}
	for _, c := range addresses.top(compareAddresses) {
		lists.Addresses = append(lists.Addresses, TopAddress{Address: c.Key, Count: c.Least()})
	}
	for _, c := range networks.top(compareNetworks) {
		lists.Networks = append(lists.Networks, TopNetwork{Network: c.Key, Count: c.Least()})
	}
	return lists
}

// sums adds up counts by key.
type sums[K comparable] map[K]top.Count[K]

func (s sums[K]) add(c top.Count[K]) {
	have := s[c.Key]
	s[c.Key] = top.Count[K]{Key: c.Key, N: have.N + c.N, Over: have.Over + c.Over}
}

func (s sums[K]) top(compare func(a, b K) int) []top.Count[K] {
	list := make([]top.Count[K], 0, len(s))
	for _, c := range s {
		list = append(list, c)
	}
	top.Sort(list, compare)
	return list[:min(rankingShown, len(list))]
}
