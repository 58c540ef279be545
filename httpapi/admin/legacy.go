package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// registerLegacyBindings adds the paths of the earlier deployment, which name
// the key in the body.
func (a *API) registerLegacyBindings() {
	legacy := func(method, path, id, summary, instead string) operation {
		return operation{
			method: method, path: path, id: id, tag: bindingTag, role: account.Operator, summary: summary, deprecated: true,
			errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
			about:  "A path of the earlier deployment, kept for programs that use it. Use " + instead + " instead.",
		}
	}
	handle(a, legacy(http.MethodPost, "/bindings/unbind", "legacy-unbind", "Unbind a key (earlier path)", "DELETE /bindings/{hash}"), a.legacyUnbind)
	handle(a, legacy(http.MethodPut, "/bindings/ip", "legacy-set-ip", "Change a rule (earlier path)", "PATCH /bindings/{hash}"), a.legacySetRule)
	handle(a, legacy(http.MethodPost, "/bindings/ban", "legacy-ban", "Ban a key (earlier path)", "PATCH /bindings/{hash}"),
		a.legacySetStatus(store.StatusBanned))
	handle(a, legacy(http.MethodPost, "/bindings/unban", "legacy-unban", "Lift a ban (earlier path)", "PATCH /bindings/{hash}"),
		a.legacySetStatus(store.StatusActive))
}

// LegacyKey names a key under any of the names that were in use.
type LegacyKey struct {
	Hash    string `json:"hash,omitempty" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"The key hash: 64 hex digits."`
	KeyHash string `json:"key_hash,omitempty" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"The same as hash."`
	ID      string `json:"id,omitempty" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"The same as hash."`
}

func (k LegacyKey) path() (HashPath, error) {
	hash, ok := onlyOne(k.Hash, k.KeyHash, k.ID)
	if !ok {
		return HashPath{}, invalidField("body.hash", "give the key hash once, as hash, key_hash or id")
	}
	return HashPath{hash}, nil
}

// onlyOne returns the one that is not empty.
func onlyOne(values ...string) (string, bool) {
	found, n := "", 0
	for _, value := range values {
		if value != "" {
			found, n = value, n+1
		}
	}
	return found, n == 1
}

type legacyInput struct {
	IfMatch
	Body LegacyKey
}

func (a *API) legacyUnbind(ctx context.Context, c *call, in *legacyInput) (*bindingOutput, error) {
	path, err := in.Body.path()
	if err != nil {
		return nil, err
	}
	before, err := a.unbind(ctx, c, path, in.IfMatch)
	if err != nil {
		return nil, err
	}
	return &bindingOutput{Body: changedBinding{Binding: showBinding(before)}}, nil // as it was: there is no ETag any more
}

func (a *API) legacySetStatus(status store.Status) func(context.Context, *call, *legacyInput) (*bindingOutput, error) {
	return func(ctx context.Context, c *call, in *legacyInput) (*bindingOutput, error) {
		path, err := in.Body.path()
		if err != nil {
			return nil, err
		}
		return a.edit(ctx, c, path, in.IfMatch, engine.BindingEdit{Status: &status})
	}
}

// textOrTexts is a list that may be written as a single text, with its items
// separated by commas or spaces.
type textOrTexts []string

// Schema is part of huma.SchemaProvider.
func (textOrTexts) Schema(huma.Registry) *huma.Schema {
	most := store.MaxRulePrefixes
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeString},
		{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}, MaxItems: &most},
	}}
}

// UnmarshalJSON reads either form.
func (t *textOrTexts) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*t = strings.FieldsFunc(one, func(r rune) bool { return r == ',' || r == ' ' })
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return errors.New("want a text or a list of texts")
	}
	*t = many
	return nil
}

// legacyRule is a rule under any of the names that were in use.
type legacyRule struct {
	LegacyKey
	BoundIP  textOrTexts `json:"bound_ip,omitempty" doc:"Addresses or CIDRs: a list, or one text with commas between them."`
	IP       textOrTexts `json:"ip,omitempty" doc:"The same as bound_ip."`
	IPs      textOrTexts `json:"ips,omitempty" doc:"The same as bound_ip."`
	Prefixes textOrTexts `json:"prefixes,omitempty" doc:"The same as bound_ip."`

	BindingMode      string `json:"binding_mode,omitempty" enum:"single,multiple,all,SINGLE,MULTIPLE,ALL" doc:"The kind of the rule; without it, single for one prefix and multiple for several."`
	Rule             string `json:"rule,omitempty" enum:"single,multiple,all,SINGLE,MULTIPLE,ALL" doc:"The same as binding_mode."`
	ConfirmAnySource bool   `json:"confirmAnySource,omitempty" doc:"Must be true if 0.0.0.0/0 or ::/0 is among the prefixes."`
}

func (r legacyRule) input() (ruleInput, error) {
	in := ruleInput{ConfirmAnySource: r.ConfirmAnySource}
	for _, list := range []textOrTexts{r.BoundIP, r.IP, r.IPs, r.Prefixes} {
		if len(list) > 0 && in.Prefixes != nil {
			return in, invalidField("body.prefixes", "give the prefixes once, as bound_ip, ip, ips or prefixes")
		}
		if len(list) > 0 {
			in.Prefixes = list
		}
	}
	if r.BindingMode != "" && r.Rule != "" {
		return in, invalidField("body.rule", "give the kind of the rule once, as binding_mode or rule")
	}
	in.Kind = store.RuleKind(strings.ToLower(r.BindingMode + r.Rule))
	if in.Kind != "" {
		return in, nil
	}
	switch len(in.Prefixes) {
	case 0:
		return in, invalidField("body.bound_ip", "give the prefixes, or the rule all")
	case 1:
		in.Kind = store.RuleSingle
	default:
		in.Kind = store.RuleMultiple
	}
	return in, nil
}

type legacyRuleInput struct {
	IfMatch
	Body legacyRule
}

func (a *API) legacySetRule(ctx context.Context, c *call, in *legacyRuleInput) (*bindingOutput, error) {
	path, err := in.Body.path()
	if err != nil {
		return nil, err
	}
	input, err := in.Body.input()
	if err != nil {
		return nil, err
	}
	var f faults
	rule := input.rule("body", &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.edit(ctx, c, path, in.IfMatch, engine.BindingEdit{Rule: &rule})
}

var _ huma.SchemaProvider = textOrTexts(nil)
