package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Alert is what is known of one.
type Alert struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	State   string `json:"state"` // open, closed
	Node    string `json:"node"`
	Subject struct {
		Hash       string `json:"hash"`
		Hint       string `json:"hint"`
		Label      string `json:"label"`
		Network    string `json:"network"`
		Account    string `json:"account"`
		Collective bool   `json:"collective"`
	} `json:"subject"`

	OpenedAt  time.Time `json:"openedAt"`
	LastAt    time.Time `json:"lastAt"`
	ClosedAt  time.Time `json:"closedAt"`
	Count     uint64    `json:"count"`
	Reminders int       `json:"reminders"`
	Subjects  uint64    `json:"subjects"` // about how many share a collective alert

	AcknowledgedBy string    `json:"acknowledgedBy"`
	AcknowledgedAt time.Time `json:"acknowledgedAt"`

	Evidence Evidence `json:"evidence"`
}

// Evidence is what an alert rests on.
type Evidence struct {
	Addresses []struct {
		Address string `json:"address"`
		Count   uint64 `json:"count"`
	} `json:"addresses"`
	Reason         string    `json:"reason"`
	Method         string    `json:"method"`
	Path           string    `json:"path"`
	Observed       bool      `json:"observed"`
	Error          Failure   `json:"error"`
	ArchivedBefore time.Time `json:"archivedBefore"`
	Hint           string    `json:"hint"`
	Held           string    `json:"held"`
	Bindings       int       `json:"bindings"`
	Networks       []string  `json:"networks"`
	Minutes        int       `json:"minutes"`
}

// AlertFilter chooses alerts; its zero fields choose all.
type AlertFilter struct{ State, Kind, Hash, Text string }

// Alerts returns the alerts that a filter chooses, those that opened last first,
// until limit have come; limit 0: all.
func (c *Client) Alerts(ctx context.Context, f AlertFilter, limit int) iter.Seq2[Page[Alert], error] {
	q := url.Values{}
	setTexts(q, "state", f.State, "kind", f.Kind, "hash", f.Hash, "text", f.Text)
	return Pages[Alert](ctx, c, "/alerts", q, limit)
}

// Alert returns one.
func (c *Client) Alert(ctx context.Context, id string) (Item[Alert], error) {
	return get[Alert](ctx, c, "/alerts/"+url.PathEscape(id))
}

// AcknowledgeAlert stops the reminders of an alert.
func (c *Client) AcknowledgeAlert(ctx context.Context, id string) (Item[Alert], error) {
	return send[Alert](ctx, c, Request{Method: http.MethodPost, Path: "/alerts/" + url.PathEscape(id) + "/acknowledge"}, nil)
}

// Delivery is an alert's way to one channel.
type Delivery struct {
	ID        string    `json:"id"`
	Channel   string    `json:"channel"`
	AlertID   string    `json:"alertId"`
	Kind      string    `json:"kind"`
	Event     string    `json:"event"` // opened, reminder, closed
	State     string    `json:"state"` // pending, delivered, failed, dropped
	CreatedAt time.Time `json:"createdAt"`
	EndedAt   time.Time `json:"endedAt"`
	NextAt    time.Time `json:"nextAt"`
	Tries     int       `json:"tries"`
	Attempts  []Attempt `json:"attempts"` // the last ones
}

// Attempt is one try of a delivery.
type Attempt struct {
	At     time.Time `json:"at"`
	TookMs int64     `json:"tookMs"`
	Status int       `json:"status"`
	Answer string    `json:"answer"`
	Error  Failure   `json:"error"`
}

// DeliveryFilter chooses deliveries; its zero fields choose all.
type DeliveryFilter struct{ Channel, Alert, State string }

// Deliveries returns the deliveries that a filter chooses, newest first, until
// limit have come; limit 0: all.
func (c *Client) Deliveries(ctx context.Context, f DeliveryFilter, limit int) iter.Seq2[Page[Delivery], error] {
	q := url.Values{}
	setTexts(q, "channel", f.Channel, "alert", f.Alert, "state", f.State)
	return Pages[Delivery](ctx, c, "/alert-deliveries", q, limit)
}

