package main

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

// writeList writes a list that is there as a whole, in the form that --output
// asks for.
func writeList[T any](cmd *cobra.Command, columns []column[T], rows []T) error {
	l, err := newListWriter(cmd, columns)
	if err != nil {
		return err
	}
	for _, row := range rows {
		raw, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if err := l.add(row, raw); err != nil {
			return err
		}
	}
	return l.flush()
}
