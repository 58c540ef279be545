package admin

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// ruleBody is a rule as the API shows it.
type ruleBody struct {
	Kind     store.RuleKind `json:"kind" enum:"single,multiple,all,learn" doc:"One prefix, several prefixes and networks, any source, or those and what the key is first used from."`
	Prefixes []netip.Prefix `json:"prefixes" doc:"The prefixes; none for all." example:"[\"10.0.0.0/8\"]"`
	Networks []string       `json:"networks,omitempty" doc:"Names of networks of which every prefix counts as one of the rule's own; absent if there are none." example:"[\"office\"]"`
	Learn    *learnBody     `json:"learn,omitempty" doc:"How the rule learns; of the kind learn only."`
}

// learnBody is how a rule learns, as the API shows it and as a client sends it.
type learnBody struct {
	Limit         int       `json:"limit" minimum:"1" maximum:"64" doc:"How many prefixes there may be in all: each accepted use from a new address adds one." example:"3"`
	WithinSeconds int64     `json:"withinSeconds" minimum:"1" maximum:"31622400" doc:"For how long it learns from its first use on." example:"86400"`
	Until         time.Time `json:"until,omitzero" doc:"When that is over. Absent before the first use, which sets it: send what was there to go on, and nothing to begin anew."`
}

// ruleInput is a rule as a client sends it.
type ruleInput struct {
	Kind     store.RuleKind `json:"kind" enum:"single,multiple,all,learn" doc:"One prefix, several prefixes and networks, any source, or those and what the key is first used from."`
	Prefixes []string       `json:"prefixes,omitempty" maxItems:"10000" doc:"Addresses or CIDRs without host bits; none for all." example:"[\"10.0.0.0/8\",\"2001:db8::1\"]"`
	Networks []string       `json:"networks,omitempty" maxItems:"64" doc:"Names of networks; for multiple and learn." example:"[\"office\"]"`
	Learn    *learnBody     `json:"learn,omitempty" doc:"How the rule learns; of the kind learn only, which needs it."`
	// Any source is what all is for: a prefix that covers everything is more
	// often a slip.
	ConfirmAnySource bool `json:"confirmAnySource,omitempty" doc:"Must be true if 0.0.0.0/0 or ::/0 is among the prefixes."`
}

func showRule(r store.Rule) ruleBody {
	body := ruleBody{Kind: r.Kind, Prefixes: r.Prefixes, Networks: r.Networks}
	if body.Prefixes == nil {
		body.Prefixes = []netip.Prefix{}
	}
	if r.Kind == store.RuleLearn {
		body.Learn = &learnBody{r.Learn.Limit, int64(r.Learn.Within / time.Second), r.Learn.Until.UTC()}
	}
	return body
}

func (in learnBody) learn() store.Learn {
	const tooLong = int64(store.MaxLearnWithin/time.Second) + 1 // what is beyond must not overflow
	l := store.Learn{Limit: in.Limit, Within: time.Duration(max(0, min(in.WithinSeconds, tooLong))) * time.Second}
	if !in.Until.IsZero() {
		l.Until = store.StoredTime(in.Until)
	}
	return l
}

// maxRuleFaults is how many prefixes or networks of one rule are complained of.
const maxRuleFaults = 20

// rule returns the rule that is meant. location is the field's own, such as
// body.rule.
func (in ruleInput) rule(location string, f *faults) store.Rule {
	var own faults
	r := store.Rule{Kind: in.Kind, Prefixes: in.prefixes(location, &own), Networks: in.networks(location, &own)}
	switch {
	case in.Learn != nil:
		r.Learn = in.Learn.learn()
	case in.Kind == store.RuleLearn:
		own.addf(location+".learn", "is missing: how many prefixes may be learned, and for how long, such as {\"limit\": 3, \"withinSeconds\": 86400}")
	}
	if len(own) == 0 {
		if fault := ruleFault(r); fault != "" {
			own.addf(location, "%s", fault)
		}
	}
	*f = append(*f, own[:min(len(own), maxRuleFaults)]...)
	return r
}

func (in ruleInput) prefixes(location string, f *faults) (prefixes []netip.Prefix) {
	for i, text := range in.Prefixes {
		p, fault := parsePrefix(text)
		if fault == "" && p.Bits() == 0 && !in.ConfirmAnySource {
			fault = fmt.Sprintf("%s is every %s address: give the rule the kind all if the key may be used from anywhere, or confirm with confirmAnySource",
				p, family(p))
		}
		if fault != "" {
			f.addf(fmt.Sprintf("%s.prefixes[%d]", location, i), "%s", fault)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes
}

// networks does not repeat what is no name: it may be a key that was pasted into
// the wrong place.
func (in ruleInput) networks(location string, f *faults) []string {
	for i, name := range in.Networks {
		field := fmt.Sprintf("%s.networks[%d]", location, i)
		switch {
		case store.ValidateNetworkName(name) != nil:
			f.addf(field, "is no name of a network: want up to %d bytes of letters, but no capital ones, and digits, with . - _ between, such as office",
				store.MaxNetworkNameBytes)
		case slices.Contains(in.Networks[:i], name):
			f.addf(field, "is there twice")
		}
	}
	return in.Networks
}

// ruleFault says what is wrong with a rule, without the name of the error.
func ruleFault(r store.Rule) string {
	err := r.Validate()
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": ")
}

func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// ruleWarnings says which prefixes of a rule add nothing to the others.
func ruleWarnings(r store.Rule) (texts []string) {
	sorted := slices.SortedFunc(slices.Values(r.Prefixes), netip.Prefix.Compare)
	more := 0
	var outer netip.Prefix // the last one that no other covers: one that is covered comes right behind
	for _, p := range sorted {
		switch {
		case !outer.IsValid() || !outer.Overlaps(p):
			outer = p
		case len(texts) == maxRuleFaults:
			more++
		case p == outer:
			texts = append(texts, fmt.Sprintf("%s is there twice, which adds nothing", p))
		default:
			texts = append(texts, fmt.Sprintf("%s is within %s and adds nothing", p, outer))
		}
	}
	if more > 0 {
		texts = append(texts, fmt.Sprintf("%d more prefixes add nothing", more))
	}
	return texts
}
