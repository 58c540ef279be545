package admin

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
)

const tagAlerts = "alerts"

// registerAlerts adds what reads alerts and their deliveries.
func (a *API) registerAlerts() {
	handle(a, operation{
		method: http.MethodGet, path: "/alerts", id: "list-alerts", tag: tagAlerts, role: account.Viewer,
		summary: "List alerts",
		about:   "Those that are all of what the filters say, those that opened last first.",
	}, a.listAlerts)
	handle(a, operation{
		method: http.MethodGet, path: "/alerts/{id}", id: "get-alert", tag: tagAlerts, role: account.Viewer,
		summary: "Get an alert", errors: []int{http.StatusNotFound},
	}, func(_ context.Context, _ *call, in *AlertPath) (*alertOutput, error) {
		found, err := a.opts.Alerts.Get(in.ID)
		if err != nil {
			return nil, err
		}
		return &alertOutput{showAlert(found)}, nil
	})
	handle(a, operation{
		method: http.MethodPost, path: "/alerts/{id}/acknowledge", id: "acknowledge-alert", tag: tagAlerts, role: account.Operator,
		summary: "Stop the reminders of an alert",
		about:   "That it is over is told all the same. Doing it again changes nothing.",
		errors:  []int{http.StatusNotFound},
	}, a.acknowledgeAlert)
	handle(a, operation{
		method: http.MethodGet, path: "/alert-deliveries", id: "list-alert-deliveries", tag: tagAlerts, role: account.Viewer,
		summary: "List deliveries of alerts", about: "With their last attempts, those that were made last first.",
	}, a.listDeliveries)
	handle(a, operation{
		method: http.MethodPost, path: "/alert-deliveries/{id}/retry", id: "retry-alert-delivery", tag: tagAlerts, role: account.Operator,
		summary: "Try a delivery at once, and for another day",
		about:   "For one that waits, failed or was dropped.",
		errors:  []int{http.StatusNotFound, http.StatusConflict},
	}, a.retryDelivery)
}

// AlertPath names an alert. It is exported as huma passes over embedded types
// that are not, as are the others here.
type AlertPath struct {
	ID string `path:"id" minLength:"1" maxLength:"64" example:"1764100000000-0a1b2c3d" doc:"ID of the alert."`
}

type alertOutput struct{ Body alertBody }

type listAlertsInput struct {
	State alert.State `query:"state" enum:"open,closed" doc:"Only in this state."`
	Kind  alertKind   `query:"kind" doc:"Only of this kind."`
	Hash  string      `query:"hash" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"Only of the key with this key hash."`
	Text  string      `query:"text" minLength:"1" maxLength:"256" doc:"Part of the hint, the label, the address or the account, in any case."`
	PageInput
}

type listAlertsOutput struct{ Body page[alertBody] }

// Cursors of the alerts' core are IDs, of deliveries with their time before.
var (
	alertCursor    = regexp.MustCompile(`^[0-9]{13}-[0-9a-f]{1,16}$`)
	deliveryCursor = regexp.MustCompile(`^[0-9]{13}\.[0-9]{13}-[0-9a-f]{1,16}\.[0-9]{1,10}\.[a-z0-9_-]{1,40}$`)
)

func (a *API) listAlerts(_ context.Context, _ *call, in *listAlertsInput) (*listAlertsOutput, error) {
	filter := alert.Filter{State: in.State, Kind: alert.Kind(in.Kind), Text: in.Text, Limit: in.Limit, Cursor: in.After}
	if in.Hash != "" {
		var err error
		if filter.Hash, err = parseHash("query.hash", in.Hash); err != nil {
			return nil, err
		}
	}
	if in.After != "" && !alertCursor.MatchString(in.After) {
		return nil, wrongCursor("query.after")
	}
	found := a.opts.Alerts.List(filter)
	out := &listAlertsOutput{page[alertBody]{Items: make([]alertBody, 0, len(found.Alerts)), Next: found.Next, Total: &found.Total}}
	for _, one := range found.Alerts {
		out.Body.Items = append(out.Body.Items, showAlert(one))
	}
	return out, nil
}

