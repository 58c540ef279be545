package store

import (
	"fmt"
	"net/netip"
)

// RuleKind is how a rule reads its prefixes.
type RuleKind string

// The kinds of rules.
const (
	RuleSingle   RuleKind = "single"   // exactly one prefix
	RuleMultiple RuleKind = "multiple" // one or more prefixes
	RuleAll      RuleKind = "all"      // any source; no prefixes
)

// MaxRulePrefixes is how many prefixes one rule may have.
const MaxRulePrefixes = 10_000

// Rule says which client IPs a key may be used from. The zero Rule is invalid
// and matches nothing.
type Rule struct {
	Kind     RuleKind       `json:"kind"`
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
}

// Validate returns an error that wraps ErrInvalid and names what is wrong: an
// unknown kind, a count of prefixes that the kind does not take, or a prefix
// that is not in its one form (valid, masked, not IPv4-mapped, without a zone).
func (r Rule) Validate() error {
	switch n := len(r.Prefixes); {
	case r.Kind == RuleAll && n != 0:
		return fmt.Errorf("%w: rule %q takes no prefixes, has %d", ErrInvalid, r.Kind, n)
	case r.Kind == RuleSingle && n != 1:
		return fmt.Errorf("%w: rule %q takes one prefix, has %d", ErrInvalid, r.Kind, n)
	case r.Kind == RuleMultiple && (n == 0 || n > MaxRulePrefixes):
		return fmt.Errorf("%w: rule %q takes 1 to %d prefixes, has %d", ErrInvalid, r.Kind, MaxRulePrefixes, n)
	case r.Kind != RuleAll && r.Kind != RuleSingle && r.Kind != RuleMultiple:
		return fmt.Errorf("%w: rule kind %q, want %q, %q or %q", ErrInvalid, r.Kind, RuleSingle, RuleMultiple, RuleAll)
	}
	for _, p := range r.Prefixes {
		if err := validatePrefix(p); err != nil {
			return err
		}
	}
	return nil
}

func validatePrefix(p netip.Prefix) error {
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
