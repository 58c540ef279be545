package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// defaultListLimit is how many rows a list has without --limit and --all.
const defaultListLimit = 50

// What the server knows, for completion and for messages.
var (
	statuses      = []string{"active", "banned"}
	ruleKinds     = []string{"single", "multiple", "all", "learn"}
	bindingSorts  = []string{"created", "lastUsed", "hits", "hint", "label"}
	sortOrders    = []string{"asc", "desc"}
	filterExample = "  sentinel bindings list --network 10.1.0.0/16 --status active"
)

// newBindingsCommand returns `sentinel bindings`.
func newBindingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bindings", Aliases: []string{"binding"}, Args: onlyCommands,
		Short: "Show and change bindings: which key may be used from where",
		Long: "Show and change the bindings of a running server: which key may be used from where.\n\n" +
			"KEYREF names a key: by its key hash, by a part of its hint that no other has (sk-ab…9fQ2, sk-ab...9fQ2 or 9fQ2), or by\n" +
			"the key itself, which - reads from standard input. A whole key is never taken as an argument, since everybody on a\n" +
			"machine can read the arguments of a process.",
		RunE: showHelp,
	}
	addClientFlags(cmd)
	cmd.AddCommand(newBindingsListCommand(), newBindingsShowCommand(), newBindingsSetCommand(), newBindingsExplainCommand(), newRebindLinkCommand(),
		newBulkCommand("ban", "banned", "Refuse keys from everywhere"),
		newBulkCommand("unban", "active", "Take bans back: the rules of the keys decide again"),
		newBulkCommand("unbind", "", "Remove bindings: the next use of such a key binds it anew"),
		newBindingsImportCommand(), newBindingsExportCommand(), newArchiveCommand())
	return cmd
}

// onlyCommands refuses words that are no command of a group.
func onlyCommands(cmd *cobra.Command, words []string) error {
	if len(words) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(words[0]); len(near) > 0 {
		return usagef("%q is no command of %s; did you mean %s?", words[0], cmd.CommandPath(), near[0])
	}
	return usagef("%q is no command of %s; see %s --help", words[0], cmd.CommandPath(), cmd.CommandPath())
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// bindingFilterFlags are the flags that choose bindings.
type bindingFilterFlags struct {
	filter                             client.BindingFilter
	createdSince, createdBefore        timeFlag
	usedSince, usedBefore, unusedSince timeFlag
	archivedSince, archivedBefore      timeFlag // of the archive only
}

func (f *bindingFilterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.filter.Text, "text", "", "a part of the hint or the label")
	flags.StringVar(&f.filter.Hint, "hint", "", "a part of the hint")
	flags.StringVar(&f.filter.Label, "label", "", "a part of the label")
	flags.StringVar(&f.filter.Network, "network", "", "keys that may be used from at least one address of this network (address or CIDR)")
	flags.StringVar(&f.filter.NamesNetwork, "names-network", "", "keys whose rule names this network, e.g. office")
	flags.StringVar(&f.filter.Status, "status", "", oneOf(statuses))
	flags.StringVar(&f.filter.Rule, "rule", "", "a rule of this kind: "+oneOf(ruleKinds))
	f.addTime(cmd, &f.createdSince, "created-since", "bound at this time or later: a date, or how long ago, e.g. 7d")
	f.addTime(cmd, &f.createdBefore, "created-before", "bound before this time")
	f.addTime(cmd, &f.usedSince, "used-since", "last used at this time or later")
	f.addTime(cmd, &f.usedBefore, "used-before", "used, and last before this time")
	f.addTime(cmd, &f.unusedSince, "unused-since", "neither bound nor used since this time, e.g. 90d")
	flags.Uint64Var(&f.filter.HitsBelow, "hits-below", 0, "used less often than this")
	flags.BoolVar(&f.filter.Returned, "returned", false, "bound anew after they had been archived")
	complete(cmd, "status", statuses)
	complete(cmd, "rule", ruleKinds)
	_ = cmd.RegisterFlagCompletionFunc("names-network", completeNetworks) // the flag is there
}

func (f *bindingFilterFlags) addTime(cmd *cobra.Command, flag *timeFlag, name, help string) {
	flag.now = time.Now
	cmd.Flags().Var(flag, name, help)
}

// read returns the filter. Values that the server would refuse are refused here
// where they would be part of its log.
func (f *bindingFilterFlags) read() (client.BindingFilter, error) {
	filter := f.filter
	filter.CreatedSince, filter.CreatedBefore = f.createdSince.t, f.createdBefore.t
	filter.UsedSince, filter.UsedBefore, filter.IdleSince = f.usedSince.t, f.usedBefore.t, f.unusedSince.t
	if looksLikeKey(filter.Hint) {
		return filter, wholeKeyError("--hint")
	}
	for name, value := range map[string]string{"--text": filter.Text, "--label": filter.Label, "--names-network": filter.NamesNetwork} {
		if strings.HasPrefix(value, "sk-") && looksLikeKey(value) {
			return filter, wholeKeyError(name)
		}
	}
	filter.Hint, filter.Text = withEllipsis(filter.Hint), withEllipsis(filter.Text)
	return filter, nil
}

