package send

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"
)

// TLSMode says how the connection to a mail server is encrypted.
type TLSMode string

// The modes.
const (
	StartTLS    TLSMode = "starttls" // required, not tried
	ImplicitTLS TLSMode = "tls"
	NoTLS       TLSMode = "none"
)

// AuthMode says how a mail server is told who sends.
type AuthMode string

// The modes. The password goes over an encrypted connection only.
const (
	NoAuth    AuthMode = ""
	PlainAuth AuthMode = "plain"
	LoginAuth AuthMode = "login"
)

// Mail is where email goes.
type Mail struct {
	Host     string   `json:"host"`
	Port     int      `json:"port"`
	TLS      TLSMode  `json:"tls"`
	Auth     AuthMode `json:"auth,omitempty"`
	Username string   `json:"username,omitempty"`
	From     string   `json:"from"` // an address of RFC 5322, perhaps with a name
	To       []string `json:"to"`
}

// mail hands a message to a mail server. It is taken for all recipients or, if
// the server refuses one of them, for none.
func (s *Sender) mail(ctx context.Context, t Target, m Message) (Answer, error) {
	msg, err := compose(t.Mail, m)
	if err != nil {
		return Answer{}, &Error{Rejected: true, text: "compose", err: err}
	}
	msg.SetDateWithValue(s.now())
	client, err := mail.NewClient(t.Mail.Host, s.mailOptions(t)...)
	if err != nil {
		return Answer{}, &Error{text: "mail client", err: err}
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		failure := &Error{text: "mail", err: err}
		if refusal, ok := errors.AsType[*mail.SendError](err); ok {
			failure.Rejected = !refusal.IsTemp() && refusal.ErrorCode() >= 500
			return Answer{Status: refusal.ErrorCode(), Text: clean(refusal.Error(), MaxAnswerRunes)}, failure
		}
		return Answer{}, failure
	}
	return Answer{Status: 250, Text: clean(msg.ServerResponse(), MaxAnswerRunes)}, nil
}

func compose(to Mail, m Message) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(to.From); err != nil {
		return nil, err
	}
	if err := msg.To(to.To...); err != nil {
		return nil, err
	}
	msg.Subject(clean(m.Title, maxTitleRunes))
	// The same at every attempt, so that a mailbox can drop what came twice.
	msg.SetMessageIDWithValue(m.ID + "@" + domain(msg))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no answer, please
	msg.SetGenHeader(HeaderDelivery, m.ID)
	msg.SetBodyString(mail.TypeTextPlain, Text(m))
	return msg, nil
}

func domain(msg *mail.Msg) string {
	if sender, err := msg.GetSender(false); err == nil {
		if _, host, ok := strings.Cut(sender, "@"); ok && host != "" {
			return strings.Trim(host, "<>")
		}
	}
	return "sentinel.invalid"
}

// dialer connects to a mail server. The library's own way puts an IPv6 address
// beside the port without brackets.
func dialer(to Mail, config *tls.Config) mail.DialContextFunc {
	address := net.JoinHostPort(to.Host, strconv.Itoa(to.Port))
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		if to.TLS == ImplicitTLS {
			return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

func (s *Sender) mailOptions(t Target) []mail.Option {
	config := &tls.Config{ServerName: t.Mail.Host, RootCAs: s.roots, MinVersion: tls.VersionTLS12}
	options := []mail.Option{
		mail.WithPort(t.Mail.Port), mail.WithTimeout(Timeout), mail.WithTLSConfig(config),
		mail.WithDialContextFunc(dialer(t.Mail, config)),
	}
	switch t.Mail.TLS {
	case ImplicitTLS:
		options = append(options, mail.WithSSL())
	case NoTLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	switch t.Mail.Auth {
	case PlainAuth:
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthPlain))
	case LoginAuth:
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthLogin))
	}
	if t.Mail.Auth != NoAuth {
		options = append(options, mail.WithUsername(t.Mail.Username), mail.WithPassword(t.Password))
	}
	return options
}
