package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

// Free space in the data directory: below the first the store may soon take no
// writes, below the second somebody should look.
const (
	scarceBytes = 64 << 20
	littleBytes = 1 << 30
)

func (c *checker) checkDataDir(context.Context) {
	const check = "data directory"
	dir := c.cfg.DataDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		parent := existingParent(dir)
		if err := tryWriting(parent); err != nil {
			c.fail(check, "%s is not there, and cannot be made: %v", dir, err)
			return
		}
		c.ok(check, "%s is not there yet, and can be made at the first start", dir)
		dir = parent
	case err != nil:
		c.fail(check, "%s: %v", dir, err)
		return
	case !info.IsDir():
		c.fail(check, "%s is a file; want a directory in SENTINEL_DATA_DIR", dir)
		return
	default:
		if err := tryWriting(dir); err != nil {
			c.fail(check, "%s cannot be written by this user: %v", dir, err)
			return
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			c.warn(check, "%s has mode %#o: others can look into it; want 0700", dir, mode)
		} else {
			c.ok(check, "%s can be written", dir)
		}
	}
	switch free, err := freeBytes(dir); {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		c.warn("disk space", "cannot be told: %v", err)
	case free < scarceBytes:
		c.fail("disk space", "%s left for %s: the store will soon take no writes", megabytes(free), dir)
	case free < littleBytes:
		c.warn("disk space", "%s left for %s", megabytes(free), dir)
	default:
		c.ok("disk space", "%s left for %s", megabytes(free), dir)
	}
}

// existingParent returns the nearest directory above that is there.
func existingParent(dir string) string {
	for {
		parent := filepath.Dir(dir)
		if parent == dir || !missing(parent) {
			return parent
		}
		dir = parent
	}
}

