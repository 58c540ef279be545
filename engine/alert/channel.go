package alert

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
)

// The kinds of the documents; those of alerts and deliveries have a dot and Options.Scope
// behind them, if there is one.
const (
	ChannelKind  = "channel"
	AlertKind    = "alert"
	DeliveryKind = "delivery"
)

const (
	// EnvChannel is the channel that comes from Settings.WebhookURL.
	EnvChannel = "env"
	// MaxChannels is how many channels there may be beside that one.
	MaxChannels = 20
)

// Channel is where alerts are sent to, without what is secret of it: neither
// the URL, which mostly holds a token, nor the secret nor the password is ever
// shown again.
type Channel struct {
	ID      string    `json:"id"`
	Type    send.Type `json:"type"`
	Enabled bool      `json:"enabled"`
	// Kinds are the alerts that it wants; empty: all.
	Kinds    []Kind   `json:"kinds,omitempty"`
	Language Language `json:"language,omitempty"` // empty: that of the settings
	// UseProxy makes HTTP go through the proxy that HTTP_PROXY, HTTPS_PROXY and
	// NO_PROXY in the environment name. By default they are not heeded.
	UseProxy bool       `json:"useProxy,omitempty"`
	Mail     *send.Mail `json:"mail,omitempty"` // of email

	Target      string `json:"target"` // scheme and host of the URL, or the mail server
	Signed      bool   `json:"signed"`
	HasPassword bool   `json:"hasPassword,omitempty"`
	// Fault is why nothing can be sent to it: its secrets cannot be read.
	Fault string `json:"fault,omitempty"`
	// ReadOnly is set for EnvChannel.
	ReadOnly bool `json:"readOnly,omitempty"`

	Pending   int       `json:"pending"`             // deliveries that wait
	Delivered uint64    `json:"delivered"`           // since the start
	Failed    uint64    `json:"failed"`              // since the start, after a day of attempts
	Dropped   uint64    `json:"dropped"`             // since the start, as too many waited
	LastError string    `json:"lastError,omitempty"` // of the last attempt, if it failed
	LastSent  time.Time `json:"lastSent,omitzero"`   // since the start

	CreatedAt time.Time `json:"createdAt,omitzero"`
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
	Revision  uint64    `json:"revision"`
}

// ChannelInput is a channel as it is to be. Of the secrets, nil keeps what is
// there, and an empty text removes it.
type ChannelInput struct {
	Type     send.Type  `json:"type"`
	Enabled  bool       `json:"enabled"`
	Kinds    []Kind     `json:"kinds,omitempty"`
	Language Language   `json:"language,omitempty"`
	UseProxy bool       `json:"useProxy,omitempty"`
	Mail     *send.Mail `json:"mail,omitempty"`
	// URL is http or https, of any host: in closed networks receivers have
	// private addresses. So who may change channels can make Sentinel send to
	// whatever it reaches, and read the beginning of the answer in a test.
	URL      *string `json:"url,omitempty"`
	Secret   *string `json:"secret,omitempty"`
	Password *string `json:"password,omitempty"`
}

// channelRecord is the body of a channel's document.
type channelRecord struct {
	Type        send.Type `json:"type"`
	Enabled     bool      `json:"enabled"`
	Kinds       []Kind    `json:"kinds,omitempty"`
	Language    Language  `json:"language,omitempty"`
	UseProxy    bool      `json:"useProxy,omitempty"`
	Mail        send.Mail `json:"mail,omitzero"`
	Target      string    `json:"target"`
	Signed      bool      `json:"signed,omitempty"`
	HasPassword bool      `json:"hasPassword,omitempty"`
	Sealed      []byte    `json:"sealed,omitempty"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// receiver is a channel in memory. It is not changed once it is there.
type receiver struct {
	channelRecord
	id       string
	revision uint64 // of the document; 0 for EnvChannel
	target   send.Target
	fault    error // why target cannot be used
}

// wants reports whether a channel is to hear of a kind.
func (r *receiver) wants(k Kind) bool {
	return r.Enabled && (len(r.Kinds) == 0 || slices.Contains(r.Kinds, k))
}

func (r *receiver) setTarget(open secrets) {
	r.target = send.Target{
		Type: r.Type, URL: open.URL, Secret: open.Secret, UseProxy: r.UseProxy, Mail: r.Mail, Password: open.Password,
	}
}

// channel returns what may be shown.
func (r *receiver) channel() Channel {
	c := Channel{
		ID: r.id, Type: r.Type, Enabled: r.Enabled, Kinds: slices.Clone(r.Kinds), Language: r.Language,
		UseProxy: r.UseProxy, Target: r.Target, Signed: r.Signed, HasPassword: r.HasPassword,
		ReadOnly: r.id == EnvChannel, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Revision: r.revision,
	}
	if r.Type == send.Email {
		m := r.Mail
		m.To = slices.Clone(m.To)
		c.Mail = &m
	}
	if r.fault != nil {
		c.Fault = r.fault.Error()
	}
	return c
}

// envReceiver is the channel of the settings, or nil.
func envReceiver(s Settings) *receiver {
	if s.WebhookURL == "" {
		return nil
	}
	r := &receiver{id: EnvChannel, channelRecord: channelRecord{
		Type: send.Webhook, Enabled: true, Target: shownURL(s.WebhookURL), Signed: s.WebhookSecret != "",
	}}
	r.setTarget(secrets{URL: s.WebhookURL, Secret: s.WebhookSecret})
	return r
}

// readReceiver reads a document. One whose secrets cannot be read is there all
// the same, so that they can be entered again.
func (c *Center) readReceiver(d store.Document) (*receiver, error) {
	r := &receiver{id: d.ID, revision: d.Revision}
	if err := json.Unmarshal(d.Body, &r.channelRecord); err != nil {
		return nil, fmt.Errorf("read channel %q: %w: %w", d.ID, store.ErrDamaged, err)
	}
	open, err := c.sealer.open(d.ID, &r.channelRecord)
	r.fault = err
	r.setTarget(open)
	return r, nil
}
