package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
)

func newHashCommand() *cobra.Command {
	names := []string{
		"SENTINEL_DATA_DIR", "SENTINEL_HMAC_SECRET", "SENTINEL_CREDENTIAL_PROFILE", "SENTINEL_CREDENTIAL_HEADER",
		"SENTINEL_CREDENTIAL_LOCATIONS", "SENTINEL_CREDENTIAL_CANONICAL",
	}
	cmd := &cobra.Command{
		Use:   "hash",
		Short: "Print the key hash of an API key, which is read from standard input",
		Long: "Print the key hash of an API key, by which its binding is found, and its hint.\n\n" +
			"The key is read from standard input, since arguments can be seen by everybody on the machine.",
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadSome(sourcesOf(cmd), names...)
			if err != nil {
				return err
			}
			reader, err := credentialReader(cfg)
			if err != nil {
				return err
			}
			key, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), credential.MaxValueBytes+2))
			if err != nil {
				return fmt.Errorf("read key: %w", err)
			}
			hash, hint, err := reader.HashKey(string(key))
			if err != nil {
				return usagef("standard input: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", hash, hint)
			return err
		},
	}
	addSettingFlags(cmd, names...)
	return cmd
}

// credentialReader reads keys as the server with these settings does. It makes
// no secret: a hash made with a new one would find nothing.
func credentialReader(cfg *Config) (*credential.Reader, error) {
	secret := cfg.HMACSecret
	if secret == "" {
		path := filepath.Join(cfg.DataDir, secretsName)
		kept, err := readSecrets(path)
		if err != nil {
			return nil, err
		}
		if secret = secretText(kept.HMACSecret); secret == "" {
			return nil, usagef("SENTINEL_HMAC_SECRET is missing, and %s has none; want the one that the server uses", path)
		}
	}
	return newCredentialReader(cfg, []byte(secret.Reveal()))
}
