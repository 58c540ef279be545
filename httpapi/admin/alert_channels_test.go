package admin_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

type failureJSON struct {
	Message, Code string
	Params        map[string]string
}

type channelJSON struct {
	ID, Type, Target, Language    string
	Enabled, Signed, ReadOnly     bool
	HasPassword                   bool
	Kinds                         []string
	Mail                          *struct{ Host, TLS string }
	Revision                      uint64
	LastError, Fault              failureJSON
	LastSent                      string
	Pending, Delivered, CreatedAt any
}

func TestChannels(t *testing.T) {
	s := newSite(t)
	h := newHook(t)
	var got channelJSON
	a := s.call(account.Admin, "POST", "/alert-channels", map[string]any{
		"id": "ops", "type": "webhook", "enabled": true, "kinds": []string{"key_refused", "key_shared"}, "language": "zh",
		"url": h.URL + "/hidden-in-url", "secret": "hidden-secret",
	}).want(http.StatusCreated).into(&got)
	if got.ID != "ops" || got.Target != h.URL || !got.Signed || !got.Enabled || strings.Join(got.Kinds, " ") != "key_refused key_shared" || got.Language != "zh" {
		t.Errorf("got %s", a.body)
	}
	tag := a.header.Get("ETag")
	if tag != fmt.Sprintf("%q", fmt.Sprint(got.Revision)) {
		t.Errorf("got ETag %s of revision %d", tag, got.Revision)
	}
	s.call(account.Admin, "POST", "/alert-channels", map[string]any{"id": "ops", "type": "slack", "enabled": true, "url": h.URL}).wantFault(http.StatusConflict, "exists")

	// What is absent of the secrets stays; all else becomes what is said.
	edited := s.call(account.Admin, "PUT", "/alert-channels/ops", map[string]any{"enabled": false}, "If-Match: "+tag).want(http.StatusOK)
	got = channelJSON{}
	edited.into(&got)
	if got.Enabled || len(got.Kinds) != 0 || got.Language != "" || !got.Signed || got.Target != h.URL {
		t.Errorf("got %s", edited.body)
	}
	s.call(account.Admin, "PUT", "/alert-channels/ops", map[string]any{"enabled": true}, "If-Match: "+tag).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	s.call(account.Admin, "DELETE", "/alert-channels/ops", nil, "If-Match: "+tag).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")

	// It is switched off, and tried all the same.
	var result struct {
		OK     bool
		Status int
		Answer string
		Error  failureJSON
	}
	s.call(account.Admin, "POST", "/alert-channels/ops/test", nil).want(http.StatusOK).into(&result)
	if !result.OK || result.Status != 200 || h.got.Load() != 1 {
		t.Errorf("got %+v", result)
	}
	h.fails.Store(true)
	s.call(account.Admin, "POST", "/alert-channels/ops/test", nil).want(http.StatusOK).into(&result)
	if result.OK || result.Status != 502 || result.Answer != "no room" || result.Error.Code != "send_status" || result.Error.Params["status"] != "502" {
		t.Errorf("got %+v", result)
	}
	s.call(account.Admin, "PUT", "/alert-channels/ops", map[string]any{"enabled": true, "secret": "", "url": h.URL + "/hidden-too"}, "If-Match: "+edited.header.Get("ETag")).
		want(http.StatusOK)
	list := s.call(account.Viewer, "GET", "/alert-channels", nil).want(http.StatusOK)
	one := s.call(account.Viewer, "GET", "/alert-channels/ops", nil).want(http.StatusOK).into(&got)
	if got.Signed {
		t.Errorf("got %s", one.body)
	}
	s.call(account.Admin, "DELETE", "/alert-channels/ops", nil, "If-Match: "+one.header.Get("ETag")).want(http.StatusNoContent)
	s.call(account.Admin, "DELETE", "/alert-channels/ops", nil).wantFault(http.StatusNotFound, "not_found")
	s.call(account.Admin, "PUT", "/alert-channels/ops", map[string]any{"enabled": true}).wantFault(http.StatusNotFound, "not_found")
	s.call(account.Admin, "POST", "/alert-channels/ops/test", nil).wantFault(http.StatusNotFound, "not_found")

	s.wantTrail(0, "token:admin channel.create channel:ops", "token:admin channel.edit channel:ops", "token:admin channel.test channel:ops",
		"token:admin channel.test channel:ops", "token:admin channel.edit channel:ops", "token:admin channel.delete channel:ops")
	if after := string(s.trail()[4].After); !strings.Contains(after, `"replaced":["url","secret"]`) {
		t.Errorf("the trail does not say that secrets were replaced: %s", after)
	}
	for _, text := range []string{string(a.body), string(edited.body), string(list.body), string(one.body), s.log.String()} {
		if strings.Contains(text, "hidden") {
			t.Errorf("secrets are shown: %s", text)
		}
	}
	if s.trailHas("hidden") {
		t.Error("secrets are on record")
	}
}

