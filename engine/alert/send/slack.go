package send

import (
	"encoding/json"
	"strings"
)

// Limits of Slack (https://docs.slack.dev/reference/block-kit/blocks): 3000
// characters in a section, 50 blocks, and some 13,000 characters in all.
const (
	maxSlackSection = 2_900
	maxSlackBytes   = 9_000
	maxSlackText    = 3_500
)

// slackRequest makes blocks of plain text, and a text for notifications and for
// those who take Slack's webhooks but know no blocks, such as Mattermost, which
// reads Markdown in it.
func slackRequest(t Target, m Message) request {
	plain := lineStyle(plainText)
	blocks := []any{map[string]any{"type": "header", "text": slackText(plain.title(m))}}
	for _, text := range plain.sections(m, maxSlackBytes) {
		if text != "" {
			blocks = append(blocks, map[string]any{"type": "section", "text": slackText(cutBytes(text, maxSlackSection))})
		}
	}
	marked := lineStyle(markdownText)
	text := marked.title(m) + "\n" + marked.text(m, maxSlackText)
	if m.LinkURL != "" {
		link := "<" + strings.ReplaceAll(linkEscapes.Replace(m.LinkURL), "|", "%7C") + "|" + markdownText(clean(m.LinkText, maxTitleRunes)) + ">"
		text += "\n" + link
		blocks = append(blocks, map[string]any{"type": "section", "text": map[string]any{"type": "mrkdwn", "text": link, "verbatim": true}})
	}
	return request{url: t.URL, body: encode(map[string]any{"text": text, "blocks": blocks})}
}

func slackText(text string) map[string]any {
	return map[string]any{"type": "plain_text", "text": text, "emoji": false}
}

// slackAnswer takes every 2xx, as Slack says "ok" in plain text, but for JSON
// that says it went wrong.
func slackAnswer(body []byte) *Error {
	var said struct {
		OK      *bool `json:"ok"`
		Success *bool `json:"success"`
	}
	if json.Unmarshal(body, &said) == nil && (said.OK != nil && !*said.OK || said.Success != nil && !*said.Success) {
		return &Error{text: "the answer says that it failed"}
	}
	return nil
}
