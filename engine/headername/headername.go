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

// Set is an immutable set of header names. The zero Set and a nil *Set are
// empty. It is safe for concurrent use, and its methods do not allocate.
type Set struct {
	// byLength[n] holds the folded names of n bytes. Few headers of a request
	// share a length with a name of the set, and most of those differ in one
	// of the last bytes: that is what makes a look-up cost a few nanoseconds.
	byLength [][]string
}

// NewSet returns the set of these names. Empty names are left out.
func NewSet(names ...string) *Set {
	longest := 0
	for _, name := range names {
		longest = max(longest, len(name))
	}
	s := &Set{byLength: make([][]string, longest+1)}
	for _, name := range names {
		if name != "" && !s.Has(name) {
			s.byLength[len(name)] = append(s.byLength[len(name)], folded(name))
		}
	}
	return s
}

// Has reports whether name is one of the set or an alias of one: equal to it
// when case is ignored and all punctuation counts as '-'.
func (s *Set) Has(name string) bool {
	return s.find(name) != ""
}

// HasAlias reports whether name is an alias of one of the set, and not that
// header itself: net/http keeps it apart from the real one (case alone makes
// no other header), while servers exist that do not.
func (s *Set) HasAlias(name string) bool {
	found := s.find(name)
	for i := range len(found) {
		if fold[name[i]] == '-' && name[i] != '-' {
			return true
		}
	}
	return false
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

// find returns the folded name of the set that name equals, or "".
func (s *Set) find(name string) string {
	if s == nil || len(name) >= len(s.byLength) {
		return ""
	}
	for _, candidate := range s.byLength[len(name)] {
		if equalFolded(name, candidate) {
			return candidate
		}
	}
	return ""
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
