package main

import (
	"log/slog"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
)

// settings is the table of all settings, in the order of the documentation.
var settings = slices.Concat(
	serverSettings, clientIPSettings, credentialSettings, bindingSettings, firstUseSettings, sharingSettings, limitSettings,
	adminSettings, logSettings, retentionSettings, alertSettings, clusterSettings,
	nodeSettings, redisSettings,
)

var serverGroup = &group{text{"Server", "服务"}}

var serverSettings = []*setting{
	{
		name: "DOWNSTREAM_URL", group: serverGroup, example: "http://127.0.0.1:3000", required: true, legacy: true,
		value: into(downstreamURLs, func(c *Config) **url.URL { return &c.DownstreamURL }),
		help: text{
			"The gateway that requests are forwarded to. A path becomes the prefix of every forwarded path.",
			"请求转发到的网关。其中的路径会成为所有转发路径的前缀。",
		},
	},
	{
		name: "APP_PORT", group: serverGroup, def: "7000", example: "7000", legacy: true,
		value: into(integers(1, math.MaxUint16), func(c *Config) *int { return &c.appPort }),
		help: text{
			"The port to listen on, on all addresses. SENTINEL_LISTEN, if given, counts instead.",
			"在所有地址上监听的端口。设置了 SENTINEL_LISTEN 时以后者为准。",
		},
	},
	{
		name: "SENTINEL_LISTEN", group: serverGroup, example: "127.0.0.1:7000", defText: text{"`:` and APP_PORT", "`:` 加 APP_PORT"},
		value: into(listenAddrs, func(c *Config) *string { return &c.Listen }), derived: func(c *Config) string { return c.Listen },
		help: text{"The address to listen on.", "监听地址。"},
	},
	{
		name: "SENTINEL_PUBLIC_URL", group: serverGroup, example: "https://gateway.example.com", runtime: true,
		defText: text{"the host of the request that asks for a link", "请求链接时所用的主机"},
		value:   into(publicURLs, func(c *Config) *string { return &c.PublicURL }),
		help: text{
			"How clients reach the public address, for links that are handed to them. Needed with SENTINEL_ADMIN_LISTEN.",
			"客户端访问公开地址时使用的 URL，用于发给他们的链接。使用 SENTINEL_ADMIN_LISTEN 时需要设置。",
		},
	},
	{
		name: "SENTINEL_DATA_DIR", group: serverGroup, def: "data", example: "/var/lib/sentinel",
		defText: text{"`data`; under systemd, its state directory (`$STATE_DIRECTORY`)", "`data`；在 systemd 下为其状态目录（`$STATE_DIRECTORY`）"},
		value:   into(filePaths, func(c *Config) *string { return &c.DataDir }),
		derived: func(c *Config) string { return c.DataDir },
		help: text{
			"The directory for everything that is kept: bindings, records, secrets made at the first start. The only place that is written to.",
			"保存全部数据的目录：绑定、记录以及首次启动时生成的密钥。只会写入这里。",
		},
	},
	{
		name: "SENTINEL_TLS_CERT", group: serverGroup, example: "/etc/sentinel/tls.crt",
		value: into(filePaths, func(c *Config) *string { return &c.TLSCert }),
		help: text{
			"Certificate chain (PEM). With it and SENTINEL_TLS_KEY, TLS is spoken instead of plain HTTP. Changed files are read again.",
			"证书链（PEM）。与 SENTINEL_TLS_KEY 一同设置后以 TLS 代替明文 HTTP。文件更改后会重新读取。",
		},
	},
	{
		name: "SENTINEL_TLS_KEY", group: serverGroup, example: "/etc/sentinel/tls.key",
		value: into(filePaths, func(c *Config) *string { return &c.TLSKey }),
		help:  text{"Private key (PEM) of the certificate.", "证书的私钥（PEM）。"},
	},
	{
		name: "SENTINEL_H2C", group: serverGroup, def: "false", example: "true",
		value: into(bools, func(c *Config) *bool { return &c.H2C }),
		help: text{
			"Takes HTTP/2 without TLS too, by prior knowledge, as some load balancers speak it.",
			"同时接受不带 TLS 的 HTTP/2（prior knowledge），部分负载均衡器会这样连接。",
		},
	},
	{
		name: "SENTINEL_SHUTDOWN_GRACE", group: serverGroup, def: "30s", example: "30s",
		value: into(durations(0), func(c *Config) *time.Duration { return &c.ShutdownGrace }),
		help: text{
			"How long running requests may go on after SIGTERM. A second signal ends at once.",
			"收到 SIGTERM 后，正在进行的请求最多还能继续多久。第二个信号会立即结束。",
		},
	},
	{
		name: "SENTINEL_CACHE_ENTRIES", group: serverGroup, def: "150000", example: "1000000",
		value: into(integers(1, math.MaxInt32), func(c *Config) *int { return &c.CacheEntries }),
		help: text{
			"How many bindings are kept in memory; some 250 bytes each. If there are no more, all of them are read at the start.",
			"内存中保留的绑定数量，每个约 250 字节。绑定总数不超过它时，启动时全部读入。",
		},
	},
}

