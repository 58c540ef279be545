package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// bulk is a command that does one act to many bindings.
type bulk struct {
	act    string // ban, unban, unbind
	status string // that they have then; empty: none

	filter bindingFilterFlags
	every  bool
	dryRun bool
	yes    bool
	expect int
}

func newBulkCommand(act, status, short string) *cobra.Command {
	b := &bulk{act: act, status: status}
	cmd := &cobra.Command{
		Use:   act + " [KEYREF…]",
		Short: short,
		Long: short + ".\n\n" +
			"It is done to the keys that are named, or to all bindings that the flags choose: then the number is shown and has to be\n" +
			"confirmed on the terminal, and nothing is done if it is another one by then. Without a terminal, --yes confirms.",
		Example: fmt.Sprintf(`  sentinel bindings %[1]s 9fQ2
  sentinel bindings %[1]s - < key.txt
  sentinel bindings %[1]s --label staging --unused-since 90d --dry-run`, act),
		Args: func(cmd *cobra.Command, refs []string) error {
			if len(refs) == 0 {
				return nil
			}
			return keyRefs(cmd, refs)
		},
		RunE: b.run,
	}
	b.filter.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&b.every, "all-bindings", false, "every binding there is")
	flags.BoolVar(&b.dryRun, "dry-run", false, "tell how many it would be, and change nothing")
	flags.BoolVarP(&b.yes, "yes", "y", false, "do not ask")
	flags.IntVar(&b.expect, "expect", -1, "do nothing if it is another number of bindings")
	return cmd
}

func (b *bulk) run(cmd *cobra.Command, refs []string) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	filter, err := b.readFilter(cmd, refs)
	if err != nil {
		return err
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	r := client.BulkRequest{Act: b.act, DryRun: b.dryRun}
	if cmd.Flags().Changed("expect") {
		r.Expect = &b.expect
	}
	if len(refs) > 0 {
		if r.Hashes, err = resolveAll(cmd, c, refs); err != nil {
			return err
		}
	} else {
		r.Filter = &filter
		if err := b.confirm(cmd, c, &r); err != nil {
			return err
		}
	}
	progress := newProgress(cmd, true)
	progress.say("the server is at work…")
	item, err := c.Bulk(cmd.Context(), r)
	progress.end()
	if err != nil {
		return err
	}
	return b.report(cmd, form, item)
}

// readFilter returns what the flags choose, which must be something if no key is
// named, and nothing if one is.
func (b *bulk) readFilter(cmd *cobra.Command, refs []string) (client.BindingFilter, error) {
	filter, err := b.filter.read()
	if err != nil {
		return filter, err
	}
	chosen := !filter.IsZero()
	switch {
	case len(refs) > 0 && (chosen || b.every):
		return filter, usagef("%s: name keys, or choose bindings with flags, not both", cmd.CommandPath())
	case chosen && b.every:
		return filter, usagef("--all-bindings and other flags that choose: want one of them")
	case len(refs) == 0 && !chosen && !b.every:
		return filter, usagef("%s: which bindings? name keys, choose with flags such as --label, or say --all-bindings", cmd.CommandPath())
	case cmd.Flags().Changed("expect") && b.expect < 0:
		return filter, usagef("--expect=%d: want 0 or more", b.expect)
	}
	filter.All = b.every
	return filter, nil
}

func resolveAll(cmd *cobra.Command, c *client.Client, refs []string) ([]string, error) {
	var (
		hashes []string
		faults []error
	)
	for _, ref := range refs {
		b, err := resolve(cmd, c, ref)
		switch {
		case err == nil:
			hashes = append(hashes, b.Hash)
		case exitCodeOf(err) == exitNotFound:
			faults = append(faults, err)
		default:
			return nil, err
		}
	}
	return hashes, errors.Join(faults...)
}

// confirm asks whether that many bindings are meant, and has the server do
// nothing if it is another number by then.
func (b *bulk) confirm(cmd *cobra.Command, c *client.Client, r *client.BulkRequest) error {
	if b.yes || b.dryRun {
		return nil
	}
	if !isTerminal(cmd.InOrStdin()) {
		return usagef("%s: there is no terminal to confirm on; look with --dry-run, and then say --yes", cmd.CommandPath())
	}
	dry := *r
	dry.DryRun = true
	item, err := c.Bulk(cmd.Context(), dry)
	if err != nil {
		return err
	}
	if item.Value.Matched == 0 {
		r.Expect = &item.Value.Matched
		return nil
	}
	said, err := ask(cmd, fmt.Sprintf("%s %s?", strings.ToUpper(b.act[:1])+b.act[1:], bindings(item.Value.Matched)))
	if err != nil {
		return err
	}
	if !said {
		return errors.New("not confirmed: nothing was changed")
	}
	r.Expect = &item.Value.Matched
	return nil
}

// ask puts a question on the terminal. Only y and yes are a yes.
func ask(cmd *cobra.Command, question string) (bool, error) {
	if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question); err != nil {
		return false, err
	}
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read answer: %w", err)
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

func bindings(n int) string {
	if n == 1 {
		return "1 binding"
	}
	return grouped(n) + " bindings"
}

// bulkVerbs say what was done.
var bulkVerbs = map[string]string{"ban": "banned", "unban": "unbanned", "unbind": "unbound"}

// report says what became of the bindings. That one is missing, or has failed,
// is an error.
func (b *bulk) report(cmd *cobra.Command, form string, item client.Item[client.BulkResult]) error {
	r := item.Value
	var err error
	if form == outputJSON {
		err = writeJSON(cmd.OutOrStdout(), item.Raw)
	} else {
		would := ""
		if b.dryRun {
			would = "would be "
		}
		text := fmt.Sprintf("%s %s%s", bindings(r.Changed), would, bulkVerbs[b.act])
		if r.Unchanged > 0 {
			text += fmt.Sprintf(", %s already", grouped(r.Unchanged))
			if b.status != "" {
				text += " " + b.status
			}
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	}
	switch {
	case err != nil:
		return err
	case r.Failed > 0:
		return fmt.Errorf("%s could not be changed: %s", bindings(r.Failed), client.Printable(r.FirstError.Message))
	case r.Missing > 0:
		return notFoundf("%s of the %s keys are not bound", grouped(r.Missing), grouped(r.Matched))
	}
	return nil
}
