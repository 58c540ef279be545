package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// registerExplain adds what says what would become of a request.
func (a *API) registerExplain() {
	const about = "It changes nothing, and says what would become of the next request: what it rests on, in order, is a ban, an exception, " +
		"a blocked network, and the rule. Whether the gateway accepts the key is not asked."
	handle(a, operation{
		method: http.MethodGet, path: "/bindings/{hash}/explain", id: "explain-binding", tag: bindingTag, role: account.Viewer,
		summary: "Say whether a key would pass from an address, and why", about: about,
	}, a.explainBinding)
	handle(a, operation{
		method: http.MethodPost, path: "/explain", id: "explain-key", tag: bindingTag, role: account.Viewer,
		summary: "Say whether a key would pass from an address, and why, also for a whole key",
		about:   about + " A key that is sent is hashed here, and neither kept nor logged.",
	}, a.explainKey)
}

type explainBindingInput struct {
	HashPath
	IP string `query:"ip" required:"true" minLength:"1" maxLength:"64" example:"198.51.100.7" doc:"The client IP."`
}

type explainKeyInput struct {
	Body struct {
		Key  string `json:"key,omitempty" minLength:"1" maxLength:"8192" writeOnly:"true" doc:"The whole API key. Either this or hash."`
		Hash string `json:"hash,omitempty" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"The key hash. Either this or key."`
		IP   string `json:"ip" minLength:"1" maxLength:"64" example:"198.51.100.7" doc:"The client IP."`
	}
}

// explanation is engine.Explanation as the API shows it.
type explanation struct {
	Passes   bool          `json:"passes" doc:"Whether the request would be forwarded."`
	Reason   engine.Reason `json:"reason,omitempty" enum:"ip_not_allowed,key_banned,network_blocked,first_use_held" doc:"Why it would be refused, or with observed: would be, were Sentinel not only observing."`
	Basis    *basisBody    `json:"basis,omitempty" doc:"What that rests on; absent for a key without a binding that nothing speaks against."`
	Observed bool          `json:"observed" doc:"Whether it would pass only because Sentinel only observes."`
	Sentence string        `json:"sentence" doc:"All of it in a sentence."`
	IP       netip.Addr    `json:"ip" doc:"The client IP."`

	Bound   bool         `json:"bound" doc:"Whether the key has a binding."`
	Binding *boundKey    `json:"binding,omitempty" doc:"Its binding."`
	Learns  bool         `json:"learns" doc:"Whether the rule would take the address, once the gateway has accepted the key."`
	Prefix  netip.Prefix `json:"prefix,omitzero" doc:"What a first use would bind the key to, or its rule would learn."`
	Rule    *ruleBody    `json:"rule,omitempty" doc:"The rule of the key, or the one that a first use would give it."`
	Held    string       `json:"held,omitempty" enum:"trusted_proxy,container_gateway,burst" doc:"Why a first use would bind nothing: the address is that of a trusted proxy, or of the gateway of a container's network, or has bound too many keys."`
	Missing []string     `json:"missing,omitempty" doc:"Networks that the rule names and that do not exist."`
}

type explainOutput struct {
	Body explanation
}

func (a *API) explainBinding(ctx context.Context, _ *call, in *explainBindingInput) (*explainOutput, error) {
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	return a.explain(ctx, keyName{Hash: hash}, in.IP, "query.ip")
}

func (a *API) explainKey(ctx context.Context, _ *call, in *explainKeyInput) (*explainOutput, error) {
	if (in.Body.Key == "") == (in.Body.Hash == "") {
		return nil, invalidField("body.key", "give either the key or its hash")
	}
	key, err := a.nameKey(ctx, "body.key", in.Body.Key)
	if err != nil {
		return nil, err
	}
	if key == nil {
		key = new(keyName)
		if key.Hash, err = parseHash("body.hash", in.Body.Hash); err != nil {
			return nil, err
		}
	}
	return a.explain(ctx, *key, in.Body.IP, "body.ip")
}

