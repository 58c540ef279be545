package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// probeEvery is how often one looks whether Redis is back.
	probeEvery = time.Second
	// watchEvery is how often one looks whether it is still there, so that Health is true
	// also where nobody calls.
	watchEvery = 3 * time.Second
	probeAge   = time.Minute
)

var (
	errNotConnected = fmt.Errorf("%w: not connected to Redis yet", store.ErrUnavailable)
	errNoAnswer     = errors.New("redis does not answer")
)

// breaker makes calls fail at once after one has failed.
type breaker struct {
	mu      sync.Mutex
	down    error // why calls fail; nil: they do not
	probing bool
	told    bool // that it is away
}

func (b *breaker) open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down
}

// call does something in Redis, unless that is known to be away. Its errors wrap
// store.ErrUnavailable, but for that of ctx.
func (c *Client) call(ctx context.Context, do func(ctx context.Context, db goredis.UniversalClient) error) error {
	if err := c.breaker.open(); err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	err := do(timed, c.db)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case timed.Err() != nil:
		err = errNoAnswer
	}
	err = fmt.Errorf("%w: redis: %w", store.ErrUnavailable, err)
	c.trip(err)
	return err
}

// trip makes all calls fail until a probe has succeeded.
func (c *Client) trip(cause error) {
	b := &c.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(b.down, store.ErrClosed) {
		return
	}
	b.down = cause
	if !b.told && c.ctx.Err() == nil {
		b.told = true
		c.opts.Logger.Warn("Redis is away: this node goes by what it knows itself", "error", cause)
	}
}

// probe looks after Redis until the client is closed.
func (c *Client) probe() {
	for {
		err := c.ask()
		if c.ctx.Err() != nil {
			return
		}
		wait := watchEvery
		if err != nil {
			c.trip(err)
			wait = probeEvery
		} else {
			c.restore()
		}
		if !c.pause(wait) {
			return
		}
	}
}

// ask writes something: a replica that takes no writes, and a Redis without memory, are
// of no use.
func (c *Client) ask() error {
	timeout := c.opts.Timeout
	if c.breaker.open() != nil {
		timeout += connectTimeout
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	err := c.db.Set(ctx, "sentinel:"+c.opts.Namespace+":probe", c.opts.Node, probeAge).Err()
	if err != nil && ctx.Err() != nil {
		err = errNoAnswer
	}
	if err != nil {
		return fmt.Errorf("%w: redis: %w", store.ErrUnavailable, err)
	}
	return nil
}

func (c *Client) restore() {
	b := &c.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down == nil {
		return
	}
	b.down, b.told = nil, false
	c.opts.Logger.Info("Redis is there")
}

// pause waits, and reports whether the client is still open.
func (c *Client) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}
