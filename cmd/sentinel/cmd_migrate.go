package main

import (
	"github.com/spf13/cobra"
)

// newMigrateCommand returns `sentinel migrate`.
func newMigrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Take data over from the earlier deployment, or move them between a data directory and PostgreSQL",
		Args:  onlyCommands, RunE: showHelp,
	}
	cmd.AddCommand(newMigrateLegacyCommand(), newMigrateToPostgresCommand(), newMigrateToBoltCommand())
	return cmd
}
