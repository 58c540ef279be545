package store

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// RuleKind is how a rule reads its prefixes.
type RuleKind string

// The kinds of rules.
const (
	RuleSingle   RuleKind = "single"   // exactly one prefix
	RuleMultiple RuleKind = "multiple" // one or more prefixes and named networks
	RuleAll      RuleKind = "all"      // any source; no prefixes
	RuleLearn    RuleKind = "learn"    // those that it learns, and what multiple takes
)

// Limits of one rule.
const (
	MaxRulePrefixes = 10_000
	MaxRuleNetworks = 64
	MaxLearnLimit   = 64
	MaxLearnWithin  = 366 * 24 * time.Hour
)

// Rule says which client IPs a key may be used from. The zero Rule is invalid
// and matches nothing.
type Rule struct {
	Kind     RuleKind       `json:"kind"`
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
	// Networks are the names of networks of which every prefix counts as one of
	// the rule's own.
	Networks []string `json:"networks,omitempty"`
	Learn    Learn    `json:"learn,omitzero"` // of RuleLearn
}

// Learn is how a rule learns: each accepted use from a new address adds a prefix,
// until there are Limit of them or the time is over. The zero Learn learns
// nothing.
type Learn struct {
	// Limit is how many prefixes there may be in all.
	Limit int `json:"limit"`
	// Within is how long it learns from its first use on.
	Within time.Duration `json:"within"` // whole seconds
	// Until is when that is over; zero before the first use.
	Until time.Time `json:"until,omitzero"` // milliseconds, UTC
}

// String returns how it learns, as engine.ParseLearn reads it: 3/24h, 3/7d.
func (l Learn) String() string {
	const day = 24 * time.Hour
	switch {
	case l.Within%day == 0 && l.Within > day:
		return fmt.Sprintf("%d/%dd", l.Limit, l.Within/day)
	case l.Within%time.Hour == 0:
		return fmt.Sprintf("%d/%dh", l.Limit, l.Within/time.Hour)
	case l.Within%time.Minute == 0:
		return fmt.Sprintf("%d/%dm", l.Limit, l.Within/time.Minute)
	}
	return fmt.Sprintf("%d/%ds", l.Limit, l.Within/time.Second)
}

// Learns reports whether the rule takes another prefix at a time.
func (r Rule) Learns(now time.Time) bool {
	return r.Kind == RuleLearn && len(r.Prefixes) < r.Learn.Limit && (r.Learn.Until.IsZero() || now.Before(r.Learn.Until))
}

// Equal reports whether two rules say the same in the same order.
func (r Rule) Equal(o Rule) bool {
	return r.Kind == o.Kind && slices.Equal(r.Prefixes, o.Prefixes) && slices.Equal(r.Networks, o.Networks) &&
		r.Learn.Limit == o.Learn.Limit && r.Learn.Within == o.Learn.Within && r.Learn.Until.Equal(o.Learn.Until)
}

// Clone returns a rule that shares nothing with r.
func (r Rule) Clone() Rule {
	r.Prefixes, r.Networks = slices.Clone(r.Prefixes), slices.Clone(r.Networks)
	return r
}

// Validate returns an error that wraps ErrInvalid and names what is wrong: an
// unknown kind, a count of prefixes or networks that the kind does not take, a
// prefix that is not in its one form (valid, masked, not IPv4-mapped, without a
// zone), or a name that is none or twice there.
func (r Rule) Validate() error {
	switch n := len(r.Prefixes); {
	case r.Kind != RuleAll && r.Kind != RuleSingle && r.Kind != RuleMultiple && r.Kind != RuleLearn:
		return fmt.Errorf("%w: rule kind %q, want %q, %q, %q or %q", ErrInvalid, r.Kind, RuleSingle, RuleMultiple, RuleAll, RuleLearn)
	case r.Kind == RuleAll && n != 0:
		return fmt.Errorf("%w: rule %q takes no prefixes, has %d", ErrInvalid, r.Kind, n)
	case r.Kind == RuleSingle && n != 1:
		return fmt.Errorf("%w: rule %q takes one prefix, has %d", ErrInvalid, r.Kind, n)
	case r.Kind == RuleMultiple && n == 0 && len(r.Networks) == 0:
		return fmt.Errorf("%w: rule %q has neither prefixes nor networks, and would match nothing", ErrInvalid, r.Kind)
	case n > MaxRulePrefixes:
		return fmt.Errorf("%w: rule of %d prefixes, at most %d", ErrInvalid, n, MaxRulePrefixes)
	case (r.Kind == RuleAll || r.Kind == RuleSingle) && len(r.Networks) > 0:
		return fmt.Errorf("%w: rule %q takes no networks, has %d", ErrInvalid, r.Kind, len(r.Networks))
	case len(r.Networks) > MaxRuleNetworks:
		return fmt.Errorf("%w: rule of %d networks, at most %d", ErrInvalid, len(r.Networks), MaxRuleNetworks)
	}
	for _, p := range r.Prefixes {
		if err := ValidatePrefix(p); err != nil {
			return err
		}
	}
	for i, name := range r.Networks {
		if err := ValidateNetworkName(name); err != nil {
			return err
		}
		if slices.Contains(r.Networks[:i], name) {
			return fmt.Errorf("%w: rule names network %q twice", ErrInvalid, name)
		}
	}
	return r.validateLearn()
}

