package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// maxStreams is how many may listen at a time.
	maxStreams = 100
	// eventBuffer is how many events wait for a listener that is slow.
	eventBuffer  = 256
	eventPing    = 15 * time.Second
	eventRecheck = 30 * time.Second
	eventsType   = "text/event-stream"
)

// streams are the listeners to events.
type streams struct {
	slots   chan struct{}
	ping    time.Duration
	recheck time.Duration
	over    chan struct{}
	end     sync.Once
}

func newStreams() *streams {
	return &streams{slots: make(chan struct{}, maxStreams), ping: eventPing, recheck: eventRecheck, over: make(chan struct{})}
}

// EndStreams ends the streams of events, which would otherwise keep a server
// that shuts down waiting for them. Those that come afterwards end at once.
func (a *API) EndStreams() { a.streams.end.Do(func() { close(a.streams.over) }) }

// registerEvents adds the stream of events.
func (a *API) registerEvents() {
	const id = "stream-events"
	handle(a, operation{
		method: http.MethodGet, path: "/events", id: id, tag: "events", role: account.Viewer,
		summary: "Listen to what happens", content: eventsType,
		about: "Server-sent events from now on: intercept (a new record of the log; of a flood, some 50 a second; those of other nodes of a cluster a second or two later), binding (a change of a binding, or of many in one act), " +
			"setting (a change of a setting), alert (one has opened, was acknowledged or has closed), network, blocked and exception (a change of named networks, of blocked ones, of exceptions) and lagged (how many events were left out, because this listener was too slow or there were too many). " +
			"The data of each is a JSON object with id, at, type and data. A comment comes every 15 seconds. Nothing is kept: Last-Event-ID is not " +
			"heeded, so read the lists again after a new connection. The stream ends when the session ends or the token may no longer be used, within 30 seconds. " +
			"At most 100 may listen at a time; others get 503.",
	}, func(context.Context, *call, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: a.stream}, nil
	})
	a.describeEvents(Base + "/events")
}

// eventBody is an event as listeners get it.
type eventBody[T any] struct {
	ID   uint64    `json:"id" doc:"Ascending; begins anew when the server starts."`
	At   time.Time `json:"at" doc:"When it happened."`
	Type string    `json:"type" enum:"intercept,binding,setting,alert,network,blocked,exception,lagged" doc:"What happened."`
	Data T         `json:"data" doc:"More of it, by type."`
}

// bindingEvent is event.Binding, for the document.
type bindingEvent struct {
	Action   event.Action  `json:"action" enum:"bound,learned,preset,edited,banned,unbanned,unbound,restored,archived" doc:"What became of the binding."`
	Hash     store.KeyHash `json:"hash,omitzero" doc:"The key hash; absent for an act on many."`
	Hint     string        `json:"hint,omitempty" doc:"A few characters of the key."`
	Label    string        `json:"label,omitempty" doc:"What an administrator calls the key."`
	ClientIP string        `json:"clientIp,omitempty" doc:"Whose first use bound the key."`
	Revision uint64        `json:"revision,omitempty" doc:"Of the binding after the change."`
	Count    int           `json:"count,omitempty" doc:"How many bindings were changed in one act."`
}

// alertEvent is event.Alert, for the document.
type alertEvent struct {
	Change     string        `json:"change" enum:"opened,acknowledged,closed" doc:"What became of the alert."`
	ID         string        `json:"id" doc:"ID of the alert."`
	Kind       alertKind     `json:"kind" doc:"What it is about."`
	Hash       store.KeyHash `json:"hash,omitzero" doc:"Of the key that it is about, if it is."`
	Hint       string        `json:"hint,omitempty" doc:"A few characters of that key."`
	Network    netip.Prefix  `json:"network,omitzero" doc:"The address that it is about, if it is."`
	Account    string        `json:"account,omitempty" doc:"The account that it is about, if it is."`
	Collective bool          `json:"collective,omitempty" doc:"Whether several share it."`
	Open       int           `json:"open" doc:"How many alerts are open now."`
}

// networkEvent is event.Network, for the document.
type networkEvent struct {
	Change event.Change `json:"change" enum:"made,changed,removed" doc:"What became of it."`
	Name   string       `json:"name" doc:"Name of the network."`
}

