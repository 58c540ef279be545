package main

// redisDatabases is more than any server is set to have.
const redisDatabases = 65535

var redisSettings = []*setting{
	{
		name: "REDIS_ADDR", group: clusterGroup, example: "redis.example.com:6379", secrecy: hidden, legacy: true,
		value: into(redisAddrs, func(c *Config) *secretText { return &c.RedisAddr }),
		help: text{
			"The Redis by which the nodes of a cluster hear of each other at once, and count together: towards alerts, failed logins and rate limits. It may be away at any time, and needs no disk. host:port, a redis:// or rediss:// (TLS) URL, or several host:port separated by commas: those of a Redis Cluster, or with REDIS_MASTER_NAME of Sentinels.",
			"集群各节点借此 Redis 即时互通，并合并计数：告警阈值、登录失败和速率限制。它可以随时不可用，也无需持久化。可写 host:port、redis:// 或 rediss://（TLS）URL，或以逗号分隔的多个 host:port：Redis Cluster 的节点，设置 REDIS_MASTER_NAME 时则为 Sentinel。",
		},
	},
	{
		name: "REDIS_PASSWORD", group: clusterGroup, example: "the password of the Redis server", secrecy: verbatim, legacy: true,
		value: into(foreignSecrets, func(c *Config) *secretText { return &c.RedisPassword }),
		help:  text{"The password of that server.", "该服务器的密码。"},
	},
	{
		name: "REDIS_USERNAME", group: clusterGroup, example: "sentinel",
		value: into(redisNames, func(c *Config) *string { return &c.RedisUsername }),
		help: text{
			"The user of its ACL; without one, the default user. It may do what ~sentinel:* &sentinel:* +@all -@admin -@dangerous says.",
			"其 ACL 用户；未设置时为默认用户。所需权限：~sentinel:* &sentinel:* +@all -@admin -@dangerous。",
		},
	},
	{
		name: "REDIS_DB", group: clusterGroup, def: "0", example: "2",
		value: into(integers(0, redisDatabases), func(c *Config) *int { return &c.RedisDB }),
		help:  text{"The number of the database. A Redis Cluster has 0 only.", "数据库编号。Redis Cluster 只有 0。"},
	},
	{
		name: "REDIS_MASTER_NAME", group: clusterGroup, example: "mymaster",
		value: into(redisNames, func(c *Config) *string { return &c.RedisMasterName }),
		help: text{
			"What Sentinels call the server: then REDIS_ADDR has the addresses of the Sentinels.",
			"Sentinel 中主服务器的名称：此时 REDIS_ADDR 填写各 Sentinel 的地址。",
		},
	},
	{
		name: "REDIS_SENTINEL_PASSWORD", group: clusterGroup, example: "the password of the Sentinels", secrecy: verbatim,
		value: into(foreignSecrets, func(c *Config) *secretText { return &c.RedisSentinelPassword }),
		help:  text{"The password of the Sentinels, if they have one.", "Sentinel 的密码（如有）。"},
	},
	{
		name: "REDIS_TLS", group: clusterGroup, def: "false", example: "true",
		value: into(bools, func(c *Config) *bool { return &c.RedisTLS }),
		help: text{
			"Connect by TLS. The certificate must be for the name in REDIS_ADDR.",
			"使用 TLS 连接。证书必须与 REDIS_ADDR 中的主机名一致。",
		},
	},
	{
		name: "REDIS_TLS_CA", group: clusterGroup, example: "/etc/sentinel/redis-ca.pem",
		value: into(filePaths, func(c *Config) *string { return &c.RedisTLSCA }),
		help: text{
			"A file with the certificates, as PEM, that the server's must come from. Without it, those that the system trusts.",
			"签发该服务器证书的 CA 证书文件（PEM）。未设置时使用系统信任的 CA。",
		},
	},
}