func (r Rule) validateLearn() error {
	l := r.Learn
	switch {
	case r.Kind != RuleLearn && l != (Learn{}):
		return fmt.Errorf("%w: rule %q does not learn", ErrInvalid, r.Kind)
	case r.Kind != RuleLearn:
		return nil
	case l.Limit < 1 || l.Limit > MaxLearnLimit:
		return fmt.Errorf("%w: rule learns %d prefixes, want 1 to %d", ErrInvalid, l.Limit, MaxLearnLimit)
	case len(r.Prefixes) > l.Limit:
		return fmt.Errorf("%w: rule has %d prefixes, and learns up to %d", ErrInvalid, len(r.Prefixes), l.Limit)
	case l.Within < time.Second || l.Within > MaxLearnWithin || l.Within%time.Second != 0:
		return fmt.Errorf("%w: rule learns within %s, want whole seconds, at most %s", ErrInvalid, l.Within, MaxLearnWithin)
	}
	return nil
}

// ValidatePrefix returns an error that wraps ErrInvalid if a prefix is not in its
// one form: valid, masked, not IPv4-mapped, without a zone.
func ValidatePrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return fmt.Errorf("%w: invalid prefix", ErrInvalid)
	case p.Addr().Is4In6():
		return fmt.Errorf("%w: prefix %s is IPv4-mapped, write it as IPv4", ErrInvalid, p)
	case p != p.Masked():
		return fmt.Errorf("%w: prefix %s has host bits set, meant is %s", ErrInvalid, p, p.Masked())
	}
	return nil
}

// MaxNetworkNameBytes bounds the name of a network.
const MaxNetworkNameBytes = 64

// networkNameJoints stand between the letters of a network's name.
const networkNameJoints = ".-_"

// ValidateNewNetworkName is ValidateNetworkName for a network that is to be made: the
// last character of its name is no punctuation mark either, which readers, and programs
// that find links, take for that of the text around it.
func ValidateNewNetworkName(name string) error {
	if err := ValidateNetworkName(name); err != nil {
		return err
	}
	if last := name[len(name)-1]; strings.IndexByte(networkNameJoints, last) >= 0 {
		return fmt.Errorf("%w: network name %q ends in %q, want letters and digits, with . - _ between, such as office", ErrInvalid, name, last)
	}
	return nil
}

// ValidateNetworkName returns an error that wraps ErrInvalid if a text cannot be
// the name of a network: letters of any script but capital ones, and digits, with
// dots, hyphens and underscores between, or at the end of names from before.
func ValidateNetworkName(name string) error {
	if name == "" || len(name) > MaxNetworkNameBytes || !utf8.ValidString(name) {
		return fmt.Errorf("%w: network name of %d bytes, want 1 to %d, such as office", ErrInvalid, len(name), MaxNetworkNameBytes)
	}
	for i, r := range name {
		isInner := strings.ContainsRune(networkNameJoints, r) && i > 0
		switch {
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			return fmt.Errorf("%w: network name %q has capital letters, write it in small ones", ErrInvalid, name)
		case !isInner && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r):
			return fmt.Errorf("%w: network name %q has %q in it, want letters and digits, with . - _ between, such as office", ErrInvalid, name, r)
		}
	}
	return nil
}
