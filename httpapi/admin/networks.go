package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	tagNetworks = "networks"
	// listedPrefixes is how many prefixes of a network stand in a list.
	listedPrefixes = 20
	// changeTries is how often a change is made anew that was to be made to
	// whatever is there, and that somebody else came before.
	changeTries = 8
)

// registerNetworks adds what is about named networks.
func (a *API) registerNetworks() {
	changes := []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}
	handle(a, operation{
		method: http.MethodGet, path: "/networks", id: "list-networks", tag: tagNetworks, role: account.Viewer,
		summary: "List named networks", about: "All of them, by name, with how many bindings have a rule that names each. Of their prefixes, the first 20.",
	}, a.listNetworks)
	handle(a, operation{
		method: http.MethodPost, path: "/networks", id: "create-network", tag: tagNetworks, role: account.Operator,
		summary: "Name a network", status: http.StatusCreated, errors: []int{http.StatusConflict},
		about: "Rules can name it then, in place of its prefixes, and have what it becomes later too.",
	}, a.createNetwork)
	handle(a, operation{
		method: http.MethodGet, path: "/networks/{name}", id: "get-network", tag: tagNetworks, role: account.Viewer,
		summary: "Show a named network", errors: []int{http.StatusNotFound}, about: "With all of its prefixes.",
	}, func(ctx context.Context, _ *call, in *NetworkPath) (*networkOutput, error) {
		n, err := a.opts.Engine.Networks().Get(in.Name)
		if err != nil {
			return nil, err
		}
		return a.answerNetwork(ctx, n)
	})
	handle(a, operation{
		method: http.MethodPut, path: "/networks/{name}", id: "replace-network", tag: tagNetworks, role: account.Operator,
		summary: "Change a named network", errors: changes,
		about: "It becomes what the body says. The rules that name it have it from the next request on, and open streams that they do not let pass are cut.",
	}, a.replaceNetwork)
	handle(a, operation{
		method: http.MethodDelete, path: "/networks/{name}", id: "delete-network", tag: tagNetworks, role: account.Operator,
		summary: "Delete a named network", errors: changes,
		about: "The rules that name it are all changed, as the parameter rules says, or the network stays: " +
			"then the answer is 409 (network_in_use), and usedBy has how many there are, and a few of them.",
	}, a.deleteNetwork)
}

// NetworkPath names a network.
type NetworkPath struct {
	Name string `path:"name" minLength:"1" maxLength:"64" example:"office" doc:"Name of the network."`
}

// NetworkFields is what can be chosen of a network.
type NetworkFields struct {
	Note             string   `json:"note,omitempty" maxLength:"1024" doc:"What there is to say of it."`
	Prefixes         []string `json:"prefixes" minItems:"1" maxItems:"10000" example:"[\"203.0.113.0/24\",\"2001:db8:1::/48\"]" doc:"Addresses or CIDRs without host bits."`
	Shared           bool     `json:"shared,omitempty" doc:"Whether many keys are used from each of its addresses, as from behind an office's NAT: then many first uses from one of them mean nothing."`
	ConfirmAnySource bool     `json:"confirmAnySource,omitempty" doc:"Must be true if 0.0.0.0/0 or ::/0 is among the prefixes."`
}

func (in NetworkFields) network(name string) (network.Network, error) {
	var f faults
	n := network.Network{Name: name, Note: in.Note, Shared: in.Shared}
	for i, text := range in.Prefixes {
		n.Prefixes = append(n.Prefixes, prefixInput(text, fmt.Sprintf("body.prefixes[%d]", i), in.ConfirmAnySource, &f))
	}
	return n, f.err()
}

// prefixInput reads one prefix. One that covers everything is more often a slip
// than meant.
func prefixInput(text, location string, anySource bool, f *faults) netip.Prefix {
	p, fault := parsePrefix(text)
	if fault == "" && p.Bits() == 0 && !anySource {
		fault = fmt.Sprintf("%s is every %s address: name the networks that are meant, or confirm with confirmAnySource", p, family(p))
	}
	if fault != "" && len(*f) < maxRuleFaults {
		f.addf(location, "%s", fault)
	}
	return p
}

