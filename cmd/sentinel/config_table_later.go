package main

import (
	"math"
	"time"
)

// What a .env of the earlier deployment may hold and this version does nothing
// with: accepted and checked, so that the file can be used unchanged, and warned
// of, so that nobody relies on it.
var (
	noAlerts  = text{"this version sends no alerts", "此版本不发送告警"}
	noCluster = text{
		"this version runs as a single node, with its own data directory, and connects to no PostgreSQL or Redis",
		"此版本为单节点运行，使用自己的数据目录，不连接 PostgreSQL 或 Redis",
	}
	noWorkers = text{"one process uses every core", "单个进程即可使用全部核心"}
)

var alertGroup = &group{text{"Alerts", "告警"}}

var alertSettings = []*setting{
	{
		name: "ALERT_WEBHOOK_URL", group: alertGroup, example: "https://hooks.example.com/sentinel", secrecy: hidden, legacy: true, runtime: true, unused: noAlerts,
		value: into(webhookURLs, func(c *Config) *secretText { return &c.AlertWebhookURL }),
		help:  text{"Where alerts are sent to.", "告警发送地址。"},
	},
	{
		name: "ALERT_THRESHOLD_COUNT", group: alertGroup, def: "5", example: "10", legacy: true, runtime: true, unused: noAlerts,
		value: into(integers(1, math.MaxInt32), func(c *Config) *int { return &c.AlertThresholdCount }),
		help:  text{"How many refused requests of one key make an alert.", "同一密钥被拒绝多少次后告警。"},
	},
	{
		name: "ALERT_THRESHOLD_SECONDS", group: alertGroup, def: "300", example: "10m", legacy: true, runtime: true, unused: noAlerts,
		value: into(durations(time.Second), func(c *Config) *time.Duration { return &c.AlertWindow }),
		help:  text{"The time within which they count.", "统计次数的时间窗口。"},
	},
}

var clusterGroup = &group{text{"Cluster", "集群"}}

var clusterSettings = []*setting{
	{
		name: "PG_DSN", group: clusterGroup, example: "postgresql://sentinel@db.example.com/sentinel", secrecy: hidden, legacy: true, unused: noCluster,
		value: into(postgresURLs, func(c *Config) *secretText { return &c.PostgresDSN }),
		help: text{
			"The PostgreSQL database that several Sentinels share. The form postgresql+asyncpg:// is read too.",
			"多个 Sentinel 共用的 PostgreSQL 数据库。也接受 postgresql+asyncpg:// 形式。",
		},
	},
	{
		name: "REDIS_ADDR", group: clusterGroup, example: "redis.example.com:6379", secrecy: hidden, legacy: true, unused: noCluster,
		value: into(redisAddrs, func(c *Config) *secretText { return &c.RedisAddr }),
		help:  text{"The Redis server over which they tell each other of changes.", "它们互相通知更改所用的 Redis 服务器。"},
	},
	{
		name: "REDIS_PASSWORD", group: clusterGroup, example: "the password of the Redis server", secrecy: verbatim, legacy: true, unused: noCluster,
		value: into(foreignSecrets, func(c *Config) *secretText { return &c.RedisPassword }),
		help:  text{"The password of that server.", "该服务器的密码。"},
	},
	{
		name: "ARCHIVE_SCHEDULER_LOCK_KEY", group: clusterGroup, def: "2026030502", example: "2026030502", legacy: true, unused: noCluster,
		value: into(lockKeys, func(c *Config) *int64 { return &c.ArchiveSchedulerLockKey }),
		help:  text{"The number of the PostgreSQL advisory lock that lets one of them archive and remove at a time.", "PostgreSQL advisory lock 的编号，使同一时间只有一个节点归档和清理。"},
	},
	{
		name: "UVICORN_WORKERS", group: clusterGroup, example: "4", legacy: true, unused: noWorkers,
		value: into(integers(1, math.MaxInt32), func(c *Config) *int { return &c.UvicornWorkers }),
		help:  text{"The number of worker processes of the earlier deployment.", "早期部署的工作进程数。"},
	},
}
