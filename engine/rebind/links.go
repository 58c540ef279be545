// Package rebind makes links with which the holder of a key, whose address has
// changed, binds it to where they are, once.
//
// A link is a bearer secret of 256 random bits, and what it can do is little: it
// gives one key, which its holder still needs to use it, another address. It is
// for one binding, until a time, and goes with it: a key that is unbound, bound
// anew or banned has no links any more.
package rebind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Bounds of links.
const (
	DefaultFor = 24 * time.Hour
	MaxFor     = 30 * 24 * time.Hour
	// MaxOpen is how many open links a key may have.
	MaxOpen = 10
	// maxLinks is how many are kept in all, and keepFor how long after their end
	// those that are over are shown.
	maxLinks = 10_000
	keepFor  = 30 * 24 * time.Hour
)

// The errors of this package.
var (
	// ErrGone means that a link cannot be used: there is none of that token, or it
	// was used, revoked or not used in time, or its key is not what it was.
	ErrGone = errors.New("the link is over")
	// ErrBanned means that the key is banned, and so gets no link.
	ErrBanned = errors.New("the key is banned")
	// ErrTooMany means that there are as many open links as may be.
	ErrTooMany = errors.New("there are too many links")
)

// Keys is what this package needs of the engine.
type Keys interface {
	BindingPrefix(ip netip.Addr) (netip.Prefix, error)
	Edit(ctx context.Context, hash store.KeyHash, edit engine.BindingEdit) (before, after store.Binding, err error)
}

// Store is where links and bindings are.
type Store interface {
	store.Documents
	Binding(ctx context.Context, hash store.KeyHash) (store.Binding, error)
}

// Options of New. All but Now are required.
type Options struct {
	Store  Store
	Keys   Keys
	Logger *slog.Logger
	Now    func() time.Time // default time.Now
}

// Links makes, keeps and honours links. It is safe for concurrent use.
type Links struct {
	opts Options

	mu sync.Mutex
	// open are the documents of the links that may be open, by their keys: most
	// keys that are banned have none, and cost no look into the store.
	open map[store.KeyHash][]string
	// barred are documents of links that are over, which the store did not take.
	barred map[string]bool
}

