package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

// restoreDate is part of the name of what a restore has replaced.
const restoreDate = "20060102-150405"

func newRestoreCommand() *cobra.Command {
	var withSecrets bool
	names := []string{"SENTINEL_DATA_DIR", "SENTINEL_HMAC_SECRET", "SENTINEL_HMAC_SECRET_PREVIOUS"}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in place of the data of a server that is stopped; what was there stays beside it",
		Long: "Put a backup in place of the data of a server that is stopped. The file is read through first, and has to belong to\n" +
			"the HMAC secret at hand: that of the settings, or of secrets.json in the data directory, or with --with-secrets the\n" +
			"one in FILE" + secretsSuffix + ", which is put in place as well; or to the one before it. What was there stays beside it, with .before-restore-DATE in its name.",
		Example: `  sentinel restore /backup/sentinel-2026-11-26.db
  sentinel restore --with-secrets --data-dir /var/lib/sentinel /backup/sentinel-2026-11-26.db`,
		Args: oneWord("FILE"),
		RunE: func(cmd *cobra.Command, words []string) error {
			cfg, err := loadSome(sourcesOf(cmd), names...)
			if err != nil {
				return err
			}
			r := &restoration{
				from: words[0], dir: cfg.DataDir, target: filepath.Join(cfg.DataDir, dataFileName), withSecrets: withSecrets,
				before: ".before-restore-" + time.Now().Format(restoreDate), progress: newProgress(cmd, true),
			}
			if err := r.run(cmd.Context(), cfg); err != nil {
				return err
			}
			return say(cmd, "%s", r.told)
		},
	}
	addSettingFlags(cmd, names...)
	cmd.Flags().BoolVar(&withSecrets, "with-secrets", false, "put FILE"+secretsSuffix+" in place of secrets.json as well")
	return cmd
}

// restoration is one restore of a data directory.
type restoration struct {
	from, dir, target string
	withSecrets       bool
	before            string // is added to the names of what was replaced
	progress          *progress
	told              string
}

