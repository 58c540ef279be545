package admin

import (
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/store"
)

// alertKind is alert.Kind, of which the document names all there are.
type alertKind string

// Schema is part of huma.SchemaProvider.
func (alertKind) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, k := range alert.Kinds() {
		s.Enum = append(s.Enum, string(k))
	}
	return s
}

// alertBody is an alert as the API shows it.
type alertBody struct {
	ID             string       `json:"id" example:"1764100000000-0a1b2c3d" doc:"Ascending with the time it opened."`
	Kind           alertKind    `json:"kind" doc:"What it is about."`
	Subject        alertSubject `json:"subject" doc:"Whom it is about; empty if its kind says it all."`
	State          alert.State  `json:"state" enum:"open,closed" doc:"Whether it goes on."`
	Node           string       `json:"node,omitempty" doc:"Which node raised it."`
	OpenedAt       time.Time    `json:"openedAt" doc:"When it opened."`
	LastAt         time.Time    `json:"lastAt" doc:"When it last happened."`
	ClosedAt       time.Time    `json:"closedAt,omitzero" doc:"When it closed; absent while it is open."`
	Count          uint64       `json:"count" doc:"How often it happened."`
	Reminders      int          `json:"reminders" doc:"How often channels were reminded."`
	Subjects       uint64       `json:"subjects,omitempty" doc:"About how many share a collective alert."`
	AcknowledgedBy string       `json:"acknowledgedBy,omitempty" example:"account:alice" doc:"Who stopped the reminders."`
	AcknowledgedAt time.Time    `json:"acknowledgedAt,omitzero" doc:"When that was."`
	Evidence       evidenceBody `json:"evidence" doc:"What it rests on. Its texts come from whoever sends requests."`
}

// alertSubject is whom an alert is about.
type alertSubject struct {
	Hash       store.KeyHash `json:"hash,omitzero" doc:"The key hash: 64 hex digits."`
	Hint       string        `json:"hint,omitempty" doc:"A few characters of the key."`
	Label      string        `json:"label,omitempty" doc:"What an administrator calls the key."`
	Network    netip.Prefix  `json:"network,omitzero" doc:"The address, as a CIDR: one IPv4 address, or a /64 of IPv6."`
	Account    string        `json:"account,omitempty" doc:"The account."`
	Collective bool          `json:"collective,omitempty" doc:"Whether so many alerts of the kind are open that the others share this one."`
}

// evidenceBody is what an alert rests on.
type evidenceBody struct {
	Addresses      []addressCount `json:"addresses" doc:"Where it came from, the most frequent first, up to 16."`
	Reason         store.Reason   `json:"reason,omitempty" doc:"Of the last refusal."`
	Method         string         `json:"method,omitempty" doc:"Of the last request."`
	Path           string         `json:"path,omitempty" doc:"Of the last request."`
	Observed       bool           `json:"observed,omitempty" doc:"Whether the last request was let pass, because Sentinel only observes."`
	Error          *failure       `json:"error,omitempty" doc:"Why the store or the downstream fails."`
	ArchivedBefore time.Time      `json:"archivedBefore,omitzero" doc:"When an earlier binding of the key was archived."`
	Hint           string         `json:"hint,omitempty" doc:"A few characters of the last key whose first use was held."`
	Held           string         `json:"held,omitempty" example:"trusted_proxy" doc:"Why it was held: trusted_proxy, container_gateway or burst."`
	Bindings       int            `json:"bindings,omitempty" doc:"How many keys were bound from the address within an hour, at the worst of it."`
	Networks       []netip.Prefix `json:"networks" doc:"That a key was used from by turns, up to 16."`
	Minutes        int            `json:"minutes,omitempty" doc:"For how long it was used so."`
}

type addressCount struct {
	Address netip.Addr `json:"address" doc:"The client IP."`
	Count   uint64     `json:"count" doc:"How often."`
}

func showAlert(a alert.Alert) alertBody {
	e := a.Evidence
	out := alertBody{
		ID: a.ID, Kind: alertKind(a.Kind), Subject: alertSubject(a.Subject), State: a.State, Node: a.Node, OpenedAt: a.OpenedAt, LastAt: a.LastAt,
		ClosedAt: a.ClosedAt, Count: a.Count, Reminders: a.Reminders, Subjects: a.Subjects,
		AcknowledgedBy: a.AcknowledgedBy, AcknowledgedAt: a.AcknowledgedAt,
		Evidence: evidenceBody{
			Addresses: make([]addressCount, 0, len(e.Addresses)), Reason: e.Reason, Method: e.Method, Path: e.Path, Observed: e.Observed,
			Error: failureOf(e.Error), ArchivedBefore: e.ArchivedBefore, Hint: e.Hint, Held: e.Held, Bindings: e.Bindings, Networks: e.Networks, Minutes: e.Minutes,
		},
	}
	orEmpty(&out.Evidence.Networks)
	for _, c := range e.Addresses {
		out.Evidence.Addresses = append(out.Evidence.Addresses, addressCount(c))
	}
	return out
}

// deliveryBody is an alert's way to one channel, as the API shows it.
type deliveryBody struct {
	ID        string              `json:"id" example:"1764100000000-0a1b2c3d.0.ops" doc:"What the receiver knows it by: the same at every attempt."`
	Channel   string              `json:"channel" example:"ops" doc:"Where to."`
	AlertID   string              `json:"alertId" doc:"Of what."`
	Kind      alertKind           `json:"kind" doc:"What the alert is about."`
	Event     alert.Event         `json:"event" enum:"opened,reminder,closed" doc:"What is told of it."`
	State     alert.DeliveryState `json:"state" enum:"pending,delivered,failed,dropped" doc:"How far it is. It fails after a day of attempts, and is dropped if too many wait."`
	CreatedAt time.Time           `json:"createdAt" doc:"When it was made."`
	EndedAt   time.Time           `json:"endedAt,omitzero" doc:"When it was delivered, failed or dropped."`
	NextAt    time.Time           `json:"nextAt,omitzero" doc:"When the next attempt is due, if it is pending."`
	Tries     int                 `json:"tries" doc:"How many attempts there were."`
	Attempts  []attemptBody       `json:"attempts" doc:"The last 20 of them, oldest first."`
}

type attemptBody struct {
	At       time.Time `json:"at" doc:"When it began."`
	TookMs   int64     `json:"tookMs" doc:"How long it took, in milliseconds."`
	Status   int       `json:"status,omitempty" doc:"Of HTTP or SMTP, if there was an answer."`
	Answer   string    `json:"answer,omitempty" doc:"The beginning of the answer, unless it was the same the time before."`
	Error    *failure  `json:"error,omitempty" doc:"Why it did not arrive; absent: it did."`
	Together int       `json:"together,omitempty" doc:"How many deliveries went in the same message, if several."`
}

func showDelivery(d alert.Delivery) deliveryBody {
	out := deliveryBody{
		ID: d.ID, Channel: d.Channel, AlertID: d.AlertID, Kind: alertKind(d.Kind), Event: d.Event, State: d.State, CreatedAt: d.CreatedAt,
		EndedAt: d.EndedAt, NextAt: d.NextAt, Tries: d.Tries, Attempts: make([]attemptBody, 0, len(d.Attempts)),
	}
	for _, a := range d.Attempts {
		out.Attempts = append(out.Attempts, attemptBody{
			At: a.At, TookMs: a.TookMs, Status: a.Status, Answer: a.Answer, Error: failureOf(a.Error), Together: a.Together,
		})
	}
	return out
}
