package gateway

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// State is what has happened since the start.
type State struct {
	Requests     int            `json:"requests"`     // begun
	Finished     int            `json:"finished"`     // ended in whatever way
	Cancelled    int            `json:"cancelled"`    // of those, given up by the client
	Unauthorized int            `json:"unauthorized"` // unknown keys and missing ones
	Keys         map[string]int `json:"keys"`         // accepted uses by canonical key
}

type state struct {
	mu      sync.Mutex
	now     State         // guarded by mu
	changed chan struct{} // guarded by mu; closed at the next change
}

func newState() *state {
	return &state{now: State{Keys: make(map[string]int)}, changed: make(chan struct{})}
}

// State returns a copy of the counters.
func (g *Gateway) State() State {
	now, _ := g.state.read()
	return now
}

// Wait returns once the condition holds for the counters, or with the error of
// the context.
func (g *Gateway) Wait(ctx context.Context, holds func(State) bool) error {
	for {
		now, changed := g.state.read()
		if holds(now) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *state) read() (State, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now
	now.Keys = maps.Clone(s.now.Keys)
	return now, s.changed
}

func (s *state) change(apply func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	apply(&s.now)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *state) begin()         { s.change(func(now *State) { now.Requests++ }) }
func (s *state) refuse()        { s.change(func(now *State) { now.Unauthorized++ }) }
func (s *state) use(key string) { s.change(func(now *State) { now.Keys[key]++ }) }

func (s *state) end(cancelled bool) {
	s.change(func(now *State) {
		now.Finished++
		if cancelled {
			now.Cancelled++
		}
	})
}

// debugState answers the counters. With ?until=cancelled:3 it answers once that
// many have been counted, so that a test need not ask again and again.
func (g *Gateway) debugState(w http.ResponseWriter, r *http.Request) {
	if until := r.URL.Query().Get("until"); until != "" {
		holds, ok := parseUntil(until)
		if !ok {
			openAIError(w, http.StatusBadRequest, "invalid_request_error", "", "until: want requests, finished, cancelled or unauthorized, a colon, and a number")
			return
		}
		if g.Wait(r.Context(), holds) != nil {
			return
		}
	}
	writeJSON(w, http.StatusOK, g.State())
}

func parseUntil(text string) (holds func(State) bool, ok bool) {
	name, number, _ := strings.Cut(text, ":")
	least, err := strconv.Atoi(number)
	if err != nil {
		return nil, false
	}
	counter, ok := map[string]func(State) int{
		"requests":     func(s State) int { return s.Requests },
		"finished":     func(s State) int { return s.Finished },
		"cancelled":    func(s State) int { return s.Cancelled },
		"unauthorized": func(s State) int { return s.Unauthorized },
	}[name]
	return func(s State) bool { return counter(s) >= least }, ok
}
