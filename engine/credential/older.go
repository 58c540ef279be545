package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Spelling is the form of a key that a key hash was made of.
type Spelling string

// The spellings.
const (
	SpellingCanonical Spelling = "canonical"
	// SpellingAsSent is what the earlier deployment hashed: the key exactly as the client sent
	// it, without the scheme Bearer.
	SpellingAsSent Spelling = "as sent"
)

// HashedWith returns what store.Binding.HashedWith is of hashes that were made with a
// secret, of keys in a spelling: the beginning of a keyed digest, which tells nothing of
// the secret. It is never 0.
func HashedWith(secret []byte, spelling Spelling) uint32 {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte("key-ip-sentinel: hashed with: " + spelling)) // never fails: hash.Hash
	return max(binary.BigEndian.Uint32(mac.Sum(nil)), 1)
}

// HashedWith is that of the hashes that r makes.
func (r *Reader) HashedWith() uint32 { return HashedWith(r.secret, SpellingCanonical) }

// HasPrevious reports whether there are secrets from before.
func (r *Reader) HasPrevious() bool { return len(r.previous) > 0 }

// AppendOlder appends the other hashes that key i of a set may be stored under, each
// once, those that count most first: of the secrets from before and, with asSent, of the
// key as it was sent. It allocates, and is for keys that are not found.
//
// Threat: the earlier deployment has bound sk-K, and who stole the key sends K, which the
// downstream takes for the same one and which hashes to something else: it would be an
// unknown key, and be bound anew. Answer: of what was sent, what it says with and without
// sk- is tried as well. A key that was stored with another case or with a suffix is found
// when it is sent in that way again, and not before: nobody can tell from its hash.
func (s *Set) AppendOlder(to []store.KeyHash, i int, asSent bool) []store.KeyHash {
	return s.reader.appendOlder(to, s.spelled[i], s.raw[i], asSent)
}

// AppendOlder appends the other hashes that a key may be stored under which somebody
// typed or pasted, as Set.AppendOlder does; none of what cannot be a key.
func (r *Reader) AppendOlder(to []store.KeyHash, spelled string, asSent bool) []store.KeyHash {
	var s Set
	s.reset(r)
	spelled = strings.Trim(spelled, " \t\r\n")
	key := r.canonicalKey(spelled, new(reading))
	if key == "" || len(spelled) > MaxValueBytes {
		return to
	}
	if _, err := s.add(key, &place{}); err != nil {
		return to
	}
	return r.appendOlder(to, key, spelled, asSent)
}

func (r *Reader) appendOlder(to []store.KeyHash, canonical, raw string, asSent bool) []store.KeyHash {
	key := canonical
	if r.foldsCase {
		key = strings.ToLower(key)
	}
	spellings := []string{key}
	if asSent {
		raw = strings.Trim(stripBearer(strings.Trim(raw, " \t")), " \t")
		spellings = append(spellings, raw)
		if r.profile == ProfileNewAPI { // whose canonical key has no sk-
			spellings = append(spellings, "sk-"+canonical, canonical)
		}
	}
	var macs []store.KeyHash
	for n, secret := range append([][]byte{r.secret}, r.previous...) {
		for m, spelling := range spellings {
			if n == 0 && m == 0 || spelling == "" {
				continue // the hash of today
			}
			mac := hmac.New(sha256.New, secret)
			_, _ = mac.Write([]byte(spelling))
			macs = append(macs, store.KeyHash(mac.Sum(nil)))
		}
	}
	today := r.Hash(key)
	for _, hash := range macs {
		if hash != today && !slices.Contains(to, hash) {
			to = append(to, hash)
		}
	}
	return to
}

// Origin is what hashes were made with, as a Reader knows it.
type Origin string

// The origins.
const (
	OriginNow      Origin = "now"      // the secret in use, and the canonical key
	OriginPrevious Origin = "previous" // a secret from before
	OriginAsSent   Origin = "as sent"  // the key as it was sent
	OriginUnknown  Origin = "unknown"  // a secret that is not given
)

// Origin tells what a store.Binding.HashedWith stands for.
func (r *Reader) Origin(hashedWith uint32) Origin {
	for n, secret := range append([][]byte{r.secret}, r.previous...) {
		switch hashedWith {
		case HashedWith(secret, SpellingAsSent):
			return OriginAsSent
		case HashedWith(secret, SpellingCanonical):
			if n == 0 {
				return OriginNow
			}
			return OriginPrevious
		}
	}
	return OriginUnknown
}
