package send_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

var update = flag.Bool("update", false, "write the golden files anew")

const secret = "secret for tests only"

func clock() time.Time { return time.UnixMilli(1_700_000_000_123) }

// received is what a receiver got.
type received struct {
	path   string
	uri    string // path and query as they came
	query  map[string][]string
	header http.Header
	body   []byte
}

// receiver answers every request with a status and a body.
func receiver(t *testing.T, status int, answer string, header ...string) (url string, got *received) {
	t.Helper()
	got = &received{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*got = received{r.URL.Path, r.URL.RequestURI(), r.URL.Query(), r.Header, body}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func newSender(t *testing.T) *send.Sender {
	s := send.New(send.Options{Now: clock})
	t.Cleanup(s.Close)
	return s
}

// answers are what each kind of receiver says if all is well.
var answers = map[send.Type]string{
	send.Webhook:  "",
	send.Feishu:   `{"code":0,"msg":"success","data":{}}`,
	send.DingTalk: `{"errcode":0,"errmsg":"ok"}`,
	send.WeCom:    `{"errcode":0,"errmsg":"ok"}`,
	send.Slack:    "ok",
}

func message() send.Message {
	return send.Message{
		ID: "1700000000000-01020304.0.ops", Level: send.Warning, Title: "Sentinel: requests with key sk-te…0001 are refused",
		Sections: []send.Section{{
			Title: "requests with key sk-te…0001 are refused",
			Facts: []send.Fact{
				{Name: "Key", Value: "sk-te…0001 (0123456789ab)"},
				{Name: "From", Value: "203.0.113.9 ×5, 2001:db8::1"},
				{Name: "Last request", Value: "POST /v1/chat/completions"},
			},
			Advice: "If its user has moved, change the rule of the key.",
		}},
		LinkText: "Open the console", LinkURL: "https://sentinel.example.com/admin/",
		Body: json.RawMessage(`{"version":1,"id":"1700000000000-01020304.0.ops","event":"opened"}`),
	}
}

func digest() send.Message {
	m := message()
	m.Title = "Sentinel: 2 alerts"
	m.More = func(n int) string { return fmt.Sprintf("… and %d more", n) }
	m.Sections = append(m.Sections, send.Section{Title: "many unknown keys from 198.51.100.7", Facts: []send.Fact{{Name: "From", Value: "198.51.100.7 ×30"}}})
	return m
}

func golden(t *testing.T, name string, body []byte) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, body, "", "  "); err != nil {
		t.Fatalf("%s: %v in %s", name, err, body)
	}
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, pretty.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pretty.Bytes(), want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, pretty.Bytes(), want)
	}
}

func TestGoldenPayloads(t *testing.T) {
	s := newSender(t)
	for typ, answer := range answers {
		for name, m := range map[string]send.Message{"one": message(), "several": digest()} {
			url, got := receiver(t, http.StatusOK, answer)
			target := send.Target{Type: typ, URL: url + "/hook?access_token=abc"}
			if typ == send.Feishu {
				target.Secret = secret
			}
			if _, err := s.Send(t.Context(), target, m); err != nil {
				t.Fatalf("%s: %v", typ, err)
			}
			if got.path != "/hook" || got.query["access_token"][0] != "abc" {
				t.Errorf("%s: sent to %s %v", typ, got.path, got.query)
			}
			if typ := got.header.Get("Content-Type"); typ != "application/json; charset=utf-8" {
				t.Errorf("content type %q", typ)
			}
			golden(t, string(typ)+"_"+name, got.body)
		}
	}
}

// TestWebhookSignature checks it as the documentation tells a receiver to.
func TestWebhookSignature(t *testing.T) {
	s := newSender(t)
	for _, key := range []string{secret, ""} {
		url, got := receiver(t, http.StatusNoContent, "")
		m := message()
		if _, err := s.Send(t.Context(), send.Target{Type: send.Webhook, URL: url, Secret: key}, m); err != nil {
			t.Fatal(err)
		}
		if got.header.Get("X-Sentinel-Delivery") != m.ID || got.header.Get("X-Sentinel-Timestamp") != "1700000000" {
			t.Errorf("headers %v", got.header)
		}
		want := ""
		if key != "" {
			mac := hmac.New(sha256.New, []byte(key))
			mac.Write([]byte(got.header.Get("X-Sentinel-Timestamp")))
			mac.Write([]byte("."))
			mac.Write(got.body)
			want = "sha256=" + hex.EncodeToString(mac.Sum(nil))
		}
		if signature := got.header.Get("X-Sentinel-Signature"); signature != want {
			t.Errorf("signature %q, want %q", signature, want)
		}
	}
}

