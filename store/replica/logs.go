package replica

import (
	"context"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// ListIntercepts is part of store.Intercepts.
func (s *Store) ListIntercepts(ctx context.Context, f store.InterceptFilter) (page store.InterceptPage, err error) {
	err = s.readOr(ctx, func(ctx context.Context, from store.Store) error {
		page, err = from.ListIntercepts(ctx, f)
		return err
	})
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

// ListAudit is part of store.AuditLog.
func (s *Store) ListAudit(ctx context.Context, f store.AuditFilter) (page store.AuditPage, err error) {
	err = s.readOr(ctx, func(ctx context.Context, from store.Store) error {
		page, err = from.ListAudit(ctx, f)
		return err
	})
	return page, err
}

// DeleteAudit is part of store.AuditLog.
func (s *Store) DeleteAudit(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.remove(ctx, before, limit, store.Store.DeleteAudit)
}
