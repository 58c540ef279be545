package send_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

// TestSignaturesAreThoseOfTheVendors holds signatures against what the vendors'
// own sample programs, run once, make of this secret at the time of clock.
func TestSignaturesAreThoseOfTheVendors(t *testing.T) {
	const secret = "this is secret" // as in the samples
	at := func(typ send.Type) *received {
		url, got := receiver(t, http.StatusOK, answers[typ])
		if _, err := newSender(t).Send(t.Context(), send.Target{Type: typ, URL: url + "/send?access_token=abc", Secret: secret}, message()); err != nil {
			t.Fatal(err)
		}
		return got
	}
	var feishu struct{ Timestamp, Sign string }
	if err := json.Unmarshal(at(send.Feishu).body, &feishu); err != nil || feishu.Timestamp != "1700000000" || feishu.Sign != "OfGzRzoUICBOoc8wVra1e4A1hPfbZ9zqXozA8CWVUuY=" {
		t.Errorf("feishu: got %+v, %v", feishu, err)
	}
	if got := at(send.DingTalk).uri; got != "/send?access_token=abc&sign=W2RNhLVXZurCuMiewxzjoEaGqxhR%2FFQAkLiAHZh%2BPWY%3D&timestamp=1700000000123" {
		t.Errorf("dingtalk: got %s", got)
	}
	// Of docs/alerts.md: openssl dgst -sha256 -hmac.
	if got := at(send.Webhook).header.Get("X-Sentinel-Signature"); got != "sha256=be9efdfbc517cf4177e982cfcaba2bdd38b0fd012c3a08a05b3fedc727af6d6b" {
		t.Errorf("webhook: got %s", got)
	}
}

// TestPayloadsAreWhatTheVendorsTake holds them against the fields and limits that
// the vendors' pages document, with as much text as there can be.
func TestPayloadsAreWhatTheVendorsTake(t *testing.T) {
	long := digest()
	for range 30 {
		long.Sections = append(long.Sections, send.Section{Title: strings.Repeat("标题", 200), Facts: []send.Fact{{Name: "From", Value: strings.Repeat("地址 ", 300)}}, Advice: strings.Repeat("x", 900)})
	}
	body := func(typ send.Type, m send.Message, into any) int {
		url, got := receiver(t, http.StatusOK, answers[typ])
		if _, err := newSender(t).Send(t.Context(), send.Target{Type: typ, URL: url}, m); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got.body, into); err != nil {
			t.Fatal(err)
		}
		return len(got.body)
	}
	for name, m := range map[string]send.Message{"one": message(), "several": digest(), "too much": long} {
		t.Run(name, func(t *testing.T) {
			var feishu struct {
				Type string `json:"msg_type"`
				Card struct {
					Header   struct{ Title struct{ Tag, Content string } }
					Elements []struct{ Tag string }
				}
			}
			if n := body(send.Feishu, m, &feishu); n > 20<<10 || feishu.Type != "interactive" || feishu.Card.Header.Title.Tag != "plain_text" || feishu.Card.Header.Title.Content == "" || len(feishu.Card.Elements) == 0 {
				t.Errorf("feishu: got %d bytes, %+v", n, feishu)
			}
			var markdown struct {
				Type     string `json:"msgtype"`
				Markdown struct{ Title, Text, Content string }
			}
			if n := body(send.DingTalk, m, &markdown); n > 20_000 || markdown.Type != "markdown" || markdown.Markdown.Title == "" || markdown.Markdown.Text == "" {
				t.Errorf("dingtalk: got %d bytes, %+v", n, markdown)
			}
			markdown.Markdown.Content = ""
			if body(send.WeCom, m, &markdown); markdown.Type != "markdown" || markdown.Markdown.Content == "" || len(markdown.Markdown.Content) > 4096 {
				t.Errorf("wecom: got %d bytes, %+v", len(markdown.Markdown.Content), markdown)
			}
			checkSlack(t, func(into any) { body(send.Slack, m, into) })
		})
	}
}

// checkSlack holds blocks against Slack's reference: 50 blocks, headers of 150
// characters, sections of 3,000.
func checkSlack(t *testing.T, read func(into any)) {
	t.Helper()
	var slack struct {
		Text   string
		Blocks []struct {
			Type string
			Text struct{ Type, Text string }
		}
	}
	read(&slack)
	if slack.Text == "" || len(slack.Blocks) < 2 || len(slack.Blocks) > 50 || slack.Blocks[0].Type != "header" {
		t.Fatalf("slack: got %d blocks, %+v", len(slack.Blocks), slack)
	}
	for i, b := range slack.Blocks {
		limit := 3000
		if i == 0 {
			limit = 150
		}
		if n := len([]rune(b.Text.Text)); n < 1 || n > limit || i > 0 && b.Type != "section" {
			t.Errorf("slack: block %d is of type %s and has %d characters", i, b.Type, n)
		}
	}
}