// complete offers the values of a flag to the shell.
func complete(cmd *cobra.Command, flag string, values []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// limitFlags are --limit and --all of a list.
type limitFlags struct {
	limit int
	all   bool
}

func (f *limitFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.limit, "limit", defaultListLimit, "how many at most")
	cmd.Flags().BoolVar(&f.all, "all", false, "all of them, however many")
}

// read returns how many rows are wanted; 0: all.
func (f *limitFlags) read(cmd *cobra.Command) (int, error) {
	switch given := cmd.Flags().Changed("limit"); {
	case f.all && given:
		return 0, usagef("--limit and --all: want one of them")
	case f.all:
		return 0, nil
	case f.limit < 1:
		return 0, usagef("--limit=%d: want 1 or more, or --all", f.limit)
	}
	return f.limit, nil
}

func newBindingsListCommand() *cobra.Command {
	var (
		filter      bindingFilterFlags
		limit       limitFlags
		sort, order string
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: noWords,
		Short: "List bindings",
		Example: filterExample + `
  sentinel bindings list --unused-since 90d --sort lastUsed --order asc --all --output csv`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listBindings(cmd, &filter, &limit, sort, order)
		},
	}
	filter.add(cmd)
	cmd.Flags().StringVar(&sort, "sort", "created", oneOf(bindingSorts))
	cmd.Flags().StringVar(&order, "order", "desc", oneOf(sortOrders))
	limit.add(cmd)
	complete(cmd, "sort", bindingSorts)
	complete(cmd, "order", sortOrders)
	return cmd
}

func listBindings(cmd *cobra.Command, flags *bindingFilterFlags, limits *limitFlags, sort, order string) error {
	limit, err := limits.read(cmd)
	if err != nil {
		return err
	}
	filter, err := flags.read()
	if err != nil {
		return err
	}
	if !slices.Contains(bindingSorts, sort) {
		return usagef("--sort=%q: want %s", sort, oneOf(bindingSorts))
	}
	if !slices.Contains(sortOrders, order) {
		return usagef("--order=%q: want %s", order, oneOf(sortOrders))
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	out, err := newListWriter(cmd, bindingColumns())
	if err != nil {
		return err
	}
	return writePages(cmd, out, c.Bindings(cmd.Context(), filter, sort, order, limit))
}

// bindingColumns are those of lists of bindings. The names in CSV are those of
// the server's exports.
func bindingColumns() []column[client.Binding] {
	type b = client.Binding
	return []column[b]{
		{title: "HINT", name: "hint", text: func(b b) string { return b.Hint }, fit: fit{min: 10}},
		{title: "LABEL", name: "label", text: func(b b) string { return b.Label }, fit: fit{min: 10}},
		{name: "note", text: func(b b) string { return b.Note }, hidden: true},
		{title: "STATUS", name: "status", text: func(b b) string { return b.Status }},
		{name: "rule", text: func(b b) string { return ruleKind(b.Rule) }, hidden: true},
		{title: "FROM", name: "prefixes", text: func(b b) string { return strings.Join(ruleSources(b.Rule), " ") },
			shown: func(b b) string { return shortRule(b.Rule) }, fit: fit{min: 18}},
		{title: "LAST USED", name: "lastUsed", text: func(b b) string { return csvTime(b.Usage.LastUsed) },
			shown: func(b b) string { return localTime(b.Usage.LastUsed) }},
		{title: "LAST IP", name: "lastIp", text: func(b b) string { return b.Usage.LastIP }, fit: fit{min: 15, drop: 2}},
		{title: "HITS", name: "hits", text: func(b b) string { return strconv.FormatUint(b.Usage.Hits, 10) }, fit: fit{right: true}},
		{name: "firstIp", text: func(b b) string { return b.FirstIP }, hidden: true},
		{title: "CREATED", name: "createdAt", text: func(b b) string { return csvTime(b.CreatedAt) },
			shown: func(b b) string { return localTime(b.CreatedAt) }, fit: fit{drop: 1}},
		{name: "updatedAt", text: func(b b) string { return csvTime(b.UpdatedAt) }, hidden: true},
		{name: "learnUntil", text: learnUntil, hidden: true},
		{title: "KEY HASH", name: "hash", text: func(b b) string { return b.Hash }, fit: fit{drop: 3}},
	}
}
