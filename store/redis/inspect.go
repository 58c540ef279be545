package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/key-ip-sentinel/sentinel/store"
)

// inspected is the name and the channel that Inspect tries: as all names of a node begin.
const inspected = "sentinel:check"

// Inspection is what there is at the address of a Redis.
type Inspection struct {
	Version string // empty: it does not tell
	// Mode is standalone, cluster or sentinel, and Role master or replica; empty: it does
	// not tell.
	Mode, Role string
}

// Inspect connects as a node does, and tries what a node needs: to write, to run a script,
// and to publish. Returns store.ErrInvalid for a Server that is none, and store.ErrUnavailable,
// with what is wrong, if Redis cannot be used so. Nothing secret is in it.
func Inspect(ctx context.Context, server Server) (found Inspection, err error) {
	options, err := server.options()
	if err != nil {
		return found, err
	}
	quiet()
	options.DialTimeout, options.ContextTimeoutEnabled, options.MaxRetries = connectTimeout, true, -1
	db := goredis.NewUniversalClient(options)
	defer func() { _ = db.Close() }() // it has answered
	found = hello(ctx, db)
	err = errors.Join(
		db.Set(ctx, inspected, 1, probeAge).Err(),
		db.Eval(ctx, `return redis.call('DEL', KEYS[1])`, []string{inspected}).Err(),
		db.Publish(ctx, inspected, 1).Err(),
	)
	if err != nil {
		return found, fmt.Errorf("%w: redis: %w", store.ErrUnavailable, explained(first(err), found, len(options.Addrs) > 1 && server.MasterName == ""))
	}
	return found, nil
}

// hello asks what it is. Servers before 6.2 do not tell.
func hello(ctx context.Context, db goredis.UniversalClient) (found Inspection) {
	answer, err := db.Do(ctx, "HELLO").Result()
	if err != nil {
		return found
	}
	told, _ := answer.(map[any]any)
	text := func(name string) string {
		value, _ := told[name].(string)
		return value
	}
	return Inspection{Version: text("version"), Mode: text("mode"), Role: text("role")}
}

// first returns the first of joined errors: where nothing can be done, all say the same.
func first(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

// explained says what to set otherwise, where an error comes from the wrong kind of server.
func explained(err error, found Inspection, isOfCluster bool) error {
	switch text := err.Error(); {
	case found.Mode == "sentinel":
		return fmt.Errorf("it is a Redis Sentinel, which needs REDIS_MASTER_NAME beside its address: %w", err)
	case strings.HasPrefix(text, "MOVED") || found.Mode == "cluster" && !isOfCluster:
		return fmt.Errorf("it is a node of a Redis Cluster, of which REDIS_ADDR names several: %w", err)
	case strings.Contains(text, "cluster support disabled"):
		return fmt.Errorf("several addresses are those of a Redis Cluster, and this is none: %w", err)
	case found.Role == "replica" || strings.HasPrefix(text, "READONLY"):
		return fmt.Errorf("it is a replica, which takes no writes: %w", err)
	}
	return err
}
