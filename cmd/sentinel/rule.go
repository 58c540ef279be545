package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// networkMark is what the name of a network has before it among prefixes, as in
// the files of imports.
const networkMark = "@"

// ruleFlags are the flags that say what the rule of a binding is to be.
type ruleFlags struct {
	kind      string
	prefixes  []string
	networks  []string
	learn     string
	anySource bool
}

func (f *ruleFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "rule", "", oneOf(ruleKinds)+"; without it, what the other flags amount to")
	flags.StringArrayVar(&f.prefixes, "prefix", nil, "address or CIDR that the key may be used from, instead of those it has; repeat it for more")
	flags.StringArrayVar(&f.networks, "network", nil, "name of a network that the key may be used from; repeat it for more")
	flags.StringVar(&f.learn, "learn", "", "take what the key is used from: 3/24h is up to 3 prefixes within 24 hours of its first use")
	flags.BoolVar(&f.anySource, "confirm-any-source", false, "0.0.0.0/0 and ::/0 are meant; --rule all says it better")
	complete(cmd, "rule", ruleKinds)
	_ = cmd.RegisterFlagCompletionFunc("network", completeNetworks) // the flag is there
}

// completeNetworks offers the names of networks to the shell.
func completeNetworks(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	c, err := clientOf(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	networks, _ := c.Networks(ctx, "") // none: nothing to complete
	var names []string
	for _, item := range networks {
		if strings.HasPrefix(item.Value.Name, begun) {
			names = append(names, item.Value.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// rule returns the rule that is wanted; nil if no flag says anything of it.
func (f *ruleFlags) rule() (*client.Rule, error) {
	if f.kind != "" && !slices.Contains(ruleKinds, f.kind) {
		return nil, usagef("--rule=%q: want %s", f.kind, oneOf(ruleKinds))
	}
	r := &client.Rule{Kind: f.wantedKind(), Prefixes: f.prefixes, ConfirmAnySource: f.anySource}
	if err := f.check(r.Kind); err != nil || r.Kind == "" {
		return nil, err
	}
	for _, name := range f.networks {
		if strings.HasPrefix(name, "sk-") && looksLikeKey(name) {
			return nil, wholeKeyError("--network")
		}
		r.Networks = append(r.Networks, strings.TrimPrefix(name, networkMark))
	}
	if f.learn == "" {
		return r, nil
	}
	l, err := engine.ParseLearn(f.learn)
	if err != nil {
		return nil, usagef("--learn: %w", err)
	}
	r.Learn = &client.Learn{Limit: l.Limit, WithinSeconds: int64(l.Within / time.Second)}
	return r, nil
}

// wantedKind is the kind that was asked for, or that the other flags amount to.
func (f *ruleFlags) wantedKind() string {
	switch {
	case f.kind != "":
		return f.kind
	case f.learn != "":
		return "learn"
	case len(f.prefixes) > 1 || len(f.networks) > 0:
		return "multiple"
	case len(f.prefixes) == 1:
		return "single"
	}
	return ""
}

// check refuses flags that do not go with the kind.
func (f *ruleFlags) check(kind string) error {
	switch n := len(f.prefixes) + len(f.networks); {
	case kind == "all" && (n > 0 || f.learn != ""):
		return usagef("--rule all lets the key be used from anywhere, and takes no --prefix, --network or --learn")
	case kind == "learn" && f.learn == "":
		return usagef("--rule learn needs --learn, e.g. --learn 3/24h for 3 prefixes within 24 hours")
	case kind != "learn" && f.learn != "":
		return usagef("--learn goes with --rule learn, and not with --rule %s", kind)
	case kind == "single" && len(f.networks) > 0:
		return usagef("--rule single takes one --prefix and no --network; want --rule multiple")
	case (kind == "single" || kind == "multiple") && n == 0:
		return usagef("--rule %s needs --prefix, e.g. --prefix 10.0.0.0/8", kind)
	}
	return nil
}

// warn says what the server finds odd about a rule or a file that it has taken.
func warn(cmd *cobra.Command, warnings []client.Warning) {
	for _, w := range warnings {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "sentinel: warning: %s\n", client.Printable(w.String()))
	}
}

// ruleSources returns the prefixes and networks of a rule, as an import reads them.
func ruleSources(r client.Rule) []string {
	list := slices.Clone(r.Prefixes)
	for _, name := range r.Networks {
		list = append(list, networkMark+name)
	}
	return list
}

// ruleKind returns the kind of a rule, as an import reads it.
func ruleKind(r client.Rule) string {
	if r.Learn == nil {
		return r.Kind
	}
	return r.Kind + ":" + learnText(*r.Learn)
}

func learnText(l client.Learn) string {
	return store.Learn{Limit: l.Limit, Within: time.Duration(l.WithinSeconds) * time.Second}.String()
}

func learnUntil(b client.Binding) string {
	if b.Rule.Learn == nil {
		return ""
	}
	return csvTime(b.Rule.Learn.Until)
}

// learnState says how far a rule has come with learning.
func learnState(r client.Rule) string {
	switch l := *r.Learn; {
	case len(r.Prefixes) >= l.Limit:
		return fmt.Sprintf("no more: it has %d of %d prefixes", len(r.Prefixes), l.Limit)
	case l.Until.IsZero():
		return learnText(l) + ", from the first use on"
	case time.Now().Before(l.Until):
		return learnText(l) + ", until " + localTime(l.Until)
	default:
		return "no more, since " + localTime(l.Until)
	}
}

// shownSources is how many prefixes and networks of a rule a table shows.
const shownSources = 3

func shortRule(r client.Rule) string {
	if r.Kind == "all" {
		return "anywhere"
	}
	list := ruleSources(r)
	text := strings.Join(list[:min(len(list), shownSources)], " ")
	if more := len(list) - shownSources; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if text == "" { // it is about to learn the first one
		text = ruleKind(r)
	}
	return text
}
