package admin

import (
	"context"

	"github.com/key-ip-sentinel/sentinel/engine/alert"
)

// Alerts is what there is of alerts: an alert.Center, or an alert.Shared in a cluster.
type Alerts interface {
	List(f alert.Filter) alert.Page
	Get(id string) (alert.Alert, error)
	Acknowledge(ctx context.Context, id, by string) (alert.Alert, error)
	OpenByKind() map[alert.Kind]int
	Stats() alert.Stats

	Deliveries(f alert.DeliveryFilter) alert.DeliveryPage
	Retry(ctx context.Context, id string) (alert.Delivery, error)

	Channels() []alert.Channel
	Channel(id string) (alert.Channel, error)
	CreateChannel(ctx context.Context, id string, in alert.ChannelInput) (alert.Channel, error)
	UpdateChannel(ctx context.Context, id string, in alert.ChannelInput, revision uint64) (alert.Channel, error)
	DeleteChannel(ctx context.Context, id string, revision uint64) error
	Test(ctx context.Context, id string) (alert.TestResult, error)
}
