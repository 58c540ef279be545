//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/process"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
)

// bindCallers are the callers of stores.
const bindCallers = 64

// measureStoreBinds binds by PostgreSQL alone, without nodes.
func measureStoreBinds(ctx context.Context, b *bench, o *outcome) error {
	return b.atSite(ctx, "binds", siteOptions{}, func(s *site) error {
		n := b.size(20_000, 500)
		took, err := s.bindByStores(ctx, clusterNodes, n)
		o.Results = append(o.Results, result{text{"first use by 3 nodes: keys bound, the store alone", "3 个节点的首次使用：每秒绑定数，仅存储"},
			float64(n) / took.Seconds(), "/s", nil})
		return err
	})
}

// bindByStores binds keys by several stores on the database of a site.
func (s *site) bindByStores(ctx context.Context, stores, n int) (took time.Duration, err error) {
	made, err := makeBindings(ctx, secret, n, home)
	if err != nil {
		return 0, err
	}
	var list []*postgres.Store
	defer func() {
		for _, one := range list {
			err = errors.Join(err, one.Close())
		}
	}()
	for range stores {
		one, err := postgres.Open(ctx, postgres.Options{DSN: s.postgres.TCP(siteDatabase)})
		if err != nil {
			return 0, err
		}
		list = append(list, one)
	}
	queue := make(chan store.Binding, n)
	for b := range made {
		queue <- b
	}
	close(queue)
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for caller := range bindCallers {
		group.Go(func() error {
			for b := range queue {
				if _, created, err := list[caller%len(list)].Bind(ctx, b); err != nil || !created {
					return errors.Join(err, fmt.Errorf("a new key: created %v", created))
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return time.Since(began), err
}

// measureCatchUp has a node begin with nothing, and then be behind.
func measureCatchUp(ctx context.Context, b *bench, o *outcome) error {
	bindings, changes := b.size(1_000_000, 2_000), b.size(10_000, 200)
	return b.atSite(ctx, "catch-up", siteOptions{nodes: 1}, func(s *site) error {
		if err := s.insertBindings(bindings); err != nil {
			return err
		}
		n, err := s.newNode()
		if err != nil {
			return err
		}
		began := time.Now()
		if n.Process, err = process.Launch(ctx, n.options); err != nil {
			return err
		}
		s.nodes = append(s.nodes, n)
		if err := n.awaitHealth(ctx); err != nil {
			return err
		}
		fromNothing := time.Since(began)
		behind, err := s.fallBehind(ctx, n, changes)
		if err != nil {
			return err
		}
		o.Results = append(o.Results,
			result{text{"from nothing to serving, with 1,000,000 bindings", "有 1,000,000 条绑定时，从零到开始服务"}, fromNothing.Seconds(), "s", nil},
			result{text{"catching up on 10,000 changes", "追上 10,000 个变更"}, behind.Seconds(), "s", nil})
		return nil
	})
}

// insertBindings puts bindings into the database of which nobody was told, as after a
// long time: a node that is there takes a new copy.
func (s *site) insertBindings(n int) error {
	const insert = `
INSERT INTO sentinel.bindings (hash, revision, hint, label, note, hint_folded, label_folded, status, rule, prefixes, networks,
    learn_limit, learn_within, first_ip, created_at, updated_at)
SELECT sha256(n::text::bytea), (SELECT revision FROM sentinel.head) + n, 'sk-ab', '', '', 'sk-ab', '', 'active', 'single', ARRAY['10.0.0.1/32']::cidr[], '{}', 0, 0,
    '10.0.0.1', 1700000000000, 1700000000000 FROM generate_series(%d, %d) AS n`
	const atOnce = 100_000
	const head = `UPDATE sentinel.head SET revision = revision + %[1]d, trimmed = revision + %[1]d, bindings = bindings + %[1]d`
	for first := 1; first <= n; first += atOnce {
		if err := s.postgres.Do(siteDatabase, fmt.Sprintf(insert, first, min(n, first+atOnce-1))); err != nil {
			return err
		}
	}
	return s.postgres.Do(siteDatabase, fmt.Sprintf(head, n))
}

// fallBehind stops a node while changes are made, and returns how long it takes to have
// them after that.
func (s *site) fallBehind(ctx context.Context, n *siteNode, changes int) (time.Duration, error) {
	if err := n.freeze(); err != nil {
		return 0, err
	}
	_, err := s.bindByStores(ctx, 1, changes)
	var head float64
	if err == nil {
		head, err = s.postgres.Number(siteDatabase, `SELECT revision::float8 FROM sentinel.head`)
	}
	began := time.Now()
	if err := errors.Join(err, n.thaw()); err != nil {
		return 0, err
	}
	err = n.awaitPosition(ctx, uint64(head))
	return time.Since(began), err
}

// awaitHealth waits until a node serves.
func (n *siteNode) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sitePatience)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Addr()+"/health", nil)
		if err != nil {
			return err
		}
		req.Close = true
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			return nil
		}
		select {
		case <-n.Exited():
			return errors.New("the node ended before it served")
		default:
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("the node does not serve: %w", err)
		}
	}
}
