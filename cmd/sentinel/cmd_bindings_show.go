package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

func newBindingsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show KEYREF", Args: oneKeyRef,
		Short: "Show one binding, with its use and its newest intercepts",
		Example: `  sentinel bindings show 9fQ2
  sentinel bindings show - < key.txt
  sentinel bindings show 9fQ2 --output json`,
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, refs []string) error {
			b, err := resolve(cmd, c, refs[0])
			if err != nil {
				return err
			}
			item, err := c.Binding(cmd.Context(), b.Hash)
			if err != nil {
				return notBound(err, b.Hash)
			}
			if form == outputJSON {
				return writeJSON(cmd.OutOrStdout(), item.Raw)
			}
			return writeBindingDetail(cmd.OutOrStdout(), item.Value)
		}),
	}
}

// notBound says which key it is that the server does not know.
func notBound(err error, hash string) error {
	if exitCodeOf(err) != exitNotFound {
		return err
	}
	return notFoundf("no binding has the key hash %s", hash)
}

// writeBinding writes a binding as the answer to a change of it.
func writeBinding(cmd *cobra.Command, form string, item client.Item[client.Binding]) error {
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), item.Raw)
	}
	w := bufio.NewWriter(cmd.OutOrStdout())
	writeBindingFields(w, item.Value)
	return w.Flush()
}

func writeBindingFields(w io.Writer, b client.Binding) {
	from := "any source"
	if b.Rule.Kind != "all" {
		from = strings.Join(ruleSources(b.Rule), "\n")
	}
	writeField(w, "Key hash", b.Hash)
	writeField(w, "Hint", b.Hint)
	if b.Label != "" {
		writeField(w, "Label", b.Label)
	}
	writeField(w, "Status", b.Status)
	writeField(w, "Rule", b.Rule.Kind)
	writeField(w, "From", from)
	if b.Rule.Learn != nil {
		writeField(w, "Learns", learnState(b.Rule))
	}
	if b.Note != "" {
		writeField(w, "Note", b.Note)
	}
	writeField(w, "Bound", localTime(b.CreatedAt)+fromIP(b.FirstIP, " by hand"))
	writeField(w, "Changed", localTime(b.UpdatedAt))
	if !b.ArchivedBefore.IsZero() {
		writeField(w, "Archived before", localTime(b.ArchivedBefore))
	}
}

func fromIP(ip, without string) string {
	if ip == "" {
		return without
	}
	return " from " + ip
}

// writeField writes a field and its text, of which each line is indented. Errors
// come from the writer's Flush.
func writeField(w io.Writer, name, text string) {
	const nameWidth = 17
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			name = ""
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-*s%s", nameWidth, name, client.Printable(line)), " "))
	}
}

func writeBindingDetail(out io.Writer, b client.BindingDetail) error {
	w := bufio.NewWriter(out)
	writeBindingFields(w, b.Binding)
	last := "never"
	if !b.Usage.LastUsed.IsZero() {
		last = localTime(b.Usage.LastUsed) + fromIP(b.Usage.LastIP, "")
	}
	writeField(w, "Last used", last)
	writeField(w, "Hits", grouped(b.Usage.Hits))
	if !b.ArchivedAt.IsZero() {
		writeField(w, "In the archive", "an earlier binding, since "+localTime(b.ArchivedAt))
	}
	width := terminalWidth(out)
	days := newTableWriter(w, width, []tableColumn{{title: "DAY (UTC)"}, {"ALLOWED", fit{right: true}}, {"REFUSED", fit{right: true}}})
	for _, d := range b.Usage.Days {
		if err := days.add([]string{d.Day.UTC().Format("2006-01-02"), count(d.Allowed), count(d.Refused)}); err != nil {
			return err
		}
	}
	addresses := newTableWriter(w, width, []tableColumn{{title: "USED FROM"}, {title: "FIRST"}, {title: "LAST"}})
	for _, a := range b.Usage.Addresses {
		if err := addresses.add([]string{a.IP, localTime(a.First), localTime(a.Last)}); err != nil {
			return err
		}
	}
	intercepts := newTableWriter(w, width, titlesOf(interceptColumns()))
	for _, rec := range b.Intercepts {
		if err := intercepts.add(cellsOf(interceptColumns(), rec)); err != nil {
			return err
		}
	}
	for _, table := range []*tableWriter{days, addresses, intercepts} {
		if len(table.rows) == 0 {
			continue
		}
		_ = w.WriteByte('\n')
		if err := table.flush(); err != nil {
			return err
		}
	}
	return w.Flush()
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }
