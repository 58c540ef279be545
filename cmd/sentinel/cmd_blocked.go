package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// newBlockedCommand returns `sentinel blocked`.
func newBlockedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "blocked", Args: onlyCommands, RunE: showHelp,
		Short: "Block networks: whoever comes from there is refused, whatever the key",
		Long: "Block networks: requests from there are refused from the next one on, whatever the key, and open streams are cut. Only an\n" +
			"exception of a key is stronger.",
	}
	addClientFlags(cmd)
	cmd.AddCommand(newBlockedListCommand(), newBlockedAddCommand(), newBlockedRemoveCommand(), newBlockedImportCommand(), newBlockedExportCommand())
	return cmd
}

func newBlockedListCommand() *cobra.Command {
	var (
		text, within string
		limits       limitFlags
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: noWords,
		Short:   "List blocked networks, in the order of their addresses",
		Example: `  sentinel blocked list --network 198.51.100.7`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limit, err := limits.read(cmd)
			if err != nil {
				return err
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			out, err := newListWriter(cmd, blockedColumns)
			if err != nil {
				return err
			}
			return writePages(cmd, out, c.BlockedNetworks(cmd.Context(), text, within, limit))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&text, "text", "", "a part of the note, of who blocked it, or of the network")
	flags.StringVar(&within, "network", "", "those that have at least one address of this network (address or CIDR)")
	limits.add(cmd)
	return cmd
}

var blockedColumns = []column[client.Blocked]{
	{title: "NETWORK", name: "prefix", text: func(b client.Blocked) string { return b.Prefix }},
	{title: "UNTIL", name: "until", text: func(b client.Blocked) string { return csvTime(b.Until) }, shown: func(b client.Blocked) string { return localTime(b.Until) }, fit: fit{wide: len(tableTime)}},
	{title: "NOTE", name: "note", text: func(b client.Blocked) string { return b.Note }, fit: fit{min: 10}},
	{title: "BY", name: "by", text: func(b client.Blocked) string { return b.By }, fit: fit{min: 8, drop: 2}},
	{title: "SINCE", name: "createdAt", text: func(b client.Blocked) string { return csvTime(b.CreatedAt) }, shown: func(b client.Blocked) string { return localTime(b.CreatedAt) }, fit: fit{drop: 1}},
}

// endFlags say when something ends by itself.
type endFlags struct{ span, until string }

func (f *endFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.span, "for", "", "how long, e.g. 8h, 30m or 7d")
	cmd.Flags().StringVar(&f.until, "until", "", "until a time, e.g. 2027-01-31 (its end, in this machine's time zone) or 2027-01-31T18:00:00Z")
}

// read returns the end; zero: neither flag is given.
func (f *endFlags) read(now time.Time) (time.Time, error) {
	switch {
	case f.span != "" && f.until != "":
		return time.Time{}, usagef("--for and --until: want one of them")
	case f.span != "":
		d, err := parseSpan(f.span)
		if err != nil || d <= 0 {
			return time.Time{}, usagef("--for=%q: want how long, e.g. 8h, 30m or 7d", f.span)
		}
		return now.Add(d), nil
	case f.until != "":
		at, endless, err := parseExpiry(f.until, now)
		if err != nil || endless {
			return time.Time{}, usagef("--until=%q: want a time to come, e.g. %s or %s", f.until,
				now.AddDate(0, 0, 7).Format(dateForm), now.Add(day).UTC().Format(time.RFC3339))
		}
		return at, nil
	}
	return time.Time{}, nil
}

// blockFlags are those of what blocks networks.
type blockFlags struct {
	options client.BlockOptions
	end     endFlags
}

func (f *blockFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	f.end.add(cmd)
	flags.StringVar(&f.options.Note, "note", "", "what there is to say of it")
	flags.BoolVar(&f.options.Force, "force", false, "block it even if your own address is in it")
	flags.BoolVar(&f.options.ConfirmAnySource, "confirm-any-source", false, "0.0.0.0/0 and ::/0 are meant")
}

