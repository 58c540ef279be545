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

// migrateSettings returns the form of the output and the named settings, among which
// PG_DSN must be given; whose it is the error says.
func migrateSettings(cmd *cobra.Command, names []string, whose string) (form string, cfg *Config, err error) {
	if form, err = outputForm(cmd, outputTable, outputJSON); err != nil {
		return "", nil, err
	}
	if cfg, err = loadSome(sourcesOf(cmd), names...); err != nil {
		return "", nil, err
	}
	if cfg.PostgresDSN == "" {
		return "", nil, usagef("PG_DSN is missing: want %s, such as postgresql://USER:PASSWORD@HOST:5432/DATABASE", whose)
	}
	return form, cfg, nil
}