// New reads the links that are there. Those whose keys were unbound or banned, in
// a moment at which the program was killed, are revoked.
func New(ctx context.Context, opts Options) (*Links, error) {
	if opts.Store == nil || opts.Keys == nil || opts.Logger == nil {
		return nil, errors.New("re-bind links without store, keys or logger")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	l := &Links{opts: opts, open: make(map[store.KeyHash][]string), barred: make(map[string]bool)}
	all, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	l.noteAll(all)
	for _, k := range all {
		if k.state(l.now()) != Open {
			continue
		}
		_, err := l.bindingOf(ctx, k.record)
		if errors.Is(err, ErrGone) {
			err = l.shut(ctx, k.Key, k.document.ID)
		}
		if errors.Is(err, store.ErrUnavailable) {
			// A node of a cluster starts without the authority too. While its key is
			// what it is, the link is refused anyway.
			l.opts.Logger.Warn("it cannot be told yet whether a re-bind link is over", "link", k.document.ID[:idDigits], "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Reload notes the links that others have made or ended.
func (l *Links) Reload(ctx context.Context) error {
	all, err := l.read(ctx)
	if err == nil {
		l.noteAll(all)
	}
	return err
}

// noteAll notes which links may be open. One that was noted already stays: its document
// may be on its way to the store.
func (l *Links) noteAll(all []kept) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range all {
		isOpen, known := k.state(now) == Open, slices.Contains(l.open[k.Key], k.document.ID)
		switch {
		case isOpen && !known && !l.barred[k.document.ID]:
			l.open[k.Key] = append(l.open[k.Key], k.document.ID)
		case !isOpen && known:
			l.forgetLocked(k.Key, k.document.ID)
		}
	}
}

func (l *Links) now() time.Time { return store.StoredTime(l.opts.Now()) }

// kept is a link with its document.
type kept struct {
	record
	document store.Document
}

func (l *Links) read(ctx context.Context) ([]kept, error) {
	list, err := l.opts.Store.ListDocuments(ctx, DocumentKind)
	if err != nil {
		return nil, fmt.Errorf("read re-bind links: %w", err)
	}
	all := make([]kept, 0, len(list))
	for _, d := range list {
		k := kept{document: d}
		if err := json.Unmarshal(d.Body, &k.record); err != nil {
			return nil, fmt.Errorf("read re-bind link %.16s: %w", d.ID, err)
		}
		all = append(all, k)
	}
	return all, nil
}

func (l *Links) put(ctx context.Context, k kept) error {
	body, err := json.Marshal(k.record)
	if err != nil {
		return err
	}
	k.document.Body = body
	_, err = l.opts.Store.PutDocument(ctx, k.document)
	return err
}

// bindingOf returns the binding that a link is for, or ErrGone.
func (l *Links) bindingOf(ctx context.Context, r record) (store.Binding, error) {
	b, err := l.opts.Store.Binding(ctx, r.Key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return b, ErrGone
	case err != nil:
		return b, fmt.Errorf("read binding of re-bind link: %w", err)
	case b.Status == store.StatusBanned || !b.CreatedAt.Equal(r.BoundAt):
		return b, ErrGone
	}
	return b, nil
}

// Create makes a link for a bound key, good for that long: up to MaxFor. The
// token is what it is used with, and cannot be had again. Returns
// store.ErrNotFound, ErrBanned, ErrTooMany, or an error that wraps
// store.ErrInvalid.
func (l *Links) Create(ctx context.Context, hash store.KeyHash, lasts time.Duration, by string) (link Link, token string, err error) {
	if lasts <= 0 || lasts > MaxFor {
		return Link{}, "", fmt.Errorf("%w: link for %s, want more than 0 and up to %s", store.ErrInvalid, lasts, MaxFor)
	}
	b, err := l.opts.Store.Binding(ctx, hash)
	switch {
	case err != nil:
		return Link{}, "", fmt.Errorf("make re-bind link: %w", err)
	case b.Status == store.StatusBanned:
		return Link{}, "", ErrBanned
	}
	if err := l.makeRoom(ctx, hash); err != nil {
		return Link{}, "", err
	}
	now := l.now()
	token = newToken()
	k := kept{
		record{Key: hash, BoundAt: b.CreatedAt, CreatedAt: now, CreatedBy: by, ExpiresAt: store.StoredTime(now.Add(lasts))},
		store.Document{Kind: DocumentKind, ID: documentIDOf(token)},
	}
	l.note(hash, k.document.ID) // before it is there: who bans the key now has to find it
	if err := l.put(ctx, k); err != nil {
		return Link{}, "", fmt.Errorf("make re-bind link: %w", err)
	}
	// The ban may have come before the link was there to be found.
	if _, err := l.bindingOf(ctx, k.record); err != nil {
		l.Shut(ctx, hash)
		return Link{}, "", fmt.Errorf("make re-bind link: its key has changed meanwhile: %w", store.ErrConflict)
	}
	return k.link(k.document.ID, now), token, nil
}

func (l *Links) note(hash store.KeyHash, documentID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[hash] = append(l.open[hash], documentID)
}

func (l *Links) forget(hash store.KeyHash, documentID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLocked(hash, documentID)
}

func (l *Links) forgetLocked(hash store.KeyHash, documentID string) {
	l.open[hash] = slices.DeleteFunc(l.open[hash], func(id string) bool { return id == documentID })
	if len(l.open[hash]) == 0 {
		delete(l.open, hash)
	}
}

// makeRoom removes what is long over, and returns ErrTooMany if there is no room
// for one more.
func (l *Links) makeRoom(ctx context.Context, hash store.KeyHash) error {
	all, err := l.read(ctx)
	if err != nil {
		return err
	}
	now, open, total := l.now(), 0, len(all)
	for _, k := range all {
		if k.state(now) == Open {
			if k.Key == hash {
				open++
			}
			continue
		}
		l.forget(k.Key, k.document.ID)
		if now.Sub(k.ExpiresAt) > keepFor {
			err := l.opts.Store.DeleteDocument(ctx, DocumentKind, k.document.ID, k.document.Revision)
			if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("remove old re-bind link: %w", err)
			}
			total--
		}
	}
	if open >= MaxOpen || total >= maxLinks {
		return ErrTooMany
	}
	return nil
}

// List returns the links of a key, the newest first, also those that are over.
func (l *Links) List(ctx context.Context, hash store.KeyHash) ([]Link, error) {
	all, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	now := l.now()
	links := make([]Link, 0)
	for _, k := range all {
		if k.Key == hash {
			links = append(links, k.link(k.document.ID, now))
		}
	}
	slices.SortFunc(links, func(a, b Link) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return links, nil
}

// Revoke ends a link of a key, and returns it. One that was revoked already stays
// as it is. Returns store.ErrNotFound, or ErrGone with the link if it was used or
// is over.
func (l *Links) Revoke(ctx context.Context, hash store.KeyHash, id, by string) (link Link, err error) {
	all, err := l.read(ctx)
	if err != nil {
		return Link{}, err
	}
	now := l.now()
	i := slices.IndexFunc(all, func(k kept) bool { return k.Key == hash && k.link(k.document.ID, now).ID == id })
	if i < 0 {
		return Link{}, store.ErrNotFound
	}
	k := all[i]
	switch k.state(now) {
	case Revoked:
		return k.link(k.document.ID, now), nil
	case Used, Ended:
		return k.link(k.document.ID, now), ErrGone
	}
	k.RevokedAt, k.RevokedBy = now, by
	if err := l.put(ctx, k); err != nil {
		return Link{}, fmt.Errorf("revoke re-bind link: %w", err)
	}
	return k.link(k.document.ID, now), nil
}

// find returns the link of a document, or ErrGone.
func (l *Links) find(ctx context.Context, documentID string) (kept, error) {
	d, err := l.opts.Store.Document(ctx, DocumentKind, documentID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return kept{}, ErrGone
	case err != nil:
		return kept{}, fmt.Errorf("read re-bind link: %w", err)
	}
	k := kept{document: d}
	if err := json.Unmarshal(d.Body, &k.record); err != nil {
		return kept{}, fmt.Errorf("read re-bind link: %w", err)
	}
	return k, nil
}