var clientIPGroup = &group{text{"Client IP", "客户端 IP"}}

var clientIPSettings = []*setting{
	{
		name: "TRUSTED_PROXY_IPS", group: clientIPGroup, example: "10.0.0.0/8, 2001:db8::/32", legacy: true, runtime: true,
		value: into(prefixLists, func(c *Config) *[]netip.Prefix { return &c.TrustedProxies }),
		help: text{
			"The proxies in front of Sentinel, whose header names the client IP. Everybody else's headers are ignored. A JSON list is read too.",
			"位于 Sentinel 前面的代理，只有它们的请求头可以指明客户端 IP，其他来源的请求头一律忽略。也接受 JSON 列表。",
		},
	},
	{
		name: "SENTINEL_REAL_IP_HEADER", group: clientIPGroup, def: "X-Real-IP", example: "X-Forwarded-For", runtime: true,
		value: into(clientHeaders, func(c *Config) *string { return &c.RealIPHeader }),
		help: text{
			"The one header that is read of a trusted proxy. X-Forwarded-For is read from the right, past trusted proxies.",
			"从受信代理读取的唯一请求头。X-Forwarded-For 从右往左读，跳过受信代理。",
		},
	},
	{
		name: "SENTINEL_PROXY_PROTOCOL", group: clientIPGroup, def: "false", example: "true",
		value: into(bools, func(c *Config) *bool { return &c.ProxyProtocol }),
		help: text{
			"Trusted proxies must begin every connection with the PROXY protocol, version 1 or 2.",
			"受信代理必须在每个连接开头发送 PROXY protocol（版本 1 或 2）。",
		},
	},
	{
		name: "SENTINEL_NAT64", group: clientIPGroup, def: "false", example: "true",
		value: into(bools, func(c *Config) *bool { return &c.NAT64 }),
		help: text{
			"Reads addresses of 64:ff9b::/96 as the IPv4 address inside.",
			"将 64:ff9b::/96 中的地址视为其内嵌的 IPv4 地址。",
		},
	},
}

var credentialGroup = &group{text{"Credentials", "凭据"}}

