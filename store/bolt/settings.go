package bolt

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Setting is part of store.Settings.
func (s *Store) Setting(ctx context.Context, name string) (value []byte, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		v := mustBucket(tx, bucketSettings).Get([]byte(name))
		if v == nil {
			return store.ErrNotFound
		}
		value = bytes.Clone(v)
		return nil
	})
	return value, err
}

// PutSetting is part of store.Settings.
func (s *Store) PutSetting(ctx context.Context, name string, value []byte) error {
	if err := store.ValidateName(name); err != nil {
		return fmt.Errorf("setting: %w", err)
	}
	value = bytes.Clone(value)
	return s.write(ctx, func(w *writeTx) error {
		w.isOwn = w.isOwn || !store.IsNodeSetting(name)
		return w.put(bucketSettings, []byte(name), value)
	})
}

// DeleteSetting is part of store.Settings.
func (s *Store) DeleteSetting(ctx context.Context, name string) error {
	return s.write(ctx, func(w *writeTx) error {
		if w.bucket(bucketSettings).Get([]byte(name)) == nil {
			return nil
		}
		w.isOwn = w.isOwn || !store.IsNodeSetting(name)
		return w.remove(bucketSettings, []byte(name))
	})
}

// Probe is part of store.Prober. It also notices a file that was removed or
// replaced under the running process, to which writes still succeed, but to no
// avail.
func (s *Store) Probe(ctx context.Context) error {
	now := be.AppendUint64(nil, uint64(time.Now().UnixMilli())) // #nosec G115 -- a value like any other
	if err := s.write(ctx, func(w *writeTx) error { return w.put(bucketMeta, keyProbe, now) }); err != nil {
		return err
	}
	return s.checkPath()
}

// checkPath makes sure that the open file is the one at its path. The lock keeps
// Compact from putting another in its place meanwhile.
func (s *Store) checkPath() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.file == nil {
		return s.down
	}
	isNamed, err := isFileAt(s.file.os, s.path)
	if err != nil {
		return unavailable(err)
	}
	if !isNamed {
		return fmt.Errorf("%w: %s is no longer the file that was opened", store.ErrUnavailable, s.path)
	}
	return nil
}
