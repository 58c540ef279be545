package gateway

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/coder/websocket"
)

const maxMessageBytes = 16 << 20

// realtime is GET /v1/realtime: it greets with session.created, then sends
// every message back as it came.
func (g *Gateway) realtime(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{"realtime"},
		InsecureSkipVerify: true, // any Origin, as the gateways do: the key decides
	})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxMessageBytes)
	if err := converse(r.Context(), conn, r.URL.Query().Get("model")); websocket.CloseStatus(err) == -1 {
		g.state.change(func(now *State) { now.Cancelled++ }) // gone without a goodbye
	}
}

// converse returns the error that ends the conversation.
func converse(ctx context.Context, conn *websocket.Conn, model string) error {
	greeting, err := json.Marshal(object{
		"type": "session.created", "event_id": "event_demo",
		"session": object{"id": "sess_demo", "object": "realtime.session", "model": model},
	})
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, greeting); err != nil {
		return err
	}
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := conn.Write(ctx, kind, message); err != nil {
			return err
		}
	}
}