func (a *API) explain(ctx context.Context, key keyName, text, location string) (*explainOutput, error) {
	ip, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil || ip.Zone() != "" {
		return nil, invalidField(location, "is no IP address, such as 198.51.100.7 or 2001:db8::1")
	}
	ip = ip.Unmap()
	x, err := a.opts.Engine.Explain(ctx, key.Hash, key.Hint, ip)
	if err != nil {
		return nil, err
	}
	out := explanation{
		Passes: x.Passes, Reason: x.Refused, Basis: showBasis(x.Basis), Observed: x.Observed, Sentence: sentenceOf(x), IP: ip,
		Bound: x.Bound, Learns: x.Learns, Prefix: x.Prefix, Held: x.Held, Missing: x.Missing,
	}
	rule := x.Rule
	if x.Bound {
		rule = x.Binding.Rule
		out.Binding = &boundKey{x.Binding.Hash, x.Binding.Hint, x.Binding.Label}
	}
	if rule.Kind != "" {
		shown := showRule(rule)
		out.Rule = &shown
	}
	return &explainOutput{out}, nil
}

// heldWords complete "… ".
var heldWords = map[string]string{
	engine.HeldTrustedProxy:     "the address is that of a trusted proxy, and not the client's own",
	engine.HeldContainerGateway: "the address is that of the gateway of the container's network, and not the client's own",
	engine.HeldBurst:            "too many keys were bound from the address within an hour",
}

// sentenceOf says what an explanation means.
func sentenceOf(x engine.Explanation) string {
	because := becauseOf(x)
	switch {
	case x.Observed:
		return "It would pass, since Sentinel only observes; otherwise it would be refused: " + because + "."
	case !x.Passes:
		return "It would be refused: " + because + "."
	case x.Held != "":
		return fmt.Sprintf("It would pass, and %s: %s.", choose(x.Learns, "its rule would learn nothing", "bind nothing"), because)
	case x.Learns:
		rule := x.Binding.Rule
		return fmt.Sprintf("It would pass, and once the gateway has accepted the key, its rule would learn %s (it has %d of %d).", x.Prefix, len(rule.Prefixes), rule.Learn.Limit)
	case !x.Bound:
		return fmt.Sprintf("It would pass, and once the gateway has accepted the key, bind it %s.", boundTo(x.Rule))
	}
	return "It would pass: " + because + "."
}

func boundTo(r store.Rule) string {
	if r.Kind == store.RuleAll {
		return "with the rule all, from anywhere"
	}
	text := "to " + listed(r.Prefixes)
	if len(r.Networks) > 0 {
		text += " and the networks " + strings.Join(r.Networks, ", ")
	}
	if r.Kind == store.RuleLearn {
		text += fmt.Sprintf(", with a rule that learns up to %d", r.Learn.Limit)
	}
	return text
}

func becauseOf(x engine.Explanation) string {
	switch x.Basis.Kind {
	case store.BasisBan:
		return "the key is banned, whatever its rule says"
	case store.BasisException:
		return fmt.Sprintf("an exception (%s) lets the key be used from there", x.Basis.Name)
	case store.BasisBlocked:
		return fmt.Sprintf("the network %s is blocked", x.Basis.Name)
	}
	switch {
	case x.Held != "":
		return heldWords[x.Held]
	case x.Basis.Kind == store.BasisNetwork:
		return fmt.Sprintf("the network %q, which the rule names, has the address", x.Basis.Name)
	case x.Refused != "":
		return "the address is not in its rule" + missingText(x.Missing)
	case x.Basis.Name == string(store.RuleAll):
		return "the rule lets the key be used from anywhere"
	}
	return "the address is in a prefix of the rule"
}

func missingText(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", which names networks that do not exist: " + strings.Join(names, ", ")
}
