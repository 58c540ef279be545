package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// newSuspicionsCommand returns `sentinel suspicions`.
func newSuspicionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "suspicions", Aliases: []string{"suspicion"}, Args: onlyCommands, RunE: showHelp,
		Short: "Show keys that several people seem to use, and dismiss the suspicion",
	}
	addClientFlags(cmd)
	cmd.AddCommand(newSuspicionsListCommand(), newSuspicionsDismissCommand())
	return cmd
}

func newSuspicionsListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: noWords,
		Short: "List the keys that were used from several networks at a time, again and again",
		Example: `  sentinel suspicions list
  sentinel suspicions list --output json | jq '.evidence'`,
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			out, err := newListWriter(cmd, suspicionColumns())
			if err != nil {
				return err
			}
			list, beyond, err := c.Suspicions(cmd.Context())
			if err != nil {
				return err
			}
			for _, item := range list {
				if err := out.add(item.Value, item.Raw); err != nil {
					return err
				}
			}
			if err := out.flush(); err != nil || beyond == 0 {
				return err
			}
			return say(cmd, "there was no room for %s more\n", plural(beyond, "key"))
		}),
	}
}

func suspicionColumns() []column[client.Suspicion] {
	type s = client.Suspicion
	return []column[s]{
		{title: "KEY", name: "hint", text: func(s s) string { return s.Hint }, fit: fit{min: 10, wide: 10}},
		{title: "LABEL", name: "label", text: func(s s) string { return s.Label }, fit: fit{min: 10, drop: 1}},
		{title: "MINUTES", name: "minutes", text: func(s s) string { return strconv.Itoa(s.Minutes) }, fit: fit{right: true}},
		{title: "FIRST", name: "first", text: func(s s) string { return csvTime(s.First) }, shown: func(s s) string { return localTime(s.First) }, fit: fit{drop: 2}},
		{title: "LAST", name: "last", text: func(s s) string { return csvTime(s.Last) }, shown: func(s s) string { return localTime(s.Last) }},
		{title: "LAST FROM", name: "networks", text: newestNetworks, fit: fit{min: 15, wide: 15}},
		{name: "hash", text: func(s s) string { return s.Hash }, hidden: true},
	}
}

// newestNetworks returns where a key was used from in the newest minute.
func newestNetworks(s client.Suspicion) string {
	if len(s.Evidence) == 0 {
		return ""
	}
	shown := make([]string, len(s.Evidence[0].Networks))
	for i, p := range s.Evidence[0].Networks {
		shown[i] = strings.TrimSuffix(p, "/32")
	}
	return strings.Join(shown, " ")
}

func newSuspicionsDismissCommand() *cobra.Command {
	return &cobra.Command{
		Use: "dismiss KEYREF", Args: oneKeyRef,
		Short: "Dismiss a suspicion; the key is suspected again after as many minutes as at first",
		Example: `  sentinel suspicions dismiss 9fQ2
  sentinel suspicions dismiss - < key.txt`,
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, refs []string) error {
			b, err := resolve(cmd, c, refs[0])
			if err != nil {
				return err
			}
			if err := c.DismissSuspicion(cmd.Context(), b.Hash); err != nil {
				if exitCodeOf(err) == exitNotFound {
					return notFoundf("there is no suspicion of the key with the hash %s", b.Hash)
				}
				return err
			}
			return say(cmd, "the suspicion is dismissed\n")
		}),
	}
}
