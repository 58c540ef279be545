package replica

import (
	"context"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Roster = (*Store)(nil)

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

// Time is part of store.Roster.
func (s *Store) Time(ctx context.Context) (t time.Time, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		t, err = a.Time(ctx)
		return err
	})
	return t, err
}

// TrimFeed forgets changes of the authority, as its own TrimFeed does.
func (s *Store) TrimFeed(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		n, err = a.TrimFeed(ctx, before, limit)
		return err
	})
	return n, err
}

var _ store.Mailbox = (*Store)(nil)

// Post is part of store.Mailbox.
func (s *Store) Post(ctx context.Context, body []byte) error {
	return s.call(ctx, func(ctx context.Context, a store.Authority) error { return a.Post(ctx, body) })
}

// Letters is part of store.Mailbox.
func (s *Store) Letters(ctx context.Context, limit int) (list []store.Letter, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		list, err = a.Letters(ctx, limit)
		return err
	})
	return list, err
}

// RemoveLetters is part of store.Mailbox.
func (s *Store) RemoveLetters(ctx context.Context, ids []uint64) error {
	return s.call(ctx, func(ctx context.Context, a store.Authority) error { return a.RemoveLetters(ctx, ids) })
}

// CatchUp waits until the copy has everything that the authority has by now.
func (s *Store) CatchUp(ctx context.Context) error {
	var head uint64
	err := s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		head, err = a.Position(ctx)
		return err
	})
	if err != nil {
		return err
	}
	s.wakeFollower()
	return s.state.await(ctx, func() bool { return s.state.isSure && s.state.position >= head })
}
