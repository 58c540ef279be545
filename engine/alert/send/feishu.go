package send

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// maxFeishuBytes leaves room in the 20 KB that a request to a custom bot may
// have (https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot).
const maxFeishuBytes = 12_000

// feishuColours are templates of a card's header.
var feishuColours = map[Level]string{Info: "blue", Warning: "orange", Critical: "red", Resolved: "green"}

// feishuRequest makes an interactive card whose texts are all plain text: what
// strangers write is no markup there. The signature is Base64 of HMAC-SHA256
// with the timestamp in seconds, a line feed and the secret as the key, of an
// empty text.
func feishuRequest(t Target, m Message, now time.Time) request {
	style := lineStyle(plainText)
	var elements []any
	for i, text := range style.sections(m, maxFeishuBytes) {
		if i > 0 {
			elements = append(elements, map[string]any{"tag": "hr"})
		}
		elements = append(elements, map[string]any{"tag": "div", "text": feishuText(text)})
	}
	if m.LinkURL != "" {
		elements = append(elements, map[string]any{"tag": "action", "actions": []any{map[string]any{
			"tag": "button", "type": "default", "url": m.LinkURL, "text": feishuText(style.escape(clean(m.LinkText, maxTitleRunes))),
		}}})
	}
	colour, ok := feishuColours[m.Level]
	if !ok {
		colour = feishuColours[Info]
	}
	body := map[string]any{"msg_type": "interactive", "card": map[string]any{
		"config":   map[string]any{"wide_screen_mode": true},
		"header":   map[string]any{"template": colour, "title": feishuText(style.title(m))},
		"elements": elements,
	}}
	if t.Secret != "" {
		stamp := strconv.FormatInt(now.Unix(), 10)
		body["timestamp"] = stamp
		body["sign"] = base64.StdEncoding.EncodeToString(hmacSHA256(stamp+"\n"+t.Secret, ""))
	}
	return request{url: t.URL, body: encode(body)}
}

func feishuText(text string) map[string]any {
	return map[string]any{"tag": "plain_text", "content": text}
}

// feishuAnswer reads code, and StatusCode, which old bots answer with.
func feishuAnswer(body []byte) *Error {
	answer := coded{code: "code", text: "msg", tune: func(code int64) *Error {
		switch code {
		case 11232: // too many messages, of this bot or of all
			return &Error{RetryAfter: time.Minute}
		case 9499: // bad request: this message
			return &Error{Rejected: true}
		}
		return &Error{}
	}}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) == nil && fields["code"] == nil && fields["StatusCode"] != nil {
		answer.code, answer.text = "StatusCode", "StatusMessage"
	}
	return answer.judge(body)
}
