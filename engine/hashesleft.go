package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

// HashesLeft counts the bindings whose keys are not hashed as they are today. As long as
// there are any of Previous, the secret from before is needed.
type HashesLeft struct {
	Previous int // of a secret from before
	AsSent   int // of the key as it was sent
	Unknown  int // of a secret that is not given: their keys are unknown
	Archived int // entries of the archive, of any of these
	At       time.Time

	unmarked uint32 // HashedWith of bindings that have none
}

// Total returns how many there are.
func (l HashesLeft) Total() int { return l.Previous + l.AsSent + l.Unknown + l.Archived }

// of returns where bindings of an origin are counted; nil for those of today.
func (l *HashesLeft) of(origin credential.Origin) *int {
	switch origin {
	case credential.OriginNow:
		return nil
	case credential.OriginPrevious:
		return &l.Previous
	case credential.OriginAsSent:
		return &l.AsSent
	}
	return &l.Unknown
}

// hashedWith is that of a binding, also of one from before there was one.
func (l *HashesLeft) hashedWith(b store.Binding) uint32 {
	if b.HashedWith == 0 {
		return l.unmarked
	}
	return b.HashedWith
}

// less returns what is left once a binding is moved.
func (l *HashesLeft) less(b store.Binding, keys *credential.Reader) *HashesLeft {
	if l == nil {
		return nil
	}
	left := *l
	if n := left.of(keys.Origin(l.hashedWith(b))); n != nil && *n > 0 {
		*n--
	}
	return &left
}

// HashesLeft returns what is left as it was last counted, less what this node has moved
// since; false where nothing is counted, since the secret was never changed.
func (e *Engine) HashesLeft() (HashesLeft, bool) {
	left := e.older.left.Load()
	if left == nil {
		return HashesLeft{}, false
	}
	return *left, true
}

// countOlder counts what is left, if there may be any.
func (e *Engine) countOlder(ctx context.Context) {
	before := e.older.left.Load()
	if before != nil && before.Total() == 0 {
		return // no more come
	}
	left, err := CountHashes(ctx, e.store, e.credentials)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			e.storeFailed("count bindings of older key hashes", err)
		}
		return
	}
	if left == nil {
		return
	}
	left.At = store.StoredTime(e.now())
	e.older.left.Store(left)
	switch {
	case left.Total() == 0 && e.credentials.HasPrevious():
		e.logger.Info("no binding is left under a secret from before: SENTINEL_HMAC_SECRET_PREVIOUS can be taken out")
	case left.Unknown > 0 && before == nil:
		e.logger.Warn("bindings of another HMAC secret are left: their keys are unknown, and bound anew by whoever uses them next; "+
			"SENTINEL_HMAC_SECRET_PREVIOUS can name that secret", "bindings", left.Unknown)
	case left.Total() > 0 && before == nil:
		e.logger.Info("bindings under other hashes than today's: each is moved when its key is used",
			"previous_secret", left.Previous, "as_sent", left.AsSent, "archived", left.Archived)
	}
}

// CountHashes counts the bindings and entries of the archive in a store whose keys are
// not hashed as keys does it. It returns nil where there is nothing to count: the store
// was never told of another secret or spelling, and keys know of none. It reads all
// bindings.
func CountHashes(ctx context.Context, s store.Store, keys *credential.Reader) (*HashesLeft, error) {
	older, err := isNoted(ctx, s, olderSetting)
	if err != nil {
		return nil, err
	}
	asSent, err := isNoted(ctx, s, asSentSetting)
	if err != nil || !older && !asSent && !keys.HasPrevious() {
		return nil, err
	}
	c := hashCounter{keys: keys, origins: map[uint32]credential.Origin{}}
	value, err := s.Setting(ctx, unmarkedSetting)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if len(value) == 4 {
		c.left.unmarked = binary.BigEndian.Uint32(value)
	}
	if err := c.countBindings(ctx, s); err != nil {
		return nil, err
	}
	if err := c.countArchive(ctx, s); err != nil {
		return nil, err
	}
	return &c.left, nil
}

// hashCounter is one count under way.
type hashCounter struct {
	keys    *credential.Reader
	origins map[uint32]credential.Origin // by HashedWith
	left    HashesLeft
}

func (c *hashCounter) origin(b store.Binding) credential.Origin {
	with := c.left.hashedWith(b)
	origin, ok := c.origins[with]
	if !ok {
		origin = c.keys.Origin(with)
		c.origins[with] = origin
	}
	return origin
}

func (c *hashCounter) countBindings(ctx context.Context, s store.Bindings) error {
	for page, err := range store.BindingPages(ctx, s) {
		if err != nil {
			return err
		}
		for _, b := range page {
			if n := c.left.of(c.origin(b)); n != nil {
				*n++
			}
		}
	}
	return nil
}

func (c *hashCounter) countArchive(ctx context.Context, s store.Archive) error {
	for q := (store.ArchiveQuery{Limit: store.MaxPage}); ; {
		page, err := s.FindArchived(ctx, q)
		if err != nil {
			return err
		}
		for _, a := range page.Rows {
			if c.origin(a.Binding) != credential.OriginNow {
				c.left.Archived++
			}
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}