var credentialSettings = []*setting{
	{
		name: "SENTINEL_CREDENTIAL_PROFILE", group: credentialGroup, def: credential.ProfileNewAPI, example: credential.ProfileOpenAI,
		value: into(choices(credential.ProfileNewAPI, credential.ProfileOpenAI, credential.ProfileLiteLLM, credential.ProfileGeneric), func(c *Config) *string { return &c.CredentialProfile }),
		help: text{
			"Which gateway is behind Sentinel, and so where and how it reads keys. newapi is right for New API and One API.",
			"Sentinel 后面是哪种网关，由此决定从哪里、如何读取密钥。newapi 适用于 New API 与 One API。",
		},
	},
	{
		name: "SENTINEL_CREDENTIAL_HEADER", group: credentialGroup, example: "X-My-Key",
		value: into(headerNames, func(c *Config) *string { return &c.CredentialHeader }),
		help: text{
			"Profile litellm: the header that LiteLLM was configured to read keys from, if any.",
			"litellm 配置：LiteLLM 自定义的密钥请求头（如有）。",
		},
	},
	{
		name: "SENTINEL_CREDENTIAL_LOCATIONS", group: credentialGroup, example: "header:Authorization, query:key",
		value: into(locationLists, func(c *Config) *string { return &c.CredentialLocations }),
		help: text{
			"Profile generic: the places of a request that hold keys, in the order in which the gateway prefers them: `header:NAME`, `query:NAME` or `subprotocol:PREFIX`, separated by commas.",
			"generic 配置：请求中存放密钥的位置，按网关的优先顺序排列：`header:NAME`、`query:NAME` 或 `subprotocol:PREFIX`，以逗号分隔。",
		},
	},
	{
		name: "SENTINEL_CREDENTIAL_CANONICAL", group: credentialGroup, example: "bearer, trim, strip:sk-",
		value: into(canonicalForms, func(c *Config) *string { return &c.CredentialCanonical }),
		help: text{
			"Profile generic: the steps from what stands in the request to the key as the gateway reads it, separated by commas: `bearer` (remove the scheme), `trim`, `strip:PREFIX`, `cut:TEXT` (with all that follows), `lower` (last: ignore case).",
			"generic 配置：把请求中的文本变为网关所读密钥的步骤，以逗号分隔：`bearer`（去掉认证方案）、`trim`、`strip:PREFIX`、`cut:TEXT`（连同其后内容）、`lower`（放在最后，忽略大小写）。",
		},
	},
	{
		name: "SENTINEL_BIND_PATHS", group: credentialGroup, example: "/v1/, /api/", defText: text{"all paths", "所有路径"},
		value: into(pathPrefixes, func(c *Config) *[]string { return &c.BindPaths }),
		help: text{
			"Profile generic: beginnings of the paths on which a successful answer proves that the gateway accepted the key.",
			"generic 配置：哪些路径前缀上的成功应答能证明网关接受了该密钥。",
		},
	},
	{
		name: "SENTINEL_BIND_DASHBOARD", group: credentialGroup, def: "false", example: "true",
		value: into(bools, func(c *Config) *bool { return &c.BindDashboard }),
		help: text{
			"Profile newapi: refuses /pg, which spends quota on a dashboard login alone, and binds personal access tokens of the dashboard.",
			"newapi 配置：拒绝仅凭控制台登录即可消耗额度的 /pg，并绑定控制台的个人访问令牌。",
		},
	},
}

var bindingGroup = &group{text{"Binding", "绑定"}}

var bindingSettings = []*setting{
	{
		name: "SENTINEL_MODE", group: bindingGroup, def: "enforce", example: "observe", runtime: true,
		value: into(choices("enforce", "observe"), func(c *Config) *string { return &c.Mode }),
		help: text{
			"observe decides and records as enforce does, and refuses nothing.",
			"observe 与 enforce 一样判断并记录，但不拒绝任何请求。",
		},
	},
	{
		name: "SENTINEL_BIND_ON", group: bindingGroup, def: "accepted", example: "request", runtime: true,
		value: into(choices("accepted", "request"), func(c *Config) *string { return &c.BindOn }),
		help: text{
			"When an unknown key is bound: once the gateway has accepted it, or before its first request is forwarded.",
			"何时绑定未知密钥：网关接受之后，或在转发首个请求之前。",
		},
	},
	{
		name: "SENTINEL_BIND_PREFIX_V4", group: bindingGroup, def: "32", example: "24", runtime: true,
		value: into(integers(1, 32), func(c *Config) *int { return &c.BindPrefixV4 }),
		help: text{
			"How many leading bits of the first IPv4 client IP a new binding covers.",
			"新绑定覆盖首个 IPv4 客户端地址的前多少位。",
		},
	},
	{
		name: "SENTINEL_BIND_PREFIX_V6", group: bindingGroup, def: "64", example: "56", runtime: true,
		value: into(integers(1, 128), func(c *Config) *int { return &c.BindPrefixV6 }),
		help: text{
			"The same for IPv6, where hosts change the low 64 bits daily.",
			"IPv6 的相应设置；主机每天都会更换低 64 位。",
		},
	},
	{
		name: "SENTINEL_ANONYMOUS", group: bindingGroup, def: "pass", example: "reject", runtime: true,
		value: into(choices("pass", "reject"), func(c *Config) *string { return &c.Anonymous }),
		help: text{
			"What happens to requests without any key.",
			"如何处理不带任何密钥的请求。",
		},
	},
	{
		name: "SENTINEL_FAILSAFE_MODE", group: bindingGroup, def: "closed", example: "open", legacy: true, runtime: true,
		value: into(choices("closed", "open"), func(c *Config) *string { return &c.FailsafeMode }),
		help: text{
			"What happens to keys that are not in memory while the store fails: closed answers 503, open lets them pass unbound.",
			"存储故障时如何处理不在内存中的密钥：closed 返回 503，open 放行但不绑定。",
		},
	},
}