func TestFeishuSignature(t *testing.T) {
	url, got := receiver(t, http.StatusOK, answers[send.Feishu])
	if _, err := newSender(t).Send(t.Context(), send.Target{Type: send.Feishu, URL: url, Secret: secret}, message()); err != nil {
		t.Fatal(err)
	}
	var body struct{ Timestamp, Sign string }
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	// The vendor's example: the text to sign is the key, and what is signed is empty.
	mac := hmac.New(sha256.New, []byte("1700000000\n"+secret))
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); body.Timestamp != "1700000000" || body.Sign != want {
		t.Errorf("got %+v, want %s", body, want)
	}
}

func TestDingTalkSignature(t *testing.T) {
	url, got := receiver(t, http.StatusOK, answers[send.DingTalk])
	target := send.Target{Type: send.DingTalk, URL: url + "/robot/send?access_token=a%2Bb", Secret: secret}
	if _, err := newSender(t).Send(t.Context(), target, message()); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("1700000000123\n" + secret))
	want := map[string][]string{
		"access_token": {"a+b"}, "timestamp": {"1700000000123"},
		"sign": {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}
	if fmt.Sprint(got.query) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got.query, want)
	}
}

// TestAnswers: vendors answer 200 for what went wrong.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name     string
		typ      send.Type
		status   int
		answer   string
		header   []string
		want     string // part of the error; empty: none
		rejected bool
		after    time.Duration
	}{
		{name: "webhook", typ: send.Webhook, status: 202},
		{name: "webhook with any answer", typ: send.Webhook, status: 200, answer: `{"code":1}`},
		{name: "webhook down", typ: send.Webhook, status: 503, header: []string{"Retry-After", "120"}, want: "status 503", after: 2 * time.Minute},
		{name: "webhook asks for too much", typ: send.Webhook, status: 429, header: []string{"Retry-After", "999999"}, want: "status 429", after: time.Hour},
		{name: "webhook asks with a date", typ: send.Webhook, status: 429, header: []string{"Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"}, want: "status 429"},
		{name: "webhook rejects", typ: send.Webhook, status: 422, want: "status 422", rejected: true},
		{name: "webhook gone", typ: send.Webhook, status: 404, want: "status 404"},
		{name: "redirect", typ: send.Webhook, status: 307, header: []string{"Location", "/elsewhere"}, want: "redirects are not followed"},
		{name: "feishu", typ: send.Feishu, status: 200, answer: `{"code":0,"msg":"success"}`},
		{name: "feishu of old", typ: send.Feishu, status: 200, answer: `{"StatusCode":0,"StatusMessage":"success"}`},
		{name: "feishu sign", typ: send.Feishu, status: 200, answer: `{"code":19021,"msg":"sign match fail"}`, want: "code 19021 sign match fail"},
		{name: "feishu limit", typ: send.Feishu, status: 200, answer: `{"code":11232,"msg":"frequency limited"}`, want: "11232", after: time.Minute},
		{name: "feishu rejects", typ: send.Feishu, status: 200, answer: `{"code":9499,"msg":"Bad Request"}`, want: "9499", rejected: true},
		{name: "feishu of old fails", typ: send.Feishu, status: 200, answer: `{"StatusCode":1,"StatusMessage":"no"}`, want: "StatusCode 1 no"},
		{name: "a page in place of feishu", typ: send.Feishu, status: 200, answer: `<html>log in</html>`, want: "not one of such a bot"},
		{name: "dingtalk", typ: send.DingTalk, status: 200, answer: `{"errcode":0,"errmsg":"ok"}`},
		{name: "dingtalk sign", typ: send.DingTalk, status: 200, answer: `{"errcode":310000,"errmsg":"sign not match"}`, want: "errcode 310000 sign not match"},
		{name: "dingtalk limit", typ: send.DingTalk, status: 200, answer: `{"errcode":130101,"errmsg":"send too fast"}`, want: "130101", after: 10 * time.Minute},
		{name: "dingtalk rejects", typ: send.DingTalk, status: 200, answer: `{"errcode":430104,"errmsg":"no"}`, want: "430104", rejected: true},
		{name: "a page in place of dingtalk", typ: send.DingTalk, status: 200, answer: `{}`, want: "not one of such a bot"},
		{name: "wecom", typ: send.WeCom, status: 200, answer: `{"errcode":0,"errmsg":"ok"}`},
		{name: "wecom key", typ: send.WeCom, status: 200, answer: `{"errcode":93000,"errmsg":"invalid webhook url"}`, want: "errcode 93000 invalid webhook url"},
		{name: "wecom limit", typ: send.WeCom, status: 200, answer: `{"errcode":45009,"errmsg":"api freq out of limit"}`, want: "45009", after: time.Minute},
		{name: "wecom rejects", typ: send.WeCom, status: 200, answer: `{"errcode":40058,"errmsg":"no"}`, want: "40058", rejected: true},
		{name: "slack", typ: send.Slack, status: 200, answer: "ok"},
		{name: "slack rejects", typ: send.Slack, status: 400, answer: "invalid_payload", want: "status 400", rejected: true},
		{name: "rocket.chat fails", typ: send.Slack, status: 200, answer: `{"success":false}`, want: "it failed"},
	}
	s := newSender(t)
	for _, test := range tests {
		url, _ := receiver(t, test.status, test.answer, test.header...)
		answer, err := s.Send(t.Context(), send.Target{Type: test.typ, URL: url}, message())
		if answer.Status != test.status {
			t.Errorf("%s: status %d", test.name, answer.Status)
		}
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		var failure *send.Error
		if !errors.As(err, &failure) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		} else if failure.Rejected != test.rejected || failure.RetryAfter != test.after {
			t.Errorf("%s: got %+v", test.name, failure)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	other, got := receiver(t, http.StatusOK, "")
	url, _ := receiver(t, http.StatusPermanentRedirect, "", "Location", other+"/taken")
	if _, err := newSender(t).Send(t.Context(), send.Target{Type: send.Webhook, URL: url}, message()); err == nil {
		t.Error("no error")
	}
	if got.path != "" {
		t.Errorf("%s was asked", got.path)
	}
}

// TestErrorsHoldNoURL: tokens are part of URLs.
func TestErrorsHoldNoURL(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, url := range []string{closed.URL + "/hook?token=hidden", "http://%zz/hidden", "ftp://127.0.0.1/hidden"} {
		_, err := newSender(t).Send(t.Context(), send.Target{Type: send.Webhook, URL: url}, message())
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

func TestASlowReceiverIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	_, err := newSender(t).Send(ctx, send.Target{Type: send.Webhook, URL: server.URL}, message())
	if !errors.Is(err, context.Canceled) || time.Since(began) >= send.Timeout {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

// TestAHugeAnswerIsNotRead ends only because not all of it is.
func TestAHugeAnswerIsNotRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 32<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	answer, err := newSender(t).Send(t.Context(), send.Target{Type: send.Webhook, URL: server.URL}, message())
	if err != nil || len([]rune(answer.Text)) != send.MaxAnswerRunes {
		t.Errorf("got %d bytes, %v", len(answer.Text), err)
	}
}

// proxied is what the proxy of the environment was asked for.
var proxied atomic.Value

// TestMain names a proxy, as net/http reads the environment once. Addresses of
// this machine never go through it.
func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proxied.Store(r.URL.String()) }))
	_ = os.Setenv("HTTP_PROXY", proxy.URL) // if not, the test fails
	code := m.Run()
	proxy.Close()
	os.Exit(code)
}

func TestTheProxyIsUsedOnDemand(t *testing.T) {
	target := send.Target{Type: send.Webhook, URL: "http://receiver.invalid/hook"}
	if _, err := newSender(t).Send(t.Context(), target, message()); err == nil || proxied.Load() != nil {
		t.Errorf("without being asked to: %v, %v", err, proxied.Load())
	}
	target.UseProxy = true
	if _, err := newSender(t).Send(t.Context(), target, message()); err != nil || proxied.Load() != target.URL {
		t.Errorf("got %v, %v", err, proxied.Load())
	}
}
