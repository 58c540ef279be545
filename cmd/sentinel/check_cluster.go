package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/clock"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/redis"
)

// checkPostgres connects as a start does, and changes nothing. A node starts from its copy
// without it, but a cluster that never has it is none.
func (c *checker) checkPostgres(ctx context.Context) {
	const check = "PostgreSQL"
	if c.cfg.PostgresDSN == "" {
		return
	}
	found, err := postgres.Inspect(ctx, postgres.Options{DSN: c.cfg.PostgresDSN.Reveal(), ListenDSN: c.cfg.PostgresListenDSN.Reveal()})
	if err != nil {
		c.fail(check, "PG_DSN: %s", inspectionError(err))
		return
	}
	switch {
	case found.Schema == 0:
		c.ok(check, "version %s answers; the schema is made by the first start", found.Version)
	case found.Schema < found.Own:
		c.ok(check, "version %s answers; the next start brings its schema from version %d to %d", found.Version, found.Schema, found.Own)
	default:
		c.ok(check, "version %s answers, and has the schema that this program wants", found.Version)
	}
	if ahead := time.Since(found.Time); ahead.Abs() > clock.Tolerance {
		c.warn("clock", "that of this machine is %s ahead of that of PostgreSQL, by which nodes go: correct the one that is wrong", ahead.Round(time.Second))
	}
	c.checkOutbox(ctx)
}

// checkRedis does all that a node does there. Nodes can do without.
func (c *checker) checkRedis(ctx context.Context) {
	const check = "Redis"
	if c.cfg.PostgresDSN == "" || c.cfg.RedisAddr == "" {
		return
	}
	var ca []byte
	if c.cfg.RedisTLSCA != "" {
		var err error
		if ca, err = os.ReadFile(c.cfg.RedisTLSCA); err != nil {
			c.fail(check, "REDIS_TLS_CA: %v", err)
			return
		}
	}
	found, err := redis.Inspect(ctx, redisServer(c.cfg, ca))
	if err != nil {
		c.fail(check, "REDIS_ADDR: %s", inspectionError(err))
		return
	}
	about := "a server that does not tell its version"
	if found.Version != "" {
		about = fmt.Sprintf("version %s, %s", found.Version, found.Mode)
	}
	c.ok(check, "%s: takes writes, scripts and messages", about)
}

// inspectionError returns what is wrong in one line.
func inspectionError(err error) string {
	text := strings.TrimPrefix(err.Error(), store.ErrUnavailable.Error()+": ")
	return strings.Join(strings.Fields(text), " ")
}

// checkOutbox looks for what a node has gathered and PostgreSQL does not have.
func (c *checker) checkOutbox(ctx context.Context) {
	waiting, err := c.waiting(ctx)
	switch {
	case err != nil:
		c.warn("outbox", "what waits for PostgreSQL cannot be told: %v", err)
	case waiting > 0 && c.runs:
		c.warn("outbox", "%d batches of records and counts wait for PostgreSQL: they are delivered when it is there", waiting)
	case waiting > 0:
		c.warn("outbox", "%d batches of records and counts are not delivered to PostgreSQL yet: this node does that when it runs", waiting)
	}
}

// waiting returns how many batches are not delivered.
func (c *checker) waiting(ctx context.Context) (uint64, error) {
	if c.runs {
		local := client.Local(c.cfg.DataDir)
		defer local.Close()
		list, _, err := local.Nodes(ctx)
		for _, item := range list {
			if item.Value.Self {
				return item.Value.Waiting, err
			}
		}
		return 0, err
	}
	if missing(filepath.Join(c.cfg.DataDir, dataFileName)) {
		return 0, nil
	}
	s, err := openStore(c.cfg.DataDir, newLogger(c.cfg, c.cfg.LogLevel, discard{}))
	if err != nil {
		return 0, nil //nolint:nilerr // the check of the store has told it
	}
	size, err := s.OutboxSize(ctx)
	return size.Batches, errors.Join(err, s.Close())
}
