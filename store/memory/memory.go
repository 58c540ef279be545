// Package memory keeps everything in memory: the fake for tests of what uses a
// store. It passes the same suite as the real ones, as far as that does not ask
// for a medium that outlives the process.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Store is a store.Store in memory.
type Store struct {
	mu            sync.Mutex
	failure       error
	closed        bool
	bindings      map[store.KeyHash]store.Binding
	usage         map[store.KeyHash]store.Usage
	intercepts    []store.Intercept // ascending IDs
	counters      map[counterKey]uint64
	settings      map[string][]byte
	archive       map[store.KeyHash]store.ArchivedBinding
	documents     map[documentKey]store.Document
	audit         []store.AuditEntry // ascending IDs
	lastRevision  uint64
	lastIntercept uint64
	lastDocument  uint64
	lastAudit     uint64
	copying       copying
	delivered     map[string]uint64       // last sequence of each node
	deliveredIDs  map[deliveredKey]uint64 // of intercepts, by those of the nodes
	replacing     sync.Mutex              // held by the one ReplaceAll that runs
}

type counterKey struct {
	hour int64
	name string
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{
		bindings: map[store.KeyHash]store.Binding{},
		usage:    map[store.KeyHash]store.Usage{},
		counters: map[counterKey]uint64{},
		settings: map[string][]byte{},

		archive:   map[store.KeyHash]store.ArchivedBinding{},
		documents: map[documentKey]store.Document{},

		delivered:    map[string]uint64{},
		deliveredIDs: map[deliveredKey]uint64{},
	}
}

// Fail makes every call from now on return store.ErrUnavailable, wrapping the
// cause, as if the medium had failed; nil makes it work again.
func (s *Store) Fail(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = cause
}

// enter locks the store, unless it cannot be used.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	switch {
	case s.closed:
		err = store.ErrClosed
	case s.failure != nil:
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, s.failure)
	default:
		return s.mu.Unlock, nil
	}
	s.mu.Unlock()
	return nil, err
}

// Close ends the use of the store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// Probe is part of store.Prober.
func (s *Store) Probe(ctx context.Context) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	leave()
	return nil
}

// Binding is part of store.Bindings.
func (s *Store) Binding(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Binding{}, err
	}
	defer leave()
	b, ok := s.bindings[hash]
	if !ok {
		return store.Binding{}, store.ErrNotFound
	}
	return b.Stored(), nil
}

// Bind is part of store.Bindings.
func (s *Store) Bind(ctx context.Context, b store.Binding) (store.Binding, bool, error) {
	if err := b.Validate(); err != nil {
		return store.Binding{}, false, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Binding{}, false, err
	}
	defer leave()
	if there, ok := s.bindings[b.Hash]; ok {
		return there.Stored(), false, nil
	}
	b.ArchivedBefore = s.archive[b.Hash].ArchivedAt
	return s.putLocked(b), true, nil
}

func (s *Store) putLocked(b store.Binding) store.Binding {
	s.lastRevision++
	s.ownChangeLocked()
	b = b.Stored()
	b.Revision = s.lastRevision
	s.bindings[b.Hash] = b
	return b.Stored()
}

func (s *Store) checkLocked(hash store.KeyHash, revision uint64) error {
	there, ok := s.bindings[hash]
	if !ok {
		return store.ErrNotFound
	}
	if there.Revision != revision {
		return store.ErrConflict
	}
	return nil
}

// ReplaceBinding is part of store.Bindings.
func (s *Store) ReplaceBinding(ctx context.Context, b store.Binding) (store.Binding, error) {
	if err := b.Validate(); err != nil {
		return store.Binding{}, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Binding{}, err
	}
	defer leave()
	if err := s.checkLocked(b.Hash, b.Revision); err != nil {
		return store.Binding{}, err
	}
	return s.putLocked(b), nil
}

