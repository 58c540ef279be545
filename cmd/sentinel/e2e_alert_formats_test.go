package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// chatServer answers as each vendor does: all of them in one.
type chatServer struct {
	*httptest.Server
	mu  sync.Mutex
	got map[string][]delivered // by path
}

func newChatServer(t *testing.T) *chatServer {
	c := &chatServer{got: make(map[string][]delivered)}
	answers := map[string]string{
		"/feishu": `{"code":0,"msg":"success","data":{}}`, "/dingtalk": `{"errcode":0,"errmsg":"ok"}`,
		"/wecom": `{"errcode":0,"errmsg":"ok"}`, "/slack": "ok",
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v, %v", r.Method, r.URL.Path, r.Header, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[r.URL.Path] = append(c.got[r.URL.Path], delivered{r.URL.RequestURI(), r.Header, string(body)})
		_, _ = io.WriteString(w, answers[r.URL.Path])
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *chatServer) one(t *testing.T, path string) delivered {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got[path]) != 1 {
		t.Fatalf("%s got %d messages, want 1", path, len(c.got[path]))
	}
	return c.got[path][0]
}

// TestChatsGetWhatTheirVendorsDocument has a channel of each kind told of one
// alert, and checks signatures as the vendors' pages tell to make them.
func TestChatsGetWhatTheirVendorsDocument(t *testing.T) {
	s := startAlertSite(t, 9840)
	c := newChatServer(t)
	for typ, input := range map[string]string{
		"feishu": c.URL + "/feishu\n" + hookSecret, "dingtalk": c.URL + "/dingtalk?access_token=t0ken\n" + hookSecret,
		"wecom": c.URL + "/wecom?key=t0ken", "slack": c.URL + "/slack",
	} {
		s.must(input+"\n", "channels", "add", typ, "--type", typ, "--language", "zh")
	}
	for range 3 {
		s.use(elsewhereIP, http.StatusForbidden)
	}
	wait(t, "all chats", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.got) == 4
	})
	for name, text := range map[string]string{
		"feishu": feishuText(t, c.one(t, "/feishu")), "dingtalk": dingTalkText(t, c.one(t, "/dingtalk")),
		"wecom": weComText(t, c.one(t, "/wecom")), "slack": slackText(t, c.one(t, "/slack")),
	} {
		if !strings.Contains(text, "密钥") || !strings.Contains(text, elsewhereIP) || !strings.Contains(text, "不在密钥的规则内") || strings.Contains(text, s.key) {
			t.Errorf("%s: got %s", name, text)
		}
	}
}

func hmacOf(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// feishuText checks a card: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot.
func feishuText(t *testing.T, d delivered) string {
	t.Helper()
	var body struct {
		Type            string `json:"msg_type"`
		Timestamp, Sign string
		Card            struct {
			Header struct {
				Template string
				Title    struct{ Content string }
			}
			Elements []struct{ Text struct{ Tag, Content string } }
		}
	}
	must(t, json.Unmarshal([]byte(d.body), &body))
	if body.Type != "interactive" || body.Sign != hmacOf(body.Timestamp+"\n"+hookSecret, "") || body.Card.Header.Template != "orange" || len(body.Card.Elements) == 0 {
		t.Fatalf("feishu: got %s", d.body)
	}
	return body.Card.Header.Title.Content + body.Card.Elements[0].Text.Content
}

// dingTalkText checks a message: https://open.dingtalk.com/document/robots/custom-robot-access.
func dingTalkText(t *testing.T, d delivered) string {
	t.Helper()
	var body struct {
		Type     string `json:"msgtype"`
		Markdown struct{ Title, Text string }
	}
	must(t, json.Unmarshal([]byte(d.body), &body))
	u, err := url.Parse(d.url)
	must(t, err)
	q := u.Query()
	if stamp := q.Get("timestamp"); len(stamp) != len("1700000000000") || q.Get("sign") != hmacOf(hookSecret, stamp+"\n"+hookSecret) || q.Get("access_token") != "t0ken" || body.Type != "markdown" {
		t.Errorf("dingtalk: got %s, %s", d.url, d.body)
	}
	return body.Markdown.Title + body.Markdown.Text
}

// weComText checks a message: https://developer.work.weixin.qq.com/document/path/91770.
func weComText(t *testing.T, d delivered) string {
	t.Helper()
	var body struct {
		Type     string `json:"msgtype"`
		Markdown struct{ Content string }
	}
	must(t, json.Unmarshal([]byte(d.body), &body))
	if d.url != "/wecom?key=t0ken" || body.Type != "markdown" || len(body.Markdown.Content) > 4096 {
		t.Errorf("wecom: got %s, %s", d.url, d.body)
	}
	return body.Markdown.Content
}

// slackText checks blocks: https://docs.slack.dev/reference/block-kit/blocks.
func slackText(t *testing.T, d delivered) string {
	t.Helper()
	var body struct {
		Text   string
		Blocks []struct{ Type string }
	}
	must(t, json.Unmarshal([]byte(d.body), &body))
	if len(body.Blocks) < 2 || body.Blocks[0].Type != "header" {
		t.Errorf("slack: got %s", d.body)
	}
	return body.Text
}

// mailbox is an SMTP server that wants STARTTLS and a password.
type mailbox struct {
	mu   sync.Mutex
	mail []string // guarded by mu: the messages as they came
	to   []string // guarded by mu: all recipients
}

type mailSession struct {
	box  *mailbox
	conn *smtp.Conn
	in   bool
}

func (b *mailbox) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &mailSession{box: b, conn: c}, nil
}
func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *mailSession) Reset()                   {}
func (s *mailSession) Logout() error            { return nil }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if _, encrypted := s.conn.TLSConnectionState(); !encrypted || username != "sentinel" || password != hookSecret {
			return smtp.ErrAuthFailed
		}
		s.in = true
		return nil
	}), nil
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	if !s.in {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.to = append(s.box.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mail = append(s.box.mail, string(text))
	return nil
}

func (b *mailbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.mail...)
}

