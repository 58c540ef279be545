package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

const backupPath = "/backup"

// backupFlags say how a backup is made.
type backupFlags struct {
	force       bool
	withSecrets bool
}

func newBackupCommand() *cobra.Command {
	var flags backupFlags
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy everything that a running server keeps into a file, and check the copy",
		Long: "Copy everything that a running server keeps into a file: a consistent snapshot, while requests go on.\n" +
			"The file has its name only once it is whole, on disk, and was read back.\n\n" +
			"Without the HMAC secret the bindings in it cannot be found. If Sentinel made that secret, it is in secrets.json in the\n" +
			"data directory, and --with-secrets puts a copy beside FILE; otherwise keep what SENTINEL_HMAC_SECRET is set to.",
		Example: `  sentinel backup --with-secrets /backup/sentinel-$(date +%F).db
  sentinel backup --url https://sentinel.example.com --token-file backup.token sentinel.db`,
		Args: oneWord("FILE"),
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, words []string) error {
			return flags.run(cmd, c, words[0])
		}),
	}
	addClientFlags(cmd)
	cmd.Flags().BoolVar(&flags.force, "force", false, "overwrite FILE")
	cmd.Flags().BoolVar(&flags.withSecrets, "with-secrets", false, "copy secrets.json of the data directory to FILE"+secretsSuffix+" as well; keep it as safe as the keys themselves")
	return cmd
}

func (b backupFlags) run(cmd *cobra.Command, c *client.Client, path string) error {
	if !b.force && !missing(path) {
		return usagef("%s is there already; name another file, or add --force", path)
	}
	kept, err := b.secrets(cmd, c, path)
	if err != nil {
		return err
	}
	file, err := newFileWriter(path)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer file.discard()
	made, err := b.fetch(cmd, c, file, engine.Secrets{Current: []byte(kept.HMACSecret)})
	if err != nil {
		return err
	}
	if b.withSecrets {
		if err := writeSecrets(path+secretsSuffix, kept); err != nil {
			return err
		}
	}
	if err := file.finish(b.force); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return b.tell(cmd, path, made)
}

// secrets returns those that are to be copied; none without --with-secrets.
func (b backupFlags) secrets(cmd *cobra.Command, c *client.Client, path string) (keptSecrets, error) {
	if !b.withSecrets {
		return keptSecrets{}, nil
	}
	if !c.IsLocal() {
		return keptSecrets{}, usagef("--with-secrets works on the machine of the server alone: secrets are not sent")
	}
	dir, err := dataDirOf(cmd, flagText(cmd, dataDirFlag))
	if err != nil {
		return keptSecrets{}, err
	}
	kept, err := readSecrets(filepath.Join(dir, secretsName))
	switch {
	case err != nil:
		return keptSecrets{}, err
	case kept.HMACSecret == "":
		return keptSecrets{}, usagef("--with-secrets: %s of the data directory has no HMAC secret, so it is one of the settings; keep SENTINEL_HMAC_SECRET instead", secretsName)
	case !b.force && !missing(path+secretsSuffix):
		return keptSecrets{}, usagef("%s is there already; name another file, or add --force", path+secretsSuffix)
	}
	return kept, nil
}

// fetch writes the snapshot into file, and reads it back.
func (b backupFlags) fetch(cmd *cobra.Command, c *client.Client, file *fileWriter, secrets engine.Secrets) (snapshot, error) {
	progress := newProgress(cmd, true)
	defer progress.end()
	res, err := c.Stream(cmd.Context(), client.Request{Method: http.MethodGet, Path: backupPath})
	if err != nil {
		return snapshot{}, err
	}
	defer func() { _ = res.Body.Close() }()
	counted := &countingReader{r: contextReader{cmd.Context(), res.Body}, tell: func(n int64) {
		if res.Length > 0 {
			progress.show("%s of %s", megabytes(n), megabytes(res.Length))
		} else {
			progress.show("%s", megabytes(n))
		}
	}}
	if _, err := io.Copy(file, counted); err != nil {
		return snapshot{}, fmt.Errorf("backup: %w", err)
	}
	if err := file.flush(); err != nil {
		return snapshot{}, fmt.Errorf("backup: %w", err)
	}
	made, err := examineSnapshot(cmd.Context(), file.Name(), secrets, func(done, total int) {
		progress.show("reading it back: %s of %s bindings", grouped(done), grouped(total))
	})
	switch {
	case errors.Is(err, engine.ErrOtherSecret):
		return snapshot{}, fmt.Errorf("backup: the HMAC secret in %s is not the one in use, which is one of the settings: keep SENTINEL_HMAC_SECRET, and leave --with-secrets out", secretsName)
	case errors.Is(err, store.ErrNewer):
		return snapshot{}, fmt.Errorf("backup: the server is newer than this command, which cannot check the copy: use the server's own version (%w)", err)
	case err != nil:
		return snapshot{}, fmt.Errorf("backup: the copy cannot be read back, and was thrown away: %w", err)
	}
	return made, nil
}

func (b backupFlags) tell(cmd *cobra.Command, path string, made snapshot) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	if form == outputJSON {
		return writeAsJSON(cmd.OutOrStdout(), map[string]any{"file": path, "bytes": made.Bytes, "bindings": made.Bindings})
	}
	keep := "keep the HMAC secret too (SENTINEL_HMAC_SECRET, or " + secretsName + " of the data directory): without it the bindings cannot be found"
	if b.withSecrets {
		keep = "the secrets are in " + path + secretsSuffix
	}
	return say(cmd, "%s: %s, %s bindings, read back\n%s\n", path, megabytes(made.Bytes), grouped(made.Bindings), keep)
}

// copyInto copies a file, which another place keeps, to a temporary one in the
// directory of target.
func copyInto(ctx context.Context, from, target string, tell func(n int64)) (_ *fileWriter, err error) {
	source, err := os.Open(from) //nolint:gosec // G304: the person who runs the command names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = source.Close() }()
	file, err := newFileWriter(target)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(file, &countingReader{r: contextReader{ctx, source}, tell: tell}); err != nil {
		file.discard()
		return nil, err
	}
	if err := file.flush(); err != nil {
		file.discard()
		return nil, err
	}
	return file, nil
}
