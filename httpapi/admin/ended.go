package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// EndedKind is the kind of the documents that ended sessions are kept as.
	EndedKind = "endedSession"
	// believeOpenFor is how long a session that had not ended is taken not to
	// have: within it, its end on another node of a cluster counts here.
	believeOpenFor = time.Second
	// tidyEvery is how often what is remembered of ended sessions is looked
	// through for those that would be over anyway.
	tidyEvery = time.Hour
	// maxOpen bounds how many sessions that had not ended are remembered.
	maxOpen = 4096
)

// endedSessions remembers which sessions were ended before their time.
type endedSessions struct {
	mu    sync.Mutex
	ended map[string]time.Time // until when it has to be remembered
	open  map[string]time.Time // when the store was last asked
	tidy  time.Time            // when the last tidying began
}

func newEndedSessions() *endedSessions {
	return &endedSessions{ended: make(map[string]time.Time), open: make(map[string]time.Time)}
}

// endedRecord is the body of the document of an ended session.
type endedRecord struct {
	Expires time.Time `json:"expires"`
}

// endedSession reports whether a session was ended before its time.
func (a *API) endedSession(ctx context.Context, id string) (bool, error) {
	now := a.now()
	e := a.ended
	e.mu.Lock()
	_, ended := e.ended[id]
	asked, open := e.open[id]
	e.mu.Unlock()
	if ended {
		return true, nil
	}
	if age := now.Sub(asked); open && age >= 0 && age < believeOpenFor {
		return false, nil
	}
	d, err := a.opts.Store.Document(ctx, EndedKind, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("look for end of session: %w", err)
	}
	if err == nil {
		var record endedRecord
		if err := json.Unmarshal(d.Body, &record); err != nil {
			return false, fmt.Errorf("read end of session: %w", err)
		}
		e.noteEnded(id, record.Expires)
		return true, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ended := e.ended[id]; ended { // while the store was asked
		return true, nil
	}
	if len(e.open) >= maxOpen {
		clear(e.open)
	}
	e.open[id] = now
	return false, nil
}

// SessionsChanged has the store asked again whether sessions have ended: others have ended
// some. It does not wait.
func (a *API) SessionsChanged() {
	a.ended.mu.Lock()
	defer a.ended.mu.Unlock()
	clear(a.ended.open)
}

func (e *endedSessions) noteEnded(id string, expires time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended[id] = expires
	delete(e.open, id)
}

// endSession ends a session for good, durably.
func (a *API) endSession(ctx context.Context, s *session) error {
	expires := s.ExpiresAt.Add(clockLeeway)
	body, err := json.Marshal(endedRecord{expires})
	if err != nil {
		return err
	}
	_, err = a.opts.Store.PutDocument(ctx, store.Document{Kind: EndedKind, ID: s.ID, Body: body})
	if err != nil && !errors.Is(err, store.ErrConflict) { // a conflict: it was ended at the same moment
		return fmt.Errorf("end session: %w", err)
	}
	a.ended.noteEnded(s.ID, expires)
	a.tidyEnded(ctx)
	return nil
}

// tidyEnded forgets sessions that are over by themselves. It is in nobody's way:
// what fails is tried again an hour later.
func (a *API) tidyEnded(ctx context.Context) {
	now := a.now()
	if !a.ended.beginTidying(now) {
		return
	}
	documents, err := a.opts.Store.ListDocuments(ctx, EndedKind)
	for _, d := range documents {
		var record endedRecord
		if json.Unmarshal(d.Body, &record) == nil && record.Expires.After(now) {
			continue
		}
		if e := a.opts.Store.DeleteDocument(ctx, EndedKind, d.ID, d.Revision); e != nil && !errors.Is(e, store.ErrNotFound) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		a.opts.Logger.Warn("ended sessions not tidied", "error", err)
	}
}

// beginTidying reports whether it is time to, and forgets what is over in memory.
func (e *endedSessions) beginTidying(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.tidy.IsZero() && now.Sub(e.tidy) < tidyEvery {
		return false
	}
	e.tidy = now
	for id, expires := range e.ended {
		if !expires.After(now) {
			delete(e.ended, id)
		}
	}
	return true
}
