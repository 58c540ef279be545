// Package legacy reads the tables of the earlier deployment, token_bindings and
// intercept_logs, as they are there: names and types of columns have differed.
package legacy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
)

// The tables.
const (
	bindingTable   = "token_bindings"
	interceptTable = "intercept_logs"
)

// ErrNoTable means that the schema has no table token_bindings, or one without what a
// binding needs.
var ErrNoTable = errors.New("no tables of the earlier deployment")

// Source is the tables at one moment. It is for one goroutine.
type Source struct {
	conn       *pgx.Conn
	tx         pgx.Tx
	bindings   table
	intercepts *table // nil: there is none
	at         time.Time
}

// Open connects to a database and looks for the tables in a schema. Returns ErrNoTable,
// store.ErrInvalid for the DSN, which is never in an error, or store.ErrUnavailable.
func Open(ctx context.Context, dsn, schema string) (*Source, error) {
	config, err := postgres.ConnConfig(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%w: connect to PostgreSQL: %v", store.ErrUnavailable, withoutDSN(err)) //nolint:errorlint // its type is pgx's
	}
	s := &Source{conn: conn}
	if err := s.open(ctx, schema); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// withoutDSN returns what is at the bottom of an error of connecting, which names users
// and databases above that.
func withoutDSN(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

func (s *Source) open(ctx context.Context, schema string) (err error) {
	if s.tx, err = s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
		return unavailable(err)
	}
	if err := s.tx.QueryRow(ctx, `SELECT now()`).Scan(&s.at); err != nil {
		return unavailable(err)
	}
	columns, err := s.columns(ctx, schema, bindingTable)
	if err != nil {
		return err
	}
	if s.bindings, err = chooseColumns(schema, bindingTable, columns, bindingFields); err != nil {
		return err
	}
	if columns, err = s.columns(ctx, schema, interceptTable); err != nil || len(columns) == 0 {
		return err
	}
	intercepts, err := chooseColumns(schema, interceptTable, columns, interceptFields)
	s.intercepts = &intercepts
	return err
}

// columns returns the columns of a table with their types.
func (s *Source) columns(ctx context.Context, schema, name string) ([]column, error) {
	const sql = `SELECT column_name::text, data_type::text FROM information_schema.columns
WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position`
	rows, err := s.tx.Query(ctx, sql, schema, name)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		err = row.Scan(&c.name, &c.kind)
		return c, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return list, nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, err) }

// Close ends the connection.
func (s *Source) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // with its transaction, which has changed nothing
}

// At is the moment that the source is of, by the clock of the database.
func (s *Source) At() time.Time { return s.at }

// KnowsFirstUse reports whether there is a column of first uses: else bindings are as
// new as the source.
func (s *Source) KnowsFirstUse() bool { return slices.Contains(s.bindings.fields, "first") }

// Mapping tells which column is taken for what, one table a line.
func (s *Source) Mapping() []string {
	lines := []string{s.bindings.mapping()}
	if s.intercepts != nil {
		lines = append(lines, s.intercepts.mapping())
	}
	return lines
}

// Count returns how many rows there are.
func (s *Source) Count(ctx context.Context) (bindings, intercepts int, err error) {
	if err = s.tx.QueryRow(ctx, `SELECT count(*) FROM `+s.bindings.name).Scan(&bindings); err == nil && s.intercepts != nil {
		err = s.tx.QueryRow(ctx, `SELECT count(*) FROM `+s.intercepts.name).Scan(&intercepts)
	}
	if err != nil {
		return 0, 0, unavailable(err)
	}
	return bindings, intercepts, nil
}

// column is one that there is.
type column struct{ name, kind string }

// field is what is looked for, under the names that it has had, the likeliest first.
type field struct {
	name     string
	names    []string
	required bool
}

// table is one that there is, with the columns that are taken.
type table struct {
	name    string   // quoted
	fields  []string // names of fields, in the order in which they are selected
	columns []column
	order   string // ORDER BY, which tells rows apart as far as it can
}

// chooseColumns finds a column for each field.
func chooseColumns(schema, name string, there []column, fields []field) (table, error) {
	t := table{name: pgx.Identifier{schema, name}.Sanitize()}
	if len(there) == 0 {
		return t, fmt.Errorf("%w: schema %q has no table %s", ErrNoTable, schema, name)
	}
	for _, f := range fields {
		i := -1
		for _, candidate := range f.names {
			if i = slices.IndexFunc(there, func(c column) bool { return strings.EqualFold(c.name, candidate) }); i >= 0 {
				break
			}
		}
		switch {
		case i >= 0:
			t.fields, t.columns = append(t.fields, f.name), append(t.columns, there[i])
		case f.required:
			return t, fmt.Errorf("%w: table %s has no column %s", ErrNoTable, name, strings.Join(f.names, ", nor "))
		}
	}
	return t, nil
}

func (t table) mapping() string {
	parts := make([]string, len(t.fields))
	for i, f := range t.fields {
		parts[i] = fmt.Sprintf("%s: %s (%s)", f, t.columns[i].name, t.columns[i].kind)
	}
	return t.name + ": " + strings.Join(parts, ", ")
}

// query selects all fields as texts: what a text is depends on the type of its column.
func (t table) query() string {
	selected := make([]string, len(t.columns))
	for i, c := range t.columns {
		name := pgx.Identifier{c.name}.Sanitize()
		switch {
		case strings.HasPrefix(c.kind, "timestamp") || c.kind == "date":
			name = `floor(extract(epoch FROM ` + name + `) * 1000)::bigint`
		case c.kind == "ARRAY":
			name = `array_to_json(` + name + `)`
		case c.kind == "bytea":
			name = `encode(` + name + `, 'hex')`
		}
		selected[i] = name + `::text`
	}
	return `SELECT ` + strings.Join(selected, ", ") + ` FROM ` + t.name + t.order
}

// row is one row, by field. What is null is not in it.
type row map[string]string

// each calls visit for each row, with its number, from 1.
func (s *Source) each(ctx context.Context, t table, visit func(n int, r row) error) error {
	rows, err := s.tx.Query(ctx, t.query())
	if err != nil {
		return unavailable(err)
	}
	defer rows.Close()
	values := make([]*string, len(t.fields))
	targets := make([]any, len(values))
	for i := range values {
		targets[i] = &values[i]
	}
	n := 0
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return unavailable(err)
		}
		r := make(row, len(values))
		for i, v := range values {
			if v != nil {
				r[t.fields[i]] = *v
			}
		}
		n++
		if err := visit(n, r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return unavailable(err)
	}
	return nil
}
