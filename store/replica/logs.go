package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// OwnIDs is what IDs of intercepts and audit entries are above by which this node knows
// them, as PutIntercepts and AppendAudit give them, and the lists while the authority is
// away. The authority has given them others, below it, by the time it knows of them. Both
// are exact in JSON as JavaScript reads it.
const OwnIDs = 1 << 52

// errOtherList is of a list of the authority that would go on, and cannot.
var errOtherList = fmt.Errorf("%w: the authority is away, and this node has no more of its list", store.ErrUnavailable)

// own returns an ID of this node's log as the local store has it; 0 for one of the
// authority, which is before them all.
func own(id uint64) uint64 { return max(id, OwnIDs) - OwnIDs }

// ListIntercepts is part of store.Intercepts. A list is of the authority's records or,
// while that is away, of those of this node, and goes on with whichever it was begun with:
// a record has another ID here than there, and must not come twice. So of one of the
// authority there is nothing newer while that is away, nor anything older to be had.
func (s *Store) ListIntercepts(ctx context.Context, f store.InterceptFilter) (page store.InterceptPage, err error) {
	if f.Before > OwnIDs || f.After >= OwnIDs {
		return s.ownIntercepts(ctx, f)
	}
	err = s.call(ctx, func(ctx context.Context, a store.Authority) error {
		page, err = a.ListIntercepts(ctx, f)
		return err
	})
	switch {
	case err == nil || isAnswer(err) || ctx.Err() != nil:
		return page, err
	case f.Before > 0:
		return store.InterceptPage{}, errOtherList
	case f.After > 0:
		return store.InterceptPage{}, nil
	}
	return s.ownIntercepts(ctx, f)
}

func (s *Store) ownIntercepts(ctx context.Context, f store.InterceptFilter) (store.InterceptPage, error) {
	if f.Before > 0 {
		if f.Before = own(f.Before); f.Before == 0 {
			return store.InterceptPage{}, nil
		}
	}
	f.After = own(f.After)
	page, err := s.local.ListIntercepts(ctx, f)
	for i := range page.Records {
		page.Records[i].ID += OwnIDs
	}
	if page.Next > 0 {
		page.Next += OwnIDs
	}
	return page, err
}

// DeleteIntercepts is part of store.Intercepts.
func (s *Store) DeleteIntercepts(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.remove(ctx, before, limit, store.Store.DeleteIntercepts)
}

// remove removes what is old at the authority.
func (s *Store) remove(ctx context.Context, before time.Time, limit int,
	from func(store.Store, context.Context, time.Time, int) (int, error),
) (n int, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		n, err = from(a, ctx, before, limit)
		return err
	})
	return n, err
}

// Usage is part of store.UsageLog.
func (s *Store) Usage(ctx context.Context, hash store.KeyHash) (u store.Usage, err error) {
	err = s.readOr(ctx, func(ctx context.Context, from store.Store) error {
		u, err = from.Usage(ctx, hash)
		return err
	})
	return u, err
}

// Counters is part of store.UsageLog.
func (s *Store) Counters(ctx context.Context, from, to time.Time) (list []store.Counter, err error) {
	err = s.readOr(ctx, func(ctx context.Context, source store.Store) error {
		list, err = source.Counters(ctx, from, to)
		return err
	})
	return list, err
}

// DeleteCounters is part of store.UsageLog.
func (s *Store) DeleteCounters(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.remove(ctx, before, limit, store.Store.DeleteCounters)
}

// ListAudit is part of store.AuditLog, and goes on as ListIntercepts does.
func (s *Store) ListAudit(ctx context.Context, f store.AuditFilter) (page store.AuditPage, err error) {
	if f.Before > OwnIDs {
		return s.ownAudit(ctx, f)
	}
	err = s.call(ctx, func(ctx context.Context, a store.Authority) error {
		page, err = a.ListAudit(ctx, f)
		return err
	})
	switch {
	case err == nil || isAnswer(err) || ctx.Err() != nil:
		return page, err
	case f.Before > 0:
		return store.AuditPage{}, errOtherList
	}
	return s.ownAudit(ctx, f)
}

func (s *Store) ownAudit(ctx context.Context, f store.AuditFilter) (store.AuditPage, error) {
	f.Before = own(f.Before)
	page, err := s.local.ListAudit(ctx, f)
	for i := range page.Entries {
		page.Entries[i].ID += OwnIDs
	}
	if page.Next > 0 {
		page.Next += OwnIDs
	}
	return page, err
}

// DeleteAudit is part of store.AuditLog.
func (s *Store) DeleteAudit(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.remove(ctx, before, limit, store.Store.DeleteAudit)
}
