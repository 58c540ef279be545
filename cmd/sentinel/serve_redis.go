package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/redis"
)

const (
	redisNamesUse = "key-ip-sentinel: names of a cluster in redis"
	redisKeyUse   = "key-ip-sentinel: digests in redis"
	// namespaceBytes tell clusters that use the same Redis apart.
	namespaceBytes = 6
	redisKeyBytes  = 32
)

// redisServer returns where Redis is. ca are whom its certificate must come from.
func redisServer(c *Config, ca []byte) redis.Server {
	return redis.Server{
		Addresses: c.RedisAddr.Reveal(), Username: c.RedisUsername, Password: c.RedisPassword.Reveal(),
		SentinelPassword: c.RedisSentinelPassword.Reveal(), DB: c.RedisDB, MasterName: c.RedisMasterName, TLS: c.RedisTLS, CA: ca,
	}
}

// openRedis opens the way to Redis, which need not be there.
func (n *node) openRedis() error {
	if n.cluster == nil || n.cfg.RedisAddr == "" {
		return nil
	}
	var ca []byte
	if n.cfg.RedisTLSCA != "" {
		var err error
		if ca, err = os.ReadFile(n.cfg.RedisTLSCA); err != nil {
			return fmt.Errorf("REDIS_TLS_CA: %w", err)
		}
	}
	secret := []byte(n.secrets.HMACSecret.Reveal())
	namespace, err := hkdf.Key(sha256.New, secret, nil, redisNamesUse, namespaceBytes)
	if err != nil {
		return fmt.Errorf("names in redis: %w", err)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, redisKeyUse, redisKeyBytes)
	if err != nil {
		return fmt.Errorf("digests in redis: %w", err)
	}
	client, err := redis.Open(redis.Options{
		Server: redisServer(n.cfg, ca), Namespace: hex.EncodeToString(namespace), Secret: key, Node: n.cluster.NodeID(), Logger: n.logger,
		OnRevision: n.cluster.Wake, OnUses: n.chargeUses,
	})
	if err != nil {
		return fmt.Errorf("REDIS_ADDR: %w", err)
	}
	n.redis = client
	n.told.Store(client)
	return nil
}

// tellRevision tells the other nodes of a change.
func (n *node) tellRevision(revision uint64) {
	if c := n.told.Load(); c != nil { // it is opened after the store
		c.TellRevision(revision)
	}
}

// redisHealth returns how Redis is.
func (n *node) redisHealth() store.Health {
	if n.redis == nil {
		return store.Health{State: store.HealthNone}
	}
	return n.redis.Health()
}

// chargeUses counts what other nodes have let pass.
func (n *node) chargeUses(uses []redis.Use) {
	limiter := n.limiter.Load()
	if limiter == nil {
		return
	}
	list := make([]ratelimit.Use, len(uses))
	for i, u := range uses {
		list[i] = ratelimit.Use(u)
	}
	limiter.Charge(list, n.clock.Now())
}

// tellUses tells other nodes what this one has let pass, until ctx is done.
func (n *node) tellUses(ctx context.Context) {
	limiter := n.limiter.Load()
	n.redis.TellUses(ctx, func(most int) []redis.Use {
		taken := limiter.Taken(most)
		uses := make([]redis.Use, len(taken))
		for i, u := range taken {
			uses[i] = redis.Use(u)
		}
		return uses
	})
}
