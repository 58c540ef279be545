package network

import (
	"cmp"
	"context"
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

const (
	// BlockedKind is the kind of the documents.
	BlockedKind = "blocked"

	// MaxBlocked is how many blocked networks there may be.
	MaxBlocked = 100_000
)

// Blocked is a network that nobody may come from.
type Blocked struct {
	Prefix netip.Prefix `json:"prefix"`
	Note   string       `json:"note,omitempty"`
	// Until is when it ends by itself; zero: never.
	Until     time.Time `json:"until,omitzero"` // milliseconds, UTC
	By        string    `json:"by,omitempty"`   // who blocked it
	CreatedAt time.Time `json:"createdAt"`
}

func (b Blocked) isOver(now time.Time) bool { return !b.Until.IsZero() && !now.Before(b.Until) }

func (b Blocked) validate(now time.Time) error {
	if err := store.ValidatePrefix(b.Prefix); err != nil {
		return err
	}
	switch {
	case len(b.Note) > MaxNoteBytes:
		return fmt.Errorf("%w: note of %d bytes, at most %d", store.ErrInvalid, len(b.Note), MaxNoteBytes)
	case b.isOver(now):
		return fmt.Errorf("%w: until: %s is in the past", store.ErrInvalid, b.Until.UTC().Format(time.RFC3339))
	}
	return nil
}

// Blocklist is the blocked networks. It is safe for concurrent use.
type Blocklist struct {
	documents store.Documents
	now       func() time.Time

	changing sync.Mutex // held by changes, which write to the store
	mu       sync.RWMutex
	entries  map[netip.Prefix]kept
	staleAt  int64 // when the list has what is over, in ms; 0: never

	list    atomic.Pointer[ipset.List] // nil: nothing is blocked
	nextEnd atomic.Int64               // of the first entry that ends or has ended, in ms; 0: none does
}

type kept struct {
	Blocked
	revision uint64
}

// OpenBlocklist reads the blocked networks that the store has.
func OpenBlocklist(ctx context.Context, documents store.Documents, now func() time.Time) (*Blocklist, error) {
	l := &Blocklist{documents: documents, now: now, entries: map[netip.Prefix]kept{}}
	if err := l.Reload(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Reload has in force what the store has, which others may have changed. It waits for
// changes under way. What cannot be read is left out, and told in the error.
func (l *Blocklist) Reload(ctx context.Context) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	list, err := l.documents.ListDocuments(ctx, BlockedKind)
	if err != nil {
		return fmt.Errorf("read blocked networks: %w", err)
	}
	entries := make(map[netip.Prefix]kept, len(list))
	var errs []error
	for _, d := range list {
		p, _ := netip.ParsePrefix(d.ID)
		b, known := l.entries[p] // only who holds changing changes them
		if !known || b.revision != d.Revision {
			b = kept{revision: d.Revision}
			if err := json.Unmarshal(d.Body, &b.Blocked); err != nil {
				errs = append(errs, fmt.Errorf("read blocked network %q: %w: %w", d.ID, store.ErrDamaged, err))
				continue
			}
		}
		entries[b.Prefix] = b
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = entries
	l.applyLocked()
	return errors.Join(errs...)
}

// applyLocked has the entries in force, but for those that are over and still there.
func (l *Blocklist) applyLocked() {
	var list *ipset.List
	var prefixes []netip.Prefix
	next, now := int64(0), l.now()
	l.staleAt = 0
	for p, b := range l.entries {
		next = firstEnd(next, b.Until)
		if !b.isOver(now) {
			prefixes = append(prefixes, p)
			l.staleAt = firstEnd(l.staleAt, b.Until)
		}
	}
	if len(prefixes) > 0 {
		list = ipset.NewList(prefixes)
	}
	l.list.Store(list)
	l.nextEnd.Store(next)
}

// firstEnd returns the first of an end in ms, where 0 is none, and another one.
func firstEnd(first int64, until time.Time) int64 {
	if end := until.UnixMilli(); !until.IsZero() && (first == 0 || end < first) {
		return end
	}
	return first
}

// Blocks reports whether nobody may come from an address. It allocates nothing.
func (l *Blocklist) Blocks(addr netip.Addr) bool {
	list := l.list.Load()
	return list != nil && list.Contains(addr)
}

// Find returns the prefix that an address is blocked by: the outermost one.
func (l *Blocklist) Find(addr netip.Addr) (netip.Prefix, bool) { return l.list.Load().Find(addr) }

// Get returns the entry of a prefix, if it is blocked itself.
func (l *Blocklist) Get(p netip.Prefix) (b Blocked, exists bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	entry, exists := l.entries[p]
	return entry.Blocked, exists
}

// Prefixes returns all that are blocked, in the order of their addresses.
func (l *Blocklist) Prefixes() []netip.Prefix {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(l.entries), netip.Prefix.Compare)
}

// Len returns how many there are.
func (l *Blocklist) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.entries)
}

// BlockedFilter chooses blocked networks; its zero fields choose all.
type BlockedFilter struct {
	Text    string       // part of the note, of who blocked it, or of the prefix
	Network netip.Prefix // those that overlap it
	After   netip.Prefix // only those behind this one, in the order of addresses
	Limit   int          // 1 to store.MaxPage; 0: store.DefaultPage
}

// BlockedPage is one page of blocked networks.
type BlockedPage struct {
	Entries []Blocked
	Total   int          // that match, on all pages
	Next    netip.Prefix // After of the next page; invalid: this is the last one
}