// startMailbox starts one on 127.0.0.1, and returns its port and a file with the
// certificate that it has.
func startMailbox(t *testing.T) (box *mailbox, port int, certificate string) {
	t.Helper()
	https := httptest.NewUnstartedServer(nil)
	https.StartTLS() // for its certificate
	pair := https.TLS.Certificates[0]
	https.Close()
	certificate = filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	box = new(mailbox)
	server := smtp.NewServer(box)
	server.Domain, server.TLSConfig = "mail.example.com", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		served.Wait()
	})
	return box, l.Addr().(*net.TCPAddr).Port, certificate
}

// TestAlertsByMail goes to a real mail server, by STARTTLS and with a password.
func TestAlertsByMail(t *testing.T) {
	box, port, certificate := startMailbox(t)
	s := startAlertSite(t, 9841, "SSL_CERT_FILE="+certificate)
	add := func(password string) {
		s.must(password+"\n", "channels", "add", "mail", "--type", "email", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--auth", "plain",
			"--username", "sentinel", "--from", "Key-IP Sentinel <sentinel@example.com>", "--to", "ops@example.com", "--to", "Second <second@example.com>")
	}
	add("wrong")
	if code, _, stderr := s.run(t, "", "alerts", "channels", "test", "mail"); code != exitFailure || !strings.Contains(stderr, "535") {
		t.Errorf("with a wrong password: got %d, %s", code, stderr)
	}
	s.must(hookSecret, "channels", "edit", "mail", "--new-password")
	for range 3 {
		s.use(elsewhereIP, http.StatusForbidden)
	}
	wait(t, "the mail", func() bool { return len(box.all()) == 1 })
	m, err := mail.ReadMessage(strings.NewReader(box.all()[0]))
	must(t, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	must(t, err)
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	must(t, err)
	if !strings.HasPrefix(subject, "Sentinel: requests with key ") || !strings.Contains(string(body), elsewhereIP) || strings.Contains(string(body), s.key) {
		t.Errorf("got %s: %s", subject, body)
	}
	if id := m.Header.Get("X-Sentinel-Delivery"); id == "" || m.Header.Get("Message-Id") != "<"+id+"@example.com>" {
		t.Errorf("got %v", m.Header)
	}
	if got := strings.Join(box.to, " "); got != "ops@example.com second@example.com" {
		t.Errorf("went to %s", got)
	}
	if strings.Contains(s.stderr.String(), hookSecret) || strings.Contains(s.must("", "channels", "show", "mail", "-o", "json"), hookSecret) {
		t.Error("the password is shown")
	}
}
