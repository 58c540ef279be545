// Package redis lets the nodes of a cluster hear of each other at once, and count
// together, by a Redis that they share. Nothing is kept there that must not be lost, and
// nothing waits for it that must not wait:
//
//   - Fan-out (fanout.go): after a change a node tells its revision, and the others look
//     at the feed at once. The feed stays the truth: a message that is lost costs a node no
//     more than the time until it looks by itself.
//   - Counts towards thresholds of alerts (counts.go), which survive a change of the
//     leader.
//   - Failed logins (logins.go): a lockout at one node counts at all.
//   - The use of rate limits (fanout.go): each node tells what it has let pass, and
//     decides by what it knows.
//
// # Without it
//
// Redis may be away, hang, or lose everything at any time. A call has Timeout; after one
// has failed, all others fail at once, until a probe in the background has succeeded
// (breaker.go). So a Redis that hangs holds up those who happen to wait for it at that
// moment, a quarter of a second each, and nobody else. Then each node goes by what it
// knows itself. Health says so.
//
// # What is there
//
// All names begin with those of the cluster (Options.Namespace), so that several clusters
// may share a Redis; all records expire. What names would tell of people, such as
// addresses and what was typed as the name of an account, is there as a keyed digest only.
// Messages on the way have addresses in them. Whoever can write to this Redis can lock
// logins and use up limits, and no more.
//
// Redis 5 or newer, Valkey, or anything that speaks the same: on its own, watched by
// Sentinels, or a Redis Cluster; each script has one key.
package redis

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// DefaultTimeout is how long a call may take.
	DefaultTimeout = 250 * time.Millisecond
	// connectTimeout is how long to connect may take, which only the probe waits for.
	connectTimeout = 2 * time.Second
	poolSize       = 8
	// digestBytes are enough that no two names share one.
	digestBytes = 16
)

// Options for Open. Server, Namespace and Secret are needed.
type Options struct {
	Server Server
	// Namespace tells this cluster from others that use the same Redis. The nodes of a
	// cluster have the same.
	Namespace string
	// Secret is the key of digests, the same at all nodes.
	Secret []byte
	// Node tells this node from the others.
	Node string
	// Timeout is how long a call may take; 0: DefaultTimeout.
	Timeout time.Duration
	// OnRevision is told revisions that other nodes have told of, and OnUses what they
	// have let pass. Calls of both do not overlap, and must not wait. Nil: nobody.
	OnRevision func(revision uint64)
	OnUses     func(uses []Use)
	// Logger hears when Redis goes and comes. Nil: nobody.
	Logger *slog.Logger
}

// Client is the way to Redis. It is safe for concurrent use.
type Client struct {
	opts Options
	db   goredis.UniversalClient

	ctx     context.Context // ends with the client
	cancel  context.CancelFunc
	running sync.WaitGroup

	breaker breaker
	outbox  outbox
}

var quiet = sync.OnceFunc(func() { goredis.SetLogger(silence{}) })

// silence keeps what the library says of its connections from the log: what matters is in
// errors.
type silence struct{}

// Printf is part of the library's interface.
func (silence) Printf(context.Context, string, ...any) {}

// Open returns a client, which connects by itself: Redis need not be there. Returns
// store.ErrInvalid.
func Open(opts Options) (*Client, error) {
	if opts.Namespace == "" || len(opts.Secret) == 0 {
		return nil, errors.New("redis without namespace or secret")
	}
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.OnRevision == nil {
		opts.OnRevision = func(uint64) {}
	}
	if opts.OnUses == nil {
		opts.OnUses = func([]Use) {}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	universal, err := opts.Server.options()
	if err != nil {
		return nil, err
	}
	quiet()
	universal.DialTimeout = connectTimeout
	universal.ReadTimeout, universal.WriteTimeout = opts.Timeout, opts.Timeout
	universal.ContextTimeoutEnabled, universal.MaxRetries = true, -1
	universal.PoolSize, universal.PoolTimeout = poolSize, opts.Timeout
	c := &Client{opts: opts, db: goredis.NewUniversalClient(universal), outbox: newOutbox()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.breaker.down = errNotConnected
	c.breaker.probing = true
	c.running.Go(c.probe)
	c.running.Go(c.publish)
	c.running.Go(c.subscribe)
	return c, nil
}

// Close ends it. Everything else fails from here on.
func (c *Client) Close() error {
	c.cancel()
	c.running.Wait()
	c.breaker.mu.Lock()
	c.breaker.down = store.ErrClosed
	c.breaker.mu.Unlock()
	if err := c.db.Close(); err != nil && !errors.Is(err, goredis.ErrClosed) {
		return err
	}
	return nil
}

// Health returns how Redis is.
func (c *Client) Health() store.Health {
	if err := c.breaker.open(); err != nil {
		return store.Health{State: store.HealthAway, Error: err.Error()}
	}
	return store.Health{State: store.HealthGood}
}

// name returns the name of a record of a kind. What is in braces says on which server of
// a Redis Cluster it is.
func (c *Client) name(kind, of string) string {
	mac := hmac.New(sha256.New, c.opts.Secret)
	_, _ = mac.Write([]byte(kind + "\x00" + of)) // never fails
	return "sentinel:" + c.opts.Namespace + ":" + kind + ":{" + hex.EncodeToString(mac.Sum(nil)[:digestBytes]) + "}"
}
