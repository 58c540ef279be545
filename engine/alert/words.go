package alert

import (
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// words are the texts of messages in one language.
type words struct {
	titles     map[Kind]string // %s is the subject, where there is one
	collective map[Kind]string // %d is about how many
	prefixes   map[Event]string
	advice     map[Kind]string
	reasons    map[store.Reason]string
	held       map[string]string // why a first use was

	key, account, from, count, path, reason, cause, archived, last, at, node, channel string
	networks, period, bindings, lastKey                                               string

	countSince            string // how often, since when
	minutes, inAnHour     string // %d of them
	observed              string // after a reason
	console               string // the text of the link
	several, more         string // %d alerts in one message, that had no room
	testTitle, testAdvice string
}

var english = words{
	titles: map[Kind]string{
		KeyRefused:        "requests with key %s are refused",
		NewBinding:        "key %s was bound",
		ReturnedBinding:   "archived key %s was bound again",
		StoreFailing:      "the store takes no writes",
		DownstreamFailing: "the downstream does not answer",
		LoginLockout:      "login of %s is locked",
		UnknownKeys:       "many unknown keys from %s",
		FirstUseHeld:      "keys from %s are not bound",
		ManyBindings:      "many keys were bound to %s",
		KeyShared:         "key %s seems to be shared",
	},
	collective: map[Kind]string{
		KeyRefused:      "requests with about %d more keys are refused",
		NewBinding:      "about %d more keys were bound",
		ReturnedBinding: "about %d more archived keys were bound again",
		LoginLockout:    "login of about %d more accounts is locked",
		UnknownKeys:     "many unknown keys from about %d more addresses",
		FirstUseHeld:    "keys from about %d more addresses are not bound",
		ManyBindings:    "many keys were bound to each of about %d more addresses",
		KeyShared:       "about %d more keys seem to be shared",
	},
	prefixes: map[Event]string{Reminder: "still: ", Ended: "over: "},
	advice: map[Kind]string{
		KeyRefused:        "If its user has moved, change the rule of the key. If not, the key may be in other hands: revoke it at the gateway.",
		NewBinding:        "If the address is not that of the key's user, unbind the key.",
		ReturnedBinding:   "The key had not been used for a long time. If the address is not that of its user, ban the key.",
		StoreFailing:      "Known keys go on. Look at the disk and the log of Sentinel. Until this is over, alerts are only in memory.",
		DownstreamFailing: "Requests get an error. Look at the gateway, and at the network between Sentinel and it.",
		LoginLockout:      "If it was not the person, somebody guesses passwords: look at the admin networks.",
		UnknownKeys:       "Somebody may be guessing keys, or uses one that was revoked. Block the address, if it is not one of yours.",
		FirstUseHeld:      "Sentinel most likely sees the address of something in front of it, not that of the user. Look at TRUSTED_PROXY_IPS and SENTINEL_REAL_IP_HEADER; sentinel explain-ip tells how the address of a client comes about.",
		ManyBindings:      "If a proxy or load balancer has this address, look at TRUSTED_PROXY_IPS and SENTINEL_REAL_IP_HEADER, and unbind those keys. If many people share it, as behind the NAT of an office, mark the network as shared.",
		KeyShared:         "It was used from these networks by turns. If it is one person's, the key may be in other hands: revoke it at the gateway. If several people use it, give each a key of their own.",
	},
	reasons: map[store.Reason]string{
		store.ReasonIPNotAllowed: "the rule of the key does not cover the address",
		store.ReasonKeyBanned:    "the key is banned",
		store.ReasonLostRace:     "another address had just bound the key",
	},
	held: map[string]string{
		engine.HeldTrustedProxy:     "the address is that of a trusted proxy itself",
		engine.HeldContainerGateway: "the address is that of the container network's gateway",
		engine.HeldBurst:            "too many keys were used for the first time from this address at once",
	},
	networks: "Networks", period: "For", bindings: "New bindings", lastKey: "Last key", minutes: "%d minutes", inAnHour: "%d within an hour",
	key: "Key", account: "Account", from: "From", count: "How often", path: "Last request", reason: "Reason", cause: "Cause",
	archived: "Archived", last: "Last", at: "Time", node: "Node", channel: "Channel",
	countSince: "%d (alert since %s)", observed: " (observed only: the request was passed)",
	console: "Open the console", several: "%d alerts", more: "… and %d more",
	testTitle: "this channel works", testAdvice: "Somebody has asked for this message. There is nothing to do.",
}

var chinese = words{
	titles: map[Kind]string{
		KeyRefused:        "密钥 %s 的请求被拒绝",
		NewBinding:        "密钥 %s 已绑定",
		ReturnedBinding:   "已归档的密钥 %s 重新绑定",
		StoreFailing:      "存储无法写入",
		DownstreamFailing: "下游网关无响应",
		LoginLockout:      "账号 %s 的登录已锁定",
		UnknownKeys:       "来自 %s 的大量未知密钥",
		FirstUseHeld:      "来自 %s 的密钥未被绑定",
		ManyBindings:      "大量密钥绑定到 %s",
		KeyShared:         "密钥 %s 疑似被多人共用",
	},
	collective: map[Kind]string{
		KeyRefused:      "另有约 %d 个密钥的请求被拒绝",
		NewBinding:      "另有约 %d 个密钥已绑定",
		ReturnedBinding: "另有约 %d 个已归档的密钥重新绑定",
		LoginLockout:    "另有约 %d 个账号的登录已锁定",
		UnknownKeys:     "另有约 %d 个地址发来大量未知密钥",
		FirstUseHeld:    "来自另外约 %d 个地址的密钥未被绑定",
		ManyBindings:    "另有约 %d 个地址各绑定了大量密钥",
		KeyShared:       "另有约 %d 个密钥疑似被多人共用",
	},
	prefixes: map[Event]string{Reminder: "仍在持续：", Ended: "已恢复："},
	advice: map[Kind]string{
		KeyRefused:        "如果使用者更换了网络，请修改该密钥的规则；否则密钥可能已泄露，请在网关吊销。",
		NewBinding:        "如果该地址不属于密钥的使用者，请解绑该密钥。",
		ReturnedBinding:   "该密钥已长期未使用。如果该地址不属于其使用者，请封禁该密钥。",
		StoreFailing:      "已知密钥不受影响。请检查磁盘和 Sentinel 日志。恢复之前，告警只保存在内存中。",
		DownstreamFailing: "请求会收到错误。请检查网关以及它与 Sentinel 之间的网络。",
		LoginLockout:      "如果不是本人操作，说明有人在猜测密码：请检查管理网络设置。",
		UnknownKeys:       "可能有人在猜测密钥，或在使用已吊销的密钥。如果不是您的地址，请将其屏蔽。",
		FirstUseHeld:      "Sentinel 看到的很可能是前置代理的地址，而不是使用者的地址。请检查 TRUSTED_PROXY_IPS 和 SENTINEL_REAL_IP_HEADER；sentinel explain-ip 可说明客户端地址的来历。",
		ManyBindings:      "如果该地址属于代理或负载均衡，请检查 TRUSTED_PROXY_IPS 和 SENTINEL_REAL_IP_HEADER，并解绑这些密钥。如果是多人共用的地址（如办公室 NAT），请将该网络标记为共用。",
		KeyShared:         "该密钥在这些网络之间交替使用。如果只属于一个人，密钥可能已泄露，请在网关吊销；如果确有多人使用，请为每个人分配各自的密钥。",
	},
	reasons: map[store.Reason]string{
		store.ReasonIPNotAllowed: "该地址不在密钥的规则内",
		store.ReasonKeyBanned:    "密钥已被封禁",
		store.ReasonLostRace:     "密钥刚被另一个地址绑定",
	},
	held: map[string]string{
		engine.HeldTrustedProxy:     "该地址本身就是受信任的代理",
		engine.HeldContainerGateway: "该地址是容器网络的网关",
		engine.HeldBurst:            "短时间内有过多密钥从该地址首次使用",
	},
	networks: "网络", period: "持续", bindings: "新绑定", lastKey: "最近的密钥", minutes: "%d 分钟", inAnHour: "一小时内 %d 个",
	key: "密钥", account: "账号", from: "来源", count: "次数", path: "最近请求", reason: "原因", cause: "错误",
	archived: "归档时间", last: "最近一次", at: "时间", node: "节点", channel: "通道",
	countSince: "%d（告警始于 %s）", observed: "（仅观察：请求已放行）",
	console: "打开控制台", several: "%d 条告警", more: "……另有 %d 条",
	testTitle: "此通道工作正常", testAdvice: "这是一条由管理员触发的测试消息，无需处理。",
}