func (r *restoration) run(ctx context.Context, cfg *Config) error {
	defer r.progress.end()
	secret, kept, err := r.secret(cfg)
	if err != nil {
		return err
	}
	if err := makeDataDir(r.dir); err != nil {
		return err
	}
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	secrets := engine.Secrets{Current: []byte(secret.Reveal()), Previous: cfg.previousSecrets()}
	file, found, err := r.check(ctx, secrets)
	if err == nil {
		err = r.replace(file, kept)
	}
	if err = errors.Join(err, unlock()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.told = fmt.Sprintf("%s has the data of %s now: %s, %s bindings\n%s", r.dir, r.from, megabytes(found.Bytes), grouped(found.Bindings), r.told)
	return nil
}

// secret returns the HMAC secret that the data has to belong to, and the secrets
// file to put in place, if one is.
func (r *restoration) secret(cfg *Config) (secretText, *keptSecrets, error) {
	if r.withSecrets {
		path := r.from + secretsSuffix
		if missing(path) {
			return "", nil, usagef("--with-secrets: there is no %s", path)
		}
		kept, err := readSecrets(path)
		switch {
		case err != nil:
			return "", nil, err
		case kept.HMACSecret == "":
			return "", nil, fmt.Errorf("%s has no HMAC secret", path)
		case cfg.HMACSecret != "" && cfg.HMACSecret.Reveal() != kept.HMACSecret:
			return "", nil, usagef("--with-secrets: SENTINEL_HMAC_SECRET is set, to another secret than %s has, and would count instead: take it out of the settings", path)
		}
		return secretText(kept.HMACSecret), &kept, nil
	}
	if cfg.HMACSecret != "" {
		return cfg.HMACSecret, nil, nil
	}
	path := filepath.Join(r.dir, secretsName)
	kept, err := readSecrets(path)
	if err != nil {
		return "", nil, err
	}
	if kept.HMACSecret == "" {
		return "", nil, fmt.Errorf("restore: %w to compare the backup with: put back %s, set SENTINEL_HMAC_SECRET, or use --with-secrets", errNoSecret, path)
	}
	return secretText(kept.HMACSecret), nil, nil
}

// lock keeps a server from opening the present data file until it has been
// replaced; one that waits for the lock then opens what has its name by now. A
// file that no server could open needs no lock.
func (r *restoration) lock() (unlock func() error, err error) {
	nothing := func() error { return nil }
	if missing(r.target) {
		return nothing, nil
	}
	s, err := bolt.Open(r.target, bolt.Options{Program: currentBuild().Version})
	switch {
	case errors.Is(err, store.ErrLocked):
		return nil, fmt.Errorf("restore: a sentinel runs on data directory %s: stop it first", r.dir)
	case err != nil:
		return nothing, nil // damaged, foreign or newer: what it is restored for
	}
	return s.Close, nil
}

// check copies the backup into the data directory, and reads the copy through.
func (r *restoration) check(ctx context.Context, secrets engine.Secrets) (*fileWriter, snapshot, error) {
	info, err := os.Stat(r.from)
	if err != nil {
		return nil, snapshot{}, err
	}
	file, err := copyInto(ctx, r.from, r.target, func(n int64) {
		r.progress.show("copying: %s of %s", megabytes(n), megabytes(info.Size()))
	})
	if err != nil {
		return nil, snapshot{}, err
	}
	found, err := r.examine(ctx, file, secrets, info.Size())
	if err != nil {
		file.discard()
		return nil, snapshot{}, err
	}
	return file, found, nil
}

func (r *restoration) examine(ctx context.Context, file *fileWriter, secrets engine.Secrets, size int64) (snapshot, error) {
	if size == 0 { // it would be a new store, to bbolt
		return snapshot{}, fmt.Errorf("%s: %w: it is empty", r.from, store.ErrForeign)
	}
	// An older format is brought to the current one, which keeps a copy: here that
	// is the backup itself.
	defer removeAll(file.Name() + ".v*.bak")
	found, err := examineSnapshot(ctx, file.Name(), secrets, func(done, total int) {
		r.progress.show("reading it through: %s of %s bindings", grouped(done), grouped(total))
	})
	if errors.Is(err, engine.ErrOtherSecret) {
		return snapshot{}, fmt.Errorf("%s does not belong to the HMAC secret at hand: %w; give the one that it was made with, perhaps with --with-secrets", r.from, err)
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("%s cannot be put in place: %w", r.from, err)
	}
	if err := noteRestore(ctx, file.Name(), r.from); err != nil {
		return snapshot{}, err
	}
	return found, ownAs(r.dir, file.Name())
}

// noteRestore puts the restore onto the audit trail of what is restored: from
// there on, the trail goes on from an earlier time.
func noteRestore(ctx context.Context, path, from string) error {
	s, err := bolt.Open(path, bolt.Options{Program: currentBuild().Version})
	if err != nil {
		return err
	}
	after, err := json.Marshal(map[string]string{"file": from})
	if err == nil {
		_, err = s.AppendAudit(ctx, store.AuditEntry{At: time.Now(), Actor: localActor, Action: "store.restore", After: after})
	}
	return errors.Join(err, s.Close())
}

// replace puts the file in place. The one before gets a second name first, so
// that there is a data file at every moment: a start without one would begin
// anew, and bind each key to whoever comes first.
func (r *restoration) replace(file *fileWriter, kept *keptSecrets) error {
	defer file.discard()
	if kept != nil {
		if err := r.replaceSecrets(*kept); err != nil {
			return err
		}
	}
	fresh := missing(r.target)
	if !fresh {
		aside := r.target + r.before
		if err := os.Link(r.target, aside); err != nil {
			return fmt.Errorf("keep %s: %w", r.target, err)
		}
		r.told += "what was there is in " + aside + "\n"
	}
	return file.finish(!fresh) // where there was none, a server that has started meanwhile keeps its own
}

// replaceSecrets comes before the data: with other data than they belong to, a
// server does not start.
func (r *restoration) replaceSecrets(kept keptSecrets) error {
	path := filepath.Join(r.dir, secretsName)
	if !missing(path) {
		aside := path + r.before
		if err := os.Link(path, aside); err != nil {
			return fmt.Errorf("keep %s: %w", path, err)
		}
		r.told += "the secrets that were there are in " + aside + "\n"
	}
	if err := writeSecrets(path, kept); err != nil {
		return err
	}
	return ownAs(r.dir, path)
}

func removeAll(pattern string) {
	names, _ := filepath.Glob(pattern) // the pattern is a good one
	for _, name := range names {
		_ = os.Remove(name)
	}
}
