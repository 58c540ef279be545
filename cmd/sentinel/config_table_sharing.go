package main

var sharingSettings = []*setting{
	{
		name: "SENTINEL_SHARING_MINUTES", group: bindingGroup, def: "5", example: "15", runtime: true,
		value: into(integers(0, 24*60), func(c *Config) *int { return &c.SharingMinutes }),
		help: text{
			"In how many minutes of one day (UTC) a key whose rule is multiple, all or learn must be used from several networks at a time to be suspected of being shared. 0: no key is.",
			"规则为 multiple、all 或 learn 的密钥，一天（UTC）内有多少分钟同时从多个网络使用，就怀疑它被多人共用。0 表示从不怀疑。",
		},
	},
}
