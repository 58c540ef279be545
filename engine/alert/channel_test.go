package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

const (
	hidden   = "hidden-for-tests-only"
	password = "password for tests only"
)

func mailInput() ChannelInput {
	return ChannelInput{Type: send.Email, Enabled: true, Password: ptr(password), Mail: &send.Mail{
		Host: "mail.example.com", Auth: send.PlainAuth, Username: "sentinel", From: "Sentinel <sentinel@example.com>", To: []string{"ops@example.com"},
	}}
}

func TestChannelsAreMadeChangedAndDeleted(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, _ *outbox) {
		made := chat(t, c, "ops", send.Feishu, KeyRefused)
		if made.Revision == 0 || made.Target != "https://chat.example.com" || made.Signed || made.ReadOnly || made.CreatedAt.IsZero() {
			t.Errorf("got %+v", made)
		}
		if _, err := c.CreateChannel(t.Context(), "ops", ChannelInput{Type: send.Slack, URL: ptr(testURL)}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("again: %v", err)
		}
		pass(time.Second)
		in := ChannelInput{Type: send.Feishu, Enabled: true, Language: Chinese, Secret: ptr(hidden)}
		changed, err := c.UpdateChannel(t.Context(), "ops", in, made.Revision)
		if err != nil || !changed.Signed || changed.Language != Chinese || len(changed.Kinds) != 0 || changed.Target != made.Target || !changed.UpdatedAt.After(made.UpdatedAt) {
			t.Errorf("got %+v, %v", changed, err)
		}
		if _, err := c.UpdateChannel(t.Context(), "ops", in, made.Revision); !errors.Is(err, store.ErrConflict) {
			t.Errorf("an old revision: %v", err)
		}
		if err := c.DeleteChannel(t.Context(), "ops", made.Revision); !errors.Is(err, store.ErrConflict) {
			t.Errorf("an old revision: %v", err)
		}
		if ids := channelIDsOf(c); !slices.Equal(ids, []string{EnvChannel, "ops"}) {
			t.Errorf("got %v", ids)
		}
		refuse(c, 1)
		pass(time.Second)
		if err := c.DeleteChannel(t.Context(), "ops", 0); err != nil {
			t.Error(err)
		}
		if _, err := c.Channel("ops"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		pass(time.Minute)
		if d := c.Deliveries(DeliveryFilter{Channel: "ops"}).Deliveries; len(d) != 0 {
			t.Errorf("its deliveries are left: %+v", d)
		}
		if _, err := c.UpdateChannel(t.Context(), "ops", in, 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if err := c.DeleteChannel(t.Context(), "ops", 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func channelIDsOf(c *Center) (ids []string) {
	for _, ch := range c.Channels() {
		ids = append(ids, ch.ID)
	}
	return ids
}

// TestDeletingAChannelWhileItSends ends its deliveries without a trace.
func TestDeletingAChannelWhileItSends(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		chat(t, c, "ops", send.Webhook)
		o.fail(func(target send.Target, _ send.Message) error {
			if target.URL != testURL {
				time.Sleep(5 * time.Second)
			}
			return nil
		})
		for i := range 10 {
			refuse(c, i)
		}
		pass(time.Second)
		if err := c.DeleteChannel(t.Context(), "ops", 0); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		if got := len(o.all()); got != 10+1 {
			t.Errorf("%d messages, want those of the other channel, and the one that was under way", got)
		}
		if list, err := c.documents.ListDocuments(t.Context(), "delivery"); len(list) != 10 || err != nil {
			t.Errorf("%d documents, %v", len(list), err)
		}
		// The same ID is a new channel.
		chat(t, c, "ops", send.Webhook)
		if ch, err := c.Channel("ops"); err != nil || ch.Pending != 0 {
			t.Errorf("got %+v, %v", ch, err)
		}
	})
}

func TestTheChannelOfTheSettings(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		ch, err := c.Channel(EnvChannel)
		if err != nil || !ch.ReadOnly || ch.Signed || ch.Target != "https://hooks.example.com" || ch.Type != send.Webhook {
			t.Errorf("got %+v, %v", ch, err)
		}
		in := ChannelInput{Type: send.Webhook, URL: ptr(testURL)}
		if _, err := c.UpdateChannel(t.Context(), EnvChannel, in, 0); !errors.Is(err, ErrReadOnly) {
			t.Errorf("got %v", err)
		}
		if err := c.DeleteChannel(t.Context(), EnvChannel, 0); !errors.Is(err, ErrReadOnly) {
			t.Errorf("got %v", err)
		}
		s := testSettings()
		s.WebhookURL, s.WebhookSecret = "http://10.0.0.1/alerts", hidden
		if err := c.SetSettings(s); err != nil {
			t.Fatal(err)
		}
		refuse(c, 1)
		pass(time.Second)
		if got := o.all()[0].target; got.URL != s.WebhookURL || got.Secret != hidden || got.UseProxy {
			t.Errorf("sent to %+v", got)
		}
		s.WebhookURL = ""
		if err := c.SetSettings(s); err != nil {
			t.Fatal(err)
		}
		if ids := channelIDsOf(c); len(ids) != 0 {
			t.Errorf("got %v", ids)
		}
	})
}

func TestSecretsAreSealedAndNeverShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, o := memory.New(), &outbox{}
		c := open(t, options(documents, o))
		url := "https://oapi.example.com/robot/send?access_token=" + hidden
		if _, err := c.CreateChannel(t.Context(), "ding", ChannelInput{Type: send.DingTalk, Enabled: true, URL: &url, Secret: ptr(hidden)}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateChannel(t.Context(), "mail", mailInput()); err != nil {
			t.Fatal(err)
		}
		shown, err := json.Marshal(c.Channels())
		if err != nil {
			t.Fatal(err)
		}
		list, err := documents.ListDocuments(t.Context(), "channel")
		if err != nil || len(list) != 2 {
			t.Fatalf("%d documents, %v", len(list), err)
		}
		for _, text := range []string{string(shown), string(list[0].Body), string(list[1].Body)} {
			if strings.Contains(text, hidden) || strings.Contains(text, password) {
				t.Errorf("a secret is in %s", text)
			}
		}
		closeCenter(t, c)

		c = open(t, options(documents, o)) // with the same key
		refuse(c, 1)
		pass(time.Second)
		var dinged, mailed bool
		for _, s := range o.all() {
			dinged = dinged || s.target.URL == url && s.target.Secret == hidden
			mailed = mailed || s.target.Password == password && s.target.Mail.Port == 587 && s.target.Mail.TLS == send.StartTLS
		}
		if !dinged || !mailed {
			t.Errorf("after a restart: ding %v, mail %v", dinged, mailed)
		}
		closeCenter(t, c)
		checkReseal(t, documents)
		checkOtherKey(t, documents, url)
	})
}

// checkReseal gives channels another key and back: those of the one before can send, and
// once sealed anew also without it.
func checkReseal(t *testing.T, documents store.Documents) {
	t.Helper()
	for _, keys := range [][2]byte{{3, 1}, {1, 3}} {
		opts := options(documents, &outbox{})
		opts.Key, opts.OldKeys = testKey(keys[0]), [][]byte{testKey(keys[1])}
		c := open(t, opts)
		sealed := len(c.Channels()) - 1 // without that of the settings
		for _, want := range []int{sealed, 0} {
			if n, err := c.Reseal(t.Context()); n != want || err != nil || sealed == 0 {
				t.Errorf("sealed %d anew, %v, want %d", n, err, want)
			}
		}
		closeCenter(t, c)
		opts.OldKeys = nil
		c = open(t, opts)
		for _, ch := range c.Channels() {
			if ch.Fault != "" {
				t.Errorf("without the key from before: %+v", ch)
			}
		}
		if n, err := c.Reseal(t.Context()); n != 0 || err != nil {
			t.Errorf("sealed %d anew, %v", n, err)
		}
		closeCenter(t, c)
	}
}

// checkOtherKey opens channels whose secrets were sealed with another key.
func checkOtherKey(t *testing.T, documents store.Documents, url string) {
	t.Helper()
	o := &outbox{}
	opts := options(documents, o)
	opts.Key = testKey(2)
	c := open(t, opts)
	defer closeCenter(t, c)
	ch, err := c.Channel("ding")
	if err != nil || ch.Fault == "" {
		t.Errorf("got %+v, %v", ch, err)
	}
	if _, err := c.Test(t.Context(), "ding"); !errors.Is(err, ErrSealed) {
		t.Errorf("got %v", err)
	}
	refuse(c, 2)
	pass(time.Second)
	if got := o.all(); len(got) != 1 || got[0].target.URL != testURL {
		t.Errorf("sent %+v", got)
	}
	if _, err := c.UpdateChannel(t.Context(), "ding", ChannelInput{Type: send.DingTalk, Enabled: true, URL: &url}, ch.Revision); err != nil {
		t.Fatal(err)
	}
	pass(time.Second)
	if got := o.all(); len(got) != 2 || got[1].target.URL != url {
		t.Errorf("what waited was not sent: %+v", got)
	}
}

