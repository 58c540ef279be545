package admin

import (
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// In files, the name of a network among prefixes has a mark before it, and the
// kind of a rule that learns says how: @office, learn:3/24h.
const (
	networkMark = "@"
	learnMark   = string(store.RuleLearn) + ":"
)

// rule returns the rule of a row. A row without any is a fault: it is never
// taken for the rule all.
func (p *importParser) rule(row int, in importedRow) store.Rule {
	input := ruleInput{Kind: store.RuleKind(strings.TrimSpace(in.rule)), Learn: in.learn, ConfirmAnySource: p.anySource}
	input.Networks = in.networks
	for _, text := range in.prefixes {
		if name, isNetwork := strings.CutPrefix(text, networkMark); isNetwork {
			input.Networks = append(input.Networks, name)
		} else {
			input.Prefixes = append(input.Prefixes, text)
		}
	}
	p.prefixes += len(input.Prefixes) + len(input.Networks)
	before := p.refused.Total
	p.learn(row, in, &input)
	kind := &input.Kind
	switch {
	case *kind != "":
	case input.Learn != nil:
		*kind = store.RuleLearn
	case len(input.Prefixes) == 1 && len(input.Networks) == 0:
		*kind = store.RuleSingle
	default:
		*kind = store.RuleMultiple
	}
	switch {
	case p.refused.Total > before:
	case *kind != store.RuleSingle && *kind != store.RuleMultiple && *kind != store.RuleAll && *kind != store.RuleLearn:
		p.fault(row, "rule", "want single, multiple, all, or how it learns, such as learn:3/24h")
	case (*kind == store.RuleSingle || *kind == store.RuleMultiple) && len(input.Prefixes)+len(input.Networks) == 0:
		p.fault(row, "prefixes", "is empty, which only goes with the rules all and learn")
	case *kind == store.RuleLearn && input.Learn == nil:
		p.fault(row, "rule", "does not say how it learns, such as learn:3/24h for 3 prefixes within 24 hours of the first use")
	default:
		return p.checkedRule(row, input)
	}
	return store.Rule{}
}

// learn reads how a rule learns, if its kind says it, and until when.
func (p *importParser) learn(row int, in importedRow, input *ruleInput) {
	if text, found := strings.CutPrefix(string(input.Kind), learnMark); found {
		l, err := engine.ParseLearn(text)
		switch {
		case err != nil:
			p.fault(row, "rule", "%s", err)
		case input.Learn != nil:
			p.fault(row, "learn", "is what the rule says already: give it once")
		}
		input.Kind, input.Learn = store.RuleLearn, &learnBody{Limit: l.Limit, WithinSeconds: int64(l.Within / time.Second)}
	}
	until := strings.TrimSpace(in.learnUntil)
	if until == "" {
		return
	}
	at, err := time.Parse(time.RFC3339, until)
	switch {
	case err != nil || at.Year() < 1970:
		p.fault(row, "learnUntil", "is no time, such as 2026-03-04T05:06:07Z")
	case input.Learn == nil:
		p.fault(row, "learnUntil", "goes with a rule that learns only")
	default:
		input.Learn.Until = at
	}
}

func (p *importParser) checkedRule(row int, input ruleInput) store.Rule {
	var f faults
	rule := input.rule("rule", &f)
	for _, fault := range f {
		column := "rule"
		if strings.HasPrefix(fault.Location, "rule.prefixes") || strings.HasPrefix(fault.Location, "rule.networks") {
			column = "prefixes"
		}
		p.fault(row, column, "%s", fault.Message)
	}
	for _, text := range ruleWarnings(rule) {
		p.warn(row, text)
	}
	return rule
}
