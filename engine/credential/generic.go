package credential

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var errNoLocation = errors.New("locations are empty: name at least one, such as header:Authorization")

// Location is a configured place of a key. ParseLocations makes them.
type Location struct{ place place }

// maxLocations bounds how many places may be configured.
const maxLocations = 16

// ParseLocations reads a list such as
//
//	header:Authorization, header:X-Api-Key, query:key, subprotocol:openai-insecure-api-key.
//
// in the order in which the downstream prefers them.
func ParseLocations(s string) ([]Location, error) {
	var locations []Location
	for item := range strings.SplitSeq(s, ",") {
		kind, name, _ := strings.Cut(strings.TrimSpace(item), ":")
		name = strings.TrimSpace(name)
		if name == "" {
			return nil, fmt.Errorf("location %q, want header:NAME, query:NAME or subprotocol:PREFIX", item)
		}
		var p place
		switch strings.TrimSpace(kind) {
		case "header":
			if p = header(name); !isToken(name) || unreadableHeaders[p.name] || p.name == headerProtocol {
				return nil, fmt.Errorf("location %q is not a header that carries keys", item)
			}
		case "query":
			p = query(name)
		case "subprotocol":
			p = protocol(name)
		default:
			return nil, fmt.Errorf("location %q, want header:NAME, query:NAME or subprotocol:PREFIX", item)
		}
		for _, l := range locations {
			if l.place.kind == p.kind && l.place.name == p.name && l.place.prefix == p.prefix {
				return nil, fmt.Errorf("location %q is named twice", item)
			}
		}
		locations = append(locations, Location{p})
	}
	if len(locations) > maxLocations {
		return nil, fmt.Errorf("%d locations, at most %d", len(locations), maxLocations)
	}
	return locations, nil
}

// Canonical is the steps from a credential to its canonical key. The zero value
// takes it as it is. ParseCanonical makes others.
type Canonical struct {
	steps     []step
	foldsCase bool
}

type step struct {
	name string
	text string // of strip and cut
}

// ParseCanonical reads a list of steps such as
//
//	bearer,trim,strip:sk-,cut:-,lower
//
// bearer removes the scheme, in any case; trim removes spaces on both sides;
// strip removes a prefix once; cut removes a text and all that follows it;
// lower, which comes last, ignores case. An empty list takes keys as they are.
func ParseCanonical(s string) (Canonical, error) {
	var c Canonical
	if strings.TrimSpace(s) == "" {
		return c, nil
	}
	for item := range strings.SplitSeq(s, ",") {
		name, text, hasText := strings.Cut(strings.TrimSpace(item), ":")
		if c.foldsCase {
			return Canonical{}, fmt.Errorf("canonical step %q: lower must come last", item)
		}
		switch {
		case name == "lower" && !hasText:
			c.foldsCase = true
		case (name == "bearer" || name == "trim") && !hasText, (name == "strip" || name == "cut") && text != "":
			c.steps = append(c.steps, step{name, text})
		default:
			return Canonical{}, fmt.Errorf("canonical step %q, want bearer, trim, strip:TEXT, cut:TEXT or lower", item)
		}
	}
	return c, nil
}

// apply returns the canonical key, in the case it has.
func (c *Canonical) apply(value string) string {
	for _, s := range c.steps {
		switch s.name {
		case "bearer":
			value = canonicalOpenAI(value)
		case "trim":
			value = strings.TrimSpace(value)
		case "strip":
			value = strings.TrimPrefix(value, s.text)
		case "cut":
			value, _, _ = strings.Cut(value, s.text)
		}
	}
	return value
}

func (r *Reader) configure(o Options) error {
	if len(o.Locations) == 0 {
		return errNoLocation
	}
	if len(o.Locations) > maxLocations {
		return fmt.Errorf("%d locations, at most %d", len(o.Locations), maxLocations)
	}
	for _, l := range o.Locations {
		r.places = append(r.places, l.place)
	}
	for _, path := range o.BindPaths {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("path %q does not begin with '/'", path)
		}
	}
	r.canonical, r.foldsCase, r.bindPaths = o.Canonical, o.Canonical.foldsCase, slices.Clone(o.BindPaths)
	return nil
}

func (r *Reader) isBindPath(path string) bool {
	for _, prefix := range r.bindPaths {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
