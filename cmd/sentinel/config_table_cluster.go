package main

import (
	"os"
	"time"
)

var nodeSettings = []*setting{
	{
		name: "SENTINEL_PG_LISTEN_DSN", group: clusterGroup, example: "postgresql://sentinel@db.example.com:5432/sentinel", secrecy: hidden,
		value: into(postgresURLs, func(c *Config) *secretText { return &c.PostgresListenDSN }),
		help: text{
			"Where to listen for changes, if PG_DSN leads to a PgBouncer in transaction mode, which drops notifications: the PostgreSQL server itself. Without it, changes of other nodes are looked for every second.",
			"监听变更的地址：PG_DSN 指向事务模式的 PgBouncer（它会丢弃通知）时，在此填写 PostgreSQL 服务器本身。未设置时，每秒查询一次其他节点的变更。",
		},
	},
	{
		name: "SENTINEL_NODE_NAME", group: clusterGroup, example: "sentinel-1",
		defText: text{"the name of the host", "主机名"}, derived: func(*Config) string { return hostName() },
		value: into(nodeNames, func(c *Config) *string { return &c.NodeName }),
		help: text{
			"What this node is called in the console, in alerts and in the log. Nodes of one name are told apart by their data directories.",
			"此节点在控制台、告警和日志中的名称。同名节点按各自的数据目录区分。",
		},
	},
	{
		name: "SENTINEL_MAX_STALENESS", group: clusterGroup, def: "1h", example: "10m",
		value: into(durations(10*time.Second), func(c *Config) *time.Duration { return &c.MaxStaleness }),
		help: text{
			"How long a node that cannot reach PostgreSQL decides known keys by its copy. After that all keys are treated as the failsafe mode says, until the node has every change again: a ban is in force everywhere after this time at the latest.",
			"节点无法连接 PostgreSQL 时，按本地副本判定已知密钥的最长时间。超过后，所有密钥按故障保护模式处理，直到节点重新取得全部变更：封禁最迟在此时间后于所有节点生效。",
		},
	},
}

// hostName returns what this server is called unless it was given a name.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || checkNodeName(name) != nil {
		return "local"
	}
	return name
}
