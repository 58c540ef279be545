package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/clock"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// checkEvery bounds how often the store and the downstream are asked, since
	// anybody may ask whether this node is ready.
	checkEvery = 5 * time.Second
	// checkTimeout is how long they may take to answer.
	checkTimeout = 3 * time.Second
)

// check is a question whose answer is kept for checkEvery. Who asks while it is
// being answered waits for the same answer.
type check struct {
	ask func(context.Context) error

	mu    sync.Mutex
	asked time.Time
	err   error
}

func (c *check) get() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked.IsZero() && time.Since(c.asked) < checkEvery {
		return c.err
	}
	// Not the context of who asks: one who leaves must not leave a wrong answer
	// for the others.
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	c.err = c.ask(ctx)
	c.asked = time.Now()
	return c.err
}

// storeCheck asks whether the store can be read, and whether it takes a durable
// write: a full disk lets everything be read.
func storeCheck(s store.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := s.CountBindings(ctx); err != nil {
			return err
		}
		return s.Probe(ctx)
	}
}

// state is what /health and /ready answer. They tell anybody, so they tell no
// causes: those are in the log.
type state struct {
	Status     string `json:"status"`
	Store      string `json:"store,omitempty"`
	Downstream string `json:"downstream,omitempty"`
	Authority  string `json:"authority,omitempty"` // of a node of a cluster
	Redis      string `json:"redis,omitempty"`
	Clock      string `json:"clock,omitempty"` // of this node, if it is wrong
}

const (
	stateOK          = "ok"
	stateUnavailable = "unavailable"
	stateUnreachable = "unreachable"
	stateDegraded    = "degraded"
	stateStale       = "stale"
	stateWrong       = "wrong"
)

// health answers GET /health and GET /ready. The first says that the process
// serves; the second whether it should be sent requests: without the store,
// unknown keys cannot be bound nor changes made. What it says of the downstream
// does not make it unready unless Options say so. A node of a cluster is ready without the
// authority, as long as its copy is believed, and without Redis.
func (a *API) health(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeState(w, http.StatusMethodNotAllowed, state{Status: "this path does not take " + r.Method})
		return
	}
	if r.URL.Path == "/health" {
		writeState(w, http.StatusOK, state{Status: stateOK})
		return
	}
	status, s := http.StatusOK, state{Status: stateOK, Store: stateOK}
	if err := a.store.get(); err != nil {
		a.opts.Logger.Warn("not ready: the store does not answer", "error", err)
		status, s.Status, s.Store = http.StatusServiceUnavailable, stateUnavailable, stateUnavailable
	}
	if known := a.opts.Engine.Authority(); known != nil {
		isReady := status == http.StatusOK
		switch s.Authority = stateOK; {
		case known.IsStale():
			status, s.Status, s.Authority = http.StatusServiceUnavailable, stateUnavailable, stateStale
		case known.Away() != nil:
			s.Authority = stateUnreachable
			if isReady {
				s.Status = stateDegraded
			}
		}
	}
	a.addHelpers(&s)
	if a.downstream != nil {
		s.Downstream = stateOK
		if err := a.downstream.get(); err != nil {
			a.opts.Logger.Warn("the downstream cannot be reached", "error", err)
			s.Downstream = stateUnreachable
			if a.opts.ReadyNeedsDownstream {
				status, s.Status = http.StatusServiceUnavailable, stateUnavailable
			}
		}
	}
	writeState(w, status, s)
}

// addHelpers tells of what a node of a cluster can do without.
func (a *API) addHelpers(s *state) {
	isWell := true
	if a.opts.Redis != nil {
		s.Redis = stateOK
		if a.opts.Redis().State == store.HealthAway {
			s.Redis, isWell = stateUnreachable, false
		}
	}
	if a.opts.ClockAhead != nil {
		if ahead, _ := a.opts.ClockAhead(); ahead.Abs() > clock.Tolerance {
			s.Clock, isWell = stateWrong, false
		}
	}
	if !isWell && s.Status == stateOK {
		s.Status = stateDegraded
	}
}

func writeState(w http.ResponseWriter, status int, s state) {
	body, _ := json.Marshal(s) // three strings
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have left
}
