package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// NewRule is the rule that a first use gives the keys whose hint has a pattern.
type NewRule struct {
	// Pattern is one of path.Match, such as sk-ci*; empty: of any hint.
	Pattern string
	// Rule is without the client's own prefix, and without the end of its learning.
	Rule store.Rule
}

// maxNewRules bounds how many there are: each first use looks at all of them.
const maxNewRules = 100

// ParseNewRules reads rules for new keys, separated by commas or spaces; of those
// whose pattern fits a hint the first counts:
//
//	single                  the client's address
//	all                     any source
//	@office+@vpn            the client's address, and these networks
//	learn:3/24h             the first 3 addresses within 24 hours
//	learn:3/7d+@office      likewise, and this network
//	sk-ci*=all              one of these, for the keys whose hint begins with sk-ci
func ParseNewRules(s string) ([]NewRule, error) {
	var rules []NewRule
	var faults []error
	for item := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }) {
		pattern, text, found := strings.Cut(item, "=")
		if !found {
			pattern, text = "", item
		}
		rule, err := parseNewRule(text)
		if _, bad := path.Match(pattern, ""); err == nil && (bad != nil || found && pattern == "") {
			err = errors.New("has a bad pattern before =: want a part of a hint with * or ?, such as sk-ci*")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%q %w", item, err))
			continue
		}
		rules = append(rules, NewRule{pattern, rule})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return rules, newRulesFault(rules)
}

func parseNewRule(s string) (store.Rule, error) {
	parts := strings.Split(s, "+")
	rule := store.Rule{Kind: store.RuleMultiple}
	switch first := parts[0]; {
	case first == string(store.RuleSingle) || first == string(store.RuleAll):
		rule.Kind = store.RuleKind(first)
		parts = parts[1:]
	case strings.HasPrefix(first, string(store.RuleLearn)+":"):
		learn, err := ParseLearn(strings.TrimPrefix(first, string(store.RuleLearn)+":"))
		if err != nil {
			return rule, err
		}
		rule.Kind, rule.Learn = store.RuleLearn, learn
		parts = parts[1:]
	case !strings.HasPrefix(first, "@"):
		return rule, errors.New("is no rule: want single, all, learn:3/24h or @network")
	}
	for _, part := range parts {
		name, isNetwork := strings.CutPrefix(part, "@")
		if !isNetwork {
			return rule, fmt.Errorf("has %q after +: want a network, such as @office", part)
		}
		rule.Networks = append(rule.Networks, name)
	}
	if rule.Kind == store.RuleSingle && len(rule.Networks) > 0 {
		rule.Kind = store.RuleMultiple
	}
	if err := withPrefix(rule, netip.MustParsePrefix("192.0.2.1/32")).Validate(); err != nil {
		return rule, errors.New(strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": "))
	}
	return rule, nil
}

// ParseLearn reads how a rule learns: a number of addresses and a duration, such
// as 3/24h or 3/7d.
func ParseLearn(s string) (store.Learn, error) {
	limit, within, found := strings.Cut(s, "/")
	n, err := strconv.Atoi(limit)
	if !found || err != nil {
		return store.Learn{}, fmt.Errorf("learns %.40q: want a number of addresses and a time, such as 3/24h", s)
	}
	d, err := time.ParseDuration(within)
	if days, isDays := strings.CutSuffix(within, "d"); isDays {
		var count int
		count, err = strconv.Atoi(days)
		d = time.Duration(min(count, int(store.MaxLearnWithin.Hours()))) * 24 * time.Hour // never overflows
	}
	if err != nil {
		return store.Learn{}, fmt.Errorf("learns within %.40q: want a time such as 90m, 24h or 7d", within)
	}
	l := store.Learn{Limit: n, Within: d}
	if err := (store.Rule{Kind: store.RuleLearn, Learn: l}).Validate(); err != nil {
		return store.Learn{}, errors.New(strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": "))
	}
	return l, nil
}

func newRulesFault(rules []NewRule) error {
	if len(rules) > maxNewRules {
		return fmt.Errorf("%d rules for new keys, at most %d", len(rules), maxNewRules)
	}
	for i, r := range rules {
		if r.Pattern == "" && i < len(rules)-1 {
			return fmt.Errorf("rule %d for new keys is for every hint, and those behind it would never count: put it last", i+1)
		}
	}
	return nil
}

// withPrefix returns a rule for new keys with the client's own prefix.
func withPrefix(r store.Rule, p netip.Prefix) store.Rule {
	r = r.Clone()
	if r.Kind != store.RuleAll {
		r.Prefixes = []netip.Prefix{p}
	}
	return r
}

// ruleOfFirstUse returns the rule that a first use gives a key. done is to be
// called once it is stored. Networks that do not exist are left out, as in a rule
// they would match nothing.
func (e *Engine) ruleOfFirstUse(policy *Policy, hint string, p netip.Prefix, now time.Time) (rule store.Rule, done func()) {
	rule = store.Rule{Kind: store.RuleSingle}
	for _, r := range policy.NewRules {
		if fits, _ := path.Match(r.Pattern, hint); fits || r.Pattern == "" {
			rule = r.Rule
			break
		}
	}
	rule = withPrefix(rule, p)
	if rule.Kind == store.RuleLearn {
		rule.Learn.Until = now.Add(rule.Learn.Within)
	}
	done, err := e.networks.Naming(rule)
	if err == nil {
		return rule, done
	}
	e.logger.Warn("the rule for new keys names a network that does not exist", "error", err)
	rule.Networks = slices.DeleteFunc(rule.Networks, func(name string) bool {
		return e.networks.Check(store.Rule{Networks: []string{name}}) != nil
	})
	if done, err = e.networks.Naming(rule); err != nil {
		rule.Networks, done = nil, func() {}
	}
	return rule, done
}