func tryWriting(dir string) error {
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return causeOf(err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// checkStore asks the server that has the store open, or opens it.
func (c *checker) checkStore(ctx context.Context) {
	const check = "store"
	path := filepath.Join(c.cfg.DataDir, dataFileName)
	switch {
	case c.runs:
		c.askServer(ctx)
	case missing(path):
		c.ok(check, "none yet: the first start makes it")
		c.checkSecrets(ctx, nil)
	default:
		s, err := openStore(c.cfg.DataDir, newLogger(c.cfg, c.cfg.LogLevel, discard{}))
		if errors.Is(err, store.ErrLocked) {
			c.fail(check, "%s is open in another program that takes no calls on %s", path, client.SocketName)
			return
		}
		if err != nil {
			c.fail(check, "%v", err)
			return
		}
		defer func() { _ = s.Close() }()
		bindings, err := s.CountBindings(ctx)
		if err == nil {
			err = s.Probe(ctx)
		}
		if err != nil {
			c.fail(check, "%v", err)
			return
		}
		if err := c.checkKind(ctx, s); err != nil {
			c.fail(check, "%v", err)
			return
		}
		c.ok(check, "opens, takes writes, and has %s bindings", grouped(bindings))
		c.checkSecrets(ctx, s)
		c.checkRuntime(ctx, s)
		c.checkAccounts(ctx, s)
	}
}

// checkKind returns why a start would refuse the data: they are a node's copy, and it runs
// alone, or the other way round.
func (c *checker) checkKind(ctx context.Context, s *bolt.Store) error {
	if c.cfg.PostgresDSN == "" {
		return refuseCopy(ctx, s, c.cfg.DataDir)
	}
	_, of, err := s.CopyPosition(ctx)
	if err != nil || of != "" {
		return err
	}
	return refuseAlone(ctx, s, c.cfg.DataDir)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// askServer asks the server that runs, which has checked its secrets when it
// started.
func (c *checker) askServer(ctx context.Context) {
	local := client.Local(c.cfg.DataDir)
	defer local.Close()
	var about struct {
		Version  string
		Bindings int
		Store    *struct{ TotalBytes, FreeBytes int64 }
		Hashes   *engine.HashesLeft
	}
	if err := local.Do(ctx, http.MethodGet, "/about", nil, &about); err != nil {
		c.fail("store", "the server that runs on %s does not answer: %v", c.cfg.DataDir, err)
		return
	}
	size := ""
	if about.Store != nil {
		size = ", in " + megabytes(about.Store.TotalBytes)
	}
	c.ok("store", "open in the server that runs (version %s): %s bindings%s", about.Version, grouped(about.Bindings), size)
	if about.Hashes != nil {
		c.tellHashes(*about.Hashes)
	}
	if own := currentBuild().Version; own != about.Version {
		c.warn("version", "the server that runs is %s, and this command is %s: it runs what was installed before", about.Version, own)
	}
	c.checkRunningSettings(ctx, local)
	var setup struct{ Needed bool }
	if err := local.Do(ctx, http.MethodGet, "/setup", nil, &setup); err == nil {
		c.tellAccounts(setup.Needed)
	}
}

// checkRunningSettings compares the settings given here with those in force, and
// has the checks that follow go by what was set while the server runs.
func (c *checker) checkRunningSettings(ctx context.Context, local *client.Client) {
	var answer settingsAnswer
	if err := local.Do(ctx, http.MethodGet, settingsPath, nil, &answer); err != nil {
		c.warn("settings", "those of the server that runs cannot be read: %v", err)
		return
	}
	runtime := map[string]string{}
	for _, running := range answer.Items {
		s := settingNamed(running.Name)
		if s == nil || running.Secret {
			continue
		}
		if running.Source == sourceRuntime {
			runtime[running.Name] = running.Value
		}
		here := s.described(c.cfg)
		switch {
		case here.Value == running.Value:
		case running.Source == sourceRuntime:
			c.ok("settings", "%s is %q in force, as set while the server runs; here it is %q", s.name, running.Value, here.Value)
		default:
			c.warn("settings", "%s is %q in the server that runs, and %q here: it was started with other settings", s.name, running.Value, here.Value)
		}
	}
	c.cfg, _ = (&runtimeSettings{start: c.cfg}).over(runtime) // in force, so without faults
}

// checkSecrets compares the secrets with the data; s is nil where there is none.
func (c *checker) checkSecrets(ctx context.Context, s store.Store) {
	const check = "secrets"
	path := filepath.Join(c.cfg.DataDir, secretsName)
	kept, err := readSecrets(path)
	if err != nil {
		c.fail(check, "%v", err)
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.warn(check, "%s has mode %#o, which others can use; the next start makes it 0600", path, info.Mode().Perm())
	}
	secret, from := c.cfg.HMACSecret, "of the settings"
	if secret == "" {
		secret, from = secretText(kept.HMACSecret), "in "+path
	}
	hasData := false
	if s != nil {
		if hasData, err = engine.HasSecret(ctx, s); err != nil {
			c.fail(check, "%v", err)
			return
		}
	}
	switch {
	case secret == "" && hasData:
		c.fail(check, "the HMAC secret that the data was made with is missing: restore %s from a backup, or set SENTINEL_HMAC_SECRET to it", path)
	case secret == "":
		c.ok(check, "made at the first start, and kept in %s", path)
	case s == nil:
		c.ok(check, "the HMAC secret is the one %s", from)
	default:
		secrets := engine.Secrets{Current: []byte(secret.Reveal()), Previous: c.cfg.previousSecrets(), Abandon: c.cfg.HMACLost}
		isNew, err := engine.CheckSecret(ctx, s, secrets)
		switch {
		case err != nil:
			c.fail(check, "the HMAC secret %s: %v", from, err)
			return
		case isNew:
			c.ok(check, "the HMAC secret %s takes the place of the one before at the next start; back it up with the data", from)
		default:
			c.ok(check, "the HMAC secret %s belongs to the data; back it up with it", from)
		}
		c.checkHashes(ctx, s, secrets.Current)
	}
}

// checkHashes counts the bindings that are found by another hash than that of today.
func (c *checker) checkHashes(ctx context.Context, s store.Store, secret []byte) {
	keys, err := newCredentialReader(c.cfg, secret)
	if err == nil {
		var left *engine.HashesLeft
		if left, err = engine.CountHashes(ctx, s, keys); left != nil {
			c.tellHashes(*left)
		}
	}
	if err != nil {
		c.fail("key hashes", "%v", err)
	}
}

func (c *checker) tellHashes(left engine.HashesLeft) {
	const check = "key hashes"
	if left.Unknown > 0 {
		c.warn(check, "%s bindings were made with a secret that is not given: their keys are unknown, and are bound anew by whoever uses them first; "+
			"SENTINEL_HMAC_SECRET_PREVIOUS can name it", grouped(left.Unknown))
	}
	switch older := left.Previous + left.AsSent; {
	case older+left.Archived > 0:
		c.ok(check, "%s bindings are left under the secret from before, %s under the key as it was sent, and %s such entries in the archive: "+
			"they are moved when they are used", grouped(left.Previous), grouped(left.AsSent), grouped(left.Archived))
	case left.Unknown == 0 && c.cfg.HMACPrevious != "":
		c.ok(check, "none is left under the secret from before: SENTINEL_HMAC_SECRET_PREVIOUS can be taken out")
	}
}

// checkRuntime has the checks that follow go by what a start would have in force.
func (c *checker) checkRuntime(ctx context.Context, s store.Store) {
	runtime, warnings, err := openRuntimeSettings(ctx, s, c.cfg)
	if err != nil {
		c.fail("settings", "%v", err)
		return
	}
	for _, w := range warnings {
		c.warn("settings", "%s", w)
	}
	c.cfg = runtime.Config()
}

func (c *checker) checkAccounts(ctx context.Context, s store.Documents) {
	list, err := s.ListDocuments(ctx, "account")
	if err != nil {
		c.fail("accounts", "%v", err)
		return
	}
	c.tellAccounts(len(list) == 0)
}

func (c *checker) tellAccounts(none bool) {
	switch {
	case !none:
		c.ok("accounts", "there are some")
	case c.cfg.AdminPassword != "":
		c.ok("accounts", "none yet: the start makes admin, with ADMIN_PASSWORD")
	default:
		c.warn("accounts", "none yet: sentinel admin setup-link prints the address at which the first one is made")
	}
}
