package send

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var fuzzClock = time.UnixMilli(1_700_000_000_000)

// FuzzTexts puts anything into every text of a message: what comes out is JSON
// in UTF-8, within the limits, and has no character that could begin markup or a
// mention but those that the formats themselves put there.
func FuzzTexts(f *testing.F) {
	f.Add("title", "name", "value", "advice", 1)
	f.Add("<!channel>", "@all", "](http://evil.example.com)", "\xff\xfe\u202e<at id=all>", 30)
	f.Add(strings.Repeat("密", 500), strings.Repeat("*", 500), "\x00\n# x", "", 5)
	f.Fuzz(func(t *testing.T, title, name, value, advice string, n int) {
		m := Message{ID: "id", Title: title, More: func(n int) string { return fmt.Sprintf("… and %d more", n) }}
		sec := Section{Title: title, Facts: []Fact{{name, value}, {value, name}}, Advice: advice}
		for range 1 + n&31 {
			m.Sections = append(m.Sections, sec)
		}
		target := Target{URL: "https://chat.example.com/"}
		checkFuzzed(t, feishuRequest(target, m, fuzzClock), "<@", maxFeishuBytes+2_000)
		checkFuzzed(t, dingTalkRequest(target, m, fuzzClock), "<@`[]()\\~_", maxDingTalkBytes+2_000)
		checkFuzzed(t, weComRequest(target, m), "<@`[]()\\~_", maxWeComBytes)
		checkFuzzed(t, slackRequest(target, m), "<@", 20_000)
		if text := Text(m); !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			t.Errorf("text %q", text)
		}
	})
}

// checkFuzzed looks at all strings of a payload together, which are to have
// none of the characters, and no more than so many bytes.
func checkFuzzed(t *testing.T, r request, none string, limit int) {
	t.Helper()
	var body any
	if err := json.Unmarshal(r.body, &body); err != nil || !utf8.Valid(r.body) {
		t.Fatalf("%v in %q", err, r.body)
	}
	all := 0
	eachText(body, func(text string) {
		all += len(text)
		if i := strings.IndexAny(text, none); i >= 0 {
			t.Errorf("%q in %q", text[i:i+1], text)
		}
	})
	if all > limit {
		t.Errorf("%d bytes, want at most %d", all, limit)
	}
}

func eachText(v any, do func(string)) {
	switch v := v.(type) {
	case string:
		do(v)
	case []any:
		for _, e := range v {
			eachText(e, do)
		}
	case map[string]any:
		for key, e := range v {
			switch key {
			case "tag", "type", "msgtype", "msg_type", "template": // names of the format
				continue
			}
			eachText(e, do)
		}
	}
}
