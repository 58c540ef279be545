// Package headername recognises a header under every spelling that some
// server reads as the same header.
//
// Threat: net/http sees X-Forwarded-For and X_Forwarded_For as two headers. A
// server behind that maps names to variables (CGI, WSGI, FastCGI and the
// gateways built on them) turns '-' into '_', some turn every character that
// is no letter or digit into '_', and then both are one. A client that sends
// the second spelling past a proxy that cleans only the first one has its own
// value believed. So names are compared here as the most lenient of those
// servers does: without case, and with all punctuation alike.
package headername

import "strings"

// Set is an immutable set of header names. The zero Set and a nil *Set are
// empty. It is safe for concurrent use, and its methods do not allocate.
type Set struct {
	// byLength[n] holds the names of n bytes. Few headers of a request
	// share a length with a name of the set, and most of those differ in one
	// of the last bytes: that is what makes a look-up cost a few nanoseconds.
	byLength [][]entry
}

type entry struct{ folded, name string }

// NewSet returns the set of these names. Empty names are left out.
func NewSet(names ...string) *Set {
	longest := 0
	for _, name := range names {
		longest = max(longest, len(name))
	}
	s := &Set{byLength: make([][]entry, longest+1)}
	for _, name := range names {
		if name != "" {
			s.byLength[len(name)] = append(s.byLength[len(name)], entry{folded(name), name})
		}
	}
	return s
}

// Has reports whether name is one of the set or an alias of one: equal to it
// when case is ignored and all punctuation counts as '-'.
func (s *Set) Has(name string) bool {
	for _, e := range s.ofLength(len(name)) {
		if equalFolded(name, e.folded) {
			return true
		}
	}
	return false
}

// HasAlias reports whether name is an alias of one of the set, and not one of
// them itself: net/http keeps it apart from the real one (case alone makes no
// other header), while servers exist that do not.
func (s *Set) HasAlias(name string) bool {
	alias := false
	for _, e := range s.ofLength(len(name)) {
		if equalFolded(name, e.folded) {
			if strings.EqualFold(name, e.name) {
				return false
			}
			alias = true
		}
	}
	return alias
}

func (s *Set) ofLength(n int) []entry {
	if s == nil || n >= len(s.byLength) {
		return nil
	}
	return s.byLength[n]
}

// Equal reports whether a is b or an alias of it. It does not allocate.
func Equal(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := len(a) - 1; i >= 0; i-- {
		if fold[a[i]] != fold[b[i]] {
			return false
		}
	}
	return true
}

// equalFolded reports whether name, folded, is candidate. Both have one length.
// It begins at the end, because many names begin with "X-".
func equalFolded(name, candidate string) bool {
	for i := len(candidate) - 1; i >= 0; i-- {
		if fold[name[i]] != candidate[i] {
			return false
		}
	}
	return true
}

func folded(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = fold[c]
	}
	return string(b)
}

// fold maps letters to lower case, digits to themselves, and everything else
// to '-'.
var fold = func() (table [256]byte) {
	for i := range table {
		table[i] = '-'
	}
	for c := '0'; c <= '9'; c++ {
		table[c] = byte(c)
	}
	for c := byte('a'); c <= 'z'; c++ {
		table[c], table[c-'a'+'A'] = c, c
	}
	return table
}()
