package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// oldestServer is the first version that will do, as server_version_num has it.
const oldestServer = 130_000

// Inspection is what there is at a DSN.
type Inspection struct {
	Version string // of the server
	// Schema is the version of the schema; 0: there is none yet. Own is that which this
	// program makes.
	Schema, Own int64
	// Time is that of the server's clock at some moment of the call.
	Time time.Time
}

// Inspect connects as a node does, for work and for notifications, and changes nothing.
// Returns store.ErrInvalid for options that are none, store.ErrNewer for a schema of a newer
// program, and store.ErrUnavailable, with what is wrong, if no node could use the database.
func Inspect(ctx context.Context, opts Options) (found Inspection, err error) {
	if opts.ConnectTimeout == 0 {
		opts.ConnectTimeout = DefaultConnectTimeout
	}
	config, listen, err := configs(opts)
	if err != nil {
		return found, err
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return found, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it has answered
	if found, err = inspect(ctx, conn); err != nil || opts.ListenDSN == "" {
		return found, err
	}
	other, err := pgx.ConnectConfig(ctx, listen)
	if err != nil {
		return found, fmt.Errorf("%w: for listening: %w", store.ErrUnavailable, err)
	}
	return found, other.Close(ctx)
}

func inspect(ctx context.Context, conn *pgx.Conn) (found Inspection, err error) {
	var number int
	var encoding string
	var mayMake, isReadOnly, isThere bool
	const sql = `
SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_setting('server_encoding'),
       has_database_privilege(current_database(), 'CREATE'), current_setting('transaction_read_only')::bool,
       to_regclass('sentinel.migrations') IS NOT NULL, clock_timestamp()`
	err = conn.QueryRow(ctx, sql).Scan(&found.Version, &number, &encoding, &mayMake, &isReadOnly, &isThere, &found.Time)
	if err != nil {
		return found, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if found.Own, err = ownVersion(); err != nil {
		return found, err
	}
	if isThere {
		err = conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM sentinel.migrations WHERE is_applied`).Scan(&found.Schema)
		if err != nil {
			return found, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
	}
	var errs []error
	if number < oldestServer {
		errs = append(errs, fmt.Errorf("%w: the server is PostgreSQL %s, want 13 or newer", errUnfit, found.Version))
	}
	if encoding != "UTF8" {
		errs = append(errs, unfitEncoding(encoding))
	}
	if isReadOnly {
		errs = append(errs, fmt.Errorf("%w: the server is read-only, as a standby is", errUnfit))
	}
	if !isThere && !mayMake {
		errs = append(errs, fmt.Errorf("%w: this role may make no schema in it (GRANT CREATE ON DATABASE)", errUnfit))
	}
	if found.Schema > found.Own {
		errs = append(errs, newerSchema(found.Schema, found.Own))
	}
	if err := errors.Join(errs...); err != nil && !errors.Is(err, store.ErrNewer) {
		return found, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	} else if err != nil {
		return found, err
	}
	return found, nil
}
