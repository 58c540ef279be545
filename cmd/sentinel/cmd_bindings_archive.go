package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

func newArchiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "archive", Args: onlyCommands, RunE: showHelp,
		Short: "Show and restore bindings that were archived because nobody used them",
	}
	cmd.AddCommand(newArchiveListCommand(), newArchiveRestoreCommand(), newArchiveRunCommand())
	return cmd
}

func newArchiveListCommand() *cobra.Command {
	var (
		filter bindingFilterFlags
		limits limitFlags
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: noWords,
		Short:   "List the archive",
		Example: "  sentinel bindings archive list --archived-since 7d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			limit, err := limits.read(cmd)
			if err != nil {
				return err
			}
			chosen, err := filter.read()
			if err != nil {
				return err
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			out, err := newListWriter(cmd, archiveColumns())
			if err != nil {
				return err
			}
			return writePages(cmd, out, c.Archive(cmd.Context(), chosen, filter.archivedSince.t, filter.archivedBefore.t, limit))
		},
	}
	filter.add(cmd)
	filter.addTime(cmd, &filter.archivedSince, "archived-since", "archived at this time or later")
	filter.addTime(cmd, &filter.archivedBefore, "archived-before", "archived before this time")
	limits.add(cmd)
	return cmd
}

// archiveColumns are those of bindings and, first, when they were archived.
func archiveColumns() []column[client.Archived] {
	type a = client.Archived
	columns := []column[a]{{
		title: "ARCHIVED", name: "archivedAt", text: func(a a) string { return csvTime(a.ArchivedAt) },
		shown: func(a a) string { return localTime(a.ArchivedAt) },
	}}
	for _, c := range bindingColumns() {
		of := column[a]{title: c.title, name: c.name, hidden: c.hidden, fit: c.fit, text: func(a a) string { return c.text(a.Binding) }}
		if c.shown != nil {
			of.shown = func(a a) string { return c.shown(a.Binding) }
		}
		columns = append(columns, of)
	}
	return columns
}

func newArchiveRestoreCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restore KEYREF…", Args: keyRefs,
		Short:   "Move bindings back from the archive, as they were",
		Example: "  sentinel bindings archive restore 9fQ2",
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, refs []string) error {
			var faults []error
			for _, ref := range refs {
				item, err := restore(cmd, c, ref)
				if err != nil {
					faults = append(faults, err)
					continue
				}
				if form == outputJSON {
					err = writeJSONLine(cmd.OutOrStdout(), item.Raw)
				} else {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s restored\n", client.Printable(strings.TrimSpace(item.Value.Hint+" "+item.Value.Label)))
				}
				if err != nil {
					return err
				}
			}
			return errors.Join(faults...)
		}),
	}
}

func restore(cmd *cobra.Command, c *client.Client, ref string) (client.Item[client.Binding], error) {
	hash, err := resolveArchived(cmd, c, ref)
	if err != nil {
		return client.Item[client.Binding]{}, err
	}
	item, err := c.Restore(cmd.Context(), hash)
	switch {
	case exitCodeOf(err) == exitNotFound:
		return item, notFoundf("the archive has no binding with the key hash %s", hash)
	case err != nil:
		return item, fmt.Errorf("restore %s: %w", hash, err)
	}
	return item, nil
}

func resolveArchived(cmd *cobra.Command, c *client.Client, ref string) (string, error) {
	switch {
	case hashPattern.MatchString(ref):
		return strings.ToLower(ref), nil
	case ref == "-":
		key, err := readKey(cmd)
		if err != nil {
			return "", err
		}
		found, err := c.FindKey(cmd.Context(), key)
		return found.Key.Hash, err
	}
	return resolveArchivedHint(cmd.Context(), c, withEllipsis(ref))
}

func resolveArchivedHint(ctx context.Context, c *client.Client, part string) (string, error) {
	var matches, exact []client.Binding
	for page, err := range c.Archive(ctx, client.BindingFilter{Hint: part}, time.Time{}, time.Time{}, client.MaxPage) {
		if err != nil {
			return "", err
		}
		for _, item := range page.Items {
			matches = append(matches, item.Value.Binding)
			if item.Value.Hint == part {
				exact = append(exact, item.Value.Binding)
			}
		}
	}
	b, err := pick(part, matches, exact, 0)
	return b.Hash, err
}

func newArchiveRunCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Args: noWords,
		Short: "Archive and remove now what the retention settings say, instead of at the next hour",
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, _ []string) error {
			progress := newProgress(cmd, true)
			progress.say("the server is at work…")
			item, err := c.RunArchive(cmd.Context())
			progress.end()
			switch {
			case err != nil:
				return err
			case form == outputJSON:
				return writeJSON(cmd.OutOrStdout(), item.Raw)
			}
			r := item.Value
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s archived; removed: %s from the archive, %s intercepts, %s counters, %s audit entries\n",
				bindings(r.Archived), grouped(r.Purged), grouped(r.Intercepts), grouped(r.Counters), grouped(r.Audit))
			return err
		}),
	}
}