// TestAPasswordStaysWithItsServer: who may edit channels cannot have it sent to
// another one.
func TestAPasswordStaysWithItsServer(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, _ *outbox) {
		ch, err := c.CreateChannel(t.Context(), "mail", mailInput())
		if err != nil {
			t.Fatal(err)
		}
		in := mailInput()
		in.Password = nil
		in.Mail.To = []string{"two@example.com"}
		if ch, err = c.UpdateChannel(t.Context(), "mail", in, ch.Revision); err != nil || !ch.HasPassword || ch.Mail.To[0] != "two@example.com" {
			t.Errorf("another recipient: %+v, %v", ch, err)
		}
		for _, change := range []func(*send.Mail){
			func(m *send.Mail) { m.Host = "evil.example.com" },
			func(m *send.Mail) { m.Port = 2525 },
			func(m *send.Mail) { m.TLS = send.ImplicitTLS },
		} {
			in := mailInput()
			in.Password = nil
			change(in.Mail)
			var fault *FieldError
			if _, err := c.UpdateChannel(t.Context(), "mail", in, 0); !errors.As(err, &fault) || fault.Field != "password" {
				t.Errorf("got %v", err)
			}
		}
		// Nor who writes documents.
		d, err := c.documents.Document(t.Context(), "channel", "mail")
		if err != nil {
			t.Fatal(err)
		}
		d.Body = []byte(strings.ReplaceAll(string(d.Body), "mail.example.com", "evil.example.com"))
		if _, err := c.documents.PutDocument(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if ch, err := c.Channel("mail"); err != nil || ch.Fault == "" {
			t.Errorf("got %+v, %v", ch, err)
		}
	})
}

