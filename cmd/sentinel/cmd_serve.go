package main

import (
	"errors"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

func newServeCommand(args []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Forward requests, and hold every key to its addresses (the default)",
		Args:  noWords,
		// Unknown flags are found below, to be reported with everything else.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := loadConfig(sourcesOf(cmd))
			if unknown := unknownFlags(cmd.Flags(), args); len(unknown) > 0 {
				return &usageError{errors.Join(append(unknown, err)...)}
			}
			if err != nil {
				return err
			}
			logger := newLogger(cfg, cfg.LogLevel, cmd.ErrOrStderr())
			for _, w := range warnings {
				logger.Warn("settings: " + w)
			}
			return serve(cmd.Context(), cfg, serveEnv{stderr: cmd.ErrOrStderr(), stdout: cmd.OutOrStdout()})
		},
	}
	addSettingFlags(cmd)
	return cmd
}

// newLogger returns the logger that the settings ask for, from a level on that
// may change.
func newLogger(cfg *Config, level slog.Leveler, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// dataDirOf returns the data directory that a command works on: the one that
// its flag names, or that of the settings.
func dataDirOf(cmd *cobra.Command, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	cfg, err := loadSome(sourcesOf(cmd), "SENTINEL_DATA_DIR")
	if err != nil {
		return "", err
	}
	return cfg.DataDir, nil
}
