package rebind

import (
	"strconv"
	"strings"
)

// texts are what the page says in one language.
type texts struct {
	Lang                        string
	Key, Address, Covers, Until string
	Button, Once                string

	offer, done, gone, hidden, proxy, limited, away, foreign said
	moved                                                    string
}

// said is a title and what follows it.
type said struct{ title, lead string }

var english = texts{
	Lang: "en", Key: "Key", Address: "Your address", Covers: "Network it covers", Until: "Link is good until",
	Button: "Bind the key to this address", Once: "The link works once.",
	offer: said{"Use this key from here", "The key will be bound to the address you are at now. It then works from here, and no longer from where it was bound before."},
	done:  said{"The key is bound to this address", "It works from here, beginning with the next request. The link is used up."},
	gone:  said{"This link is over", "It cannot be used, or not any more. Ask whoever sent it to you for a new one."},
	hidden: said{"Your address cannot be told",
		"The proxy in front of this server does not say where you come from, so the key cannot be bound to it. Nothing was changed. Tell whoever sent you the link."},
	proxy: said{"This is the address of a proxy",
		"Your request seems to come from a proxy of this server's own, which everybody shares, so the key is not bound to it. Nothing was changed. Open the link from where you use the key."},
	limited: said{"Too many requests", "Wait a minute, and open the link again."},
	away:    said{"It did not work", "The server could not finish this. Open the link again in a minute; if it is over then, ask for a new one."},
	foreign: said{"Open the link itself", "This request came from another page, so nothing was changed. Open the link in a new tab."},
	moved:   "Your address has changed since the page was opened. Nothing was changed yet: look at the new one.",
}

var chinese = texts{
	Lang: "zh-CN", Key: "密钥", Address: "您的地址", Covers: "覆盖的网段", Until: "链接有效期至",
	Button: "将密钥绑定到此地址", Once: "链接只能使用一次。",
	offer:   said{"在此处使用该密钥", "密钥将绑定到您当前的地址，此后可在此处使用，原先绑定的地址不再可用。"},
	done:    said{"密钥已绑定到此地址", "从下一个请求开始即可在此处使用。链接已用完。"},
	gone:    said{"链接已失效", "此链接无法使用，或已不能再使用。请向发送者索取新的链接。"},
	hidden:  said{"无法确定您的地址", "服务器前面的代理没有说明您的来源，因此无法绑定密钥。未做任何更改。请告知发送链接的人。"},
	proxy:   said{"这是代理的地址", "您的请求似乎来自本服务器自己的代理，该地址由所有人共用，因此不会绑定密钥。未做任何更改。请在使用密钥的地方打开此链接。"},
	limited: said{"请求过于频繁", "请等待一分钟后重新打开链接。"},
	away:    said{"操作未完成", "服务器未能完成此操作。请一分钟后重新打开链接；如果链接已失效，请索取新的链接。"},
	foreign: said{"请直接打开链接", "此请求来自其他页面，未做任何更改。请在新标签页中打开链接。"},
	moved:   "打开页面后您的地址发生了变化。尚未做任何更改，请核对新的地址。",
}

// textsFor returns those of the language that a browser prefers, RFC 9110
// section 12.5.4; English if it prefers neither.
func textsFor(acceptLanguage string) *texts {
	best, weight := &english, 0.0
	for part := range strings.SplitSeq(acceptLanguage, ",") {
		tag, parameters, _ := strings.Cut(part, ";")
		q := 1.0
		if value, found := strings.CutPrefix(strings.TrimSpace(parameters), "q="); found {
			var err error
			if q, err = strconv.ParseFloat(value, 64); err != nil {
				continue
			}
		}
		language, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		switch {
		case q <= weight:
		case language == "zh":
			best, weight = &chinese, q
		case language == "en":
			best, weight = &english, q
		}
	}
	return best
}