// DeleteBinding is part of store.Bindings.
func (s *Store) DeleteBinding(ctx context.Context, hash store.KeyHash, revision uint64) (uint64, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := s.checkLocked(hash, revision); err != nil {
		return 0, err
	}
	delete(s.bindings, hash)
	delete(s.usage, hash)
	s.ownChangeLocked()
	s.lastRevision++
	return s.lastRevision, nil
}

// ListBindings is part of store.Bindings.
func (s *Store) ListBindings(ctx context.Context, after store.KeyHash, limit int) ([]store.Binding, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var list []store.Binding
	for _, b := range s.bindings {
		if bytes.Compare(b.Hash[:], after[:]) > 0 {
			list = append(list, b.Stored())
		}
	}
	slices.SortFunc(list, func(a, b store.Binding) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	return list[:max(0, min(limit, len(list)))], nil
}

// CountBindings is part of store.Bindings.
func (s *Store) CountBindings(ctx context.Context) (int, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	return len(s.bindings), nil
}

// AddUsage is part of store.UsageLog.
func (s *Store) AddUsage(ctx context.Context, batch store.UsageBatch) error {
	if err := batch.Validate(); err != nil {
		return err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.addUsageLocked(batch)
	return nil
}

func (s *Store) addUsageLocked(batch store.UsageBatch) {
	for _, t := range batch.Touches {
		s.addTouchLocked(t)
	}
	for _, c := range batch.Counters {
		s.counters[counterKey{store.StoredHour(c.Hour).Unix(), c.Name}] += c.N
	}
}

func (s *Store) addTouchLocked(t store.Touch) {
	if _, bound := s.bindings[t.Hash]; !bound {
		return
	}
	s.usage[t.Hash] = s.usage[t.Hash].Add(t)
}

// Usage is part of store.UsageLog.
func (s *Store) Usage(ctx context.Context, hash store.KeyHash) (store.Usage, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Usage{}, err
	}
	defer leave()
	return copyOfUsage(s.usage[hash]), nil
}

// Counters is part of store.UsageLog.
func (s *Store) Counters(ctx context.Context, from, to time.Time) ([]store.Counter, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return s.countersLocked(func(hour time.Time) bool { return !hour.Before(from) && hour.Before(to) }), nil
}

// countersLocked returns the counters of the hours that are wanted, in order.
func (s *Store) countersLocked(isWanted func(hour time.Time) bool) (list []store.Counter) {
	for key, n := range s.counters {
		if hour := time.Unix(key.hour, 0).UTC(); isWanted(hour) {
			list = append(list, store.Counter{Hour: hour, Name: key.name, N: n})
		}
	}
	slices.SortFunc(list, func(a, b store.Counter) int {
		return cmp.Or(a.Hour.Compare(b.Hour), strings.Compare(a.Name, b.Name))
	})
	return list
}

// DeleteCounters is part of store.UsageLog.
func (s *Store) DeleteCounters(ctx context.Context, before time.Time, limit int) (int, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	old := s.countersLocked(func(hour time.Time) bool { return hour.Before(before) })
	old = old[:max(0, min(limit, len(old)))]
	for _, c := range old {
		delete(s.counters, counterKey{c.Hour.Unix(), c.Name})
	}
	return len(old), nil
}

// Setting is part of store.Settings.
func (s *Store) Setting(ctx context.Context, name string) ([]byte, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	value, ok := s.settings[name]
	if !ok {
		return nil, store.ErrNotFound
	}
	return bytes.Clone(value), nil
}

// PutSetting is part of store.Settings.
func (s *Store) PutSetting(ctx context.Context, name string, value []byte) error {
	if err := store.ValidateName(name); err != nil {
		return fmt.Errorf("setting: %w", err)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if !store.IsNodeSetting(name) {
		s.ownChangeLocked()
	}
	s.settings[name] = bytes.Clone(value)
	return nil
}

// DeleteSetting is part of store.Settings.
func (s *Store) DeleteSetting(ctx context.Context, name string) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if _, isThere := s.settings[name]; isThere && !store.IsNodeSetting(name) {
		s.ownChangeLocked()
	}
	delete(s.settings, name)
	return nil
}
