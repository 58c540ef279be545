package main

import (
	"io"

	"github.com/spf13/cobra"
)

func newSettingsCommand() *cobra.Command {
	var language string
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Print every setting, as a page in Markdown",
		Args:  noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, ok := settingsPages[language]
			if !ok {
				return usagef("--language=%q: not there; want en or zh", language)
			}
			_, err := io.WriteString(cmd.OutOrStdout(), page())
			return err
		},
	}
	cmd.Flags().StringVar(&language, "language", "en", "en or zh")
	return cmd
}