var limitGroup = &group{text{"Limits", "限制"}}

var limitSettings = []*setting{
	{
		name: "SENTINEL_MAX_BODY", group: limitGroup, def: "32MiB", example: "32MiB",
		value: into(sizes, func(c *Config) *int64 { return &c.MaxBodyBytes }),
		help:  text{"The largest request body; 0 is no limit.", "请求体的最大大小；0 表示不限制。"},
	},
	{
		name: "SENTINEL_RATE_LIMIT", group: limitGroup, def: "0", example: "60",
		value: into(integers(0, ratelimit.MaxPerMinute), func(c *Config) *int { return &c.RateLimit }),
		help: text{
			"Requests a minute of one client IP (IPv6: of one /64); 0 is no limit.",
			"每个客户端 IP 每分钟的请求数（IPv6 按 /64 计）；0 表示不限制。",
		},
	},
	{
		name: "SENTINEL_RATE_BURST", group: limitGroup, def: "20", example: "50",
		value: into(integers(1, ratelimit.MaxBurst), func(c *Config) *int { return &c.RateBurst }),
		help:  text{"How many requests at once the rate limit lets pass.", "速率限制允许的突发请求数。"},
	},
	{
		name: "SENTINEL_CONNECT_TIMEOUT", group: limitGroup, def: "10s", example: "3s",
		value: into(durations(0), func(c *Config) *time.Duration { return &c.ConnectTimeout }),
		help: text{
			"How long connecting to the gateway may take, TLS included; 0 is no limit.",
			"连接网关（含 TLS 握手）的时限；0 表示不限制。",
		},
	},
	{
		name: "SENTINEL_RESPONSE_TIMEOUT", group: limitGroup, def: "0", example: "10m",
		value: into(durations(0), func(c *Config) *time.Duration { return &c.ResponseTimeout }),
		help: text{
			"How long the gateway may take until its answer begins; 0 is no limit, since models think long.",
			"网关开始应答的时限；0 表示不限制，因为模型可能思考很久。",
		},
	},
	{
		name: "SENTINEL_IDLE_TIMEOUT", group: limitGroup, def: "15m", example: "5m",
		value: into(durations(0), func(c *Config) *time.Duration { return &c.IdleTimeout }),
		help: text{
			"A request on which no byte has moved either way for so long is ended; 0 is no limit.",
			"双向都没有任何字节传输达到此时长的请求会被结束；0 表示不限制。",
		},
	},
}

// Where /metrics is.
const (
	metricsAdmin  = "admin"
	metricsPublic = "public"
)

var adminGroup = &group{text{"Administration", "管理"}}

