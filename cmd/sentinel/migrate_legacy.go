package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/postgres/legacy"
)

// legacyChunk is how many rows are stored in one step.
const legacyChunk = 1_000

// legacyMigration takes the tables of the earlier deployment over.
type legacyMigration struct {
	cfg      *Config
	schema   string
	progress *progress
	report   legacyReport

	source     *legacy.Source
	store      *bolt.Store // nil: in a dry run, where there is no data file
	hashedWith uint32
	mark       store.Migration
	wasDone    bool // an earlier run has taken over all of mark.At
}

func (m *legacyMigration) run(ctx context.Context) (err error) {
	if m.source, err = legacy.Open(ctx, m.cfg.PostgresDSN.Reveal(), m.schema); err != nil {
		return err
	}
	defer m.source.Close()
	m.report.Columns = m.source.Mapping()
	if m.report.Bindings.Rows, m.report.Intercepts.Rows, err = m.source.Count(ctx); err != nil {
		return err
	}
	if err := m.openStore(ctx); err != nil {
		return err
	}
	if m.store != nil {
		defer func() { err = errors.Join(err, m.store.Close()) }()
	}
	if err := m.begin(ctx); err != nil {
		return err
	}
	if err := m.takeBindings(ctx); err != nil {
		return err
	}
	if err := m.takeIntercepts(ctx); err != nil {
		return err
	}
	return m.finish(ctx)
}

