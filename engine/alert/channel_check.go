package alert

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

const (
	maxURLBytes    = 2048
	maxSecretBytes = 1024
	maxRecipients  = 50
)

var channelIDs = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// usualPorts are those of mail servers.
var usualPorts = map[send.TLSMode]int{send.StartTLS: 587, send.ImplicitTLS: 465, send.NoTLS: 25}

func checkChannelID(id string) error {
	if !channelIDs.MatchString(id) {
		return &FieldError{"id", "want 1 to 40 of the letters a to z, digits, _ and -, beginning with a letter or a digit"}
	}
	if id == EnvChannel {
		return &FieldError{"id", fmt.Sprintf("%q is the channel of the settings", EnvChannel)}
	}
	return nil
}

// checkURL returns a *FieldError if a URL cannot be posted to.
func checkURL(field, text string) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURLBytes:
		return &FieldError{field, fmt.Sprintf("want at most %d bytes", maxURLBytes)}
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return &FieldError{field, "want an http:// or https:// URL with a host"}
	}
	return nil
}

// shownURL is what of a URL is no secret.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// apply makes a record of an input: open are the secrets so far, and become
// those that are to be sealed. Returns a *FieldError.
func (in ChannelInput) apply(r *channelRecord, open *secrets) error {
	if !slices.Contains(send.Types(), in.Type) {
		return &FieldError{"type", fmt.Sprintf("want one of %v", send.Types())}
	}
	if i := slices.IndexFunc(in.Kinds, func(k Kind) bool { return !slices.Contains(Kinds(), k) }); i >= 0 {
		return &FieldError{"kinds", fmt.Sprintf("%q is none of %v", in.Kinds[i], Kinds())}
	}
	if in.Language != "" && !in.Language.known() {
		return &FieldError{"language", fmt.Sprintf("want %q or %q", English, Chinese)}
	}
	r.Type, r.Enabled, r.Language, r.UseProxy = in.Type, in.Enabled, in.Language, in.UseProxy
	r.Kinds = slices.Compact(slices.Sorted(slices.Values(in.Kinds)))
	if in.Type == send.Email {
		return in.applyMail(r, open)
	}
	return in.applyURL(r, open)
}

func (in ChannelInput) applyURL(r *channelRecord, open *secrets) error {
	set(&open.URL, in.URL)
	set(&open.Secret, in.Secret)
	switch {
	case in.Mail != nil || in.Password != nil:
		return &FieldError{"mail", "only for email"}
	case open.URL == "":
		return &FieldError{"url", "is missing"}
	case len(open.Secret) > maxSecretBytes:
		return &FieldError{"secret", fmt.Sprintf("want at most %d bytes", maxSecretBytes)}
	case open.Secret != "" && (in.Type == send.WeCom || in.Type == send.Slack):
		return &FieldError{"secret", "such a receiver has no signatures"}
	}
	if err := checkURL("url", open.URL); err != nil {
		return err
	}
	r.Target, r.Signed = shownURL(open.URL), open.Secret != ""
	return nil
}

func (in ChannelInput) applyMail(r *channelRecord, open *secrets) error {
	if in.URL != nil || in.Secret != nil {
		return &FieldError{"url", "not for email"}
	}
	if in.Mail == nil {
		return &FieldError{"mail", "is missing"}
	}
	m := *in.Mail
	m.To = slices.Clone(m.To)
	if m.TLS == "" {
		m.TLS = send.StartTLS
	}
	if m.Port == 0 {
		m.Port = usualPorts[m.TLS]
	}
	// Threat: who may edit channels, but does not know the password, could have
	// it sent to a server of his own. For another server it is entered again.
	if m.Host != r.Mail.Host || m.Port != r.Mail.Port || m.TLS != r.Mail.TLS {
		open.Password = ""
	}
	set(&open.Password, in.Password)
	if err := checkMail(m, open.Password); err != nil {
		return err
	}
	r.Mail, r.Target, r.HasPassword = m, net.JoinHostPort(m.Host, strconv.Itoa(m.Port)), open.Password != ""
	return nil
}

func checkMail(m send.Mail, password string) error {
	switch {
	case m.Host == "" || len(m.Host) > 253 || strings.ContainsAny(m.Host, " \t\r\n/@[]"):
		return &FieldError{"mail.host", "want the name or address of a mail server"}
	case usualPorts[m.TLS] == 0:
		return &FieldError{"mail.tls", `want "starttls", "tls" or "none"`}
	case m.Port < 1 || m.Port > 65535:
		return &FieldError{"mail.port", "want 1 to 65535"}
	case m.Auth != send.NoAuth && m.Auth != send.PlainAuth && m.Auth != send.LoginAuth:
		return &FieldError{"mail.auth", `want "plain", "login" or nothing`}
	case m.Auth != send.NoAuth && m.TLS == send.NoTLS:
		return &FieldError{"mail.auth", "without TLS the password would go over the network in clear"}
	case m.Auth != send.NoAuth && (m.Username == "" || password == ""):
		return &FieldError{"password", "is missing, or the server has changed: enter user name and password"}
	case m.Auth == send.NoAuth && password != "":
		return &FieldError{"mail.auth", "is missing: there is a password"}
	case len(password) > maxSecretBytes || len(m.Username) > maxSecretBytes:
		return &FieldError{"password", fmt.Sprintf("want at most %d bytes", maxSecretBytes)}
	case len(m.To) == 0 || len(m.To) > maxRecipients:
		return &FieldError{"mail.to", fmt.Sprintf("want 1 to %d addresses", maxRecipients)}
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		return &FieldError{"mail.from", "want an address, such as sentinel@example.com"}
	}
	for _, to := range m.To {
		if _, err := mail.ParseAddress(to); err != nil {
			return &FieldError{"mail.to", fmt.Sprintf("%q is no address", to)}
		}
	}
	return nil
}

func set(value *string, to *string) {
	if to != nil {
		*value = *to
	}
}