func (f BlockedFilter) matches(b Blocked) bool {
	return (f.Text == "" || store.HasText(b.Note, f.Text) || store.HasText(b.By, f.Text) || strings.Contains(b.Prefix.String(), f.Text)) &&
		(!f.Network.IsValid() || f.Network.Overlaps(b.Prefix))
}

// Page returns the entries that match, in the order of their addresses.
func (l *Blocklist) Page(f BlockedFilter) BlockedPage {
	l.mu.RLock()
	var found []Blocked
	for _, b := range l.entries {
		if f.matches(b.Blocked) {
			found = append(found, b.Blocked)
		}
	}
	l.mu.RUnlock()
	page := BlockedPage{Total: len(found)}
	if f.After.IsValid() {
		found = slices.DeleteFunc(found, func(b Blocked) bool { return b.Prefix.Compare(f.After) <= 0 })
	}
	slices.SortFunc(found, func(a, b Blocked) int { return a.Prefix.Compare(b.Prefix) })
	limit := min(cmp.Or(max(f.Limit, 0), store.DefaultPage), store.MaxPage)
	if len(found) > limit {
		found = found[:limit]
		page.Next = found[limit-1].Prefix
	}
	page.Entries = slices.Clip(found)
	return page
}

// Add blocks networks, all of them or none, and returns how many were not blocked
// before; of those that were, note and end are replaced. Returns an error that
// wraps store.ErrInvalid and names the first that is wrong.
func (l *Blocklist) Add(ctx context.Context, entries []Blocked) (added int, err error) {
	now := store.StoredTime(l.now())
	l.changing.Lock()
	defer l.changing.Unlock()
	changed := make(map[netip.Prefix]kept, len(entries))
	for i, b := range entries {
		if err := b.validate(now); err != nil {
			return 0, fmt.Errorf("block network %d: %w", i+1, err)
		}
		l.mu.RLock()
		there, exists := l.entries[b.Prefix]
		l.mu.RUnlock()
		b.CreatedAt, b.Until = now, store.StoredTime(b.Until)
		if exists {
			b.CreatedAt = there.CreatedAt
		}
		changed[b.Prefix] = kept{b, there.revision}
	}
	added = countNew(changed)
	if total := l.Len() + added; total > MaxBlocked {
		return 0, fmt.Errorf("block networks: %w: there would be %d, at most %d may be", store.ErrInvalid, total, MaxBlocked)
	}
	put := make([]store.Document, 0, len(changed))
	for p, b := range changed {
		body, err := json.Marshal(b.Blocked)
		if err != nil {
			return 0, fmt.Errorf("block networks: %w", err)
		}
		put = append(put, store.Document{Kind: BlockedKind, ID: p.String(), Revision: b.revision, Body: body})
	}
	stored, err := l.documents.ChangeDocuments(ctx, put, nil)
	if err != nil {
		return 0, fmt.Errorf("block networks: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range stored {
		p := netip.MustParsePrefix(d.ID) // as it was written above
		l.entries[p] = kept{changed[p].Blocked, d.Revision}
	}
	l.applyLocked()
	return added, nil
}

func countNew(changed map[netip.Prefix]kept) (n int) {
	for _, b := range changed {
		if b.revision == 0 {
			n++
		}
	}
	return n
}

// Remove ends the blocking of networks, of all that are blocked or of none, and
// returns them as they were.
func (l *Blocklist) Remove(ctx context.Context, prefixes []netip.Prefix) ([]Blocked, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	return l.removeChanging(ctx, prefixes)
}

func (l *Blocklist) removeChanging(ctx context.Context, prefixes []netip.Prefix) ([]Blocked, error) {
	var gone []Blocked
	var remove []store.Document
	seen := map[netip.Prefix]bool{}
	for _, p := range prefixes {
		l.mu.RLock()
		b, exists := l.entries[p]
		l.mu.RUnlock()
		if !exists || seen[p] {
			continue
		}
		seen[p] = true
		gone = append(gone, b.Blocked)
		remove = append(remove, store.Document{Kind: BlockedKind, ID: p.String(), Revision: b.revision})
	}
	if len(remove) == 0 {
		return nil, nil
	}
	if _, err := l.documents.ChangeDocuments(ctx, nil, remove); err != nil {
		return nil, fmt.Errorf("unblock networks: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range gone {
		delete(l.entries, b.Prefix)
	}
	l.applyLocked()
	return gone, nil
}

// End removes what is over, and returns it. Its cost is nothing as long as
// nothing is. Where another one removes it, as mayRemove tells, it is out of force at
// once all the same.
func (l *Blocklist) End(ctx context.Context, mayRemove func(context.Context) bool) ([]Blocked, error) {
	now := l.now()
	if next := l.nextEnd.Load(); next == 0 || now.UnixMilli() < next {
		return nil, nil
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	if !mayRemove(ctx) {
		l.dropOver(now)
		return nil, nil
	}
	gone, err := l.removeChanging(ctx, l.over(now))
	if err != nil && !errors.Is(err, context.Canceled) {
		l.dropOver(now) // what was promised holds while the store is away too
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return nil, nil // another node has done it, or changed one of them: Reload will tell
	}
	return gone, err
}

func (l *Blocklist) over(now time.Time) (list []netip.Prefix) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for p, b := range l.entries {
		if b.isOver(now) {
			list = append(list, p)
		}
	}
	return list
}

// dropOver takes what is over out of force, unless it is already.
func (l *Blocklist) dropOver(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.staleAt != 0 && now.UnixMilli() >= l.staleAt {
		l.applyLocked()
	}
}
