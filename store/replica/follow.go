package replica

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// follow keeps the copy level with the authority until the store is closed.
func (s *Store) follow() {
	tick := time.NewTicker(s.opts.PollInterval)
	defer tick.Stop()
	var failed error // the last failure, to be told of once
	for {
		err := s.catchUp()
		if err != nil && s.ctx.Err() == nil && (failed == nil || failed.Error() != err.Error()) {
			s.opts.Logger.Warn("cannot follow the authority", "error", err)
		}
		failed = err
		var wake <-chan struct{}
		if err == nil {
			wake = s.wake // after a failure the clock alone says when to try again
		}
		select {
		case <-wake:
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// Wake has the follower look for changes at once, if the copy does not have the revision
// yet that somebody has told of. It does not block.
func (s *Store) Wake(revision uint64) {
	if position, isSure := s.state.look(); !isSure || position < revision {
		s.wakeFollower()
	}
}

func (s *Store) wakeFollower() {
	select {
	case s.wake <- struct{}{}:
	default: // it has not yet seen the last call
	}
}

// listen has the authority wake the follower.
func (s *Store) listen() {
	for s.state.await(s.ctx, func() bool { return s.link.authority() != nil }) == nil {
		err := s.link.authority().Listen(s.ctx, s.wakeFollower)
		s.opts.Logger.Debug("no longer told of changes", "error", err)
		if !s.pause(s.opts.PollInterval) {
			return
		}
	}
}

// catchUp brings the copy to where the authority is.
func (s *Store) catchUp() error {
	a, err := s.connect()
	if err != nil {
		return err
	}
	for isLevel := false; !isLevel; {
		if isLevel, err = s.step(a); err != nil {
			return err
		}
	}
	return nil
}

// step takes some changes from the feed, or a new copy, and reports whether the copy was
// level then.
func (s *Store) step(a store.Authority) (isLevel bool, err error) {
	asked := time.Now()
	var identity string
	var list []store.Change
	position, _ := s.state.look()
	known := s.state.known()
	err = s.reach(s.ctx, a, func(ctx context.Context, a store.Authority) (err error) {
		if identity, err = a.Identity(ctx); err == nil && identity == s.state.of {
			list, err = a.Changes(ctx, position, s.opts.Chunk)
		}
		return err
	})
	switch {
	case err == nil && identity != s.state.of:
		s.state.change(func() { s.state.isSure = false })
		return false, s.replace(a, identity)
	case errors.Is(err, store.ErrFeedGone):
		var head uint64
		if head, err = s.head(a); err == nil && head < known {
			err = s.forgetLost()
		}
		if err != nil {
			return false, err
		}
		return false, s.replace(a, identity)
	case err != nil:
		return false, err
	case len(list) < s.opts.Chunk && lastOf(list, position) < known:
		if err := s.forgetLost(); err != nil {
			return false, err
		}
		return false, s.replace(a, identity)
	}
	if err := s.take(a, list, position); err != nil {
		return false, err
	}
	// All of an answer is of one moment: what is not full is the end.
	if len(list) < s.opts.Chunk {
		s.noteLevel(asked)
		return true, nil
	}
	return false, nil
}

// take applies changes that follow a position.
func (s *Store) take(a store.Authority, list []store.Change, position uint64) error {
	head := uint64(0)
	if len(list) == s.opts.Chunk {
		var err error
		if head, err = s.head(a); err != nil {
			return err
		}
		s.state.change(func() { s.state.head = head })
	}
	if len(list) > 0 {
		position = list[len(list)-1].Revision
		applied, err := s.local.ApplyChanges(s.ctx, list, position)
		if err != nil {
			return err
		}
		if len(applied) > 0 {
			s.opts.OnChange(applied)
		}
	}
	s.state.change(func() {
		s.state.position, s.state.isSure = position, true
		s.state.head = max(head, position)
	})
	return nil
}

// lastOf returns the revision of the last change, or the position before there was one.
func lastOf(list []store.Change, position uint64) uint64 {
	if len(list) == 0 {
		return position
	}
	return list[len(list)-1].Revision
}

func (s *Store) head(a store.Authority) (head uint64, err error) {
	err = s.reach(s.ctx, a, func(ctx context.Context, a store.Authority) (err error) {
		head, err = a.Position(ctx)
		return err
	})
	return head, err
}

// forgetLost has changes fail until there is a new copy, because the authority has lost
// some that this node knows of, as after the restore of a backup: its revisions tell the
// copy nothing.
func (s *Store) forgetLost() error {
	s.opts.Logger.Warn("the authority has lost changes that this node knows of")
	s.state.change(func() { s.state.isSure, s.state.ahead = false, 0 })
	return s.local.ForgetAhead(s.ctx)
}

// replace makes a new copy, while the old one goes on serving.
func (s *Store) replace(a store.Authority, identity string) error {
	asked := time.Now()
	if s.state.of != "" && s.state.of != identity {
		if err := s.dropOutbox(); err != nil {
			return err
		}
	}
	s.opts.Logger.Info("taking a new copy of the authority", "was", s.state.of, "of", identity)
	var position uint64
	err := a.Snapshot(s.ctx, func(at uint64, all iter.Seq2[store.Change, error]) error {
		position = at
		return s.local.ReplaceAll(s.ctx, at, identity, all)
	})
	if err != nil {
		if errors.Is(err, store.ErrUnavailable) && s.local.Probe(s.ctx) == nil {
			s.trip(err) // it is the authority that failed
		}
		return err
	}
	s.opts.OnReplace()
	s.state.change(func() {
		s.state.position, s.state.of, s.state.head, s.state.isSure = position, identity, position, true
	})
	s.noteLevel(asked)
	s.opts.Logger.Info("took a new copy of the authority", "position", position, "took", time.Since(asked))
	return nil
}
