package main

var retentionGroup = &group{text{"Archive and retention", "归档与保留"}}

var retentionSettings = []*setting{
	{
		name: "ARCHIVE_DAYS", group: retentionGroup, def: "90", example: "30", legacy: true, runtime: true,
		value: into(days, func(c *Config) *int { return &c.ArchiveDays }),
		help: text{
			"A binding that is unused for so many days leaves the active set for the archive: its key is bound anew at its next accepted use. Banned keys stay. 0: never.",
			"绑定闲置达到此天数后移入归档：其密钥在下次被接受时重新绑定。被封禁的密钥不会归档。0 表示从不。",
		},
	},
	{
		name: "SENTINEL_ARCHIVE_PURGE_DAYS", group: retentionGroup, def: "365", example: "730", runtime: true,
		value: into(days, func(c *Config) *int { return &c.ArchivePurgeDays }),
		help: text{
			"After so many days in the archive a binding is removed for good. 0: never.",
			"绑定在归档中达到此天数后被永久删除。0 表示从不。",
		},
	},
	{
		name: "SENTINEL_INTERCEPT_DAYS", group: retentionGroup, def: "90", example: "30", runtime: true,
		value: into(days, func(c *Config) *int { return &c.InterceptDays }),
		help: text{
			"How many days records of refused requests are kept. 0: for ever.",
			"拒绝记录保留的天数。0 表示永久保留。",
		},
	},
	{
		name: "SENTINEL_COUNTER_DAYS", group: retentionGroup, def: "400", example: "800", runtime: true,
		value: into(days, func(c *Config) *int { return &c.CounterDays }),
		help: text{
			"How many days the hourly counters behind the dashboard are kept. 0: for ever.",
			"仪表盘所用的每小时计数保留的天数。0 表示永久保留。",
		},
	},
	{
		name: "SENTINEL_AUDIT_DAYS", group: retentionGroup, def: "0", example: "730", runtime: true,
		value: into(days, func(c *Config) *int { return &c.AuditDays }),
		help: text{
			"How many days the audit trail of administrative acts is kept. 0: for ever.",
			"管理操作审计记录保留的天数。0 表示永久保留。",
		},
	},
}
