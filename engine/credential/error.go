package credential

import "fmt"

// Kind says why the credentials of a request cannot be read.
type Kind string

// The kinds of Error.
const (
	// Repeated means that a credential header came in several lines: servers
	// differ in which one they read.
	Repeated Kind = "repeated"
	// Unprintable means that a key has a character outside printable ASCII. No
	// downstream gives out such keys, and some databases equate them with others.
	Unprintable Kind = "unprintable"
	// BadQuery means that the query has a ';' or a broken percent-escape:
	// servers differ in how they read it.
	BadQuery Kind = "bad_query"
	// TooManyParameters means that the query has more than MaxParameters.
	TooManyParameters Kind = "too_many_parameters"
	// TooLong means that a credential has more than MaxValueBytes.
	TooLong Kind = "too_long"
	// TooMany means that the request has more than MaxKeys distinct keys.
	TooMany Kind = "too_many"
	// Empty means that there is no key, where one was to be hashed.
	Empty Kind = "empty"
)

// Limits of what one request may carry.
const (
	MaxKeys       = 16      // distinct keys
	MaxValueBytes = 4 << 10 // bytes of one credential
	MaxParameters = 1000    // parameters of the query
)

// Error is a request whose credentials cannot be read in one way only.
type Error struct {
	Kind  Kind
	Place string // such as "Authorization header"; empty for the request as a whole
}

// Error returns a message for the client. It names the place and holds no part
// of a key.
func (e *Error) Error() string {
	switch e.Kind {
	case Repeated:
		return fmt.Sprintf("%s is repeated: send it once", e.Place)
	case Unprintable:
		return fmt.Sprintf("%s: the key has characters that no key has", e.Place)
	case BadQuery:
		return "query has a ';' or a broken percent-escape: write them as %3B and %25"
	case TooManyParameters:
		return fmt.Sprintf("query has more than %d parameters", MaxParameters)
	case TooLong:
		return fmt.Sprintf("%s is longer than %d bytes", e.Place, MaxValueBytes)
	case TooMany:
		return fmt.Sprintf("request has more than %d different keys", MaxKeys)
	case Empty:
		return fmt.Sprintf("%s: there is no key in it", e.Place)
	default:
		return string(e.Kind)
	}
}
