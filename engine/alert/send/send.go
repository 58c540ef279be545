// Package send brings one message to one receiver: as signed JSON, to the group
// bots of Feishu, DingTalk and WeCom, to what takes Slack's webhooks, and by
// email. It tries once, and knows nothing of alerts.
package send

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Type is a kind of receiver.
type Type string

// The kinds of receivers.
const (
	Webhook  Type = "webhook"  // signed JSON
	Feishu   Type = "feishu"   // custom bot of Feishu or Lark
	DingTalk Type = "dingtalk" // custom bot
	WeCom    Type = "wecom"    // group bot
	Slack    Type = "slack"    // incoming webhook of Slack, Mattermost, Rocket.Chat
	Email    Type = "email"    // SMTP
)

// Types returns all kinds of receivers.
func Types() []Type { return []Type{Webhook, Feishu, DingTalk, WeCom, Slack, Email} }

// Level says how bad it is; receivers that know colours show it.
type Level string

// The levels.
const (
	Info     Level = "info"
	Warning  Level = "warning"
	Critical Level = "critical"
	Resolved Level = "resolved"
)

// Limits of what is asked of a receiver.
const (
	// Timeout is how long one attempt may take.
	Timeout = 10 * time.Second
	// maxAnswerBytes is how much of an answer is read.
	maxAnswerBytes = 64 << 10
	// MaxAnswerRunes is how much of it is kept to be shown.
	MaxAnswerRunes = 300
)

// Target is a receiver with its secrets.
type Target struct {
	Type Type
	// URL is that of all but email. It mostly holds a secret itself.
	URL string
	// Secret signs what is sent, for Webhook, Feishu and DingTalk; empty: unsigned.
	Secret string
	// UseProxy makes HTTP go through the proxy that the environment names.
	UseProxy bool
	// Mail is where email goes, Password what the server asks for.
	Mail     Mail
	Password string
}

// Message is what is said. All texts may come from strangers, as each format
// takes care of what would be markup or a mention in it.
type Message struct {
	// ID is the same at every attempt, and no other message has it.
	ID       string
	Level    Level
	Title    string
	Sections []Section
	// LinkText and LinkURL are an address to go on from; empty: none.
	LinkText, LinkURL string
	// More says how many sections had no room; required if there are several.
	More func(n int) string
	// Body is the JSON that a webhook gets.
	Body json.RawMessage
}

// Section is one thing that happened. The title of a single one is not shown.
type Section struct {
	Title  string
	Facts  []Fact
	Advice string
}

// Fact is a line of a section.
type Fact struct{ Name, Value string }

// Answer is what the receiver said.
type Answer struct {
	Status int    `json:"status,omitempty"` // of HTTP or SMTP
	Text   string `json:"text,omitempty"`   // at most MaxAnswerRunes
}

// Error is why a message did not arrive.
type Error struct {
	// Rejected means that the receiver did not want this message; it may take
	// others.
	Rejected bool
	// RetryAfter is how long the receiver wants to be left alone; 0: not said.
	RetryAfter time.Duration

	text string
	err  error
}

// Error is part of error. It holds no URL and no secret.
func (e *Error) Error() string {
	switch {
	case e.err == nil:
		return e.text
	case e.text == "":
		return e.err.Error()
	}
	return e.text + ": " + e.err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// Options of a Sender.
type Options struct {
	// Now is the clock of signatures; nil: time.Now.
	Now func() time.Time
	// RootCAs are whom certificates of receivers must come from; nil: whom the
	// system trusts.
	RootCAs *x509.CertPool
}

// Sender sends messages. It is safe for concurrent use.
type Sender struct {
	now     func() time.Time
	roots   *x509.CertPool
	direct  *http.Client
	proxied *http.Client
}

// New returns a sender; Close ends its idle connections.
func New(opts Options) *Sender {
	s := &Sender{now: opts.Now, roots: opts.RootCAs}
	if s.now == nil {
		s.now = time.Now
	}
	s.direct = newClient(nil, opts.RootCAs)
	s.proxied = newClient(http.ProxyFromEnvironment, opts.RootCAs)
	return s
}

// Close ends idle connections.
func (s *Sender) Close() {
	s.direct.CloseIdleConnections()
	s.proxied.CloseIdleConnections()
}

// Send tries once, for at most Timeout. The error is a *Error, or that of the
// context if it ended first: then the message may have arrived, as it may after
// any error of a network.
func (s *Sender) Send(ctx context.Context, t Target, m Message) (Answer, error) {
	limited, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	answer, err := s.send(limited, t, m)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return answer, ctx.Err()
	case limited.Err() != nil:
		return answer, &Error{text: fmt.Sprintf("no answer within %v", Timeout)}
	}
	return answer, err
}

func (s *Sender) send(ctx context.Context, t Target, m Message) (Answer, error) {
	switch t.Type {
	case Webhook:
		return s.post(ctx, t, webhookRequest(t, m, s.now()), anyAnswer)
	case Feishu:
		return s.post(ctx, t, feishuRequest(t, m, s.now()), feishuAnswer)
	case DingTalk:
		return s.post(ctx, t, dingTalkRequest(t, m, s.now()), dingTalkAnswer)
	case WeCom:
		return s.post(ctx, t, weComRequest(t, m), weComAnswer)
	case Slack:
		return s.post(ctx, t, slackRequest(t, m), slackAnswer)
	case Email:
		return s.mail(ctx, t, m)
	}
	return Answer{}, &Error{Rejected: true, text: fmt.Sprintf("unknown type of receiver %q", t.Type)}
}
