//go:build linux

package faulttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/process"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/upstream"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
	"github.com/key-ip-sentinel/sentinel/store/redis/redistest"
)

const (
	database = "sentinel"
	// patience bounds every wait for the cluster.
	patience  = 60 * time.Second
	pollEvery = 20 * time.Millisecond
	// requestTimeout is below what a node waits for an authority that hangs: a request
	// that waited for it is one that failed.
	requestTimeout = 2 * time.Second
)

// The two addresses that requests come from.
var addresses = [2]netip.Addr{netip.MustParseAddr("127.0.0.11"), netip.MustParseAddr("127.0.0.12")}

// cluster is the nodes with all that they need.
type cluster struct {
	binary     string
	shifted    string // one with a clock that can be set; empty: no fault takes it
	dir        string
	postgres   *pgtest.Server
	redis      *redistest.Server // nil: none
	downstream *upstream.Server
	nodes      []*node
}

// node is one node with its way to the authority.
type node struct {
	name    string
	number  int
	options process.Options
	process *process.Process
	links   links
	admin   *client.Client
	// isOut means that it is the node itself that the fault has hit: a balancer would
	// send it nothing.
	isOut atomic.Bool
	// address is where it listens; it gets another port at a restart.
	address atomic.Pointer[string]
}

// links are the ways of a node to what it needs.
type links struct {
	postgres *toxiproxy.Proxy
	redis    *toxiproxy.Proxy // nil: there is none
}

func (l links) all() (list []*toxiproxy.Proxy) {
	for _, link := range []*toxiproxy.Proxy{l.postgres, l.redis} {
		if link != nil {
			list = append(list, link)
		}
	}
	return list
}

func startCluster(ctx context.Context, opts Options) (c *cluster, err error) {
	c = &cluster{binary: opts.Binary, dir: opts.Dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	if c.postgres, err = pgtest.Start(pgtest.Options{Fsync: true}); err != nil {
		return c, err
	}
	if err := c.postgres.Create(database); err != nil {
		return c, err
	}
	if c.downstream, err = upstream.Start(http.HandlerFunc(serveAll)); err != nil {
		return c, err
	}
	if opts.Redis {
		if c.redis, err = redistest.Start(redistest.Options{}); err != nil {
			return c, err
		}
	}
	proxies := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for i := range opts.Nodes {
		n := &node{name: fmt.Sprintf("node-%d", i+1), number: i}
		c.nodes = append(c.nodes, n)
		n.links.postgres = toxiproxy.NewProxy(proxies, n.name, "127.0.0.1:0", hostOf(c.postgres.TCP(database)))
		if c.redis != nil {
			n.links.redis = toxiproxy.NewProxy(proxies, n.name+"-redis", "127.0.0.1:0", c.redis.Addr())
		}
		for _, link := range n.links.all() {
			if err := link.Start(); err != nil {
				return c, fmt.Errorf("start the way %s: %w", link.Name, err)
			}
		}
		n.options = c.optionsOf(n)
		if err := n.start(ctx); err != nil {
			return c, err
		}
		n.admin = client.Local(n.options.DataDir)
	}
	return c, c.awaitLevel(ctx)
}

func (c *cluster) optionsOf(n *node) process.Options {
	options := process.Options{
		Binary: c.binary, Downstream: c.downstream.URL(), DataDir: filepath.Join(c.dir, n.name),
		LogFile: filepath.Join(c.dir, n.name+".log"), Secret: strings.Repeat("fault test secret, ", 3) + "!",
		Env: []string{
			"GORACE=atexit_sleep_ms=0",
			"ADMIN_JWT_SECRET=" + strings.Repeat("fault test sessions, ", 3) + "!",
			"SENTINEL_NODE_NAME=" + n.name,
			"SENTINEL_BIND_BURST=0", // one address binds very many keys here
			"PG_DSN=" + strings.Replace(c.postgres.TCP(database), hostOf(c.postgres.TCP(database)), n.links.postgres.Listen, 1),
		},
	}
	if n.links.redis != nil {
		options.Env = append(options.Env, "REDIS_ADDR="+n.links.redis.Listen)
	}
	return options
}

func hostOf(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err) // made by pgtest
	}
	return u.Host
}

// serveAll answers 200 to every key.
func serveAll(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the client has gone
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"object":"chat.completion"}`)
}

// stop ends all parts. A node that does not end well is an error.
func (c *cluster) stop() error {
	var errs []error
	for _, n := range c.nodes {
		if n.process != nil {
			errs = append(errs, n.process.Stop())
		}
		if n.admin != nil {
			n.admin.Close()
		}
		for _, link := range n.links.all() {
			link.Stop()
		}
	}
	if c.downstream != nil {
		errs = append(errs, c.downstream.Close())
	}
	if c.postgres != nil {
		errs = append(errs, c.postgres.Stop())
	}
	if c.redis != nil {
		errs = append(errs, c.redis.Stop())
	}
	return errors.Join(errs...)
}

func (n *node) start(ctx context.Context) (err error) {
	if n.process, err = process.Start(ctx, n.options); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	address := n.process.Addr()
	n.address.Store(&address)
	return nil
}

// poison puts one of toxiproxy's toxics on both directions of a way.
func poison(link *toxiproxy.Proxy, kind string, attributes map[string]int) error {
	for _, stream := range []string{"upstream", "downstream"} {
		spec, err := json.Marshal(map[string]any{"name": kind + "-" + stream, "type": kind, "stream": stream, "attributes": attributes})
		if err != nil {
			return err
		}
		if _, err := link.Toxics.AddToxicJson(strings.NewReader(string(spec))); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// cure takes all toxics away.
func (n *node) cure(ctx context.Context) {
	for _, link := range n.links.all() {
		link.Toxics.ResetToxics(ctx)
	}
}

// awaitLevel waits until every node has all that the authority has at this moment, and
// the authority all that the nodes have gathered.
func (c *cluster) awaitLevel(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	from := time.Now()
	for _, n := range c.nodes {
		for {
			isLevel, err := n.isLevel(ctx, from)
			if isLevel {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s was not level with the authority again within %v: %w", n.name, patience, errors.Join(ctx.Err(), err))
			case <-time.After(pollEvery):
			}
		}
	}
	return nil
}

// isLevel reports whether the node has been level with the authority since some time,
// and nothing waits to be delivered.
func (n *node) isLevel(ctx context.Context, since time.Time) (bool, error) {
	var dashboard struct {
		Health struct {
			Cluster struct {
				Reachable bool
				Behind    uint64
				Level     time.Time
				Outbox    struct{ Batches uint64 }
			}
		}
	}
	err := n.admin.Do(ctx, http.MethodGet, "/dashboard", nil, &dashboard)
	c := dashboard.Health.Cluster
	return c.Reachable && c.Behind == 0 && c.Level.After(since) && c.Outbox.Batches == 0, err
}

// use sends one request with a key, and returns the code of the refusal; "" means that
// it was answered.
func use(ctx context.Context, c *wire.Client, key string) (code string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	a, err := c.Do(ctx, wire.AppendChat(nil, key))
	if err != nil {
		return "", err
	}
	if a.Status == http.StatusOK {
		return "", nil
	}
	var refusal struct {
		Error struct{ Code string }
	}
	if err := json.Unmarshal(a.Body, &refusal); err != nil {
		return "", fmt.Errorf("status %d: %s", a.Status, a.Body)
	}
	return refusal.Error.Code, nil
}