// NetworkBody is a named network as the API shows it. It is embedded, and so
// exported.
type NetworkBody struct {
	Name        string         `json:"name" doc:"Its name."`
	Note        string         `json:"note" doc:"What an administrator wrote of it; may have several lines."`
	Prefixes    []netip.Prefix `json:"prefixes" doc:"Its prefixes; in a list, the first 20."`
	PrefixCount int            `json:"prefixCount" doc:"How many prefixes it has."`
	Shared      bool           `json:"shared" doc:"Whether many keys are used from each of its addresses."`
	Bindings    int            `json:"bindings" doc:"How many bindings have a rule that names it."`
	CreatedAt   time.Time      `json:"createdAt" doc:"When it was made."`
	UpdatedAt   time.Time      `json:"updatedAt" doc:"When it was last changed."`
	Revision    uint64         `json:"revision" doc:"Grows with every change; the ETag is made of it."`
}

func (a *API) showNetwork(ctx context.Context, n network.Network) (NetworkBody, error) {
	used, err := a.opts.Store.FindBindings(ctx, store.BindingQuery{Filter: store.BindingFilter{Names: n.Name}, Limit: 1})
	return NetworkBody{
		Name: n.Name, Note: n.Note, Prefixes: n.Prefixes, PrefixCount: len(n.Prefixes), Shared: n.Shared, Bindings: used.Total,
		CreatedAt: n.CreatedAt.UTC(), UpdatedAt: n.UpdatedAt.UTC(), Revision: n.Revision,
	}, err
}

// changedNetwork also says what is odd.
type changedNetwork struct {
	NetworkBody
	Warnings []warning `json:"warnings,omitempty" doc:"What is odd about the prefixes, such as one that adds nothing; absent if nothing is."`
}

type networkOutput struct {
	ETag
	Location string `header:"Location" doc:"The path of the network, if it was made."`
	Body     changedNetwork
}

func (a *API) answerNetwork(ctx context.Context, n network.Network) (*networkOutput, error) {
	body, err := a.showNetwork(ctx, n)
	if err != nil {
		return nil, err
	}
	return &networkOutput{ETag: etagOf(n.Revision), Body: changedNetwork{body, warningsOf(ruleWarnings(store.Rule{Prefixes: n.Prefixes}))}}, nil
}

type listNetworksInput struct {
	Network string `query:"network" minLength:"1" maxLength:"64" example:"10.1.0.0/16" doc:"An address or CIDR: those that have at least one address of it."`
}

type listNetworksOutput struct {
	Body page[NetworkBody]
}

