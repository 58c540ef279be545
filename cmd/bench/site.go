//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/process"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/upstream"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
	"github.com/key-ip-sentinel/sentinel/store/redis/redistest"
)

const (
	siteDatabase = "sentinel"
	// deafDatabase is one in which nobody notifies.
	deafDatabase = "silence"
	// sitePatience bounds every wait for a node.
	sitePatience = 3 * time.Minute
	bannedSeries = "x"
)

// siteOptions say what a site has.
type siteOptions struct {
	nodes  int
	redis  bool
	isDeaf bool // nodes do not hear the notifications of PostgreSQL
}

// site is several nodes with all that they need.
type site struct {
	bench    *bench
	opts     siteOptions
	dir      string
	up       *upstream.Server
	postgres *pgtest.Server
	redis    *redistest.Server // nil: none
	nodes    []*siteNode
}

type siteNode struct {
	*process.Process
	options process.Options
	admin   *client.Client
}

// atSite starts a site, does something there, and ends it.
func (b *bench) atSite(ctx context.Context, name string, opts siteOptions, do func(s *site) error) (err error) {
	s := &site{bench: b, opts: opts, dir: filepath.Join(b.dir, name)}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.up, err = startUpstream(); err != nil {
		return err
	}
	if s.postgres, err = pgtest.Start(pgtest.Options{Fsync: true, Settings: []string{"max_connections=200"}}); err != nil {
		return err
	}
	if err := errors.Join(s.postgres.Create(siteDatabase), s.postgres.Create(deafDatabase)); err != nil {
		return err
	}
	if opts.redis {
		if s.redis, err = redistest.Start(redistest.Options{}); err != nil {
			return err
		}
	}
	for range opts.nodes {
		n, err := s.newNode()
		if err == nil {
			n.Process, err = process.Start(ctx, n.options)
		}
		if err != nil {
			return err
		}
		s.nodes = append(s.nodes, n)
	}
	return do(s)
}

// newNode returns a node that is not started yet, with an empty data directory.
func (s *site) newNode() (*siteNode, error) {
	dir, err := os.MkdirTemp(s.dir, "node-")
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(s.dir, 0o700); err == nil {
			dir, err = os.MkdirTemp(s.dir, "node-")
		}
	}
	if err != nil {
		return nil, err
	}
	n := &siteNode{options: process.Options{
		Binary: s.bench.binary, Downstream: s.up.URL(), DataDir: filepath.Join(dir, "data"), Secret: secret, LogFile: filepath.Join(dir, "sentinel.log"),
		Env: []string{
			"PG_DSN=" + s.postgres.TCP(siteDatabase), "SENTINEL_NODE_NAME=" + filepath.Base(dir),
			"ADMIN_JWT_SECRET=" + strings.Repeat("sessions of benchmarks ", 2),
			"SENTINEL_BIND_BURST=0", // one address binds very many keys here
		},
	}}
	if s.opts.isDeaf {
		n.options.Env = append(n.options.Env, "SENTINEL_PG_LISTEN_DSN="+s.postgres.TCP(deafDatabase))
	}
	if s.redis != nil {
		n.options.Env = append(n.options.Env, "REDIS_ADDR="+s.redis.Addr())
	}
	n.admin = client.Local(n.options.DataDir)
	return n, nil
}

func (s *site) addrs() (list []string) {
	for _, n := range s.nodes {
		list = append(list, n.Addr())
	}
	return list
}

