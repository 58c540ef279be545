package send_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

// mailServer is a real SMTP server that keeps what it is sent.
type mailServer struct {
	mu        sync.Mutex
	mails     []letter
	mechanism string // that was used to log in
	encrypted bool
	refuse    *smtp.SMTPError // of the recipient
}

type letter struct {
	from string
	to   []string
	text string
}

type session struct {
	server *mailServer
	conn   *smtp.Conn
	authed bool
	mail   letter
}

func (s *mailServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{server: s, conn: c}, nil
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login} }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(username, password string) error {
		if username != "sentinel" || password != secret {
			return smtp.ErrAuthFailed
		}
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.mechanism, s.authed = mechanism, true
		return nil
	}
	if mechanism == sasl.Login {
		return &login{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, username, password string) error { return check(username, password) }), nil
}

// login is the server's side of LOGIN, which the library no longer has.
type login struct {
	check    func(username, password string) error
	username string
	step     int
}

func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.username = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.username, string(response))
}

func (s *session) Reset()        { s.mail = letter{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.mail.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.server.refuse != nil {
		return s.server.refuse
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.mail.text = string(text)
	s.server.mails = append(s.server.mails, s.mail)
	_, s.server.encrypted = s.conn.TLSConnectionState()
	return nil
}

// startMail starts a server, with a certificate for 127.0.0.1 and ::1 that the
// pool knows.
func startMail(t *testing.T, mode send.TLSMode) (*mailServer, send.Mail, *x509.CertPool) {
	t.Helper()
	return startMailOn(t, mode, "127.0.0.1")
}

func startMailOn(t *testing.T, mode send.TLSMode, host string) (*mailServer, send.Mail, *x509.CertPool) {
	t.Helper()
	https := httptest.NewUnstartedServer(nil)
	https.StartTLS() // for its certificate
	certificate, pool := https.TLS.Certificates[0], x509.NewCertPool()
	pool.AddCert(https.Certificate())
	https.Close()
	backend := &mailServer{}
	server := smtp.NewServer(backend)
	server.Domain, server.AllowInsecureAuth = "mail.example.com", false
	server.ErrorLog = quiet{}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("no %s here: %v", host, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	port := listener.Addr().(*net.TCPAddr).Port
	switch mode {
	case send.StartTLS:
		server.TLSConfig = config
	case send.ImplicitTLS:
		listener = tls.NewListener(listener, config)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		served.Wait()
	})
	return backend, send.Mail{
		Host: host, Port: port, TLS: mode, From: "Key-IP Sentinel <sentinel@example.com>", To: []string{"ops@example.com", "Zwei <two@example.org>"},
	}, pool
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func mailSender(t *testing.T, pool *x509.CertPool) *send.Sender {
	s := send.New(send.Options{Now: clock, RootCAs: pool})
	t.Cleanup(s.Close)
	return s
}

func TestEmail(t *testing.T) {
	tests := []struct {
		name string
		tls  send.TLSMode
		auth send.AuthMode
		want string // mechanism
	}{
		{"starttls and plain", send.StartTLS, send.PlainAuth, sasl.Plain},
		{"starttls and login", send.StartTLS, send.LoginAuth, sasl.Login},
		{"tls and plain", send.ImplicitTLS, send.PlainAuth, sasl.Plain},
		{"tls and login", send.ImplicitTLS, send.LoginAuth, sasl.Login},
		{"starttls alone", send.StartTLS, send.NoAuth, ""},
		{"nothing", send.NoTLS, send.NoAuth, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server, to, pool := startMail(t, test.tls)
			to.Auth = test.auth
			target := send.Target{Type: send.Email, Mail: to}
			if test.auth != send.NoAuth {
				target.Mail.Username, target.Password = "sentinel", secret
			}
			m := message()
			m.Title = "Sentinel: 密钥 sk-te…0001 的请求被拒绝\r\nBcc: evil@example.com"
			if _, err := mailSender(t, pool).Send(t.Context(), target, m); err != nil {
				t.Fatal(err)
			}
			server.mu.Lock()
			defer server.mu.Unlock()
			if len(server.mails) != 1 {
				t.Fatalf("%d mails", len(server.mails))
			}
			if server.mechanism != test.want || server.encrypted != (test.tls != send.NoTLS) {
				t.Errorf("mechanism %q, encrypted %v", server.mechanism, server.encrypted)
			}
			checkMail(t, server.mails[0], m)
		})
	}
}

func TestEmailByIPv6(t *testing.T) {
	for _, mode := range []send.TLSMode{send.StartTLS, send.ImplicitTLS} {
		server, to, pool := startMailOn(t, mode, "::1")
		if _, err := mailSender(t, pool).Send(t.Context(), send.Target{Type: send.Email, Mail: to}, message()); err != nil || len(server.mails) != 1 || !server.encrypted {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func checkMail(t *testing.T, got letter, m send.Message) {
	t.Helper()
	if got.from != "sentinel@example.com" || strings.Join(got.to, " ") != "ops@example.com two@example.org" {
		t.Errorf("from %s to %v", got.from, got.to)
	}
	parsed, err := mail.ReadMessage(strings.NewReader(got.text))
	if err != nil {
		t.Fatalf("%v in %s", err, got.text)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if want := "Sentinel: 密钥 sk-te…0001 的请求被拒绝 Bcc: evil@example.com"; err != nil || subject != want {
		t.Errorf("subject %q, %v, want %q", subject, err, want)
	}
	date, err := parsed.Header.Date()
	if err != nil || !date.Equal(clock().Truncate(time.Second)) {
		t.Errorf("date %v, %v", date, err)
	}
	for name, want := range map[string]string{
		"Message-Id": "<" + m.ID + "@example.com>", "X-Sentinel-Delivery": m.ID, "Auto-Submitted": "auto-generated", "Bcc": "",
		"Content-Type": "text/plain; charset=UTF-8", "Mime-Version": "1.0", "From": `"Key-IP Sentinel" <sentinel@example.com>`,
	} {
		if value := parsed.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if encoding := parsed.Header.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
		t.Fatalf("encoding %q", encoding)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if want := send.Text(m); err != nil || strings.TrimSpace(strings.ReplaceAll(string(body), "\r\n", "\n")) != strings.TrimSpace(want) {
		t.Errorf("body %q, %v, want %q", body, err, want)
	}
}

func TestEmailFailures(t *testing.T) {
	server, to, pool := startMail(t, send.StartTLS)
	plain, toPlain, _ := startMail(t, send.NoTLS)
	nobody := freePort(t)
	tests := []struct {
		name     string
		roots    *x509.CertPool
		change   func(*send.Target)
		refuse   *smtp.SMTPError
		want     string
		rejected bool
	}{
		{name: "wrong password", roots: pool, change: func(t *send.Target) {
			t.Mail.Auth, t.Mail.Username, t.Password = send.PlainAuth, "sentinel", "hidden"
		}, want: "535"},
		{name: "unknown certificate", roots: x509.NewCertPool(), want: "certificate"},
		{name: "no STARTTLS is no way around it", roots: pool, change: func(t *send.Target) {
			t.Mail.Port = toPlain.Port
		}, want: "STARTTLS"},
		{name: "recipient refused for good", roots: pool, refuse: &smtp.SMTPError{Code: 550, Message: "no such user"}, want: "550", rejected: true},
		{name: "recipient refused for now", roots: pool, refuse: &smtp.SMTPError{Code: 451, Message: "later"}, want: "451"},
		{name: "no server", roots: pool, change: func(t *send.Target) { t.Mail.Port = nobody }, want: "refused"},
		{name: "no address", roots: pool, change: func(t *send.Target) { t.Mail.From = "nobody" }, want: "compose", rejected: true},
	}
	for _, test := range tests {
		server.refuse = test.refuse
		target := send.Target{Type: send.Email, Mail: to}
		if test.change != nil {
			test.change(&target)
		}
		_, err := mailSender(t, test.roots).Send(t.Context(), target, message())
		var failure *send.Error
		if !errors.As(err, &failure) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		} else if failure.Rejected != test.rejected {
			t.Errorf("%s: rejected %v", test.name, failure.Rejected)
		}
	}
	if len(server.mails)+len(plain.mails) != 0 {
		t.Error("something was sent")
	}
}

// freePort returns one on which nobody listens.
func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nothing came
	return l.Addr().(*net.TCPAddr).Port
}
