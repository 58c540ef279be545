package replica

import (
	"context"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Roster = (*Store)(nil)

// ID returns what tells this node from all others.
func (s *Store) ID() string { return s.node }

// Beat is part of store.Roster.
func (s *Store) Beat(ctx context.Context, n store.NodeState) error {
	return s.call(ctx, func(ctx context.Context, a store.Authority) error { return a.Beat(ctx, n) })
}

// Nodes is part of store.Roster. It asks the authority.
func (s *Store) Nodes(ctx context.Context) (list []store.NodeBeat, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		list, err = a.Nodes(ctx)
		return err
	})
	return list, err
}

// TrimFeed forgets changes of the authority, as its own TrimFeed does.
func (s *Store) TrimFeed(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		n, err = a.TrimFeed(ctx, before, limit)
		return err
	})
	return n, err
}
