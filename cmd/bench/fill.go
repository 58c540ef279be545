//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
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
func fill(ctx context.Context, dataDir string, n int, to netip.Addr) error {
	made, err := makeBindings(ctx, secret, n, to)
	if err != nil {
		return err
	}
	return fillWith(ctx, dataDir, secret, n, func(yield func(store.Binding, store.Touch) bool) {
		for b := range made {
			if !yield(b, store.Touch{Hash: b.Hash, LastUsed: b.CreatedAt, LastIP: to, Hits: 1}) {
				return
			}
		}
	})
}

// fillWith makes a data file of n bindings with what is known of their use. It holds
// few of them in memory, and so asks for them twice.
func fillWith(ctx context.Context, dataDir, secret string, n int, made iter.Seq2[store.Binding, store.Touch]) (err error) {
	s, err := bolt.Open(filepath.Join(dataDir, bolt.FileName), bolt.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := engine.NoteSecret(ctx, s, engine.Secrets{Current: []byte(secret)}); err != nil {
		return err
	}
	created, err := s.ImportBindings(ctx, func(yield func(store.Binding) bool) {
		for b := range made {
			if !yield(b) {
				return
			}
		}
	})
	if err != nil || created != n {
		return errors.Join(err, fmt.Errorf("%d of %d bindings imported", created, n))
	}
	touches := make([]store.Touch, 0, store.UsageChunk)
	write := func() error {
		if len(touches) == 0 {
			return nil
		}
		err := s.AddUsage(ctx, store.UsageBatch{Touches: touches})
		touches = touches[:0]
		return err
	}
	for _, t := range made {
		if touches = append(touches, t); len(touches) < store.UsageChunk {
			continue
		}
		if err := write(); err != nil {
			return err
		}
	}
	return write()
}

// place is where a key comes in the order of the hashes.
type place struct {
	hash uint64 // its first bytes
	i    uint32 // the number of the key
}

// makeBindings returns n bindings in the order of their hashes, which is how they
// are quickest to store. They are made anew each time they are asked for: what is kept
// is 16 bytes of each.
func makeBindings(ctx context.Context, secret string, n int, to netip.Addr) (iter.Seq[store.Binding], error) {
	keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte(secret)})
	if err != nil {
		return nil, err
	}
	places := make([]place, n)
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.NumCPU()
	for worker := range workers {
		group.Go(func() error {
			for i := worker; i < n; i += workers {
				hash, _, err := keys.HashKey(wire.Key(storedSeries, i))
				if err != nil {
					return err
				}
				places[i] = place{binary.BigEndian.Uint64(hash[:]), uint32(i)} // #nosec G115 -- keys have seven digits
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.hash, b.hash) })
	now := store.StoredTime(time.Now())
	rule := store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.PrefixFrom(to, to.BitLen())}}
	return func(yield func(store.Binding) bool) {
		for _, p := range places {
			hash, hint, err := keys.HashKey(wire.Key(storedSeries, int(p.i)))
			if err != nil {
				return // it was read above
			}
			b := store.Binding{Hash: hash, Hint: hint, Status: store.StatusActive, FirstIP: to, CreatedAt: now, UpdatedAt: now, Rule: rule}
			if !yield(b) {
				return
			}
		}
	}, nil
}
