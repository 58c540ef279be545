package replica

import (
	"context"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Logins = (*Store)(nil)

// BeginLogin is part of store.Logins. All of it is asked of the authority.
func (s *Store) BeginLogin(ctx context.Context, pair []byte, attempt string, limits store.LoginLimits) (wait time.Duration, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		wait, err = a.BeginLogin(ctx, pair, attempt, limits)
		return err
	})
	return wait, err
}

// FailLogin is part of store.Logins.
func (s *Store) FailLogin(ctx context.Context, pair []byte, attempt string, limits store.LoginLimits) (locked bool, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		locked, err = a.FailLogin(ctx, pair, attempt, limits)
		return err
	})
	return locked, err
}

// UndoLogin is part of store.Logins.
func (s *Store) UndoLogin(ctx context.Context, pair []byte, attempt string) error {
	return s.call(ctx, func(ctx context.Context, a store.Authority) error { return a.UndoLogin(ctx, pair, attempt) })
}

// ForgetLogins is part of store.Logins.
func (s *Store) ForgetLogins(ctx context.Context, name []byte) error {
	return s.call(ctx, func(ctx context.Context, a store.Authority) error { return a.ForgetLogins(ctx, name) })
}

// CountLogins is part of store.Logins.
func (s *Store) CountLogins(ctx context.Context, name []byte, more int, window time.Duration) (n int, err error) {
	err = s.call(ctx, func(ctx context.Context, a store.Authority) (err error) {
		n, err = a.CountLogins(ctx, name, more, window)
		return err
	})
	return n, err
}
