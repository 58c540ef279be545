package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/key-ip-sentinel/sentinel/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrationLock is the key of the advisory lock that migrations hold.
const migrationLock = 2026030501

// migrateTimeout bounds a migration with the wait for those of other nodes.
const migrateTimeout = 5 * time.Minute

// migrate brings the schema to the current form. Of any number of nodes one does it,
// and the others wait.
//
// All of it is one transaction, which also holds the lock: it works behind a
// connection pooler, leaves nothing half done, and needs one connection. goose begins
// none of its own, which is what isolating DDL means to it.
func migrate(ctx context.Context, config *pgx.ConnConfig, opts Options) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }() // nothing is left on it
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, sub,
		goose.WithSessionLocker(transactionLock{}), goose.WithIsolateDDL(true), goose.WithTableName("sentinel.migrations"),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	sources := provider.ListSources()
	own := sources[len(sources)-1].Version
	// This comes first also because it makes the table of versions under the lock, which
	// Up does not.
	there, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if there > own {
		return newerSchema(there, own)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, r := range results {
		opts.Logger.Info("database migrated", "version", r.Source.Version)
	}
	return nil
}

// transactionLock makes what goose does in a session one transaction.
type transactionLock struct{}

// SessionLock is part of lock.SessionLocker.
func (transactionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	for _, do := range []string{"begin", fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", migrationLock)} {
		if _, err := conn.ExecContext(ctx, do); err != nil {
			return err
		}
	}
	var encoding string
	var exists bool
	const look = `SELECT current_setting('server_encoding'), EXISTS (SELECT FROM pg_namespace WHERE nspname = 'sentinel')`
	if err := conn.QueryRowContext(ctx, look).Scan(&encoding, &exists); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return unfitEncoding(encoding)
	}
	if exists {
		return nil // IF NOT EXISTS would ask for the right to make it
	}
	_, err := conn.ExecContext(ctx, "CREATE SCHEMA sentinel")
	return err
}

var errUnfit = errors.New("database cannot be used")

func unfitEncoding(encoding string) error {
	return fmt.Errorf("%w: the database has the encoding %s, want UTF8", errUnfit, encoding)
}

func newerSchema(there, own int64) error {
	return fmt.Errorf("%w: the schema has version %d, this program knows %d", store.ErrNewer, there, own)
}

// ownVersion returns the version of the schema that this program makes.
func ownVersion() (int64, error) {
	files, err := embedded.ReadDir("migrations")
	if err != nil {
		return 0, err
	}
	return goose.NumericComponent(files[len(files)-1].Name()) // they are in order
}

// SessionUnlock is part of lock.SessionLocker. Of a transaction that has failed, a
// commit is a rollback.
func (transactionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "commit")
	return err
}
