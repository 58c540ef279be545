package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
)

// registerAlertChannels adds what is about where alerts are sent to.
func (a *API) registerAlertChannels() {
	missing := []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}
	handle(a, operation{
		method: http.MethodGet, path: "/alert-channels", id: "list-alert-channels", tag: tagAlerts, role: account.Viewer,
		summary: "List the channels that alerts are sent to",
		about:   "In the order of their IDs. What is secret of them is never shown: neither the URL nor the secret nor the password.",
	}, a.listChannels)
	handle(a, operation{
		method: http.MethodGet, path: "/alert-channels/{id}", id: "get-alert-channel", tag: tagAlerts, role: account.Viewer,
		summary: "Get a channel", errors: []int{http.StatusNotFound},
	}, func(_ context.Context, _ *call, in *ChannelPath) (*channelOutput, error) {
		ch, err := a.opts.Alerts.Channel(in.ID)
		return answerChannel(ch, err)
	})
	handle(a, operation{
		method: http.MethodPost, path: "/alert-channels", id: "create-alert-channel", tag: tagAlerts, role: account.Admin,
		summary: "Make a channel", status: http.StatusCreated, errors: []int{http.StatusConflict},
		about: "Whoever makes one has this server send to whatever it reaches, and sees the beginning of the answer in a test.",
	}, a.createChannel)
	handle(a, operation{
		method: http.MethodPut, path: "/alert-channels/{id}", id: "replace-alert-channel", tag: tagAlerts, role: account.Admin,
		summary: "Change a channel",
		about: "It becomes what the body says; only secrets that are absent stay as they are. Its type stays. " +
			"A mail server's password goes when host, port or tls change. What waits is sent to where the channel leads by then.",
		errors: missing,
	}, a.replaceChannel)
	handle(a, operation{
		method: http.MethodDelete, path: "/alert-channels/{id}", id: "delete-alert-channel", tag: tagAlerts, role: account.Admin,
		summary: "Delete a channel, with what waits for it", errors: missing,
	}, a.deleteChannel)
	handle(a, operation{
		method: http.MethodPost, path: "/alert-channels/{id}/test", id: "test-alert-channel", tag: tagAlerts, role: account.Admin,
		summary: "Send a message to a channel at once",
		about:   "Even if it is switched off. The answer says what the receiver said, which may take 10 seconds.",
		errors:  []int{http.StatusNotFound, http.StatusConflict},
	}, a.testChannel)
}

// ChannelPath names a channel.
type ChannelPath struct {
	ID string `path:"id" minLength:"1" maxLength:"40" example:"ops" doc:"ID of the channel."`
}

// ChannelFields is what can be chosen of a channel, and is shown.
type ChannelFields struct {
	Enabled  bool           `json:"enabled" doc:"Whether alerts are sent to it."`
	Kinds    []alertKind    `json:"kinds,omitempty" maxItems:"50" doc:"Which alerts it wants; none: all."`
	Language alert.Language `json:"language,omitempty" enum:"en,zh" doc:"Language of its messages; absent: that of SENTINEL_ALERT_LANGUAGE."`
	UseProxy bool           `json:"useProxy,omitempty" doc:"Whether HTTP goes through the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the server's environment name."`
	Mail     *channelMail   `json:"mail,omitempty" doc:"The mail server; of email only."`
}

// channelMail is send.Mail, for the document.
type channelMail struct {
	Host     string        `json:"host" maxLength:"253" example:"smtp.example.com" doc:"Name or address of the mail server."`
	Port     int           `json:"port,omitempty" minimum:"0" maximum:"65535" doc:"Its port; absent: 587 for starttls, 465 for tls, 25 for none."`
	TLS      send.TLSMode  `json:"tls,omitempty" enum:"starttls,tls,none" doc:"How the connection is encrypted; absent: starttls, which is required then, not tried."`
	Auth     send.AuthMode `json:"auth,omitempty" enum:"plain,login" doc:"How to sign in; absent: without."`
	Username string        `json:"username,omitempty" maxLength:"1024" doc:"User name."`
	From     string        `json:"from" maxLength:"320" example:"Sentinel <sentinel@example.com>" doc:"Sender."`
	To       []string      `json:"to" minItems:"1" maxItems:"50" example:"[\"ops@example.com\"]" doc:"Recipients."`
}

