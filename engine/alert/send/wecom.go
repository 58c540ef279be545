package send

import (
	"strings"
	"time"
)

// maxWeComBytes is what the content of a Markdown message may have in UTF-8
// (https://developer.work.weixin.qq.com/document/path/91770).
const maxWeComBytes = 4096

var weComStyle = style{
	escape:  markdownText,
	heading: func(title string) string { return "**" + title + "**" },
	fact:    func(name, value string) string { return "> " + name + ": " + value },
	advice:  func(text string) string { return "\n" + text }, // or it would belong to the quotation
	newline: "\n", gap: "\n\n",
}

var linkEscapes = strings.NewReplacer("(", "%28", ")", "%29", "<", "%3C", ">", "%3E", " ", "%20", "\n", "", "\r", "")

// weComRequest makes a Markdown message. Such bots have no signature: who has
// the URL may send.
func weComRequest(t Target, m Message) request {
	head := "### " + weComStyle.title(m) + "\n"
	tail := ""
	if m.LinkURL != "" {
		tail = "\n\n" + markdownLink(m)
	}
	content := head + weComStyle.text(m, maxWeComBytes-len(head)-len(tail)) + tail
	return request{url: t.URL, body: encode(map[string]any{
		"msgtype":  "markdown",
		"markdown": map[string]any{"content": cutBytes(content, maxWeComBytes)},
	})}
}

func weComAnswer(body []byte) *Error {
	return coded{code: "errcode", text: "errmsg", tune: func(code int64) *Error {
		switch code {
		case 45009: // more than 20 messages a minute
			return &Error{RetryAfter: time.Minute}
		case 40058, 44004, 45002: // wrong parameter, empty or too long
			return &Error{Rejected: true}
		}
		return &Error{}
	}}.judge(body)
}
