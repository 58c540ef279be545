package memory

import (
	"context"
	"slices"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Delivery = (*Store)(nil)

// deliveredKey is how a node knows an intercept.
type deliveredKey struct {
	node string
	id   uint64
}

// Deliver is part of store.Delivery.
func (s *Store) Deliver(ctx context.Context, node string, sequence uint64, batch store.Batch) error {
	if err := batch.Usage.Validate(); err != nil {
		return err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if sequence <= s.delivered[node] {
		return nil
	}
	s.delivered[node] = sequence
	s.addUsageLocked(batch.Usage)
	for i, r := range batch.Intercepts {
		key := deliveredKey{node, r.ID}
		isGrown := slices.Contains(batch.Grown, i)
		if r.ID = s.deliveredIDs[key]; isGrown && r.ID == 0 {
			continue // it is gone
		}
		one := []store.Intercept{r}
		s.putInterceptsLocked(one)
		s.deliveredIDs[key] = one[0].ID
	}
	for _, e := range batch.Audit {
		s.appendAuditLocked(e)
	}
	return nil
}