// ChannelSecrets are only taken, and never shown.
type ChannelSecrets struct {
	URL      *string `json:"url,omitempty" writeOnly:"true" maxLength:"2048" doc:"Where to send, of all but email. It mostly holds a token, and is never shown again."`
	Secret   *string `json:"secret,omitempty" writeOnly:"true" maxLength:"1024" doc:"Signs what is sent, of webhook, feishu and dingtalk; empty takes it away."`
	Password *string `json:"password,omitempty" writeOnly:"true" maxLength:"1024" doc:"Password for the mail server; empty takes it away."`
}

// channelBody is a channel as the API shows it.
type channelBody struct {
	ID   string    `json:"id" example:"ops" doc:"Its ID."`
	Type send.Type `json:"type" enum:"webhook,feishu,dingtalk,wecom,slack,email" doc:"What kind of receiver it is."`
	ChannelFields
	Target      string    `json:"target" example:"https://hooks.example.com" doc:"Scheme and host of the URL, or the mail server."`
	Signed      bool      `json:"signed" doc:"Whether there is a secret."`
	HasPassword bool      `json:"hasPassword" doc:"Whether there is a password."`
	ReadOnly    bool      `json:"readOnly" doc:"Whether it comes from the setting ALERT_WEBHOOK_URL, and is changed there."`
	Fault       *failure  `json:"fault,omitempty" doc:"Why nothing can be sent: its secrets cannot be read, and have to be entered again."`
	Pending     int       `json:"pending" doc:"Deliveries that wait."`
	Delivered   uint64    `json:"delivered" doc:"Deliveries that arrived, since the start of the server."`
	Failed      uint64    `json:"failed" doc:"Deliveries that failed, after a day of attempts, since the start."`
	Dropped     uint64    `json:"dropped" doc:"Deliveries that were dropped, as too many waited, since the start."`
	LastError   *failure  `json:"lastError,omitempty" doc:"Why the last attempt failed; absent: it did not."`
	LastSent    time.Time `json:"lastSent,omitzero" doc:"When something last arrived, since the start."`
	CreatedAt   time.Time `json:"createdAt,omitzero" doc:"When it was made."`
	UpdatedAt   time.Time `json:"updatedAt,omitzero" doc:"When it was last changed."`
	Revision    uint64    `json:"revision" doc:"See If-Match; 0 if it cannot be changed."`
}

func showChannel(c alert.Channel) channelBody {
	out := channelBody{
		ID: c.ID, Type: c.Type, ChannelFields: ChannelFields{Enabled: c.Enabled, Language: c.Language, UseProxy: c.UseProxy},
		Target: c.Target, Signed: c.Signed, HasPassword: c.HasPassword, ReadOnly: c.ReadOnly, Fault: failureOf(c.Fault),
		Pending: c.Pending, Delivered: c.Delivered, Failed: c.Failed, Dropped: c.Dropped, LastError: failureOf(c.LastError), LastSent: c.LastSent,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, Revision: c.Revision,
	}
	for _, k := range c.Kinds {
		out.Kinds = append(out.Kinds, alertKind(k))
	}
	if c.Mail != nil {
		out.Mail = (*channelMail)(c.Mail)
	}
	return out
}

func channelInput(typ send.Type, f ChannelFields, s ChannelSecrets) alert.ChannelInput {
	in := alert.ChannelInput{
		Type: typ, Enabled: f.Enabled, Language: f.Language, UseProxy: f.UseProxy, Mail: (*send.Mail)(f.Mail),
		URL: s.URL, Secret: s.Secret, Password: s.Password,
	}
	for _, k := range f.Kinds {
		in.Kinds = append(in.Kinds, alert.Kind(k))
	}
	return in
}

// channelChange is what the audit trail says of a channel.
type channelChange struct {
	Type send.Type `json:"type"`
	ChannelFields
	Target      string   `json:"target"`
	Signed      bool     `json:"signed"`
	HasPassword bool     `json:"hasPassword"`
	Replaced    []string `json:"replaced,omitempty"` // secrets that were given, by name
}

func changeOfChannel(c alert.Channel, s ChannelSecrets) channelChange {
	shown := showChannel(c)
	out := channelChange{Type: c.Type, ChannelFields: shown.ChannelFields, Target: c.Target, Signed: c.Signed, HasPassword: c.HasPassword}
	for _, secret := range []struct {
		name  string
		value *string
	}{{"url", s.URL}, {"secret", s.Secret}, {"password", s.Password}} {
		if secret.value != nil {
			out.Replaced = append(out.Replaced, secret.name)
		}
	}
	return out
}

type channelOutput struct {
	ETag
	Body channelBody
}