// close ends all parts, and removes their data.
func (s *site) close() error {
	var errs []error
	for _, n := range s.nodes {
		n.admin.Close()
		errs = append(errs, n.Stop())
	}
	if s.up != nil {
		errs = append(errs, s.up.Close())
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Stop())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// subject returns the node as one of those that take turns.
func (n *siteNode) subject(b *bench) subject { return (&rig{bench: b, Process: n.Process}).subject() }

// self returns what a node tells of itself.
func (n *siteNode) self(ctx context.Context) (client.Node, error) {
	list, _, err := n.admin.Nodes(ctx)
	for _, item := range list {
		if item.Value.Self {
			return item.Value, err
		}
	}
	return client.Node{}, errors.Join(err, errors.New("the node does not tell of itself"))
}

// awaitPosition waits until the copy of a node has everything up to a change.
func (n *siteNode) awaitPosition(ctx context.Context, position uint64) error {
	ctx, cancel := context.WithTimeout(ctx, sitePatience)
	defer cancel()
	for {
		self, err := n.self(ctx)
		if err == nil && self.Position >= position {
			return nil
		}
		if pauseErr := pause(ctx, time.Millisecond); pauseErr != nil {
			return fmt.Errorf("the node is at change %d, want %d: %w", self.Position, position, errors.Join(pauseErr, err))
		}
	}
}

// freeze stops the process of a node, and thaw lets it go on.
func (n *siteNode) freeze() error { return syscall.Kill(n.PID(), syscall.SIGSTOP) }
func (n *siteNode) thaw() error   { return syscall.Kill(n.PID(), syscall.SIGCONT) }

// spreadOptions say how bans are measured.
type spreadOptions struct {
	bans  int
	lanes int           // bans at the same time
	ask   time.Duration // how often the other nodes are asked
}

// spread is how long bans took, in order.
type spread struct {
	acknowledged []time.Duration // from the request to its answer
	inForce      []time.Duration // from the request until the last node refused
	after        []time.Duration // from the answer until then; 0 if that was before
}

// banSome bans keys at the first node that all nodes know.
func (s *site) banSome(ctx context.Context, o spreadOptions) (spread, error) {
	times := make([][3]time.Duration, o.bans)
	group, ctx := errgroup.WithContext(ctx)
	for lane := range o.lanes {
		group.Go(func() (err error) {
			for i := lane; i < o.bans && err == nil; i += o.lanes {
				times[i], err = s.banOne(ctx, wire.Key(bannedSeries, i), o.ask)
			}
			return err
		})
	}
	err := group.Wait()
	var seen spread
	for _, t := range times {
		seen.acknowledged, seen.inForce, seen.after = append(seen.acknowledged, t[0]), append(seen.inForce, t[1]), append(seen.after, t[2])
	}
	for _, list := range [][]time.Duration{seen.acknowledged, seen.inForce, seen.after} {
		slices.Sort(list)
	}
	return seen, err
}

// banOne returns the times of one ban, as spread has them.
func (s *site) banOne(ctx context.Context, key string, every time.Duration) (t [3]time.Duration, err error) {
	for _, n := range s.nodes {
		if status, err := n.use(ctx, key); err != nil || status != http.StatusOK {
			return t, fmt.Errorf("a key before its ban: status %d: %w", status, err)
		}
	}
	found, err := s.nodes[0].admin.FindKey(ctx, key)
	if err != nil {
		return t, err
	}
	began := time.Now()
	last := make([]time.Duration, len(s.nodes))
	group, ctx := errgroup.WithContext(ctx)
	for i, n := range s.nodes[1:] {
		group.Go(func() (err error) {
			last[i], err = n.awaitRefusal(ctx, key, began, every)
			return err
		})
	}
	group.Go(func() error {
		_, err := s.nodes[0].admin.EditBinding(ctx, found.Key.Hash, 0, client.BindingEdit{Status: new("banned")})
		t[0] = time.Since(began)
		return err
	})
	err = group.Wait()
	t[1] = slices.Max(last)
	t[2] = max(0, t[1]-t[0])
	return t, err
}

// use sends one request with a key.
func (n *siteNode) use(ctx context.Context, key string) (status int, err error) {
	c := wire.NewClient(n.Addr(), home)
	defer func() { _ = c.Close() }()
	a, err := c.Do(ctx, wire.AppendRequest(nil, pathChat, key, chatBody))
	return a.Status, err
}

// awaitRefusal asks until the key is refused, and returns when the first refused
// request was sent.
func (n *siteNode) awaitRefusal(ctx context.Context, key string, began time.Time, every time.Duration) (time.Duration, error) {
	c := wire.NewClient(n.Addr(), home)
	defer func() { _ = c.Close() }()
	request := wire.AppendRequest(nil, pathChat, key, chatBody)
	for {
		sent := time.Since(began)
		a, err := c.Do(ctx, request)
		if err == nil && a.Status == http.StatusForbidden {
			return sent, nil
		}
		// An error is that of a request that the ban has cut off.
		if sent > sitePatience {
			return sent, fmt.Errorf("a ban is not in force after %v: %w", sitePatience, err)
		}
		if err := pause(ctx, every); err != nil {
			return sent, err
		}
	}
}
