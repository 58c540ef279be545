package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/key-ip-sentinel/sentinel/store"
)

var errNoAnswer = errors.New("the server does not answer")

// Codes of errors, as the appendix of PostgreSQL's manual has them.
const (
	codeReadOnly    = "25006" // a standby, or default_transaction_read_only
	codeNoLock      = "55P03" // lock_timeout is over
	codeNoTable     = "42P01"
	codeNoPartition = "23514" // of that row; also a check
)

func hasCode(err error, codes ...string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && slices.Contains(codes, pgErr.Code)
}

// isRefusal reports whether an error is the store's own word on a record, and not the
// medium's.
func isRefusal(err error) bool {
	for _, known := range []error{store.ErrNotFound, store.ErrConflict, store.ErrInvalid, store.ErrFeedGone} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// translate returns the error of the store's contract for one of pgx.
func (s *Store) translate(ctx context.Context, err error) error {
	switch {
	case err == nil, isRefusal(err), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrNewer):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// A timeout of our own, which is not the one of the caller's context.
		return fmt.Errorf("%w: %v", store.ErrUnavailable, err) //nolint:errorlint // hidden on purpose
	case hasCode(err, codeReadOnly):
		return fmt.Errorf("%w: the server is read-only: %w", store.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// isOfARow reports whether the server has refused what it was sent, rather than
// failed: then one of several changes in a transaction may be to blame. Classes of
// codes: no data, cardinality, data, integrity, syntax and access, limits.
func isOfARow(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || len(pgErr.Code) != 5 {
		return false
	}
	switch pgErr.Code[:2] {
	case "02", "21", "22", "23", "42", "54":
		return true
	}
	return false
}