func answerChannel(c alert.Channel, err error) (*channelOutput, error) {
	if err != nil {
		return nil, err
	}
	return &channelOutput{etagOf(c.Revision), showChannel(c)}, nil
}

type listChannelsOutput struct {
	Body struct {
		Items []channelBody `json:"items" doc:"All channels, in the order of their IDs."`
		Total int           `json:"total" doc:"How many there are."`
	}
}

func (a *API) listChannels(context.Context, *call, *struct{}) (*listChannelsOutput, error) {
	list := a.opts.Alerts.Channels()
	out := new(listChannelsOutput)
	out.Body.Items, out.Body.Total = make([]channelBody, 0, len(list)), len(list)
	for _, c := range list {
		out.Body.Items = append(out.Body.Items, showChannel(c))
	}
	return out, nil
}

type createChannelInput struct {
	Body struct {
		ID   string    `json:"id" minLength:"1" maxLength:"40" pattern:"^[a-z0-9][a-z0-9_-]*$" patternDescription:"the letters a to z, digits, _ and -, beginning with a letter or a digit" example:"ops" doc:"Its ID: the letters a to z, digits, _ and -."`
		Type send.Type `json:"type" enum:"webhook,feishu,dingtalk,wecom,slack,email" doc:"What kind of receiver it is."`
		ChannelFields
		ChannelSecrets
	}
}

func (a *API) createChannel(ctx context.Context, c *call, in *createChannelInput) (*channelOutput, error) {
	b := in.Body
	made, err := a.opts.Alerts.CreateChannel(ctx, b.ID, channelInput(b.Type, b.ChannelFields, b.ChannelSecrets))
	if errors.Is(err, store.ErrConflict) {
		return nil, faultf(http.StatusConflict, "exists", "there is a channel of that ID")
	}
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "channel.create", channelTarget(b.ID), nil, changeOfChannel(made, ChannelSecrets{})); err != nil {
		return nil, err
	}
	return answerChannel(made, nil)
}

func channelTarget(id string) string { return "channel:" + id }

type replaceChannelInput struct {
	ChannelPath
	IfMatch
	Body struct {
		ChannelFields
		ChannelSecrets
	}
}

func (a *API) replaceChannel(ctx context.Context, c *call, in *replaceChannelInput) (*channelOutput, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	before, err := a.opts.Alerts.Channel(in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	after, err := a.opts.Alerts.UpdateChannel(ctx, in.ID, channelInput(before.Type, b.ChannelFields, b.ChannelSecrets), revision)
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "channel.edit", channelTarget(in.ID), changeOfChannel(before, ChannelSecrets{}), changeOfChannel(after, b.ChannelSecrets)); err != nil {
		return nil, err
	}
	return answerChannel(after, nil)
}

type deleteChannelInput struct {
	ChannelPath
	IfMatch
}

func (a *API) deleteChannel(ctx context.Context, c *call, in *deleteChannelInput) (*struct{}, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	before, err := a.opts.Alerts.Channel(in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.opts.Alerts.DeleteChannel(ctx, in.ID, revision); err != nil {
		return nil, err
	}
	return nil, a.audit(ctx, c, "channel.delete", channelTarget(in.ID), changeOfChannel(before, ChannelSecrets{}), nil)
}

type testChannelOutput struct{ Body testResult }

// testResult is alert.TestResult as the API shows it.
type testResult struct {
	OK     bool     `json:"ok" doc:"Whether the receiver took the message."`
	Status int      `json:"status,omitempty" doc:"Of HTTP or SMTP, if there was an answer."`
	Answer string   `json:"answer,omitempty" doc:"The beginning of the answer."`
	Error  *failure `json:"error,omitempty" doc:"Why it did not arrive."`
	TookMs int64    `json:"tookMs" doc:"How long it took, in milliseconds."`
}

// tested is what the audit trail says of a test.
type tested struct {
	OK     bool `json:"ok"`
	Status int  `json:"status,omitempty"`
}

func (a *API) testChannel(ctx context.Context, c *call, in *ChannelPath) (*testChannelOutput, error) {
	// A caller that leaves could otherwise send what no trail tells of.
	result, err := a.opts.Alerts.Test(context.WithoutCancel(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "channel.test", channelTarget(in.ID), nil, tested{result.OK, result.Status}); err != nil {
		return nil, err
	}
	return &testChannelOutput{testResult{
		OK: result.OK, Status: result.Status, Answer: result.Answer, Error: failureOf(result.Error), TookMs: result.TookMs,
	}}, nil
}