var adminSettings = []*setting{
	{
		name: "SENTINEL_HMAC_SECRET", group: adminGroup, example: "the output of: openssl rand -hex 32", secrecy: own, legacy: true,
		defText: text{"made at the first start", "首次启动时生成"},
		value:   into(ownSecrets, func(c *Config) *secretText { return &c.HMACSecret }),
		help: text{
			"The secret that keys are hashed with. Bindings are found by it alone: with another one, all keys are unknown.",
			"用于计算密钥哈希的密钥。绑定只能凭它找到：更换后所有密钥都会变为未知。",
		},
	},
	{
		name: "SENTINEL_HMAC_SECRET_PREVIOUS", group: adminGroup, example: "what SENTINEL_HMAC_SECRET was before", secrecy: own,
		value: into(ownSecrets, func(c *Config) *secretText { return &c.HMACPrevious }),
		help: text{
			"The secret before this one, or several, the last one first, separated by commas. Keys that are bound under it are found, and moved to the new one when they are used.",
			"此前使用的密钥；有多个时以逗号分隔，最近的在前。在其下绑定的密钥仍能找到，并在使用时迁移到新密钥。",
		},
	},
	{
		name: "SENTINEL_HMAC_SECRET_LOST", group: adminGroup, example: "3f9a12bc",
		value: into(secretMarks, func(c *Config) *string { return &c.HMACLost }),
		help: text{
			"The mark of a secret that nobody has any more, as a refused start names it: starts all the same. All keys are unknown then, banned ones too, and bound anew by whoever uses them first.",
			"已无人持有的密钥的标记，由被拒绝的启动给出：设置后仍可启动。此时所有密钥（包括已封禁的）都变为未知，谁先使用就绑定给谁。",
		},
	},
	{
		name: "ADMIN_PASSWORD", group: adminGroup, example: "the output of: openssl rand -hex 16", secrecy: own, legacy: true,
		value: into(ownSecrets, func(c *Config) *secretText { return &c.AdminPassword }),
		help: text{
			"The password of the account admin, which is made with it at the start, or gets it. Without it the first start prints an address at which the first account is made.",
			"账户 admin 的密码：启动时以此创建该账户，或更改其密码。未设置时，首次启动会打印一个用于创建首个账户的地址。",
		},
	},
	{
		name: "ADMIN_JWT_SECRET", group: adminGroup, example: "the output of: openssl rand -hex 32", secrecy: own, legacy: true,
		defText: text{"made at the first start", "首次启动时生成"},
		value:   into(ownSecrets, func(c *Config) *secretText { return &c.AdminJWTSecret }),
		help:    text{"The secret that sessions of administrators are signed with. Another one ends all sessions.", "用于签署管理员会话的密钥。更换后所有会话立即失效。"},
	},
	{
		name: "SENTINEL_ADMIN_LISTEN", group: adminGroup, example: "127.0.0.1:7001", defText: text{"with the rest, under `/admin`", "与其他请求同址，位于 `/admin` 下"},
		value: into(listenAddrs, func(c *Config) *string { return &c.AdminListen }),
		help: text{
			"An address of its own for administration; the public one then answers 404 under /admin.",
			"管理功能的独立监听地址；设置后公开地址在 /admin 下返回 404。",
		},
	},
	{
		name: "SENTINEL_ADMIN_NETWORKS", group: adminGroup, example: "10.0.0.0/8, 192.168.0.0/16", defText: text{"everywhere", "任何来源"}, runtime: true,
		value: into(prefixLists, func(c *Config) *[]netip.Prefix { return &c.AdminNetworks }),
		help: text{
			"The client IPs that may reach administration; everybody else gets 404.",
			"可以访问管理功能的客户端 IP；其他来源返回 404。",
		},
	},
	{
		name: "SENTINEL_METRICS", group: adminGroup, def: metricsAdmin, example: metricsPublic,
		value: into(choices(metricsAdmin, metricsPublic), func(c *Config) *string { return &c.Metrics }),
		help: text{
			"Where Prometheus may read `/metrics` without signing in: at SENTINEL_ADMIN_LISTEN alone, or at the public address too; SENTINEL_ADMIN_NETWORKS holds for it. `/admin/api/metrics` is there in any case, for those who sign in.",
			"Prometheus 可在何处免登录读取 `/metrics`：仅在 SENTINEL_ADMIN_LISTEN，或同时在公开地址；同样受 SENTINEL_ADMIN_NETWORKS 限制。登录后始终可用 `/admin/api/metrics`。",
		},
	},
}

var logGroup = &group{text{"Log", "日志"}}

var logSettings = []*setting{
	{
		name: "SENTINEL_LOG_LEVEL", group: logGroup, def: "info", example: "debug", runtime: true,
		value: into(logLevels, func(c *Config) *slog.Level { return &c.LogLevel }),
		help:  text{"The least important lines that are logged.", "记录的最低日志级别。"},
	},
	{
		name: "SENTINEL_LOG_FORMAT", group: logGroup, def: "json", example: "text",
		value: into(choices("json", "text"), func(c *Config) *string { return &c.LogFormat }),
		help:  text{"The form of log lines, on standard error.", "日志行的格式，输出到标准错误。"},
	},
}
