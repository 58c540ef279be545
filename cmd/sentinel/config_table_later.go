package main

import (
	"math"
	"time"
)

// What a .env of the earlier deployment may hold and this version does nothing
// with: accepted and checked, so that the file can be used unchanged, and warned
// of, so that nobody relies on it.
var (
	noWorkers = text{"one process uses every core", "单个进程即可使用全部核心"}
)

var alertGroup = &group{text{"Alerts", "告警"}}

var alertSettings = []*setting{
	{
		name: "ALERT_WEBHOOK_URL", group: alertGroup, example: "https://hooks.example.com/sentinel", secrecy: hidden, legacy: true, runtime: true,
		value: into(webhookURLs, func(c *Config) *secretText { return &c.AlertWebhookURL }),
		help: text{
			"Where alerts are sent to: a JSON document by POST, tried for a day. Without it, alerts are only kept.",
			"告警发送地址：以 POST 发送 JSON 文档，最多重试一天。未设置时，告警只保存、不发送。",
		},
	},
	{
		name: "ALERT_THRESHOLD_COUNT", group: alertGroup, def: "5", example: "10", legacy: true, runtime: true,
		value: into(integers(1, math.MaxInt32), func(c *Config) *int { return &c.AlertThresholdCount }),
		help:  text{"How many refused requests of one key make an alert.", "同一密钥被拒绝多少次后告警。"},
	},
	{
		name: "ALERT_THRESHOLD_SECONDS", group: alertGroup, def: "300", example: "10m", legacy: true, runtime: true,
		value: into(durations(time.Second), func(c *Config) *time.Duration { return &c.AlertWindow }),
		help:  text{"The time within which they count. An alert closes when it has been quiet for so long.", "统计次数的时间窗口。安静达到此时长后告警关闭。"},
	},
	{
		name: "SENTINEL_ALERT_LANGUAGE", group: alertGroup, def: "en", example: "zh", runtime: true,
		value: into(choices("en", "zh"), func(c *Config) *string { return &c.AlertLanguage }),
		help:  text{"The language of alerts.", "告警使用的语言。"},
	},
}

var clusterGroup = &group{text{"Cluster", "集群"}}

var clusterSettings = []*setting{
	{
		name: "PG_DSN", group: clusterGroup, example: "postgresql://sentinel@db.example.com/sentinel", secrecy: hidden, legacy: true,
		value: into(postgresURLs, func(c *Config) *secretText { return &c.PostgresDSN }),
		help: text{
			"The PostgreSQL database that several Sentinels share: it makes this one a node of a cluster, with a copy of everything in its data directory. The nodes need the same SENTINEL_HMAC_SECRET and ADMIN_JWT_SECRET. The form postgresql+asyncpg:// is read too.",
			"多个 Sentinel 共用的 PostgreSQL 数据库：设置后，此实例成为集群节点，数据目录中保存完整副本。各节点的 SENTINEL_HMAC_SECRET 和 ADMIN_JWT_SECRET 必须相同。也接受 postgresql+asyncpg:// 形式。",
		},
	},
	{
		name: "ARCHIVE_SCHEDULER_LOCK_KEY", group: clusterGroup, def: "2026030502", example: "2026030502", legacy: true,
		value: into(lockKeys, func(c *Config) *int64 { return &c.ArchiveSchedulerLockKey }),
		help: text{
			"The number of the PostgreSQL advisory lock whose holder is the leader: the node that archives, removes what is old and sends alerts. The nodes of a cluster have the same number, and nothing else in that database may use it.",
			"PostgreSQL advisory lock 的编号，持有者为主节点：由它归档、清理过期数据并发送告警。集群各节点必须使用相同的编号，且该数据库中不得有其他用途占用它。",
		},
	},
	{
		name: "UVICORN_WORKERS", group: clusterGroup, example: "4", legacy: true, unused: noWorkers,
		value: into(integers(1, math.MaxInt32), func(c *Config) *int { return &c.UvicornWorkers }),
		help:  text{"The number of worker processes of the earlier deployment.", "早期部署的工作进程数。"},
	},
}
