//go:build linux

package faulttest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

const (
	bannedSeries = "b"
	bannedKeys   = 50
	askEvery     = time.Millisecond
)

// measureBans bans keys by the first node, one after the other, and notes how long after
// the acknowledgement the other nodes refuse them.
func (r *run) measureBans(ctx context.Context) error {
	for i := range bannedKeys {
		key := wire.Key(bannedSeries, i)
		for _, n := range r.nodes {
			if err := r.ask(ctx, n, key); err != nil {
				return err
			}
		}
		found, err := r.nodes[0].admin.FindKey(ctx, key)
		if err != nil {
			return err
		}
		status := "banned"
		if _, err := r.nodes[0].admin.EditBinding(ctx, found.Key.Hash, 0, client.BindingEdit{Status: &status}); err != nil {
			return err
		}
		if err := r.awaitBan(ctx, key, time.Now()); err != nil {
			return err
		}
	}
	slices.Sort(r.report.BanDelay)
	return nil
}

func (r *run) awaitBan(ctx context.Context, key string, acknowledged time.Time) error {
	delays := make([]time.Duration, len(r.nodes))
	group, ctx := errgroup.WithContext(ctx)
	for i, n := range r.nodes[1:] {
		group.Go(func() error {
			c := wire.NewClient(*n.address.Load(), addresses[0])
			defer func() { _ = c.Close() }()
			for {
				asked := time.Now()
				code, err := use(ctx, c, key)
				switch delays[i] = max(0, asked.Sub(acknowledged)); {
				case code == "key_banned":
					return nil
				case delays[i] > patience:
					return fmt.Errorf("%s answers a key that has been banned for %v: %w", n.name, patience, err)
				}
				// An error is that of a request that the ban has cut off.
				time.Sleep(askEvery)
			}
		})
	}
	err := group.Wait()
	r.report.BanDelay = append(r.report.BanDelay, delays[:len(r.nodes)-1]...)
	return err
}
