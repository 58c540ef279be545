package exception

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Exceptions are all that there are. It is safe for concurrent use.
type Exceptions struct {
	documents store.Documents
	now       func() time.Time

	changing sync.Mutex // held by changes, which write to the store
	mu       sync.RWMutex
	byID     map[string]Exception
	running  map[store.KeyHash][]Exception

	nextEnd atomic.Int64 // of the first that ends, in ms; 0: none runs
}

// Open reads the exceptions that the store has.
func Open(ctx context.Context, documents store.Documents, now func() time.Time) (*Exceptions, error) {
	xs := &Exceptions{documents: documents, now: now, byID: map[string]Exception{}}
	if err := xs.Reload(ctx); err != nil {
		return nil, err
	}
	return xs, nil
}

// Reload has in force what the store has, which others may have changed. It waits for
// changes under way. What cannot be read is left out, and told in the error.
func (xs *Exceptions) Reload(ctx context.Context) error {
	xs.changing.Lock()
	defer xs.changing.Unlock()
	list, err := xs.documents.ListDocuments(ctx, Kind)
	if err != nil {
		return fmt.Errorf("read exceptions: %w", err)
	}
	byID := make(map[string]Exception, len(list))
	var errs []error
	for _, d := range list {
		x, known := xs.byID[d.ID] // only who holds changing changes them
		if !known || x.revision != d.Revision {
			x = Exception{}
			if err := json.Unmarshal(d.Body, &x); err != nil {
				errs = append(errs, fmt.Errorf("read exception %q: %w: %w", d.ID, store.ErrDamaged, err))
				continue
			}
			x.ID, x.revision = d.ID, d.Revision
		}
		byID[x.ID] = x
	}
	xs.mu.Lock()
	defer xs.mu.Unlock()
	xs.byID = byID
	xs.applyLocked()
	return errors.Join(errs...)
}

// applyLocked has what runs in force.
func (xs *Exceptions) applyLocked() {
	now, next := xs.now(), int64(0)
	xs.running = make(map[store.KeyHash][]Exception)
	for _, x := range xs.byID {
		if x.StateAt(now) != Running {
			continue
		}
		xs.running[x.Hash] = append(xs.running[x.Hash], x)
		if end := x.Until.UnixMilli(); next == 0 || end < next {
			next = end
		}
	}
	xs.nextEnd.Store(next)
}

// Allows returns the ID of the exception that lets a key be used from an address
// now.
func (xs *Exceptions) Allows(hash store.KeyHash, addr netip.Addr) (id string, ok bool) {
	if xs.nextEnd.Load() == 0 {
		return "", false
	}
	xs.mu.RLock()
	defer xs.mu.RUnlock()
	list := xs.running[hash]
	if len(list) == 0 {
		return "", false
	}
	now := xs.now()
	for _, x := range list {
		if x.Prefix.Contains(addr) && now.Before(x.Until) {
			return x.ID, true
		}
	}
	return "", false
}

// Reach returns how much of a network the exceptions let a key be used from now.
func (xs *Exceptions) Reach(hash store.KeyHash, network netip.Prefix) ipset.Reach {
	if xs.nextEnd.Load() == 0 {
		return ipset.ReachesNone
	}
	xs.mu.RLock()
	defer xs.mu.RUnlock()
	now, most := xs.now(), ipset.ReachesNone
	for _, x := range xs.running[hash] {
		switch {
		case !x.Prefix.Overlaps(network) || !now.Before(x.Until):
		case x.Prefix.Bits() <= network.Bits():
			return ipset.ReachesWhole
		default:
			most = ipset.ReachesPart
		}
	}
	return most
}

// Filter chooses exceptions; its zero fields choose all.
type Filter struct {
	State State
	Hash  store.KeyHash
	Text  string // part of the hint, the note, the network, or who made it
}

func (f Filter) matches(x Exception, now time.Time) bool {
	return (f.State == "" || x.StateAt(now) == f.State) && (f.Hash.IsZero() || x.Hash == f.Hash) &&
		(store.HasText(x.Hint, f.Text) || store.HasText(x.Note, f.Text) || store.HasText(x.By, f.Text) ||
			strings.Contains(x.Prefix.String(), f.Text))
}

// List returns the exceptions that match: those that run first, the next to end
// first, and then the others, the last to end first.
func (xs *Exceptions) List(f Filter) []Exception {
	now := xs.now()
	xs.mu.RLock()
	found := []Exception{}
	for _, x := range xs.byID {
		if f.matches(x, now) {
			found = append(found, x)
		}
	}
	xs.mu.RUnlock()
	slices.SortFunc(found, func(a, b Exception) int {
		aRuns, bRuns := a.StateAt(now) == Running, b.StateAt(now) == Running
		switch {
		case aRuns && !bRuns:
			return -1
		case bRuns && !aRuns:
			return 1
		case aRuns:
			return order(a, b)
		}
		return order(b, a)
	})
	return found
}

