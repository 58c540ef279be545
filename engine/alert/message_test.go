package alert

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// examples are one alert of each kind, and of each the collective one.
func examples() []Alert {
	at := time.UnixMilli(1_700_000_000_000).UTC()
	key := Subject{Hash: hashOf(1), Hint: "sk-te…0001", Label: "laptop"}
	from := []AddressCount{{netip.MustParseAddr("203.0.113.9"), 12}, {netip.MustParseAddr("2001:db8::1"), 1}}
	subjects := map[Kind]Subject{
		KeyRefused: key, NewBinding: key, ReturnedBinding: key, LoginLockout: {Account: "alice"},
		UnknownKeys: {Network: netip.MustParsePrefix("203.0.113.9/32")}, FirstUseHeld: {Network: netip.MustParsePrefix("172.17.0.1/32")},
		ManyBindings: {Network: netip.MustParsePrefix("2001:db8::/64")}, KeyShared: key,
	}
	var list []Alert
	for _, k := range Kinds() {
		a := Alert{ID: "1700000000000-00000000", Kind: k, Subject: subjects[k], State: Open, Node: "node-1", OpenedAt: at, LastAt: at.Add(time.Minute), Count: 13}
		switch k {
		case StoreFailing, DownstreamFailing:
			a.Evidence.Error = "disk full"
			list = append(list, a)
			continue
		case KeyRefused:
			a.Evidence = Evidence{Reason: store.ReasonIPNotAllowed, Method: "POST", Path: "/v1/chat/completions", Observed: true}
		case ReturnedBinding:
			a.Evidence.ArchivedBefore = at.AddDate(0, -6, 0)
		case FirstUseHeld:
			a.Evidence = Evidence{Hint: "sk-te…0002", Held: engine.HeldContainerGateway}
		case ManyBindings:
			a.Evidence.Bindings = 61
		case KeyShared:
			a.Evidence = Evidence{Minutes: 45, Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32"), netip.MustParsePrefix("2001:db8::/64")}}
		}
		a.Evidence.Addresses = from
		list = append(list, a)
		a.Subject, a.Subjects = Subject{Collective: true}, 4321
		list = append(list, a)
	}
	return list
}

// TestTexts compares all messages with golden ones, which people have read.
func TestTexts(t *testing.T) {
	c := &Center{console: "https://sentinel.example.com/admin/", node: "node-1", settings: DefaultSettings()}
	for _, language := range []Language{English, Chinese} {
		var all strings.Builder
		r := &receiver{id: "ops", channelRecord: channelRecord{Type: send.Slack, Language: language}}
		for _, a := range examples() {
			for _, event := range []Event{Opened, Reminder, Ended} {
				if a.Kind.isMoment() && event != Opened {
					continue
				}
				d := &row[deliveryRecord]{id: "id", value: deliveryRecord{Delivery: Delivery{ID: "id", Kind: a.Kind, Event: event}, Alert: &a}}
				m := c.messageLocked(r, []*row[deliveryRecord]{d})
				fmt.Fprintf(&all, "=== %s %s (%s)\n%s\n", event, a.Kind, m.Level, send.Text(m))
			}
		}
		fmt.Fprintf(&all, "=== test\n%s", send.Text(c.fixedTest(r)))
		golden(t, "texts_"+string(language)+".txt", []byte(all.String()))
	}
}

// fixedTest is the message that tries a channel, at a known time.
func (c *Center) fixedTest(r *receiver) send.Message {
	c.now = func() time.Time { return time.UnixMilli(1_700_000_000_000) }
	return c.testMessageLocked(r)
}

func TestTheLanguagesSayTheSameThings(t *testing.T) {
	for _, w := range []*words{&english, &chinese} {
		for _, k := range Kinds() {
			if w.titles[k] == "" || w.advice[k] == "" || w.collective[k] == "" && k != StoreFailing && k != DownstreamFailing {
				t.Errorf("%s: a text of %s is missing", w.key, k)
			}
		}
		for _, r := range []store.Reason{store.ReasonIPNotAllowed, store.ReasonKeyBanned, store.ReasonLostRace} {
			if w.reasons[r] == "" {
				t.Errorf("%s: a text of %s is missing", w.key, r)
			}
		}
		for _, why := range []string{engine.HeldTrustedProxy, engine.HeldContainerGateway, engine.HeldBurst} {
			if w.held[why] == "" {
				t.Errorf("%s: a text of %s is missing", w.key, why)
			}
		}
		for _, text := range []string{w.key, w.account, w.from, w.count, w.path, w.reason, w.cause, w.archived, w.last, w.at, w.node, w.channel, w.countSince, w.observed, w.console, w.several, w.more, w.testTitle, w.testAdvice, w.networks, w.period, w.bindings, w.lastKey, w.minutes, w.inAnHour} {
			if text == "" {
				t.Errorf("%s: a text is missing", w.key)
			}
		}
	}
}

func TestWebhookBody(t *testing.T) {
	c := &Center{console: "https://sentinel.example.com/admin/", node: "node-1", settings: DefaultSettings()}
	r := &receiver{id: "ops", channelRecord: channelRecord{Type: send.Webhook}}
	a := examples()[0]
	d := &row[deliveryRecord]{id: "1700000000000-00000000.0.ops", value: deliveryRecord{
		Delivery: Delivery{Kind: a.Kind, Event: Opened}, Alert: &a, At: a.OpenedAt,
	}}
	first, second := c.messageLocked(r, []*row[deliveryRecord]{d}), c.messageLocked(r, []*row[deliveryRecord]{d})
	if !bytes.Equal(first.Body, second.Body) {
		t.Error("the body of a second attempt is another one")
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, first.Body, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "webhook.json", append(pretty.Bytes(), '\n'))
}

func TestChannelsHaveTheirLanguage(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		if _, err := c.CreateChannel(t.Context(), "zh", ChannelInput{Type: send.Slack, Enabled: true, Language: Chinese, URL: ptr("https://chat.example.com/zh")}); err != nil {
			t.Fatal(err)
		}
		refuse(c, 1)
		pass(time.Second)
		titles := map[send.Type]string{}
		for _, s := range o.all() {
			titles[s.target.Type] = s.m.Title
		}
		want := map[send.Type]string{send.Webhook: "Sentinel: requests with key sk-te…0001 are refused", send.Slack: "Sentinel: 密钥 sk-te…0001 的请求被拒绝"}
		if fmt.Sprint(titles) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", titles, want)
		}
	})
}
