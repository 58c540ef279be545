package main

import (
	"bufio"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

var leaveRules = []string{"refuse", "inline", "drop"}

// newNetworksCommand returns `sentinel networks`.
func newNetworksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "networks", Aliases: []string{"network"}, Args: onlyCommands, RunE: showHelp,
		Short: "Name networks, so that rules can name them in place of their prefixes",
		Long: "Name networks, so that rules can name them in place of their prefixes. A change is in force from the next request on for\n" +
			"all keys whose rules name the network, and cuts open streams that they do not let pass.",
	}
	addClientFlags(cmd)
	cmd.AddCommand(newNetworksListCommand(), newNetworksShowCommand(), newNetworksSetCommand(), newNetworksAddCommand(),
		newNetworksRemovePrefixCommand(), newNetworksDeleteCommand())
	return cmd
}

func newNetworksListCommand() *cobra.Command {
	var within string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: noWords,
		Short: "List named networks, with how many bindings have a rule that names each",
		Example: `  sentinel networks list
  sentinel networks list --network 203.0.113.7          # which have this address`,
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			out, err := newListWriter(cmd, networkColumns)
			if err != nil {
				return err
			}
			list, err := c.Networks(cmd.Context(), within)
			if err != nil {
				return err
			}
			for _, n := range list {
				if err := out.add(n.Value, n.Raw); err != nil {
					return err
				}
			}
			return out.flush()
		}),
	}
	cmd.Flags().StringVar(&within, "network", "", "those that have at least one address of this network (address or CIDR)")
	return cmd
}

var networkColumns = []column[client.Network]{
	{title: "NAME", name: "name", text: func(n client.Network) string { return n.Name }, fit: fit{min: 8}},
	{title: "PREFIXES", name: "prefixes", text: func(n client.Network) string { return strings.Join(n.Prefixes, " ") },
		shown: shortNetwork, fit: fit{min: 18}},
	{name: "prefixCount", text: func(n client.Network) string { return strconv.Itoa(n.PrefixCount) }, hidden: true},
	{title: "BINDINGS", name: "bindings", text: func(n client.Network) string { return strconv.Itoa(n.Bindings) }, fit: fit{right: true}},
	{title: "SHARED", name: "shared", text: func(n client.Network) string { return strconv.FormatBool(n.Shared) }, shown: func(n client.Network) string { return yesNo(n.Shared) }},
	{title: "NOTE", name: "note", text: func(n client.Network) string { return n.Note }, fit: fit{min: 8, drop: 2}},
	{title: "CHANGED", name: "updatedAt", text: func(n client.Network) string { return csvTime(n.UpdatedAt) }, shown: func(n client.Network) string { return localTime(n.UpdatedAt) }, fit: fit{drop: 1}},
}

func shortNetwork(n client.Network) string {
	text := strings.Join(n.Prefixes[:min(len(n.Prefixes), shownSources)], " ")
	if more := n.PrefixCount - shownSources; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func newNetworksShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Args: oneWord("NAME"),
		Short:   "Show a network with all of its prefixes",
		Example: `  sentinel networks show office`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return withNetwork(cmd, func(c *client.Client) (client.Item[client.Network], error) { return c.Network(cmd.Context(), names[0]) })
		},
	}
}

// withNetwork makes a call that answers with a network, and shows it.
func withNetwork(cmd *cobra.Command, call func(*client.Client) (client.Item[client.Network], error)) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	item, err := call(c)
	if err != nil {
		return err
	}
	warn(cmd, item.Value.Warnings)
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), item.Raw)
	}
	n := item.Value
	w := bufio.NewWriter(cmd.OutOrStdout())
	writeField(w, "Name", n.Name)
	writeField(w, "Prefixes", strings.Join(n.Prefixes, "\n"))
	writeField(w, "Shared", yesNo(n.Shared))
	writeField(w, "Bindings", strconv.Itoa(n.Bindings))
	if n.Note != "" {
		writeField(w, "Note", n.Note)
	}
	writeField(w, "Made", localTime(n.CreatedAt))
	writeField(w, "Changed", localTime(n.UpdatedAt))
	return w.Flush()
}