// RetryDelivery has a delivery tried at once.
func (c *Client) RetryDelivery(ctx context.Context, id string) (Item[Delivery], error) {
	return send[Delivery](ctx, c, Request{Method: http.MethodPost, Path: "/alert-deliveries/" + url.PathEscape(id) + "/retry"}, nil)
}

// ChannelFields is what can be chosen of a channel, and is shown.
type ChannelFields struct {
	Enabled  bool     `json:"enabled"`
	Kinds    []string `json:"kinds,omitempty"` // none: all
	Language string   `json:"language,omitempty"`
	UseProxy bool     `json:"useProxy,omitempty"`
	Mail     *Mail    `json:"mail,omitempty"`
}

// Mail is where email goes.
type Mail struct {
	Host     string   `json:"host"`
	Port     int      `json:"port,omitempty"`
	TLS      string   `json:"tls,omitempty"`  // starttls, tls, none
	Auth     string   `json:"auth,omitempty"` // plain, login; empty: none
	Username string   `json:"username,omitempty"`
	From     string   `json:"from"`
	To       []string `json:"to"`
}

// ChannelSecrets are only sent, and never come back. nil keeps what is there, and
// an empty text removes it.
type ChannelSecrets struct {
	URL      *string `json:"url,omitempty"`
	Secret   *string `json:"secret,omitempty"`
	Password *string `json:"password,omitempty"`
}

// Channel is where alerts are sent to.
type Channel struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	ChannelFields
	Target      string    `json:"target"`
	Signed      bool      `json:"signed"`
	HasPassword bool      `json:"hasPassword"`
	ReadOnly    bool      `json:"readOnly"`
	Fault       Failure   `json:"fault"`
	Pending     int       `json:"pending"`
	Delivered   uint64    `json:"delivered"`
	Failed      uint64    `json:"failed"`
	Dropped     uint64    `json:"dropped"`
	LastError   Failure   `json:"lastError"`
	LastSent    time.Time `json:"lastSent"`
	Revision    uint64    `json:"revision"`
}

// NewChannel is a channel that is to be made.
type NewChannel struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	ChannelFields
	ChannelSecrets
}

// ChannelEdit is what a channel is to become.
type ChannelEdit struct {
	ChannelFields
	ChannelSecrets
}

// Channels returns all channels.
func (c *Client) Channels(ctx context.Context) ([]Item[Channel], error) {
	page, err := List[Channel](ctx, c, "/alert-channels", nil)
	return page.Items, err
}

func channelPath(id string) string { return "/alert-channels/" + url.PathEscape(id) }

// Channel returns one.
func (c *Client) Channel(ctx context.Context, id string) (Item[Channel], error) {
	return get[Channel](ctx, c, channelPath(id))
}

// CreateChannel makes a channel.
func (c *Client) CreateChannel(ctx context.Context, n NewChannel) (Item[Channel], error) {
	return send[Channel](ctx, c, Request{Method: http.MethodPost, Path: "/alert-channels"}, n)
}

// EditChannel changes a channel, if it still has the revision.
func (c *Client) EditChannel(ctx context.Context, id string, revision uint64, edit ChannelEdit) (Item[Channel], error) {
	r := Request{Method: http.MethodPut, Path: channelPath(id), Header: http.Header{"If-Match": {strconv.Quote(strconv.FormatUint(revision, 10))}}}
	return send[Channel](ctx, c, r, edit)
}

// DeleteChannel deletes a channel, with what waits for it.
func (c *Client) DeleteChannel(ctx context.Context, id string) error {
	return c.Do(ctx, http.MethodDelete, channelPath(id), nil, nil)
}

// ChannelTest is what came of trying a channel.
type ChannelTest struct {
	OK     bool    `json:"ok"`
	Status int     `json:"status"`
	Answer string  `json:"answer"`
	Error  Failure `json:"error"`
	TookMs int64   `json:"tookMs"`
}

// TestChannel sends a message to a channel at once.
func (c *Client) TestChannel(ctx context.Context, id string) (Item[ChannelTest], error) {
	return send[ChannelTest](ctx, c, Request{Method: http.MethodPost, Path: channelPath(id) + "/test"}, nil)
}
