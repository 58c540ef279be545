package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
)

// migrateName is what PostgreSQL calls the connections of a move.
const migrateName = "sentinel-migrate"

func newMigrateToPostgresCommand() *cobra.Command {
	return newMoveCommand(moveCommand{
		use:   "bolt-to-postgres",
		short: "Move the data of a data directory to PostgreSQL, for the nodes of a cluster",
		about: "Move the data of a Sentinel that ran alone to the PostgreSQL database that the nodes of a cluster are to share (PG_DSN).",
		next: "next: give every node this PG_DSN, and the same SENTINEL_HMAC_SECRET and ADMIN_JWT_SECRET (those that Sentinel has made are in %[2]s);\n" +
			"on this machine first move the old data file aside, since it is no copy of the database: mv %[1]s %[1]s.moved\n",
		open: func(ctx context.Context, m *move) error {
			if err := m.openFile(ctx, true); err != nil {
				return err
			}
			return m.openDatabase(ctx, true)
		},
	})
}

func newMigrateToBoltCommand() *cobra.Command {
	return newMoveCommand(moveCommand{
		use:   "postgres-to-bolt",
		short: "Move the data of a cluster from PostgreSQL to a data directory, for a Sentinel that runs alone",
		about: "Move the data that the nodes of a cluster share in PostgreSQL (PG_DSN) to a data directory, for a Sentinel that runs alone.",
		next: "next: start sentinel on this data directory without PG_DSN, and with the SENTINEL_HMAC_SECRET and ADMIN_JWT_SECRET of the cluster,\n" +
			"in its settings or in %[2]s; the schema sentinel of the database is not used any more\n",
		open: func(ctx context.Context, m *move) error {
			if err := m.openDatabase(ctx, false); err != nil {
				return err
			}
			return m.openFile(ctx, false)
		},
	})
}

// moveCommand is what the two commands differ in.
type moveCommand struct {
	use, short, about string
	next              string // with the paths of the data file, and of the secrets
	open              func(ctx context.Context, m *move) error
}

func newMoveCommand(c moveCommand) *cobra.Command {
	var force bool
	names := []string{"SENTINEL_DATA_DIR", "PG_DSN"}
	cmd := &cobra.Command{
		Use: c.use, Short: c.short,
		Long: c.about + "\n\n" +
			"All of it is moved: bindings with their usage, archive, documents, settings, intercepts, counters and audit trail, with their\n" +
			"revisions and numbers. No server may use either of the two meanwhile. The target must be empty, or have what an earlier run has\n" +
			"moved from the same source: that is gone on with. In the end both are read and compared.",
		Example: "  PG_DSN=postgresql://sentinel:…@db.example.com:5432/sentinel sentinel migrate " + c.use + " --data-dir /var/lib/key-ip-sentinel",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			form, cfg, err := migrateSettings(cmd, names, "that of the cluster")
			if err != nil {
				return err
			}
			m := &move{cfg: cfg, force: force, out: io.Discard}
			if form == outputTable {
				m.out = cmd.OutOrStdout()
			}
			err = c.open(cmd.Context(), m)
			if err == nil {
				err = m.run(cmd.Context())
			}
			if err = errors.Join(err, m.close()); err != nil {
				return fmt.Errorf("migrate: %w", err)
			}
			return m.tell(cmd, form, c.next)
		},
	}
	addSettingFlags(cmd, names...)
	cmd.Flags().BoolVar(&force, "force", false, "although PostgreSQL has connections of nodes, which a connection pooler may have kept")
	cmd.Flags().StringP(outputFlag, "o", outputTable, "table or json")
	return cmd
}

// openFile opens the data file, as the source or as the target.
func (m *move) openFile(ctx context.Context, isSource bool) error {
	path := dataFileOf(m.cfg.DataDir)
	if isSource && missing(path) {
		return fmt.Errorf("there is no data file %s; --data-dir names another directory", path)
	}
	if err := makeDataDir(m.cfg.DataDir); err != nil {
		return err
	}
	file, err := openStore(m.cfg.DataDir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	m.closers = append(m.closers, file)
	if err := ownAs(m.cfg.DataDir, path); err != nil {
		return err
	}
	if err := refuseCopy(ctx, file, m.cfg.DataDir); err != nil {
		return err
	}
	if !isSource {
		m.to, m.toName = file, path
		return nil
	}
	m.from, m.fromName = file, path
	m.fromID, err = fileIdentity(ctx, file)
	return err
}

// openDatabase connects to PostgreSQL, as the source or as the target.
func (m *move) openDatabase(ctx context.Context, isTarget bool) error {
	db, err := postgres.Open(ctx, postgres.Options{DSN: m.cfg.PostgresDSN.Reveal(), Name: migrateName, StatementTimeout: moveTimeout})
	if err != nil {
		return fmt.Errorf("PG_DSN: %w", err)
	}
	m.closers = append(m.closers, db)
	switch nodes, err := db.NodeConnections(ctx); {
	case err != nil:
		return err
	case nodes > 0 && !m.force:
		return fmt.Errorf("the database has %d connections of sentinel nodes: stop them first; if there are none and a connection pooler has kept these, use --force", nodes)
	}
	if isTarget {
		m.to, m.toName = db, "PostgreSQL"
		return nil
	}
	m.from, m.fromName = db, "PostgreSQL"
	m.fromID, err = db.Identity(ctx)
	return err
}

var (
	_ store.Transfer = (*bolt.Store)(nil)
	_ store.Transfer = (*postgres.Store)(nil)
)

func (m *move) close() error {
	var errs []error
	for _, c := range m.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// tell says what was moved, and what is next.
func (m *move) tell(cmd *cobra.Command, form, next string) error {
	if form == outputJSON {
		return writeAsJSON(cmd.OutOrStdout(), map[string]any{"from": m.fromName, "to": m.toName, "alreadyDone": m.wasDone, "records": m.records})
	}
	var b strings.Builder
	if m.wasDone {
		fmt.Fprintf(&b, "all of %s was moved to %s already, on %s\n", m.fromName, m.toName, m.mark.At.Local().Format(tableTime))
	}
	fmt.Fprintf(&b, next, dataFileOf(m.cfg.DataDir), m.cfg.DataDir+"/"+secretsName)
	_, err := io.WriteString(cmd.OutOrStdout(), b.String())
	return err
}
