package sharing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// Kind is that of the documents.
	Kind = "suspicion"
	// changesAtOnce is how many suspicions are stored in one step.
	changesAtOnce = 200
)

// Store is what a Watch reads and writes.
type Store interface {
	store.Documents
	Binding(ctx context.Context, hash store.KeyHash) (store.Binding, error)
}

// Told is a suspicion that is new, or that has grown.
type Told struct {
	Hash     store.KeyHash
	Hint     string
	Networks []netip.Prefix
	Minutes  int
	At       time.Time
}

// Watch gathers where keys are used from, and keeps what it suspects. Use and End are
// for one goroutine; the others are safe for concurrent use.
type Watch struct {
	store Store

	minute time.Time // that is gathered
	used   map[store.KeyHash]gathered

	day     time.Time // of strikes
	strikes map[store.KeyHash]*Suspicion

	mu     sync.Mutex
	kept   map[store.KeyHash]*Suspicion
	beyond uint64
}

// Open reads the suspicions that the store has.
func Open(ctx context.Context, s Store) (*Watch, error) {
	w := &Watch{
		store: s, used: map[store.KeyHash]gathered{}, strikes: map[store.KeyHash]*Suspicion{}, kept: map[store.KeyHash]*Suspicion{},
	}
	if err := w.Reload(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// Reload takes over what others have stored: other nodes suspect keys too, and
// administrators dismiss suspicions at any of them. What this node has added to one and
// not stored yet stays. It waits for changes under way. What cannot be read is left out,
// and told in the error.
func (w *Watch) Reload(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, err := w.store.ListDocuments(ctx, Kind)
	if err != nil {
		return fmt.Errorf("read suspicions: %w", err)
	}
	there := make(map[store.KeyHash]bool, len(list))
	var errs []error
	for _, d := range list {
		hash, err := store.ParseKeyHash(d.ID)
		known := w.kept[hash]
		if err == nil && known != nil && known.revision == d.Revision {
			there[hash] = true
			continue
		}
		var stored Suspicion
		if err := json.Unmarshal(d.Body, &stored); err != nil {
			errs = append(errs, fmt.Errorf("read suspicion %q: %w: %w", d.ID, store.ErrDamaged, err))
			continue
		}
		stored.revision = d.Revision
		there[stored.Hash] = true
		if known != nil && known.changed {
			stored = known.joined(stored)
		}
		w.kept[stored.Hash] = &stored
	}
	for hash, s := range w.kept {
		if !there[hash] && s.revision != 0 {
			delete(w.kept, hash) // dismissed
		}
	}
	return errors.Join(errs...)
}

// Use notes that a key was used from a network within the minute that End was last
// told of.
func (w *Watch) Use(hash store.KeyHash, network netip.Prefix) {
	g, known := w.used[hash]
	if !known && len(w.used) >= gatheredKeys {
		return
	}
	g.add(network)
	w.used[hash] = g
}

// End ends the minute before now, if that is over, and returns what it has shown. A key
// is suspected from so many strikes on one day on; 0: no key is. What could not be stored
// is tried again at the end of the next minute.
func (w *Watch) End(ctx context.Context, now time.Time, strikes int) ([]Told, error) {
	minute, ended := now.UTC().Truncate(time.Minute), w.minute
	w.minute = minute
	if minute.Equal(ended) || ended.IsZero() {
		return nil, nil
	}
	used := w.used
	w.used = map[store.KeyHash]gathered{}
	if day := ended.Truncate(24 * time.Hour); !day.Equal(w.day) {
		w.day = day
		clear(w.strikes)
	}
	if strikes == 0 {
		return nil, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var told []Told
	var errs []error
	for hash, g := range used {
		e, ok := g.evidence(ended)
		if !ok {
			continue
		}
		s, err := w.strikeLocked(ctx, hash, e, strikes)
		errs = append(errs, err)
		if s != nil {
			told = append(told, Told{Hash: s.Hash, Hint: s.Hint, Networks: s.networks(), Minutes: s.Minutes, At: ended})
		}
	}
	slices.SortFunc(told, func(a, b Told) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	errs = append(errs, w.putLocked(ctx))
	return told, errors.Join(errs...)
}

// strikeLocked returns the suspicion that a strike makes or adds to, if there is one.
func (w *Watch) strikeLocked(ctx context.Context, hash store.KeyHash, e Evidence, strikes int) (*Suspicion, error) {
	if s := w.kept[hash]; s != nil {
		s.add(e, MaxEvidence)
		return s, nil
	}
	s := w.strikes[hash]
	if s == nil {
		if len(w.strikes) >= suspects {
			return nil, nil
		}
		s = &Suspicion{Hash: hash}
		w.strikes[hash] = s
	}
	s.add(e, suspectEvidence)
	if s.Minutes < strikes {
		return nil, nil
	}
	b, err := w.store.Binding(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		delete(w.strikes, hash) // unbound meanwhile: whoever binds it next begins anew
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up suspected key: %w", err)
	}
	s.Hint = b.Hint
	if !w.hasRoomLocked(ctx, e.Minute) {
		w.beyond++
		delete(w.strikes, hash)
		return s, nil
	}
	delete(w.strikes, hash)
	w.kept[hash] = s
	return s, nil
}

// hasRoomLocked makes room by letting go of the suspicion that has been quiet for
// longest, if that is long enough.
func (w *Watch) hasRoomLocked(ctx context.Context, now time.Time) bool {
	if len(w.kept) < MaxSuspicions {
		return true
	}
	var oldest *Suspicion
	for _, s := range w.kept {
		if oldest == nil || s.Last.Before(oldest.Last) {
			oldest = s
		}
	}
	return now.Sub(oldest.Last) >= staleAfter && w.removeLocked(ctx, oldest) == nil
}

// putLocked stores what has changed.
func (w *Watch) putLocked(ctx context.Context) error {
	var changed []*Suspicion
	for _, s := range w.kept {
		if s.changed {
			changed = append(changed, s)
		}
	}
	for chunk := range slices.Chunk(changed, changesAtOnce) {
		docs := make([]store.Document, len(chunk))
		for i, s := range chunk {
			body, err := json.Marshal(s)
			if err != nil {
				return fmt.Errorf("write suspicion: %w", err)
			}
			docs[i] = store.Document{Kind: Kind, ID: s.Hash.String(), Revision: s.revision, Body: body}
		}
		docs, err := w.store.ChangeDocuments(ctx, docs, nil)
		if err != nil {
			return fmt.Errorf("write suspicions: %w", err)
		}
		for i, s := range chunk {
			s.revision, s.changed = docs[i].Revision, false
		}
	}
	return nil
}

func (w *Watch) removeLocked(ctx context.Context, s *Suspicion) error {
	if s.revision != 0 {
		err := w.store.DeleteDocument(ctx, Kind, s.Hash.String(), s.revision)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	delete(w.kept, s.Hash)
	return nil
}

// List returns all suspicions, the one with the newest strike first, and how many more
// keys there was no room for since the start.
func (w *Watch) List() (list []Suspicion, beyond uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list = make([]Suspicion, 0, len(w.kept))
	for _, s := range w.kept {
		list = append(list, s.clone())
	}
	slices.SortFunc(list, func(a, b Suspicion) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return bytes.Compare(a.Hash[:], b.Hash[:])
	})
	return list, w.beyond
}

// Rekey has the suspicion of a key be that of another hash of it. Strikes that are no
// suspicion yet begin anew.
func (w *Watch) Rekey(ctx context.Context, from, to store.KeyHash) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.kept[from]
	if s == nil {
		return nil
	}
	if err := w.removeLocked(ctx, s); err != nil {
		return err
	}
	s.Hash, s.revision, s.changed = to, 0, true
	w.kept[to] = s
	return w.putLocked(ctx)
}

// Dismiss removes a suspicion, and returns it: the key is suspected again after as many
// strikes as at first. Returns store.ErrNotFound.
func (w *Watch) Dismiss(ctx context.Context, hash store.KeyHash) (Suspicion, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.kept[hash]
	if s == nil {
		return Suspicion{}, store.ErrNotFound
	}
	if err := w.removeLocked(ctx, s); err != nil {
		return Suspicion{}, fmt.Errorf("dismiss suspicion: %w", err)
	}
	return s.clone(), nil
}
