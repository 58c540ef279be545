package credential

import (
	"strings"

	"github.com/key-ip-sentinel/sentinel/store"
)

// HashKey returns the key hash and the hint of a key that somebody typed or
// pasted, in any spelling that the downstream accepts in a header. Returns an
// *Error.
func (r *Reader) HashKey(spelled string) (store.KeyHash, string, error) {
	p := &place{shown: "key"}
	if len(spelled) > MaxValueBytes {
		return store.KeyHash{}, "", &Error{Kind: TooLong, Place: p.shown}
	}
	key := r.canonicalKey(strings.Trim(spelled, " \t\r\n"), new(reading))
	if key == "" {
		return store.KeyHash{}, "", &Error{Kind: Empty, Place: p.shown}
	}
	var s Set
	s.reset(r)
	if _, err := s.add(key, p); err != nil {
		return store.KeyHash{}, "", err
	}
	return s.hashes[0], s.Hint(0), nil
}

// Hash returns the key hash of a canonical key.
func (r *Reader) Hash(canonical string) store.KeyHash {
	var s Set
	var h store.KeyHash
	s.reset(r)
	s.digest(canonical, &h)
	return h
}

// hint returns a few characters of a canonical key: the first two and the last
// four of a long one, fewer of a short one. It never shows more than a third of
// the key, where the sk- that all keys share does not count.
func (r *Reader) hint(key string) string {
	const common = "sk-"
	prefix := ""
	if rest, ok := strings.CutPrefix(key, common); ok {
		prefix, key = common, rest
	}
	if r.profile == ProfileNewAPI {
		prefix = common
	}
	first, last := 0, 0
	switch n := len(key); {
	case n >= 18:
		first, last = 2, 4
	case n >= 12:
		first, last = 2, 2
	case n >= 6:
		first, last = 1, 1
	}
	return prefix + key[:first] + "…" + key[len(key)-last:]
}
