package main

import (
	"math"

	"github.com/key-ip-sentinel/sentinel/engine"
)

// What becomes of first uses beyond SENTINEL_BIND_BURST.
const (
	burstAlert = "alert"
	burstHold  = "hold"
)

var newRuleLists = form[[]engine.NewRule]{
	text{"list of rules", "规则列表"}, "rules such as single, all, @office or learn:3/24h, with a pattern before = where they are for some keys only",
	engine.ParseNewRules, textList,
}

var firstUseSettings = []*setting{
	{
		name: "SENTINEL_BIND_RULE", group: bindingGroup, defText: text{"`single`", "`single`"}, example: "sk-ci*=all, learn:3/24h", runtime: true,
		value: into(newRuleLists, func(c *Config) *[]engine.NewRule { return &c.BindRules }),
		help: text{
			"The rule that a first use gives a key: `single` (its address), `all`, `learn:3/24h` (the first 3 addresses within 24 hours), with `+@office` a named network as well. " +
				"`sk-ci*=all` is for the keys whose hint begins so; the first that fits counts.",
			"首次使用时赋予密钥的规则：`single`（其地址）、`all`、`learn:3/24h`（24 小时内的前 3 个地址），加 `+@office` 表示另含一个命名网络。" +
				"`sk-ci*=all` 只用于提示以此开头的密钥；以第一个匹配的为准。",
		},
	},
	{
		name: "SENTINEL_BIND_GUARD", group: bindingGroup, def: string(engine.GuardPass), example: string(engine.GuardRefuse), runtime: true,
		value: into(choices(string(engine.GuardPass), string(engine.GuardRefuse), string(engine.GuardOff)), func(c *Config) *string { return &c.BindGuard }),
		help: text{
			"What happens to first uses from an address that is not the client's own: that of a trusted proxy, or of the gateway of a container's network. " +
				"pass lets them through unbound, refuse answers 403, off binds the key to that address. All but off raise an alert.",
			"如何处理来自非客户端自身地址（受信代理或容器网络的网关）的首次使用：pass 放行但不绑定，refuse 返回 403，off 绑定到该地址。除 off 外都会告警。",
		},
	},
	{
		name: "SENTINEL_BIND_BURST", group: bindingGroup, def: "20", example: "100", runtime: true,
		value: into(integers(0, math.MaxInt32), func(c *Config) *int { return &c.BindBurst }),
		help: text{
			"How many keys one address may bind within an hour before that raises an alert; 0 is any number. Networks that are marked as shared are not counted.",
			"一个地址一小时内绑定多少个密钥后告警；0 表示不限。标记为共用的网络不计。",
		},
	},
	{
		name: "SENTINEL_BIND_BURST_ACTION", group: bindingGroup, def: burstAlert, example: burstHold, runtime: true,
		value: into(choices(burstAlert, burstHold), func(c *Config) *string { return &c.BindBurstAction }),
		help: text{
			"What happens to the keys beyond that: alert binds them, hold treats them as SENTINEL_BIND_GUARD says.",
			"超出部分如何处理：alert 照常绑定，hold 按 SENTINEL_BIND_GUARD 处理。",
		},
	},
}