func order(a, b Exception) int {
	if c := a.end().Compare(b.end()); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// Get returns one. Returns store.ErrNotFound.
func (xs *Exceptions) Get(id string) (Exception, error) {
	xs.mu.RLock()
	defer xs.mu.RUnlock()
	x, ok := xs.byID[id]
	if !ok {
		return Exception{}, store.ErrNotFound
	}
	return x, nil
}

// Add makes an exception of x, whose ID and time are set here. Returns an error
// that wraps store.ErrInvalid and names the field.
func (xs *Exceptions) Add(ctx context.Context, x Exception) (Exception, error) {
	xs.changing.Lock()
	defer xs.changing.Unlock()
	x.ID, x.Until, x.CreatedAt = strings.ToLower(rand.Text()), store.StoredTime(x.Until), store.StoredTime(xs.now())
	x.RevokedAt, x.RevokedBy, x.revision = time.Time{}, "", 0
	if err := x.validate(x.CreatedAt); err != nil {
		return Exception{}, fmt.Errorf("make exception: %w", err)
	}
	if n := xs.countRunning(); n >= MaxRunning {
		return Exception{}, fmt.Errorf("make exception: %w: %d exceptions run, and no more may", store.ErrInvalid, n)
	}
	x, err := xs.put(ctx, x)
	if err != nil {
		return Exception{}, fmt.Errorf("make exception: %w", err)
	}
	return x, nil
}

func (xs *Exceptions) countRunning() (n int) {
	xs.mu.RLock()
	defer xs.mu.RUnlock()
	for _, list := range xs.running {
		n += len(list)
	}
	return n
}

func (xs *Exceptions) put(ctx context.Context, x Exception) (Exception, error) {
	body, err := json.Marshal(x)
	if err != nil {
		return x, err
	}
	d, err := xs.documents.PutDocument(ctx, store.Document{Kind: Kind, ID: x.ID, Revision: x.revision, Body: body})
	if err != nil {
		return x, err
	}
	x.revision = d.Revision
	xs.mu.Lock()
	defer xs.mu.Unlock()
	xs.byID[x.ID] = x
	xs.applyLocked()
	return x, nil
}

// Revoke ends an exception that runs, and returns it. Returns store.ErrNotFound,
// or store.ErrConflict if it has ended.
func (xs *Exceptions) Revoke(ctx context.Context, id, by string) (Exception, error) {
	xs.changing.Lock()
	defer xs.changing.Unlock()
	x, err := xs.Get(id)
	if err == nil && x.StateAt(xs.now()) != Running {
		err = store.ErrConflict
	}
	if err == nil {
		x.RevokedBy, x.RevokedAt = by, store.StoredTime(xs.now())
		x, err = xs.put(ctx, x)
	}
	if err != nil {
		return Exception{}, fmt.Errorf("end exception: %w", err)
	}
	return x, nil
}

// RevokeOf ends all exceptions of a key.
func (xs *Exceptions) RevokeOf(ctx context.Context, hash store.KeyHash, by string) error {
	xs.mu.RLock()
	list := slices.Clone(xs.running[hash])
	xs.mu.RUnlock()
	for _, x := range list {
		if _, err := xs.Revoke(ctx, x.ID, by); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

// Rekey has all exceptions of a key be those of another hash of it. put is given them
// as they are to be stored, and returns them with their new revisions; if it fails,
// everything is as before.
func (xs *Exceptions) Rekey(from, to store.KeyHash, put func([]store.Document) ([]store.Document, error)) error {
	xs.changing.Lock()
	defer xs.changing.Unlock()
	var moved []Exception
	xs.mu.RLock()
	for _, x := range xs.byID {
		if x.Hash == from {
			x.Hash = to
			moved = append(moved, x)
		}
	}
	xs.mu.RUnlock()
	documents := make([]store.Document, len(moved))
	for i, x := range moved {
		body, err := json.Marshal(x)
		if err != nil {
			return fmt.Errorf("move exceptions: %w", err)
		}
		documents[i] = store.Document{Kind: Kind, ID: x.ID, Revision: x.revision, Body: body}
	}
	documents, err := put(documents)
	if err != nil || len(moved) == 0 {
		return err
	}
	xs.mu.Lock()
	defer xs.mu.Unlock()
	for i, x := range moved {
		x.revision = documents[i].Revision
		xs.byID[x.ID] = x
	}
	xs.applyLocked()
	return nil
}

// End returns the keys whose exceptions have ended by themselves since the last
// call. Its cost is nothing as long as none has.
func (xs *Exceptions) End() []store.KeyHash {
	now := xs.now()
	if next := xs.nextEnd.Load(); next == 0 || now.UnixMilli() < next {
		return nil
	}
	xs.mu.Lock()
	defer xs.mu.Unlock()
	var keys []store.KeyHash
	for hash, list := range xs.running {
		if slices.ContainsFunc(list, func(x Exception) bool { return x.StateAt(now) != Running }) {
			keys = append(keys, hash)
		}
	}
	xs.applyLocked()
	return keys
}

// Forget removes those that ended long ago.
func (xs *Exceptions) Forget(ctx context.Context) error {
	xs.changing.Lock()
	defer xs.changing.Unlock()
	now := xs.now()
	ended := xs.List(Filter{})
	ended = slices.DeleteFunc(ended, func(x Exception) bool { return x.StateAt(now) == Running })
	var remove []store.Document
	for i, x := range ended {
		if i >= maxEnded || now.Sub(x.end()) >= keepEnded {
			remove = append(remove, store.Document{Kind: Kind, ID: x.ID, Revision: x.revision})
		}
	}
	if len(remove) == 0 {
		return nil
	}
	_, err := xs.documents.ChangeDocuments(ctx, nil, remove)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return nil // another node has done it just now: Reload will tell
	}
	if err != nil {
		return fmt.Errorf("forget exceptions: %w", err)
	}
	xs.mu.Lock()
	defer xs.mu.Unlock()
	maps.DeleteFunc(xs.byID, func(id string, _ Exception) bool {
		return slices.ContainsFunc(remove, func(d store.Document) bool { return d.ID == id })
	})
	return nil
}
