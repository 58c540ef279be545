package main

import (
	"bufio"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

var exceptionStates = []string{"running", "ended", "revoked"}

// newExceptionsCommand returns `sentinel exceptions`.
func newExceptionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "exceptions", Aliases: []string{"exception"}, Args: onlyCommands, RunE: showHelp,
		Short: "Let a key be used from a network for a time, and leave its rule as it is",
	}
	addClientFlags(cmd)
	cmd.AddCommand(newExceptionsListCommand(), newExceptionsAddCommand(), newExceptionsEndCommand())
	return cmd
}

func newExceptionsListCommand() *cobra.Command {
	var (
		filter client.ExceptionFilter
		key    string
		limits limitFlags
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: noWords,
		Short:   "List exceptions: those that run first, the next to end first",
		Example: `  sentinel exceptions list --state running`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limit, err := limits.read(cmd)
			if err != nil {
				return err
			}
			if filter.State != "" && !slices.Contains(exceptionStates, filter.State) {
				return usagef("--state=%q: want %s", filter.State, oneOf(exceptionStates))
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if key != "" {
				if err := checkKeyRef(key, 1); err != nil {
					return err
				}
				b, err := resolve(cmd, c, key)
				if err != nil {
					return err
				}
				filter.Hash = b.Hash
			}
			out, err := newListWriter(cmd, exceptionColumns)
			if err != nil {
				return err
			}
			return writePages(cmd, out, c.Exceptions(cmd.Context(), filter, limit))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&filter.State, "state", "", oneOf(exceptionStates))
	flags.StringVar(&key, "key", "", "of this key: a key hash, a part of the hint of a binding, or - for a key on standard input")
	flags.StringVar(&filter.Text, "text", "", "a part of the hint, the note, the network, or of who made it")
	limits.add(cmd)
	complete(cmd, "state", exceptionStates)
	return cmd
}

var exceptionColumns = []column[client.Exception]{
	{title: "ID", name: "id", text: func(x client.Exception) string { return x.ID }},
	{title: "STATE", name: "state", text: func(x client.Exception) string { return x.State }},
	{title: "KEY", name: "hint", text: func(x client.Exception) string { return x.Hint }, fit: fit{min: 10}},
	{title: "FROM", name: "prefix", text: func(x client.Exception) string { return x.Prefix }, fit: fit{min: 15}},
	{title: "UNTIL", name: "until", text: func(x client.Exception) string { return csvTime(x.Until) }, shown: func(x client.Exception) string { return localTime(x.Until) }},
	{title: "NOTE", name: "note", text: func(x client.Exception) string { return x.Note }, fit: fit{min: 8, drop: 1}},
	{title: "BY", name: "by", text: func(x client.Exception) string { return x.By }, fit: fit{min: 8, drop: 2}},
	{name: "createdAt", text: func(x client.Exception) string { return csvTime(x.CreatedAt) }, hidden: true},
	{name: "revokedAt", text: func(x client.Exception) string { return csvTime(x.RevokedAt) }, hidden: true},
	{name: "revokedBy", text: func(x client.Exception) string { return x.RevokedBy }, hidden: true},
	{name: "hash", text: func(x client.Exception) string { return x.Hash }, hidden: true},
}

// exceptionFlags say what an exception is to be.
type exceptionFlags struct {
	order client.NewException
	end   endFlags
}

func newExceptionsAddCommand() *cobra.Command {
	f := &exceptionFlags{}
	cmd := &cobra.Command{
		Use: "add KEYREF ADDRESS | add --intercept ID [ADDRESS]", Args: cobra.ArbitraryArgs,
		Short: "Let a key be used from an address or network until a time",
		Long: "Let a key be used from an address or network until a time, from the next request on and whatever its rule says, which stays as it\n" +
			"is. With --intercept, key and address are those of a record of the log (the id in sentinel logs tail --output json). A banned key\n" +
			"stays banned.",
		Example: `  sentinel exceptions add 9fQ2 198.51.100.7 --for 8h --note "on the road"
  sentinel exceptions add --intercept 4711 --for 8h`,
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Uint64Var(&f.order.InterceptID, "intercept", 0, "ID of the record of a refusal: allow this")
	f.end.add(cmd)
	flags.StringVar(&f.order.Note, "note", "", "what there is to say of it")
	flags.BoolVar(&f.order.ConfirmAnySource, "confirm-any-source", false, "0.0.0.0/0 and ::/0 are meant")
	return cmd
}

func (f *exceptionFlags) run(cmd *cobra.Command, words []string) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	order := f.order
	ref := ""
	switch {
	case order.InterceptID == 0 && len(words) != 2:
		return usagef("%s wants a key and an address, or --intercept with the ID of a record, e.g. %s 9fQ2 198.51.100.7 --for 8h", cmd.CommandPath(), cmd.CommandPath())
	case order.InterceptID != 0 && len(words) > 1:
		return usagef("--intercept says which key: want an address at most beside it")
	case order.InterceptID == 0:
		ref, order.Prefix = words[0], words[1]
		if err := checkKeyRef(ref, 1); err != nil {
			return err
		}
	case len(words) == 1:
		order.Prefix = words[0]
	}
	if order.Until, err = f.end.read(time.Now()); err != nil {
		return err
	}
	if order.Until.IsZero() {
		return usagef("%s: until when? want --for or --until, e.g. --for 8h", cmd.CommandPath())
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	if ref != "" {
		b, err := resolve(cmd, c, ref)
		if err != nil {
			return err
		}
		order.Hash = b.Hash
	}
	item, err := c.CreateException(cmd.Context(), order)
	if err != nil {
		return err
	}
	return writeException(cmd, form, item)
}

func writeException(cmd *cobra.Command, form string, item client.Item[client.Exception]) error {
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), item.Raw)
	}
	x := item.Value
	w := bufio.NewWriter(cmd.OutOrStdout())
	writeField(w, "ID", x.ID)
	writeField(w, "Key", x.Hint)
	writeField(w, "Key hash", x.Hash)
	writeField(w, "From", x.Prefix)
	writeField(w, "Until", localTime(x.Until))
	writeField(w, "State", x.State)
	if x.Note != "" {
		writeField(w, "Note", x.Note)
	}
	return w.Flush()
}

func newExceptionsEndCommand() *cobra.Command {
	return &cobra.Command{
		Use: "end ID", Args: oneWord("ID"),
		Short:   "End an exception before its time, and cut open streams that nothing else lets pass",
		Example: `  sentinel exceptions end k3v7q2mabcdefgh`,
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, words []string) error {
			item, err := c.EndException(cmd.Context(), words[0])
			if err != nil {
				return err
			}
			return writeException(cmd, form, item)
		}),
	}
}