func newNetworksSetCommand() *cobra.Command {
	var in client.NetworkInput
	cmd := &cobra.Command{
		Use: "set NAME", Args: oneWord("NAME"),
		Short: "Make a network, or change what the flags name of one",
		Long: "Make a network, or change what the flags name of one that is there. Names have letters, but no capital ones, and digits,\n" +
			"with . - _ between. If somebody else changes the network at the same time, nothing is changed and the exit code is 4.",
		Example: `  sentinel networks set office --prefix 203.0.113.0/24 --prefix 2001:db8:1::/48 --shared
  sentinel networks set office --note "second floor since May"`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if !slices.ContainsFunc([]string{"prefix", "note", "shared"}, cmd.Flags().Changed) {
				return usagef("%s: nothing to change; want --prefix, --note or --shared", cmd.CommandPath())
			}
			return withNetwork(cmd, func(c *client.Client) (client.Item[client.Network], error) {
				in.Name = names[0]
				found, err := c.Network(cmd.Context(), in.Name)
				switch {
				case exitCodeOf(err) == exitNotFound && len(in.Prefixes) == 0:
					return found, notFoundf("there is no network %q; --prefix makes one", in.Name)
				case exitCodeOf(err) == exitNotFound:
					return c.CreateNetwork(cmd.Context(), in)
				case err != nil:
					return found, err
				}
				return c.ReplaceNetwork(cmd.Context(), in.Name, found.Value.Revision, over(cmd, in, found.Value))
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&in.Prefixes, "prefix", nil, "address or CIDR of the network, instead of those it has; repeat it for more")
	flags.StringVar(&in.Note, "note", "", "what there is to say of it; empty takes it away")
	flags.BoolVar(&in.Shared, "shared", false, "many keys are used from each of its addresses, as behind an office's NAT; --shared=false takes it back")
	flags.BoolVar(&in.ConfirmAnySource, "confirm-any-source", false, "0.0.0.0/0 and ::/0 are meant")
	return cmd
}

// over returns a network as it is, with what the flags name of it changed.
func over(cmd *cobra.Command, in client.NetworkInput, n client.Network) client.NetworkInput {
	if !cmd.Flags().Changed("prefix") {
		in.Prefixes, in.ConfirmAnySource = n.Prefixes, true // what is there was meant
	}
	if !cmd.Flags().Changed("note") {
		in.Note = n.Note
	}
	if !cmd.Flags().Changed("shared") {
		in.Shared = n.Shared
	}
	return in
}

// nameAndMore wants a name and at least one thing more.
func nameAndMore(name, more string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, words []string) error {
		switch len(words) {
		case 0:
			return usagef("%s: %s is missing", cmd.CommandPath(), name)
		case 1:
			return usagef("%s %s: %s is missing", cmd.CommandPath(), words[0], more)
		}
		return nil
	}
}

func newNetworksAddCommand() *cobra.Command {
	var anySource bool
	cmd := &cobra.Command{
		Use: "add NAME PREFIX…", Args: nameAndMore("NAME", "PREFIX"),
		Short:   "Add prefixes to a network",
		Example: `  sentinel networks add office 198.51.100.0/24 203.0.113.7`,
		RunE: func(cmd *cobra.Command, words []string) error {
			return changePrefixes(cmd, words[0], func(has []string) ([]string, error) {
				for _, p := range words[1:] {
					if !slices.Contains(has, p) {
						has = append(has, p)
					}
				}
				return has, nil
			}, anySource)
		},
	}
	cmd.Flags().BoolVar(&anySource, "confirm-any-source", false, "0.0.0.0/0 and ::/0 are meant")
	return cmd
}

func newNetworksRemovePrefixCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove-prefix NAME PREFIX…", Args: nameAndMore("NAME", "PREFIX"),
		Short:   "Take prefixes out of a network, as they stand in it",
		Example: `  sentinel networks remove-prefix office 198.51.100.0/24`,
		RunE: func(cmd *cobra.Command, words []string) error {
			return changePrefixes(cmd, words[0], func(has []string) ([]string, error) {
				for _, text := range words[1:] {
					p, err := ipset.ParsePrefix(text)
					if err != nil {
						return nil, usagef("%w", err)
					}
					if !slices.Contains(has, p.String()) {
						return nil, notFoundf("%s is no prefix of the network", p)
					}
					has = slices.DeleteFunc(has, func(s string) bool { return s == p.String() })
				}
				if len(has) == 0 {
					return nil, usagef("that would leave the network without any prefix; delete it with: sentinel networks delete %s", words[0])
				}
				return has, nil
			}, true)
		},
	}
}

// changePrefixes changes the prefixes of a network, if it is still the one that was
// looked at.
func changePrefixes(cmd *cobra.Command, name string, change func(has []string) ([]string, error), anySource bool) error {
	return withNetwork(cmd, func(c *client.Client) (client.Item[client.Network], error) {
		found, err := c.Network(cmd.Context(), name)
		if err != nil {
			return found, err
		}
		n := found.Value
		in := client.NetworkInput{Note: n.Note, Shared: n.Shared}
		in.ConfirmAnySource = anySource || slices.Contains(n.Prefixes, "0.0.0.0/0") || slices.Contains(n.Prefixes, "::/0")
		if in.Prefixes, err = change(n.Prefixes); err != nil {
			return found, err
		}
		return c.ReplaceNetwork(cmd.Context(), name, n.Revision, in)
	})
}

func newNetworksDeleteCommand() *cobra.Command {
	var rules string
	cmd := &cobra.Command{
		Use: "delete NAME", Args: oneWord("NAME"),
		Short: "Delete a network, and say what becomes of the rules that name it",
		Long: "Delete a network. While rules name it, --rules says what becomes of them: refuse (it stays, and the exit code is 4), inline\n" +
			"(they get its prefixes instead) or drop (they lose it). All of them are changed, or none.",
		Example: `  sentinel networks delete office --rules inline`,
		RunE: func(cmd *cobra.Command, names []string) error {
			form, err := outputForm(cmd, outputTable, outputJSON)
			if err != nil {
				return err
			}
			if !slices.Contains(leaveRules, rules) {
				return usagef("--rules=%q: want %s", rules, oneOf(leaveRules))
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			item, err := c.DeleteNetwork(cmd.Context(), names[0], rules)
			if err != nil {
				return err
			}
			warn(cmd, item.Value.Warnings)
			if form == outputJSON {
				return writeJSON(cmd.OutOrStdout(), item.Raw)
			}
			return say(cmd, "network %s is deleted; rules changed: %s\n", client.Printable(names[0]), grouped(item.Value.Changed))
		},
	}
	cmd.Flags().StringVar(&rules, "rules", "refuse", "what becomes of the rules that name it: "+oneOf(leaveRules))
	complete(cmd, "rules", leaveRules)
	return cmd
}
