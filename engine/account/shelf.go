package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// freshFor is how long what was read counts, see the package comment.
	freshFor = time.Second
	// refuseAfter is how old what was read may be to refuse somebody by it: he may
	// have been let in by another node just now. It is not zero, so that those who
	// are refused rightly do not make this process read for each request.
	refuseAfter = 100 * time.Millisecond
	// maxAttempts is how often a change is tried again when another node of the
	// cluster changed the same document between reading and writing.
	maxAttempts = 16
)

// record is what a shelf holds. Values that a shelf hands out are shared and
// never changed; a change is made to a clone.
type record[T any] interface {
	clone() T
	// key is what the record is found by beside its ID, "" for nothing.
	key() string
}

// shelf is the documents of one kind, kept in memory. All methods are safe for
// concurrent use.
type shelf[T record[T]] struct {
	documents store.Documents
	kind      string
	now       func() time.Time

	// writing holds one place: who has it may change the documents and publish
	// what is current. A channel, so that waiting for it ends with the context.
	writing chan struct{}
	current atomic.Pointer[shelved[T]]
	expired atomic.Uint64 // counts the calls of expire
}

// shelved is the documents of one moment. It is not changed once published.
type shelved[T record[T]] struct {
	readAt  time.Time
	expired uint64 // how many calls of expire there had been before it was read
	byID    map[string]kept[T]
	byKey   map[string]string // key to ID
}

type kept[T any] struct {
	value    T
	revision uint64 // of the document
}

func newShelf[T record[T]](documents store.Documents, kind string, now func() time.Time) *shelf[T] {
	s := &shelf[T]{documents: documents, kind: kind, now: now, writing: make(chan struct{}, 1)}
	s.current.Store(&shelved[T]{})
	return s
}

// ids returns the IDs in ascending order.
func (s *shelved[T]) ids() []string { return slices.Sorted(maps.Keys(s.byID)) }

// read returns the documents as they were within the last second, with everything
// that this process has changed.
func (s *shelf[T]) read(ctx context.Context) (*shelved[T], error) { return s.readWithin(ctx, freshFor) }

// readWithin is read with another bound of the age.
func (s *shelf[T]) readWithin(ctx context.Context, age time.Duration) (*shelved[T], error) {
	if all := s.current.Load(); s.within(all, age) {
		return all, nil
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if all := s.current.Load(); s.within(all, age) {
		return all, nil
	}
	return s.reloadLocked(ctx)
}

func (s *shelf[T]) within(all *shelved[T], bound time.Duration) bool {
	// A clock that was set back makes it old too.
	age := s.now().Sub(all.readAt)
	return age >= 0 && age < bound && all.expired == s.expired.Load()
}

// expire makes the next read go to the store: others have changed what is there.
func (s *shelf[T]) expire() { s.expired.Add(1) }

func (s *shelf[T]) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.writing <- struct{}{}:
		return func() { <-s.writing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *shelf[T]) reloadLocked(ctx context.Context) (*shelved[T], error) {
	old, readAt, expired := s.current.Load(), s.now(), s.expired.Load()
	list, err := s.documents.ListDocuments(ctx, s.kind)
	if err != nil {
		return nil, fmt.Errorf("read documents of kind %s: %w", s.kind, err)
	}
	byID := make(map[string]kept[T], len(list))
	for _, d := range list {
		if known, ok := old.byID[d.ID]; ok && known.revision == d.Revision {
			byID[d.ID] = known
			continue
		}
		entry := kept[T]{revision: d.Revision}
		if err := json.Unmarshal(d.Body, &entry.value); err != nil {
			return nil, fmt.Errorf("read %s %q: %w: %w", s.kind, d.ID, store.ErrDamaged, err)
		}
		byID[d.ID] = entry
	}
	return s.publishLocked(readAt, expired, byID), nil
}

func (s *shelf[T]) publishLocked(readAt time.Time, expired uint64, byID map[string]kept[T]) *shelved[T] {
	all := &shelved[T]{readAt: readAt, expired: expired, byID: byID, byKey: map[string]string{}}
	for id, entry := range byID {
		if key := entry.value.key(); key != "" {
			all.byKey[key] = id
		}
	}
	s.current.Store(all)
	return all
}

// change edits a document: edit is given everything as it is now, and a clone
// of the value to change, and is called again if another node came first. If it
// returns errUnchanged, nothing is written. Returns ErrNotFound, ErrConflict
// after too many attempts, or edit's error.
func (s *shelf[T]) change(ctx context.Context, id string, edit func(all *shelved[T], value *T) error) (T, error) {
	var none T
	leave, err := s.enter(ctx)
	if err != nil {
		return none, err
	}
	defer leave()
	for range maxAttempts {
		all, err := s.reloadLocked(ctx)
		if err != nil {
			return none, err
		}
		entry, ok := all.byID[id]
		if !ok {
			return none, store.ErrNotFound
		}
		value := entry.value.clone()
		if err := edit(all, &value); errors.Is(err, errUnchanged) {
			return entry.value, nil
		} else if err != nil {
			return none, err
		}
		if err := s.putLocked(ctx, id, entry.revision, value); !errors.Is(err, store.ErrConflict) {
			return value, err
		}
	}
	return none, store.ErrConflict
}

// create adds a document, if check agrees to it. Returns ErrConflict if there is
// one of that ID, or check's error.
func (s *shelf[T]) create(ctx context.Context, id string, value T, check func(all *shelved[T]) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	all, err := s.reloadLocked(ctx)
	if err != nil {
		return err
	}
	if err := check(all); err != nil {
		return err
	}
	return s.putLocked(ctx, id, 0, value)
}

// remove deletes a document, if check agrees to it. Returns what change returns.
func (s *shelf[T]) remove(ctx context.Context, id string, check func(all *shelved[T], value T) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for range maxAttempts {
		all, err := s.reloadLocked(ctx)
		if err != nil {
			return err
		}
		entry, ok := all.byID[id]
		if !ok {
			return store.ErrNotFound
		}
		if err := check(all, entry.value); err != nil {
			return err
		}
		switch err := s.documents.DeleteDocument(ctx, s.kind, id, entry.revision); {
		case errors.Is(err, store.ErrConflict):
			continue
		case err != nil:
			s.forgetLocked()
			return fmt.Errorf("delete %s %q: %w", s.kind, id, err)
		}
		byID := maps.Clone(all.byID)
		delete(byID, id)
		s.publishLocked(all.readAt, all.expired, byID)
		return nil
	}
	return store.ErrConflict
}

func (s *shelf[T]) putLocked(ctx context.Context, id string, revision uint64, value T) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s %q: %w", s.kind, id, err)
	}
	stored, err := s.documents.PutDocument(ctx, store.Document{Kind: s.kind, ID: id, Revision: revision, Body: body})
	if err != nil {
		s.forgetLocked()
		return fmt.Errorf("write %s %q: %w", s.kind, id, err)
	}
	all := s.current.Load()
	byID := maps.Clone(all.byID)
	byID[id] = kept[T]{value: value, revision: stored.Revision}
	s.publishLocked(all.readAt, all.expired, byID)
	return nil
}

// forgetLocked makes the next read go to the store: after an error nobody can
// tell whether the change happened.
func (s *shelf[T]) forgetLocked() {
	all := *s.current.Load()
	all.readAt = time.Time{}
	s.current.Store(&all)
}