func (a *API) acknowledgeAlert(ctx context.Context, c *call, in *AlertPath) (*alertOutput, error) {
	before, err := a.opts.Alerts.Get(in.ID)
	if err != nil {
		return nil, err
	}
	after, err := a.opts.Alerts.Acknowledge(ctx, in.ID, c.actor)
	if err != nil {
		return nil, err
	}
	if before.AcknowledgedAt.IsZero() {
		if err := a.audit(ctx, c, "alert.acknowledge", "alert:"+in.ID, nil, acknowledged{after.Kind, after.Subject}); err != nil {
			return nil, err
		}
	}
	return &alertOutput{showAlert(after)}, nil
}

// acknowledged is what the audit trail says of an alert, which is not kept for as
// long as the trail is.
type acknowledged struct {
	Kind    alert.Kind    `json:"kind"`
	Subject alert.Subject `json:"subject"`
}

type listDeliveriesInput struct {
	Channel string              `query:"channel" pattern:"^[a-z0-9][a-z0-9_-]{0,39}$" patternDescription:"ID of a channel" doc:"Only to this channel."`
	Alert   string              `query:"alert" minLength:"1" maxLength:"64" doc:"Only of the alert with this ID."`
	State   alert.DeliveryState `query:"state" enum:"pending,delivered,failed,dropped" doc:"Only in this state."`
	PageInput
}

type listDeliveriesOutput struct{ Body page[deliveryBody] }

func (a *API) listDeliveries(_ context.Context, _ *call, in *listDeliveriesInput) (*listDeliveriesOutput, error) {
	if in.After != "" && !deliveryCursor.MatchString(in.After) {
		return nil, wrongCursor("query.after")
	}
	found := a.opts.Alerts.Deliveries(alert.DeliveryFilter{Channel: in.Channel, AlertID: in.Alert, State: in.State, Limit: in.Limit, Cursor: in.After})
	out := &listDeliveriesOutput{page[deliveryBody]{Items: make([]deliveryBody, 0, len(found.Deliveries)), Next: found.Next}}
	for _, d := range found.Deliveries {
		out.Body.Items = append(out.Body.Items, showDelivery(d))
	}
	return out, nil
}

type retryDeliveryInput struct {
	ID string `path:"id" minLength:"1" maxLength:"128" example:"1764100000000-0a1b2c3d.0.ops" doc:"ID of the delivery."`
}

type deliveryOutput struct{ Body deliveryBody }

func (a *API) retryDelivery(ctx context.Context, c *call, in *retryDeliveryInput) (*deliveryOutput, error) {
	d, err := a.opts.Alerts.Retry(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "delivery.retry", "delivery:"+in.ID, nil, nil); err != nil {
		return nil, err
	}
	return &deliveryOutput{showDelivery(d)}, nil
}

// alertFault says how what package alert refuses is answered; nil if it is none
// of that.
func alertFault(err error) *faultError {
	var field *alert.FieldError
	switch {
	case errors.As(err, &field):
		return invalidField("body."+field.Field, "%s", field.Fault)
	case errors.Is(err, alert.ErrReadOnly):
		return faultf(http.StatusConflict, "read_only", "this channel comes from the setting ALERT_WEBHOOK_URL: change that, or make another channel")
	case errors.Is(err, alert.ErrSealed):
		return faultf(http.StatusConflict, "sealed", "%s", err)
	case errors.Is(err, alert.ErrTooMany):
		return faultf(http.StatusConflict, "too_many", "there are %d channels, and there may be no more", alert.MaxChannels)
	case errors.Is(err, alert.ErrDone):
		return faultf(http.StatusConflict, "delivered", "the delivery has arrived, and is not sent again")
	case errors.Is(err, alert.ErrClosed):
		return faultf(http.StatusServiceUnavailable, "stopping", "the server is stopping")
	}
	return nil
}
