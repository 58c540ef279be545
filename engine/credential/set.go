package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"net/http"
	"strings"

	"github.com/key-ip-sentinel/sentinel/store"
)

// maxSlots bounds how many places a profile has, with the readings that older
// versions have of some.
const maxSlots = 24

// reading is what a place holds.
type reading struct {
	seen    bool  // the place is there
	present bool  // it is not empty
	blank   bool  // newapi: what it holds counts as nothing
	key     uint8 // index of its key in the set, plus one; 0 if it holds none
}

// index returns the index of the key, or -1.
func (r reading) index() int { return int(r.key) - 1 }

// Set is the distinct keys of one request. The zero Set is empty and ready for
// Read; used again for later requests it does not allocate. It is not safe for
// concurrent use.
type Set struct {
	reader  *Reader
	mac     hash.Hash
	n       int
	hashes  [MaxKeys]store.KeyHash
	spelled [MaxKeys]string // canonical keys, in the case they came in
	raw     [MaxKeys]string // what they were first read of; empty of access tokens

	at    [maxSlots]reading
	masks [maxSlots]uint32 // which keys each place holds

	primary   int
	ambiguous bool
	dashboard bool
	cookie    bool // the session cookie could be what the downstream accepts

	scratch [128]byte
}

// Reset empties the set, so that it holds no part of a request.
func (s *Set) Reset() { s.reset(s.reader) }

func (s *Set) reset(r *Reader) {
	if s.reader != r {
		s.reader, s.mac = r, hmac.New(sha256.New, r.secret)
	}
	clear(s.spelled[:s.n])
	clear(s.raw[:s.n])
	s.n, s.primary = 0, -1
	s.ambiguous, s.dashboard, s.cookie = false, false, false
	clear(s.at[:])
	clear(s.masks[:])
}

// add puts a canonical key into the set, and returns its index.
func (s *Set) add(key string, p *place) (int, error) {
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return 0, &Error{Kind: Unprintable, Place: p.shown}
		}
	}
	for i := range s.n {
		if s.spelled[i] == key || s.reader.foldsCase && strings.EqualFold(s.spelled[i], key) {
			return i, nil
		}
	}
	if s.n == MaxKeys {
		return 0, &Error{Kind: TooMany}
	}
	i := s.n
	s.spelled[i] = key
	s.digest(key, &s.hashes[i])
	s.n++
	return i, nil
}

// lower maps ASCII letters to lower case, without a branch for each of them.
var lower = func() (table [256]byte) {
	for i := range table {
		c := byte(i)
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		table[i] = c
	}
	return table
}()

// digest computes the key hash of a canonical key: HMAC-SHA256 of it, in lower
// case where the downstream ignores case. The state is kept and reset, which
// spares the allocation and two of four blocks.
func (s *Set) digest(key string, to *store.KeyHash) {
	s.mac.Reset()
	for key != "" {
		n := copy(s.scratch[:], key)
		if s.reader.foldsCase {
			for i, c := range s.scratch[:n] {
				s.scratch[i] = lower[c]
			}
		}
		_, _ = s.mac.Write(s.scratch[:n]) // never fails: hash.Hash
		key = key[n:]
	}
	s.mac.Sum(to[:0])
}

// Len returns how many distinct keys there are.
func (s *Set) Len() int { return s.n }

// Hash returns the key hash of key i, in order of finding.
func (s *Set) Hash(i int) store.KeyHash { return s.hashes[i] }

// Hint returns what may be shown of key i. It allocates.
func (s *Set) Hint(i int) string { return s.reader.hint(s.spelled[i]) }

// Primary returns the index of the key that the downstream would use on this
// path, or -1 if it would use none.
func (s *Set) Primary() int { return s.primary }

// Ambiguous reports whether another version of the downstream would use another
// key than Primary here, or something else than a key.
//
// Threat: two stolen keys, placed so that Sentinel takes one for the primary
// key and the downstream uses the other. Its success would bind the first, and
// the second is spent again and again without a binding. Answer: before an
// unknown key is forwarded, StripOthers leaves only one reading. A request that
// was to be accepted for another key is then refused by the downstream, and
// nothing is bound.
func (s *Set) Ambiguous() bool { return s.ambiguous }

// Dashboard reports whether a login token of New API's dashboard was
// recognised. It is none of the keys.
func (s *Set) Dashboard() bool { return s.dashboard }

// StripOthers removes from h, the header that was read, every credential header
// that holds another key than keep. A header that holds both goes too: what is
// left of the request can only succeed with keep, or not at all. The query
// stays as it is.
func (s *Set) StripOthers(h http.Header, keep int) {
	if s.n == 0 {
		return
	}
	for i := range s.reader.places {
		p := &s.reader.places[i]
		if p.kind != inQuery && s.masks[i]&^(1<<keep) != 0 {
			delete(h, p.name)
		}
	}
	if s.cookie {
		delete(h, "Cookie")
	}
}