func TestWrongChannelsAreRefused(t *testing.T) {
	with := func(change func(*ChannelInput)) ChannelInput {
		in := ChannelInput{Type: send.Webhook, Enabled: true, URL: ptr(testURL)}
		change(&in)
		return in
	}
	mail := func(change func(*ChannelInput)) ChannelInput {
		in := mailInput()
		change(&in)
		return in
	}
	tests := []struct {
		name, id string
		in       ChannelInput
		field    string
	}{
		{"no ID", "", with(func(*ChannelInput) {}), "id"},
		{"ID of the settings", EnvChannel, with(func(*ChannelInput) {}), "id"},
		{"ID with a slash", "a/b", with(func(*ChannelInput) {}), "id"},
		{"long ID", strings.Repeat("a", 41), with(func(*ChannelInput) {}), "id"},
		{"type", "a", with(func(in *ChannelInput) { in.Type = "fax" }), "type"},
		{"kind", "a", with(func(in *ChannelInput) { in.Kinds = []Kind{"other"} }), "kinds"},
		{"language", "a", with(func(in *ChannelInput) { in.Language = "fr" }), "language"},
		{"no URL", "a", with(func(in *ChannelInput) { in.URL = nil }), "url"},
		{"scheme", "a", with(func(in *ChannelInput) { in.URL = ptr("file:///etc/passwd") }), "url"},
		{"no host", "a", with(func(in *ChannelInput) { in.URL = ptr("https:///x") }), "url"},
		{"long URL", "a", with(func(in *ChannelInput) { in.URL = ptr("https://a.example.com/" + strings.Repeat("a", maxURLBytes)) }), "url"},
		{"secret of WeCom", "a", with(func(in *ChannelInput) { in.Type, in.Secret = send.WeCom, ptr(hidden) }), "secret"},
		{"long secret", "a", with(func(in *ChannelInput) { in.Secret = ptr(strings.Repeat("a", maxSecretBytes+1)) }), "secret"},
		{"mail of a webhook", "a", with(func(in *ChannelInput) { in.Mail = &send.Mail{} }), "mail"},
		{"no mail", "a", mail(func(in *ChannelInput) { in.Mail = nil }), "mail"},
		{"URL of email", "a", mail(func(in *ChannelInput) { in.URL = ptr(testURL) }), "url"},
		{"mail host", "a", mail(func(in *ChannelInput) { in.Mail.Host = "a b" }), "mail.host"},
		{"mail port", "a", mail(func(in *ChannelInput) { in.Mail.Port = 70000 }), "mail.port"},
		{"mail TLS", "a", mail(func(in *ChannelInput) { in.Mail.TLS = "ssl" }), "mail.tls"},
		{"mail auth", "a", mail(func(in *ChannelInput) { in.Mail.Auth = "ntlm" }), "mail.auth"},
		{"password in clear", "a", mail(func(in *ChannelInput) { in.Mail.TLS = send.NoTLS }), "mail.auth"},
		{"no password", "a", mail(func(in *ChannelInput) { in.Password = nil }), "password"},
		{"password without auth", "a", mail(func(in *ChannelInput) { in.Mail.Auth = "" }), "mail.auth"},
		{"from", "a", mail(func(in *ChannelInput) { in.Mail.From = "nobody" }), "mail.from"},
		{"to nobody", "a", mail(func(in *ChannelInput) { in.Mail.To = nil }), "mail.to"},
		{"to", "a", mail(func(in *ChannelInput) { in.Mail.To = []string{"a@example.com\nBcc: b@example.com"} }), "mail.to"},
	}
	inBubble(t, func(t *testing.T, c *Center, _ *outbox) {
		for _, test := range tests {
			var fault *FieldError
			if _, err := c.CreateChannel(t.Context(), test.id, test.in); !errors.As(err, &fault) || fault.Field != test.field {
				t.Errorf("%s: got %v, want a fault of %s", test.name, err, test.field)
			}
		}
		if _, err := c.CreateChannel(t.Context(), "a", with(func(*ChannelInput) {})); err != nil {
			t.Error(err)
		}
		var fault *FieldError
		if _, err := c.UpdateChannel(t.Context(), "a", with(func(in *ChannelInput) { in.Type = send.Slack }), 0); !errors.As(err, &fault) || fault.Field != "type" {
			t.Errorf("another type: %v", err)
		}
		for i := range MaxChannels - 1 {
			chat(t, c, fmt.Sprint("c", i), send.Webhook)
		}
		if _, err := c.CreateChannel(t.Context(), "z", with(func(*ChannelInput) {})); !errors.Is(err, ErrTooMany) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for field, change := range map[string]func(*Settings){
		"thresholdCount":   func(s *Settings) { s.ThresholdCount = 0 },
		"window":           func(s *Settings) { s.Window = 0 },
		"unknownKeyCount":  func(s *Settings) { s.UnknownKeyCount = -1 },
		"unknownKeyWindow": func(s *Settings) { s.UnknownKeyWindow = 0 },
		"failingAfter":     func(s *Settings) { s.FailingAfter = -1 },
		"language":         func(s *Settings) { s.Language = "" },
		"retentionDays":    func(s *Settings) { s.RetentionDays = -1 },
		"webhookUrl":       func(s *Settings) { s.WebhookURL = "hooks.example.com" },
	} {
		s := DefaultSettings()
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&s)
		var fault *FieldError
		if err := s.Validate(); !errors.As(err, &fault) || fault.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

// TestTryingAChannel sends by the real sender.
func TestTryingAChannel(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b Body
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil || b.Event != Tested || b.Alert != nil || b.ID != r.Header.Get(send.HeaderDelivery) || b.ID == "" {
			t.Errorf("got %+v, %v", b, err)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("thank you"))
	}))
	defer server.Close()
	opts := options(memory.New(), nil)
	opts.sender = nil
	opts.Settings.WebhookURL = ""
	c := open(t, opts)
	defer closeCenter(t, c)
	if _, err := c.CreateChannel(t.Context(), "hook", ChannelInput{Type: send.Webhook, URL: ptr(server.URL), Secret: ptr(hidden)}); err != nil {
		t.Fatal(err)
	}
	result, err := c.Test(t.Context(), "hook") // although it is off
	if err != nil || !result.OK || result.Status != 200 || result.Answer != "thank you" || result.Error != "" {
		t.Errorf("got %+v, %v", result, err)
	}
	status = http.StatusTeapot
	result, err = c.Test(t.Context(), "hook")
	if err != nil || result.OK || result.Status != 418 || result.Answer != "thank you" || !strings.Contains(result.Error, "418") {
		t.Errorf("got %+v, %v", result, err)
	}
	if _, err := c.Test(t.Context(), "none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