func (a *API) listNetworks(ctx context.Context, _ *call, in *listNetworksInput) (*listNetworksOutput, error) {
	var f faults
	within := networkInput(in.Network, "query.network", &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	list := a.opts.Engine.Networks().List()
	if within.IsValid() {
		reaching := a.opts.Engine.Networks().Reaching(within)
		list = slices.DeleteFunc(list, func(n network.Network) bool { return !slices.Contains(reaching, n.Name) })
	}
	total := len(list)
	out := &listNetworksOutput{page[NetworkBody]{Items: make([]NetworkBody, 0, total), Total: &total}}
	for _, n := range list {
		body, err := a.showNetwork(ctx, n)
		if err != nil {
			return nil, err
		}
		body.Prefixes = body.Prefixes[:min(len(body.Prefixes), listedPrefixes)]
		out.Body.Items = append(out.Body.Items, body)
	}
	return out, nil
}

type createNetworkInput struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"64" example:"office" doc:"Its name: letters of any script but no capital ones, and digits, with . - _ between."`
		NetworkFields
	}
}

func (a *API) createNetwork(ctx context.Context, c *call, in *createNetworkInput) (*networkOutput, error) {
	if store.ValidateNewNetworkName(in.Body.Name) != nil {
		return nil, invalidField("body.name", "is no name of a network: want up to %d bytes of letters, but no capital ones, and digits, with . - _ between, such as office",
			store.MaxNetworkNameBytes)
	}
	n, err := in.Body.network(in.Body.Name)
	if err != nil {
		return nil, err
	}
	_, n, err = a.opts.Engine.PutNetwork(ctx, n)
	if errors.Is(err, store.ErrConflict) {
		return nil, faultf(http.StatusConflict, "exists", "there is a network of that name")
	}
	if err != nil {
		return nil, locate(err, "body.")
	}
	if err := a.audit(ctx, c, "network.create", networkTarget(n.Name), nil, changeOfNetwork(n)); err != nil {
		return nil, err
	}
	out, err := a.answerNetwork(ctx, n)
	if err == nil {
		out.Location = Base + "/networks/" + url.PathEscape(n.Name)
	}
	return out, err
}

// networkTarget names a network in the audit trail.
func networkTarget(name string) string { return "network:" + name }

// networkChange is what the audit trail says of a network.
type networkChange struct {
	Note     string         `json:"note,omitempty"`
	Prefixes []netip.Prefix `json:"prefixes"`
	Shared   bool           `json:"shared"`
}

func changeOfNetwork(n network.Network) networkChange {
	return networkChange{n.Note, n.Prefixes, n.Shared}
}

type replaceNetworkInput struct {
	NetworkPath
	IfMatch
	Body NetworkFields
}

func (a *API) replaceNetwork(ctx context.Context, c *call, in *replaceNetworkInput) (*networkOutput, error) {
	n, err := in.Body.network(in.Name)
	if err != nil {
		return nil, err
	}
	var before network.Network
	err = a.atRevision(in.NetworkPath, in.IfMatch, func(revision uint64) error {
		var err error
		n.Revision = revision
		before, _, err = a.opts.Engine.PutNetwork(ctx, n)
		return err
	})
	if err != nil {
		return nil, locate(err, "body.")
	}
	if err := a.audit(ctx, c, "network.edit", networkTarget(n.Name), changeOfNetwork(before), changeOfNetwork(n)); err != nil {
		return nil, err
	}
	if n, err = a.opts.Engine.Networks().Get(in.Name); err != nil {
		return nil, err
	}
	return a.answerNetwork(ctx, n)
}

// atRevision makes a change to the revision that If-Match wants, or to the one
// that is there.
func (a *API) atRevision(path NetworkPath, match IfMatch, change func(revision uint64) error) error {
	wanted, err := match.revision()
	if err != nil {
		return err
	}
	for range changeTries {
		revision := wanted
		if wanted == 0 {
			n, err := a.opts.Engine.Networks().Get(path.Name)
			if err != nil {
				return err
			}
			revision = n.Revision
		}
		err = change(revision)
		var inUse *engine.NetworkInUseError
		if wanted != 0 || !errors.Is(err, store.ErrConflict) || errors.As(err, &inUse) {
			return err
		}
	}
	return err
}

type deleteNetworkInput struct {
	NetworkPath
	IfMatch
	Rules engine.Leave `query:"rules" enum:"refuse,inline,drop" default:"refuse" doc:"What becomes of the rules that name it. refuse: the network stays as long as there are any. inline: they get its prefixes instead. drop: they lose it, unless one would match nothing then."`
}

type deleteNetworkOutput struct {
	Body struct {
		Changed  int       `json:"changed" doc:"How many bindings had a rule that named it."`
		Warnings []warning `json:"warnings,omitempty" doc:"What still names it; absent if nothing does."`
	}
}

func (a *API) deleteNetwork(ctx context.Context, c *call, in *deleteNetworkInput) (*deleteNetworkOutput, error) {
	var (
		gone network.Network
		out  deleteNetworkOutput
	)
	err := a.atRevision(in.NetworkPath, in.IfMatch, func(revision uint64) error {
		var err error
		gone, out.Body.Changed, err = a.opts.Engine.RemoveNetwork(ctx, in.Name, revision, in.Rules)
		return err
	})
	if err != nil {
		return nil, err
	}
	done := struct {
		Rules   engine.Leave `json:"rules"`
		Changed int          `json:"changed"`
	}{in.Rules, out.Body.Changed}
	if err := a.audit(ctx, c, "network.delete", networkTarget(gone.Name), changeOfNetwork(gone), done); err != nil {
		return nil, err
	}
	for _, r := range a.opts.Engine.Policy().NewRules {
		if slices.Contains(r.Rule.Networks, gone.Name) {
			out.Body.Warnings = warningsOf([]string{"SENTINEL_BIND_RULE still names it: new keys do not get it any more"})
			break
		}
	}
	return &out, nil
}

// usedBy is what is in the way of a removal.
type usedBy struct {
	Total    int        `json:"total" doc:"How many bindings."`
	Bindings []boundKey `json:"bindings" doc:"A few of them."`
}

type boundKey struct {
	Hash  store.KeyHash `json:"hash" doc:"The key hash."`
	Hint  string        `json:"hint" doc:"A few characters of the key."`
	Label string        `json:"label" doc:"What an administrator calls the key."`
}

func inUseFault(err *engine.NetworkInUseError) *faultError {
	f := faultf(http.StatusConflict, "network_in_use", "%s; rules=inline gives them its prefixes, rules=drop takes it out of them", err)
	f.usedBy = &usedBy{Total: err.Bindings, Bindings: make([]boundKey, 0, len(err.Some))}
	for _, b := range err.Some {
		f.usedBy.Bindings = append(f.usedBy.Bindings, boundKey{b.Hash, b.Hint, b.Label})
	}
	return f
}
