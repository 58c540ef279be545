package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var (
	errNotConnected = fmt.Errorf("%w: not connected to the authority yet", store.ErrUnavailable)
	errNoAnswer     = errors.New("the authority does not answer")
	// errNotSure is of changes while the authority is not the one of the copy.
	errNotSure = fmt.Errorf("%w: this node has no copy yet of what the authority holds now", store.ErrUnavailable)
)

// link is the way to the authority: a circuit breaker. After a failure all calls fail at
// once, until a probe has succeeded, so that nobody else waits for a server that hangs.
type link struct {
	mu      sync.Mutex
	to      store.Authority // nil: not connected yet
	down    error           // why calls fail; nil: they do not
	probing bool
	closed  bool
}

func (l *link) authority() store.Authority {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to
}

// open returns the authority, if calls may go there.
func (l *link) open() (store.Authority, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, store.ErrClosed
	}
	return l.to, l.down
}

// Away returns why changes cannot be made at present: the last failure of the authority;
// nil while they can.
func (s *Store) Away() error {
	_, err := s.link.open()
	return err
}

// call does something at the authority, unless that is known to be away.
func (s *Store) call(ctx context.Context, do func(ctx context.Context, a store.Authority) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, err := s.link.open()
	if err != nil {
		return notAsked(err)
	}
	return s.reach(ctx, a, do)
}

// reach does something at the authority, which has AuthorityTimeout to answer.
func (s *Store) reach(ctx context.Context, a store.Authority, do func(ctx context.Context, a store.Authority) error) error {
	timed, cancel := context.WithTimeout(ctx, s.opts.AuthorityTimeout)
	defer cancel()
	err := do(timed, a)
	switch {
	case err == nil || isAnswer(err):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case timed.Err() != nil:
		err = fmt.Errorf("%w: %w within %s", store.ErrUnavailable, errNoAnswer, s.opts.AuthorityTimeout)
	}
	err = unavailable(err)
	s.trip(err)
	return err
}

// isAnswer reports whether an error is the authority's own word.
func isAnswer(err error) bool {
	for _, known := range []error{store.ErrNotFound, store.ErrConflict, store.ErrInvalid, store.ErrFeedGone} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// notAsked returns the error of a change that the authority was not asked for.
func notAsked(cause error) error { return fmt.Errorf("%w: %w", store.ErrNotAsked, unavailable(cause)) }

func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// trip makes all calls fail until a probe has succeeded.
func (s *Store) trip(cause error) {
	l := &s.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down == nil {
		s.opts.Logger.Warn("the authority is away: going on from the copy", "error", cause)
	}
	l.down = cause
	if l.probing || l.closed || l.to == nil {
		return
	}
	l.probing = true
	s.running.Go(func() { s.probe(l.to) })
}

// probe tries to write until that succeeds.
func (s *Store) probe(a store.Authority) {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, s.opts.AuthorityTimeout)
		err := a.Probe(ctx)
		cancel()
		if err == nil || s.ctx.Err() != nil {
			break
		}
		if !s.pause(s.opts.ProbeInterval) {
			break
		}
	}
	s.link.mu.Lock()
	defer s.link.mu.Unlock()
	s.link.probing = false
	if s.ctx.Err() == nil {
		s.link.down = nil
		s.opts.Logger.Info("the authority is back")
		s.wakeFollower()
	}
}

// pause waits, and reports whether the store is still open.
func (s *Store) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// connect returns the authority, and connects to it the first time.
func (s *Store) connect() (store.Authority, error) {
	if a := s.link.authority(); a != nil {
		return a, nil
	}
	a, err := s.opts.Connect(s.ctx)
	l := &s.link
	l.mu.Lock()
	if err != nil {
		l.down = unavailable(err)
	} else {
		l.to, l.down = a, nil
	}
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.state.change(func() {}) // for who waits for the connection
	return a, nil
}
