package send_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

// evil is what a client could write into a path, and into everything else that
// a message shows.
const evil = `<!channel> <@U123> <at id=all></at> <at user_id="all">x</at> @all @channel @所有人 ` +
	"[log in](https://evil.example.com) **bold** _it_ `code` ~~no~~ # title | cell \\* <font color=\"warning\">x</font> &lt;!here&gt; ![x](http://evil.example.com/x.png) http://evil.example.com" +
	"\n# heading\r\n> quote\u202e\u200b\x00\x1b[31m"

// forbidden are the beginnings of markup and mentions in what strangers wrote.
var forbidden = map[send.Type][]string{
	send.Feishu:   {"<at", "@all", "@所有人", "http://evil", "\u202e", "\u200b", "\x00", "\x1b"},
	send.DingTalk: {"<", "@", "[log", "](http", "**bold", "_it_", "`", "~~", "# title", "\\*", "http://evil", "https://evil", "\u202e", "\n# heading", "\n> quote"},
	send.WeCom:    {"<", "@", "[log", "](http", "**bold", "_it_", "`", "~~", "# title", "\\*", "http://evil", "https://evil", "\u202e", "\n# heading", "\n> quote"},
	send.Slack:    {"<!", "<@", "@all", "@channel", "&lt;!here", "http://evil", "https://evil", "\u202e", "\n# heading", "\n> quote"},
}

// forbiddenInSlackText is for those who read Markdown in the text beside the blocks.
var forbiddenInSlackText = []string{"[log", "](http", "**bold", "_it_", "`", "~~", "\\*"}

// TestTextsOfStrangersAreHarmless looks at every string of the payloads.
func TestTextsOfStrangersAreHarmless(t *testing.T) {
	s := newSender(t)
	one := message()
	one.LinkURL = ""
	one.Title, one.Sections[0].Title, one.Sections[0].Advice = evil, evil, evil
	one.Sections[0].Facts = []send.Fact{{Name: evil, Value: evil}}
	several := digest()
	several.LinkURL = ""
	several.Sections = append([]send.Section{}, one.Sections[0], one.Sections[0])
	for typ, parts := range forbidden {
		for _, m := range []send.Message{one, several} {
			url, got := receiver(t, http.StatusOK, answers[typ])
			if _, err := s.Send(t.Context(), send.Target{Type: typ, URL: url}, m); err != nil {
				t.Fatal(err)
			}
			var body any
			if err := json.Unmarshal(got.body, &body); err != nil {
				t.Fatal(err)
			}
			for _, text := range texts(body) {
				contains(t, typ, text, parts)
			}
			if typ == send.Slack {
				contains(t, typ, body.(map[string]any)["text"].(string), forbiddenInSlackText)
			}
		}
	}
}

func contains(t *testing.T, typ send.Type, text string, parts []string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%s: %q in %q", typ, part, text)
		}
	}
}

func texts(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, e := range v {
			out = append(out, texts(e)...)
		}
	case map[string]any:
		for _, e := range v {
			out = append(out, texts(e)...)
		}
	}
	return out
}

// TestLimitsOfVendors: even the longest messages are within them.
func TestLimitsOfVendors(t *testing.T) {
	s := newSender(t)
	long := strings.Repeat("密钥<", 400)
	m := digest()
	m.Title = long
	for range 30 {
		sec := send.Section{Title: long, Advice: long}
		for range 10 {
			sec.Facts = append(sec.Facts, send.Fact{Name: long, Value: long})
		}
		m.Sections = append(m.Sections, sec)
	}
	single := m
	single.Sections = m.Sections[2:3]
	limits := map[send.Type]int{send.Feishu: 20_000, send.DingTalk: 20_000, send.WeCom: 4096 + 100, send.Slack: 20_000}
	for typ, limit := range limits {
		for _, m := range []send.Message{m, single} {
			url, got := receiver(t, http.StatusOK, answers[typ])
			if _, err := s.Send(t.Context(), send.Target{Type: typ, URL: url, Secret: secret}, m); err != nil {
				t.Fatal(err)
			}
			if len(got.body) > limit || !utf8.Valid(got.body) {
				t.Errorf("%s: %d bytes, want at most %d in UTF-8", typ, len(got.body), limit)
			}
			checkLimits(t, typ, got.body)
			if len(m.Sections) > 1 && !strings.Contains(string(got.body), "more") {
				t.Errorf("%s does not say that there is more: %s", typ, got.body)
			}
		}
	}
}

func checkLimits(t *testing.T, typ send.Type, body []byte) {
	t.Helper()
	var payload struct {
		Markdown struct{ Content string }
		Blocks   []struct {
			Type string
			Text struct{ Text string }
		}
	}
	if err := json.Unmarshal(body, &payload); err != nil {
		t.Fatal(err)
	}
	if typ == send.WeCom && len(payload.Markdown.Content) > 4096 {
		t.Errorf("content of %d bytes", len(payload.Markdown.Content))
	}
	all := 0
	for _, b := range payload.Blocks {
		n := utf8.RuneCountInString(b.Text.Text)
		all += n
		if b.Type == "header" && n > 150 || n > 3000 {
			t.Errorf("%s of %d characters", b.Type, n)
		}
	}
	if all > 13_000 || len(payload.Blocks) > 50 {
		t.Errorf("%d blocks of %d characters", len(payload.Blocks), all)
	}
}

func TestPlainText(t *testing.T) {
	want := "Sentinel: 2 alerts\n\n" +
		"requests with key sk-te…0001 are refused\nKey: sk-te…0001 (0123456789ab)\nFrom: 203.0.113.9 ×5, 2001:db8::1\nLast request: POST /v1/chat/completions\n\n" +
		"many unknown keys from 198.51.100.7\nFrom: 198.51.100.7 ×30\n\n" +
		"Open the console: https://sentinel.example.com/admin/\n"
	if got := send.Text(digest()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