// block makes the call, and says what became of the networks.
func (f *blockFlags) block(cmd *cobra.Command, call func(*client.Client, client.BlockOptions) (client.Item[client.BlockResult], error)) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	o := f.options
	if o.Until, err = f.end.read(time.Now()); err != nil {
		return err
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	item, err := call(c, o)
	if err != nil {
		return err
	}
	warn(cmd, item.Value.Warnings)
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), item.Raw)
	}
	r := item.Value
	return say(cmd, "%s blocked anew, %s were blocked already; %s in all\n", grouped(r.Added), grouped(r.Replaced), grouped(r.Total))
}

// somePrefixes wants at least one argument.
func somePrefixes(cmd *cobra.Command, words []string) error {
	if len(words) == 0 {
		return usagef("%s: PREFIX is missing: want an address or CIDR, e.g. 198.51.100.0/24", cmd.CommandPath())
	}
	return nil
}

func newBlockedAddCommand() *cobra.Command {
	var f blockFlags
	cmd := &cobra.Command{
		Use: "add PREFIX…", Args: somePrefixes,
		Short: "Block networks: all of them, or none if one is wrong",
		Long: "Block networks: all of them, or none if one is wrong. Of those that are blocked already, note and end are replaced. A block\n" +
			"that has your own address in it is refused without --force; on the machine of the server nobody has one.",
		Example: `  sentinel blocked add 198.51.100.0/24 --for 7d --note "scanner"`,
		RunE: func(cmd *cobra.Command, prefixes []string) error {
			return f.block(cmd, func(c *client.Client, o client.BlockOptions) (client.Item[client.BlockResult], error) {
				return c.Block(cmd.Context(), prefixes, o)
			})
		},
	}
	f.add(cmd)
	return cmd
}

func newBlockedImportCommand() *cobra.Command {
	var f blockFlags
	cmd := &cobra.Command{
		Use: "import FILE", Args: oneWord("FILE"),
		Short: "Block the networks of a list: all of them, or none if a line is wrong",
		Long: "Block the networks of a list with one address or CIDR a line; what follows # is a comment. All are blocked, or none if a line\n" +
			"is wrong. FILE - is standard input. What sentinel blocked export writes can be read.",
		Example: `  sentinel blocked import drop.txt --note "feed of May"`,
		RunE: func(cmd *cobra.Command, files []string) error {
			return f.block(cmd, func(c *client.Client, o client.BlockOptions) (client.Item[client.BlockResult], error) {
				in, _, err := openImport(cmd, files[0])
				if err != nil {
					return client.Item[client.BlockResult]{}, err
				}
				defer func() { _ = in.Close() }()
				return c.ImportBlocked(cmd.Context(), in, o)
			})
		},
	}
	f.add(cmd)
	return cmd
}

func newBlockedRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove PREFIX…", Args: somePrefixes,
		Short:   "End the blocking of networks, as they are listed",
		Example: `  sentinel blocked remove 198.51.100.0/24`,
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, prefixes []string) error {
			item, err := c.Unblock(cmd.Context(), prefixes)
			switch {
			case err != nil:
				return err
			case form == outputJSON:
				return writeJSON(cmd.OutOrStdout(), item.Raw)
			case item.Value.Removed == 0:
				return notFoundf("none of them is blocked; sentinel blocked list --network shows what an address is blocked by")
			}
			warnMissing(cmd, item.Value.Missing)
			return say(cmd, "%s blocked no more; %s in all\n", grouped(item.Value.Removed), grouped(item.Value.Total))
		}),
	}
}

func warnMissing(cmd *cobra.Command, prefixes []string) {
	var missing []client.Warning
	for _, prefix := range prefixes {
		missing = append(missing, client.Warning{Message: prefix + " was not blocked"})
	}
	warn(cmd, missing)
}

func newBlockedExportCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "export [FILE]", Args: atMostOneFile,
		Short:   "Write blocked networks to a file, one a line, which sentinel blocked import can read",
		Example: `  sentinel blocked export blocked.txt`,
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, files []string) error {
			pour := func(w io.Writer) error {
				res, err := c.ExportBlocked(cmd.Context())
				if err != nil {
					return err
				}
				defer func() { _ = res.Body.Close() }()
				_, err = io.Copy(w, res.Body)
				return err
			}
			if len(files) == 0 || files[0] == "-" {
				return pour(cmd.OutOrStdout())
			}
			return writeFile(files[0], force, pour)
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}