// openStore opens the data file, which must belong to the HMAC secret. A dry run makes
// none.
func (m *legacyMigration) openStore(ctx context.Context) error {
	if missing(dataFileOf(m.cfg.DataDir)) {
		if _, err := m.secret(false); err != nil || m.report.DryRun {
			return err
		}
	}
	if err := makeDataDir(m.cfg.DataDir); err != nil {
		return err
	}
	var err error
	if m.store, err = openStore(m.cfg.DataDir, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if err := m.checkStore(ctx); err != nil {
		return errors.Join(err, m.store.Close())
	}
	return ownAs(m.cfg.DataDir, dataFileOf(m.cfg.DataDir))
}

func (m *legacyMigration) checkStore(ctx context.Context) error {
	if err := refuseCopy(ctx, m.store, m.cfg.DataDir); err != nil {
		return err
	}
	hasData, err := engine.HasSecret(ctx, m.store)
	if err != nil {
		return err
	}
	secret, err := m.secret(hasData)
	if err != nil {
		return err
	}
	if m.mark, m.wasDone, err = m.lastRun(ctx); err != nil {
		return err
	}
	secrets := engine.Secrets{Current: secret}
	if _, err := engine.CheckSecret(ctx, m.store, secrets); err != nil && !errors.Is(err, store.ErrUnfinished) {
		return fmt.Errorf("SENTINEL_HMAC_SECRET does not fit the data in %s: %w", m.cfg.DataDir, err)
	}
	if m.report.DryRun {
		return nil
	}
	return engine.NoteSecret(ctx, m.store, secrets)
}

// secret returns the HMAC secret of the earlier deployment: one that was made here would
// find none of its keys.
func (m *legacyMigration) secret(hasData bool) ([]byte, error) {
	secret := m.cfg.HMACSecret
	if secret == "" && hasData {
		kept, err := readSecrets(filepath.Join(m.cfg.DataDir, secretsName))
		if err != nil {
			return nil, err
		}
		secret = secretText(kept.HMACSecret)
	}
	if secret == "" {
		return nil, usagef("SENTINEL_HMAC_SECRET is missing: want the one of the earlier deployment, with which the hashes in its tables were made")
	}
	spelling := credential.SpellingCanonical // of which the key as it was sent is the same
	if m.cfg.CredentialProfile == credential.ProfileNewAPI {
		spelling = credential.SpellingAsSent
	}
	m.hashedWith = credential.HashedWith([]byte(secret.Reveal()), spelling)
	return []byte(secret.Reveal()), nil
}

func (m *legacyMigration) lastRun(ctx context.Context) (store.Migration, bool, error) {
	last, err := store.ReadMigration(ctx, m.store, store.LegacyMark)
	if err != nil || last == nil {
		return store.Migration{}, false, err
	}
	return *last, !last.At.IsZero(), nil
}

// begin notes that a migration is under way: a start refuses what is half done.
func (m *legacyMigration) begin(ctx context.Context) error {
	if m.report.DryRun {
		return nil
	}
	if err := engine.NoteHashesAsSent(ctx, m.store); err != nil {
		return err
	}
	unfinished := m.mark
	unfinished.Done = false
	return store.WriteMigration(ctx, m.store, store.LegacyMark, unfinished)
}

// finish compares the counts, and notes that all is there.
func (m *legacyMigration) finish(ctx context.Context) error {
	for what, n := range map[string]legacyCounts{"bindings": m.report.Bindings, "intercepts": m.report.Intercepts} {
		if sum := n.Taken + n.There + n.Refused; sum != n.Rows {
			return fmt.Errorf("%d rows of %s, of which %d were read: run it again", n.Rows, what, sum)
		}
	}
	if m.report.DryRun {
		return nil
	}
	m.mark.Done, m.mark.At = true, m.source.At()
	return store.WriteMigration(ctx, m.store, store.LegacyMark, m.mark)
}

func (m *legacyMigration) takeBindings(ctx context.Context) error {
	var chunk []legacy.Binding
	err := m.source.Bindings(ctx, func(n int, b legacy.Binding, fault error) error {
		if fault != nil {
			m.report.refuse(&m.report.Bindings, legacyFault{"token_bindings", n, shownHash(b.Hash), fault.Error()})
			return nil
		}
		for _, doubt := range b.Doubts {
			m.report.doubt(legacyFault{"token_bindings", n, shownHash(b.Hash), doubt})
		}
		b.HashedWith = m.hashedWith
		if chunk = append(chunk, b); len(chunk) < legacyChunk {
			return nil
		}
		m.progress.show("bindings: %s of %s", grouped(n), grouped(m.report.Bindings.Rows))
		err := m.storeBindings(ctx, chunk)
		chunk = nil
		return err
	})
	if err != nil {
		return err
	}
	return m.storeBindings(ctx, chunk)
}

func shownHash(hash store.KeyHash) string {
	if hash.IsZero() {
		return ""
	}
	return hash.String()
}

// storeBindings stores those that are not there, with their last use, and reads them
// back.
func (m *legacyMigration) storeBindings(ctx context.Context, chunk []legacy.Binding) error {
	var missing []store.Binding
	var used []store.Touch
	for _, b := range chunk {
		isThere, isUsed, err := m.look(ctx, b)
		if err != nil {
			return err
		}
		if !isThere {
			missing = append(missing, b.Binding)
		}
		if t := touchOf(b); !isUsed && t.Hits > 0 {
			used = append(used, t)
		}
	}
	m.report.Bindings.There += len(chunk) - len(missing)
	m.report.Bindings.Taken += len(missing)
	if m.report.DryRun || len(chunk) == 0 {
		return nil
	}
	created, err := m.store.ImportBindings(ctx, slices.Values(missing))
	if err != nil {
		return err
	}
	m.report.Bindings.There += len(missing) - created // twice in the table: the first one counts
	m.report.Bindings.Taken -= len(missing) - created
	if err := m.store.AddUsage(ctx, store.UsageBatch{Touches: used}); err != nil {
		return err
	}
	for _, b := range missing {
		if _, err := m.store.Binding(ctx, b.Hash); err != nil {
			return fmt.Errorf("read binding %s back: %w", b.Hash, err)
		}
	}
	return nil
}

// look reports whether a binding was taken over before, and whether its use was. One that
// an earlier run has taken and that is not there has got its new hash, or was unbound.
func (m *legacyMigration) look(ctx context.Context, b legacy.Binding) (isThere, isUsed bool, err error) {
	if m.store == nil {
		return false, false, nil
	}
	_, err = m.store.Binding(ctx, b.Hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		wasTaken := m.wasDone && (!m.source.KnowsFirstUse() || !b.CreatedAt.After(m.mark.At))
		return wasTaken, wasTaken, nil
	case err != nil:
		return false, false, err
	}
	u, err := m.store.Usage(ctx, b.Hash)
	return true, u.Hits > 0, err
}

// touchOf returns what is known of the use of a key: without it, housekeeping would take
// the key for one that was never used.
func touchOf(b legacy.Binding) store.Touch {
	t := store.Touch{Hash: b.Hash, LastUsed: b.LastUsed, LastIP: b.FirstIP, Hits: b.Hits}
	if t.LastUsed.IsZero() {
		t.LastUsed = b.CreatedAt
	}
	t.Hits = max(t.Hits, 1)
	return t
}

func (m *legacyMigration) takeIntercepts(ctx context.Context) error {
	if err := m.findIntercepts(ctx); err != nil {
		return err
	}
	done := m.mark.Rows
	var chunk []store.Intercept
	read := 0
	err := m.source.Intercepts(ctx, func(n int, i store.Intercept, fault error) error {
		read = n
		switch {
		case fault != nil:
			m.report.refuse(&m.report.Intercepts, legacyFault{"intercept_logs", n, shownHash(i.Hash), fault.Error()})
			return nil
		case n <= done:
			m.report.Intercepts.There++
			return nil
		}
		if chunk = append(chunk, i); len(chunk) < legacyChunk {
			return nil
		}
		m.progress.show("intercepts: %s of %s", grouped(n), grouped(m.report.Intercepts.Rows))
		err := m.storeIntercepts(ctx, chunk, n)
		chunk = nil
		return err
	})
	if err != nil {
		return err
	}
	return m.storeIntercepts(ctx, chunk, read)
}

// storeIntercepts stores a chunk whose last row has a number. What is there before it is
// noted first: so a run after a kill finds what of the chunk was stored.
func (m *legacyMigration) storeIntercepts(ctx context.Context, chunk []store.Intercept, last int) error {
	m.report.Intercepts.Taken += len(chunk)
	if m.report.DryRun || len(chunk) == 0 {
		return nil
	}
	if err := store.WriteMigration(ctx, m.store, store.LegacyMark, m.mark); err != nil {
		return err
	}
	if err := m.store.PutIntercepts(ctx, chunk); err != nil {
		return err
	}
	m.mark.Rows, m.mark.ID = last, chunk[len(chunk)-1].ID
	return nil
}

// findIntercepts finds out how far an earlier run has come.
func (m *legacyMigration) findIntercepts(ctx context.Context) error {
	if m.store == nil {
		return nil
	}
	m.mark.Done = false
	for f := (store.InterceptFilter{After: m.mark.ID, Limit: store.MaxPage}); ; {
		page, err := m.store.ListIntercepts(ctx, f)
		if err != nil {
			return err
		}
		for _, rec := range page.Records {
			number, isLegacy := strings.CutPrefix(rec.RequestID, legacy.InterceptMark)
			if n, err := strconv.Atoi(number); isLegacy && err == nil {
				m.mark.Rows, m.mark.ID = max(m.mark.Rows, n), max(m.mark.ID, rec.ID)
			}
		}
		if f.Before = page.Next; f.Before == 0 {
			return nil
		}
	}
}
