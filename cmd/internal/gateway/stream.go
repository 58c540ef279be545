package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// stream writes server-sent events, each flushed on its own.
type stream struct {
	w       http.ResponseWriter
	flusher *http.ResponseController
	ctx     context.Context
	delay   time.Duration
	end     string // what closes an event
}

func newStream(w http.ResponseWriter, r *http.Request, delay time.Duration) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no")
	return &stream{w: w, flusher: http.NewResponseController(w), ctx: r.Context(), delay: delay, end: "\n\n"}
}

// send writes one event, with a name unless that is empty.
func (s *stream) send(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if name != "" {
		name = "event: " + name + "\n"
	}
	return s.write(name + "data: " + string(data) + s.end)
}

func (s *stream) write(text string) error {
	if _, err := s.w.Write([]byte(text)); err != nil { //nolint:gosec // G705: JSON in an event stream, which no browser renders
		return err
	}
	return s.flusher.Flush()
}

// sendAll writes the events one after the other and stops at the first error.
func (s *stream) sendAll(events ...event) error {
	for _, e := range events {
		if err := s.send(e.name, e.data); err != nil {
			return err
		}
	}
	return nil
}

// words calls send for each word of the reply, after the delay. It returns
// early when the client has gone.
func (s *stream) words(reply reply, send func(word string) error) error {
	for i := range reply.count {
		if err := pause(s.ctx, s.delay); err != nil {
			return err
		}
		if err := send(reply.word(i)); err != nil {
			return err
		}
	}
	return nil
}

type event struct {
	name string
	data object
}

// pause waits, or returns the error of the context.
func pause(ctx context.Context, delay time.Duration) error {
	if delay <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
