package main

import (
	"cmp"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// writePages writes a list as its pages come. Before a terminal it tells how
// far it is, if the list goes elsewhere, and what it has left out.
func writePages[T any](cmd *cobra.Command, out *listWriter[T], pages iter.Seq2[client.Page[T], error]) error {
	progress := newProgress(cmd, !isTerminal(cmd.OutOrStdout()))
	defer progress.end()
	var (
		rows, total int
		more        bool
	)
	for page, err := range pages {
		if err != nil && rows > 0 {
			return cmp.Or(out.flush(), err) // what has come is written
		}
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := out.add(item.Value, item.Raw); err != nil {
				return err
			}
		}
		rows, total, more = rows+len(page.Items), page.Total, page.Next != ""
		progress.show("%s%s", grouped(rows), ofTotal(total))
		if err := out.flushPage(); err != nil {
			return err
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	progress.end()
	if more && out.table != nil && isTerminal(cmd.OutOrStdout()) {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s%s shown; --all shows all\n", grouped(rows), ofTotal(total))
	}
	return nil
}

func ofTotal(total int) string {
	if total < 0 {
		return ""
	}
	return " of " + grouped(total)
}

// gather returns the items of a list, and whether the server has more.
func gather[T any](pages iter.Seq2[client.Page[T], error]) (all []client.Item[T], more bool, err error) {
	for page, err := range pages {
		if err != nil {
			return nil, false, err
		}
		all, more = append(all, page.Items...), page.Next != ""
	}
	return all, more, nil
}