// TestFailuresOfChannelsHaveCodes has channels fail in the ways in which they do.
func TestFailuresOfChannelsHaveCodes(t *testing.T) {
	s := newSite(t)
	plain, closed := newHook(t), newHook(t)
	closed.Close()
	// What it complains of is not of interest.
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	redirect := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	t.Cleanup(redirect.Close)
	mail := func(server string) map[string]any {
		host, port, _ := strings.Cut(strings.TrimPrefix(server, "http://"), ":")
		number, err := strconv.Atoi(port)
		must(t, err)
		return map[string]any{"host": host, "port": number, "tls": "none", "from": "a@example.com", "to": []string{"b@example.com"}}
	}
	tests := []struct {
		id, kind, url, code string
		mail                map[string]any
	}{
		{id: "gone", kind: "webhook", url: closed.URL, code: "net_refused"},
		{id: "no-tls", kind: "webhook", url: strings.Replace(plain.URL, "http:", "https:", 1), code: "tls_none"},
		{id: "stranger", kind: "webhook", url: stranger.URL, code: "tls_unknown"},
		{id: "redirect", kind: "slack", url: redirect.URL, code: "send_redirect"},
		{id: "no-bot", kind: "dingtalk", url: plain.URL, code: "send_no_bot"},
		{id: "no-mail", kind: "email", code: "net_refused", mail: mail(closed.URL)},
	}
	for _, test := range tests {
		body := map[string]any{"id": test.id, "type": test.kind, "enabled": true}
		if test.mail != nil {
			body["mail"] = test.mail
		} else {
			body["url"] = test.url
		}
		s.call(account.Admin, "POST", "/alert-channels", body).want(http.StatusCreated)
		var result struct{ Error failureJSON }
		a := s.call(account.Admin, "POST", "/alert-channels/"+test.id+"/test", nil).want(http.StatusOK).into(&result)
		if result.Error.Code != test.code || result.Error.Message == "" {
			t.Errorf("%s: got %s, want code %s", test.id, a.body, test.code)
		}
	}
}

