package send

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"time"
)

// maxDingTalkBytes is well below the 20,000 bytes that a message may have.
const maxDingTalkBytes = 12_000

var dingTalkStyle = style{
	escape:  markdownText,
	heading: func(title string) string { return "**" + title + "**" },
	fact:    func(name, value string) string { return "- **" + name + "**: " + value },
	advice:  func(text string) string { return "\n> " + text },
	newline: "\n", gap: "\n\n---\n\n",
}

// dingTalkRequest makes a Markdown message
// (https://open.dingtalk.com/document/robots/custom-robot-access). The signature
// is Base64 of HMAC-SHA256 with the secret as the key, of the timestamp in
// milliseconds, a line feed and the secret; both go into the query.
func dingTalkRequest(t Target, m Message, now time.Time) request {
	title := dingTalkStyle.title(m)
	text := "#### " + title + "\n\n" + dingTalkStyle.text(m, maxDingTalkBytes)
	if m.LinkURL != "" {
		text += "\n\n" + markdownLink(m)
	}
	body := map[string]any{
		"msgtype":  "markdown",
		"markdown": map[string]any{"title": title, "text": text},
		"at":       map[string]any{"isAtAll": false}, // nobody is mentioned, whatever the text says
	}
	return request{url: dingTalkURL(t, now), body: encode(body)}
}

func dingTalkURL(t Target, now time.Time) string {
	if t.Secret == "" {
		return t.URL
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		return t.URL // which post refuses
	}
	stamp := strconv.FormatInt(now.UnixMilli(), 10)
	query := u.Query()
	query.Set("timestamp", stamp)
	query.Set("sign", base64.StdEncoding.EncodeToString(hmacSHA256(t.Secret, stamp+"\n"+t.Secret)))
	u.RawQuery = query.Encode()
	return u.String()
}

// markdownLink is the link of a message. Its URL is from the settings, but a
// bracket in it would end it early.
func markdownLink(m Message) string {
	return "[" + markdownText(clean(m.LinkText, maxTitleRunes)) + "](" + linkEscapes.Replace(m.LinkURL) + ")"
}

func dingTalkAnswer(body []byte) *Error {
	return coded{code: "errcode", text: "errmsg", tune: func(code int64) *Error {
		switch code {
		case 130101, 410100: // too many messages: the bot is mute for ten minutes
			return &Error{RetryAfter: 10 * time.Minute}
		case 40035, 430101, 430102, 430103, 430104: // wrong parameter, or a text that is not let through
			return &Error{Rejected: true}
		}
		return &Error{}
	}}.judge(body)
}
