//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

// storedSeries is the series of the keys that fill binds.
const storedSeries = "b"

// fill makes a data file in which n keys are bound to one address, and have
// been used from it.
func fill(ctx context.Context, dataDir string, n int, to netip.Addr) (err error) {
	s, err := bolt.Open(filepath.Join(dataDir, bolt.FileName), bolt.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := engine.NoteSecret(ctx, s, engine.Secrets{Current: []byte(secret)}); err != nil {
		return err
	}
	bindings, err := makeBindings(ctx, secret, n, to)
	if err != nil {
		return err
	}
	created, err := s.ImportBindings(ctx, slices.Values(bindings))
	if err != nil || created != n {
		return errors.Join(err, fmt.Errorf("%d of %d bindings imported", created, n))
	}
	touches := make([]store.Touch, n)
	for i, b := range bindings {
		touches[i] = store.Touch{Hash: b.Hash, LastUsed: b.CreatedAt, LastIP: to, Hits: 1}
	}
	for chunk := range slices.Chunk(touches, store.UsageChunk) {
		if err := s.AddUsage(ctx, store.UsageBatch{Touches: chunk}); err != nil {
			return err
		}
	}
	return nil
}

// makeBindings returns the bindings in the order of their hashes, which is how
// they are quickest to store.
func makeBindings(ctx context.Context, secret string, n int, to netip.Addr) ([]store.Binding, error) {
	keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte(secret)})
	if err != nil {
		return nil, err
	}
	prefix := netip.PrefixFrom(to, to.BitLen())
	now := store.StoredTime(time.Now())
	bindings := make([]store.Binding, n)
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.NumCPU()
	for worker := range workers {
		group.Go(func() error {
			for i := worker; i < n; i += workers {
				hash, hint, err := keys.HashKey(wire.Key(storedSeries, i))
				if err != nil {
					return err
				}
				bindings[i] = store.Binding{
					Hash: hash, Hint: hint, Status: store.StatusActive, FirstIP: to, CreatedAt: now, UpdatedAt: now,
					Rule: store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{prefix}},
				}
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(bindings, func(a, b store.Binding) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	return bindings, nil
}