// blockedEvent is event.Blocked, for the document.
type blockedEvent struct {
	Change event.Change `json:"change" enum:"made,removed,ended" doc:"What became of them; ended: their time was over."`
	Count  int          `json:"count" doc:"How many networks."`
}

// exceptionEvent is event.Exception, for the document.
type exceptionEvent struct {
	Change event.Change  `json:"change" enum:"made,ended" doc:"What became of it."`
	ID     string        `json:"id,omitempty" doc:"ID of the exception; absent for those of the key whose time was over."`
	Hash   store.KeyHash `json:"hash" doc:"The key hash."`
	Hint   string        `json:"hint,omitempty" doc:"A few characters of the key."`
}

// laggedEvent is event.Lagged, for the document.
type laggedEvent struct {
	Missed uint64 `json:"missed" doc:"How many events were left out, of all types."`
}

// describeEvents says in the document what the data of each type is.
func (a *API) describeEvents(path string) {
	media := a.huma.OpenAPI().Paths[path].Get.Responses["200"].Content[eventsType]
	media.Schema.Extensions = map[string]any{"x-event-data": map[string]*huma.Schema{
		event.TypeIntercept: a.schemaOf(reflect.TypeFor[eventBody[interceptBody]]()),
		event.TypeBinding:   a.schemaOf(reflect.TypeFor[eventBody[bindingEvent]]()),
		event.TypeSetting:   a.schemaOf(reflect.TypeFor[eventBody[settingEvent]]()),
		event.TypeAlert:     a.schemaOf(reflect.TypeFor[eventBody[alertEvent]]()),
		event.TypeNetwork:   a.schemaOf(reflect.TypeFor[eventBody[networkEvent]]()),
		event.TypeBlocked:   a.schemaOf(reflect.TypeFor[eventBody[blockedEvent]]()),
		event.TypeException: a.schemaOf(reflect.TypeFor[eventBody[exceptionEvent]]()),
		event.TypeLagged:    a.schemaOf(reflect.TypeFor[eventBody[laggedEvent]]()),
	}}
}

// stream writes events until the client leaves, or may no longer listen.
func (a *API) stream(ctx huma.Context) {
	select {
	case a.streams.slots <- struct{}{}:
		defer func() { <-a.streams.slots }()
	default:
		f := faultf(http.StatusServiceUnavailable, "too_many_streams", "%d listen already", maxStreams)
		f.retryAfter = storeRetryAfter
		a.refuse(ctx, f)
		return
	}
	events, cancel := a.opts.Engine.Events().Subscribe(eventBuffer)
	defer cancel()
	ctx.SetHeader("Content-Type", eventsType)
	ctx.SetHeader("X-Accel-Buffering", "no") // nginx would gather events until it has a page of them
	client := newPatientWriter(ctx)
	defer client.end()
	err := client.send("retry: 3000\n: listening\n\n")
	ping, recheck := time.NewTicker(a.streams.ping), time.NewTicker(a.streams.recheck)
	defer ping.Stop()
	defer recheck.Stop()
	for err == nil {
		select {
		case <-ctx.Context().Done():
			return
		case <-a.streams.over:
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			err = a.sendEvent(client, e)
		case <-ping.C:
			err = client.send(": ping\n\n")
		case <-recheck.C:
			if !a.mayListen(ctx) {
				return
			}
		}
	}
}

// send writes a text and hands it on at once.
func (w *patientWriter) send(text string) error {
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	return w.control.Flush()
}

func (a *API) sendEvent(client *patientWriter, e event.Event) error {
	if r, ok := e.Data.(store.Intercept); ok {
		e.Data = showIntercept(r)
	}
	data, err := json.Marshal(e)
	if err != nil {
		a.opts.Logger.Error("event cannot be told", "type", e.Type, "error", err)
		return nil
	}
	return client.send(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Type, data))
}

// mayListen reports whether who listens may still do so. A store that does not
// answer at the moment ends nothing.
func (a *API) mayListen(ctx huma.Context) bool {
	c := new(call)
	err := a.authenticate(ctx, c, account.Viewer)
	return errors.Is(err, store.ErrUnavailable) || err == nil && c.role.Allows(account.Viewer)
}