func TestMailChannels(t *testing.T) {
	s := newSite(t)
	mail := map[string]any{"host": "smtp.example.com", "auth": "plain", "username": "sentinel", "from": "Sentinel <sentinel@example.com>", "to": []string{"ops@example.com"}}
	body := map[string]any{"id": "mail", "type": "email", "enabled": true, "mail": mail, "password": "hidden-password"}
	var got channelJSON
	a := s.call(account.Admin, "POST", "/alert-channels", body).want(http.StatusCreated).into(&got)
	if got.Target != "smtp.example.com:587" || !got.HasPassword || got.Mail == nil || got.Mail.TLS != "starttls" || strings.Contains(string(a.body), "hidden") {
		t.Errorf("got %s", a.body)
	}
	// To another server, the password is not sent.
	mail["host"] = "evil.example.com"
	s.call(account.Admin, "PUT", "/alert-channels/mail", map[string]any{"enabled": true, "mail": mail}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.password")
	mail["host"], mail["to"] = "smtp.example.com", []string{"two@example.com"}
	s.call(account.Admin, "PUT", "/alert-channels/mail", map[string]any{"enabled": true, "mail": mail}).want(http.StatusOK).into(&got)
	if !got.HasPassword {
		t.Error("the password is gone")
	}
}

// TestBadChannels has each fault located, and none of the values told.
func TestBadChannels(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		name, location string
		body           map[string]any
	}{
		{"no type", "body", map[string]any{"id": "x", "enabled": true}},
		{"unknown type", "body.type", map[string]any{"id": "x", "type": "pager", "enabled": true, "url": "https://hidden.example.com"}},
		{"bad ID", "body.id", map[string]any{"id": "X y", "type": "slack", "enabled": true, "url": "https://hidden.example.com"}},
		{"ID of the settings", "body.id", map[string]any{"id": "env", "type": "slack", "enabled": true, "url": "https://hidden.example.com"}},
		{"no URL", "body.url", map[string]any{"id": "x", "type": "slack", "enabled": true}},
		{"no URL to post to", "body.url", map[string]any{"id": "x", "type": "slack", "enabled": true, "url": "ftp://hidden.example.com"}},
		{"long URL", "body.url", map[string]any{"id": "x", "type": "slack", "enabled": true, "url": "https://hidden.example.com/" + strings.Repeat("x", 2048)}},
		{"secret where none is", "body.secret", map[string]any{"id": "x", "type": "wecom", "enabled": true, "url": "https://hidden.example.com", "secret": "hidden"}},
		{"unknown kind", "body.kinds[1]", map[string]any{"id": "x", "type": "slack", "enabled": true, "url": "https://hidden.example.com", "kinds": []string{"key_shared", "hidden"}}},
		{"unknown language", "body.language", map[string]any{"id": "x", "type": "slack", "enabled": true, "url": "https://hidden.example.com", "language": "hidden"}},
		{"mail without server", "body.mail", map[string]any{"id": "x", "type": "email", "enabled": true}},
		{"mail of a webhook", "body.mail", map[string]any{"id": "x", "type": "slack", "enabled": true, "url": "https://hidden.example.com", "mail": map[string]any{"host": "h", "from": "a@b", "to": []string{"a@b"}}}},
		{"password in the clear", "body.mail.auth", map[string]any{"id": "x", "type": "email", "enabled": true, "password": "hidden",
			"mail": map[string]any{"host": "smtp.example.com", "tls": "none", "auth": "plain", "username": "u", "from": "a@example.com", "to": []string{"a@example.com"}}}},
		{"no recipient", "body.mail.to", map[string]any{"id": "x", "type": "email", "enabled": true, "mail": map[string]any{"host": "smtp.example.com", "from": "a@example.com", "to": []string{}}}},
		{"no sender", "body.mail.from", map[string]any{"id": "x", "type": "email", "enabled": true, "mail": map[string]any{"host": "smtp.example.com", "from": "hidden", "to": []string{"a@example.com"}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := s.call(account.Admin, "POST", "/alert-channels", test.body)
			f := a.wantFault(http.StatusUnprocessableEntity, "invalid", test.location)
			if strings.Contains(fmt.Sprint(f), "hidden.") || strings.Contains(fmt.Sprint(f), "hidden ") {
				t.Errorf("the fault repeats what was sent: %s", a.body)
			}
		})
	}
	s.wantTrail(0)
	for i := range alert.MaxChannels {
		s.call(account.Admin, "POST", "/alert-channels", map[string]any{"id": fmt.Sprint("c", i), "type": "slack", "enabled": false, "url": "https://chat.example.com"}).want(http.StatusCreated)
	}
	s.call(account.Admin, "POST", "/alert-channels", map[string]any{"id": "x", "type": "slack", "enabled": true, "url": "https://chat.example.com"}).wantFault(http.StatusConflict, "too_many")
}

// TestTheChannelOfTheSettings can be tried, and not changed here.
func TestTheChannelOfTheSettings(t *testing.T) {
	h := newHook(t)
	s := newSite(t, func(o *admin.Options) {
		settings := alert.DefaultSettings()
		settings.WebhookURL = h.URL + "/hidden"
		must(t, o.Alerts.(*alert.Center).SetSettings(settings))
	})
	var got channelJSON
	a := s.call(account.Viewer, "GET", "/alert-channels/env", nil).want(http.StatusOK).into(&got)
	if !got.ReadOnly || got.Target != h.URL || strings.Contains(string(a.body), "hidden") {
		t.Errorf("got %s", a.body)
	}
	s.call(account.Admin, "PUT", "/alert-channels/env", map[string]any{"enabled": false, "url": h.URL}).wantFault(http.StatusConflict, "read_only")
	s.call(account.Admin, "DELETE", "/alert-channels/env", nil).wantFault(http.StatusConflict, "read_only")
	s.call(account.Admin, "POST", "/alert-channels/env/test", nil).want(http.StatusOK)
	if h.got.Load() != 1 {
		t.Errorf("%d messages", h.got.Load())
	}
}

// TestChannelsSealedWithAnotherKey say so, and can be mended.
func TestChannelsSealedWithAnotherKey(t *testing.T) {
	s := newSite(t)
	h := newHook(t)
	s.call(account.Admin, "POST", "/alert-channels", map[string]any{"id": "ops", "type": "slack", "enabled": true, "url": h.URL}).want(http.StatusCreated)
	other := newSite(t, func(o *admin.Options) {
		center, err := alert.New(t.Context(), alert.Options{
			Documents: s.store, Logger: o.Logger, Key: []byte(strings.Repeat("k", 32)), Settings: alert.DefaultSettings(),
		})
		must(t, err)
		t.Cleanup(func() { must(t, center.Close(context.Background())) })
		o.Alerts = center
	})
	var got channelJSON
	other.call(account.Viewer, "GET", "/alert-channels/ops", nil).want(http.StatusOK).into(&got)
	if got.Fault.Code != "channel_sealed" {
		t.Errorf("got %+v", got)
	}
	if a := other.call(account.Viewer, "GET", "/dashboard", nil); !strings.Contains(string(a.body), `"state":"broken"`) {
		t.Errorf("got %s", a.body)
	}
	other.call(account.Admin, "POST", "/alert-channels/ops/test", nil).wantFault(http.StatusConflict, "sealed")
	other.call(account.Admin, "PUT", "/alert-channels/ops", map[string]any{"enabled": true, "url": h.URL}).want(http.StatusOK)
	other.call(account.Admin, "POST", "/alert-channels/ops/test", nil).want(http.StatusOK)
}
