package replica

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// What a node gathers goes into its own logs and its outbox in one step, whether the
// authority is there or not, and is delivered from there in its order, in the background.
// The authority keeps the last sequence of each node in the transaction that stores a
// batch: one that is delivered again, because the node was killed before it removed it
// or the answer was lost, does nothing.

// idSetting is the number of a file among those of all nodes. With the name of the node
// it is what deliveries are told apart by, also where a file was copied to another node.
const idSetting = store.NodeSettingPrefix + "id"

// trimInterval is how often the node's own logs are trimmed.
const trimInterval = time.Minute

// trimChunk is how many records one step of that removes.
const trimChunk = 10_000

// nodeID returns what the authority knows the node by.
func (s *Store) nodeID(ctx context.Context) (string, error) {
	id, err := s.local.Setting(ctx, idSetting)
	if errors.Is(err, store.ErrNotFound) {
		id = []byte(rand.Text())
		err = s.local.PutSetting(ctx, idSetting, id)
	}
	return s.opts.Node + "/" + string(id), err
}

// NodeID returns what the authority knows the node by: its name, and the number of its
// file, by which nodes of one name are told apart.
func (s *Store) NodeID() string { return s.node }

func (s *Store) gather(ctx context.Context, batch *store.Batch) error {
	if err := s.local.Gather(ctx, batch, s.opts.Outbox); err != nil {
		return err
	}
	select {
	case s.gathered <- struct{}{}:
	default: // it has not yet seen the last call
	}
	return nil
}

// deliver empties the outbox until the store is closed.
func (s *Store) deliver() {
	trim := time.NewTicker(trimInterval)
	defer trim.Stop()
	retry := time.NewTicker(s.opts.PollInterval)
	defer retry.Stop()
	for {
		if err := s.deliverAll(); err != nil && s.ctx.Err() == nil {
			s.opts.Logger.Debug("cannot deliver what was gathered", "error", err)
		}
		select {
		case <-s.gathered:
		case <-retry.C:
		case <-trim.C:
			if err := s.trimLogs(); err != nil {
				s.opts.Logger.Warn("cannot trim the logs of this node", "error", err)
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// deliverAll delivers what there is, while the authority is there and known.
func (s *Store) deliverAll() error {
	for {
		if _, isSure := s.state.look(); !isSure {
			return nil
		}
		sequence, batch, err := s.local.FirstBatch(s.ctx)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		err = s.call(s.ctx, func(ctx context.Context, a store.Authority) error {
			return a.Deliver(ctx, s.node, sequence, batch)
		})
		if isAnswer(err) {
			s.opts.Logger.Error("the authority refuses what this node has gathered: it is left out", "records", batch.Len(), "error", err)
			err = nil
		}
		if err == nil {
			err = s.local.RemoveBatches(s.ctx, sequence)
		}
		if err != nil {
			return err
		}
		s.state.change(func() {}) // for Flush
	}
}

// Flush waits until the outbox is empty.
func (s *Store) Flush(ctx context.Context) error {
	for {
		s.state.mu.Lock()
		moved := s.state.moved
		s.state.mu.Unlock()
		size, err := s.local.OutboxSize(ctx)
		if err != nil || size.Batches == 0 {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return store.ErrClosed
		}
	}
}

// flushAtEnd delivers what can be delivered at once. The rest stays for the next start.
func (s *Store) flushAtEnd() {
	if _, isSure := s.state.look(); !isSure || s.Away() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.AuthorityTimeout)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		s.opts.Logger.Info("some of what was gathered is left for the next start", "error", err)
	}
}

// OutboxSize returns how much waits to be delivered, and how many records did not fit.
func (s *Store) OutboxSize(ctx context.Context) (store.OutboxSize, error) {
	return s.local.OutboxSize(ctx)
}

// dropOutbox forgets what was gathered for another authority.
func (s *Store) dropOutbox() error {
	size, err := s.local.OutboxSize(s.ctx)
	if err != nil || size.Batches == 0 {
		return err
	}
	s.opts.Logger.Warn("what was gathered for another authority is left out", "batches", size.Batches)
	return s.local.RemoveBatches(s.ctx, math.MaxUint64)
}

// trimLogs removes what is old from the node's own logs, which are for the time while
// the authority is away.
func (s *Store) trimLogs() error {
	before := time.Now().Add(-s.opts.LocalLogAge)
	for _, remove := range []func(context.Context, time.Time, int) (int, error){
		s.local.DeleteIntercepts, s.local.DeleteCounters, s.local.DeleteAudit,
	} {
		if _, err := remove(s.ctx, before, trimChunk); err != nil {
			return err
		}
	}
	return nil
}

// PutIntercepts is part of store.Intercepts. The IDs are those of this node: above OwnIDs.
// One of a record of the authority is not taken: nobody has made it grow.
func (s *Store) PutIntercepts(ctx context.Context, recs []store.Intercept) error {
	if len(recs) == 0 {
		return ctx.Err()
	}
	batch := store.Batch{Intercepts: slices.Clone(recs)}
	for i, r := range recs {
		if batch.Intercepts[i].ID = own(r.ID); r.ID != 0 && r.ID <= OwnIDs {
			return fmt.Errorf("%w: intercept %d is none of this node", store.ErrInvalid, r.ID)
		}
	}
	if err := s.gather(ctx, &batch); err != nil {
		return err
	}
	for i := range recs {
		recs[i].ID = OwnIDs + batch.Intercepts[i].ID
	}
	return nil
}

// AddUsage is part of store.UsageLog.
func (s *Store) AddUsage(ctx context.Context, batch store.UsageBatch) error {
	if len(batch.Touches)+len(batch.Counters) == 0 {
		return ctx.Err()
	}
	isFirst := true
	for rest := batch; len(rest.Touches) > 0 || len(rest.Counters) > 0; isFirst = false {
		n := min(len(rest.Touches), store.UsageChunk)
		chunk := store.Batch{Usage: store.UsageBatch{Touches: rest.Touches[:n], Counters: rest.Counters}}
		switch err := s.gather(ctx, &chunk); {
		case err != nil && isFirst:
			return err
		case err != nil:
			rest.Touches = slices.Clone(rest.Touches)
			return &store.UnfinishedError{Rest: rest, Err: err}
		}
		rest = store.UsageBatch{Touches: rest.Touches[n:]}
	}
	return nil
}

// AppendAudit is part of store.AuditLog. The ID is that of this node: above OwnIDs.
func (s *Store) AppendAudit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	batch := store.Batch{Audit: []store.AuditEntry{e}}
	if err := s.gather(ctx, &batch); err != nil {
		return store.AuditEntry{}, err
	}
	e = batch.Audit[0]
	e.ID += OwnIDs
	return e, nil
}
