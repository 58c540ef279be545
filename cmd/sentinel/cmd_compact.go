package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const compactPath = "/maintenance/compact"

func newCompactCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Write the data file of a running server anew, so that the disk gets back what is free in it",
		Long: "Write the data file of a running server anew, so that the disk gets back what is free in it. Keys that are bound go on\n" +
			"meanwhile; changes, and first uses of keys, wait until it is done. sentinel_store_free_bytes of /metrics tells whether it pays.",
		Args: noWords,
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, _ []string) error {
			progress := newProgress(cmd, true)
			progress.say("writing the data file anew")
			var raw json.RawMessage
			err := c.Do(cmd.Context(), http.MethodPost, compactPath, nil, &raw)
			progress.end()
			if err != nil {
				return err
			}
			if form == outputJSON {
				return writeJSON(cmd.OutOrStdout(), raw)
			}
			var sizes struct{ Before, After int64 }
			if err := json.Unmarshal(raw, &sizes); err != nil {
				return fmt.Errorf("the server's answer: %w", err)
			}
			return say(cmd, "the data file had %s, and has %s\n", megabytes(sizes.Before), megabytes(sizes.After))
		}),
	}
	addClientFlags(cmd)
	return cmd
}
