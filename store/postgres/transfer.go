package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Transfer = (*Store)(nil)

// Export is part of store.Transfer.
func (s *Store) Export(ctx context.Context, class store.Class, after string, limit int) (store.Chunk, error) {
	e, isKnown := exports[class]
	key, err := parsePlace(after, e.parts)
	if err != nil || !isKnown {
		return store.Chunk{}, fmt.Errorf("%w: %s after %q", store.ErrInvalid, class, after)
	}
	chunk := store.Chunk{Class: class}
	next, n, limit := "", 0, max(limit, 1)
	err = s.view(ctx, e.sql+` LIMIT `+strconv.Itoa(limit+1), key, func(rows pgx.Rows) error {
		if n++; n > limit {
			chunk.Next = next
			return nil
		}
		next, err = e.scan(rows, &chunk)
		return err
	})
	if err != nil {
		return store.Chunk{}, err
	}
	return chunk, nil
}

// export reads a class.
type export struct {
	parts []placePart
	sql   string
	// scan adds a row to a chunk, and returns its place.
	scan func(rows pgx.Rows, chunk *store.Chunk) (string, error)
}

// placePart is how a column of a key is written in a place.
type placePart int

const (
	bytesPart placePart = iota
	numberPart
)

// parsePlace reads what placeOf wrote: arguments of a query. Without one they are lower
// than all that there is.
func parsePlace(after string, parts []placePart) (args []any, err error) {
	texts := strings.Split(after, ".")
	if after != "" && len(texts) != len(parts) {
		return nil, store.ErrInvalid
	}
	for i, p := range parts {
		switch {
		case after == "" && p == bytesPart:
			args = append(args, []byte{})
		case after == "":
			args = append(args, int64(-1)<<62)
		case p == bytesPart:
			raw, decodeErr := hex.DecodeString(texts[i])
			args, err = append(args, raw), decodeErr
		default:
			n, parseErr := strconv.ParseInt(texts[i], 10, 64)
			args, err = append(args, n), parseErr
		}
		if err != nil {
			return nil, err
		}
	}
	return args, nil
}

func placeOf(parts ...any) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		switch p := p.(type) {
		case []byte:
			texts[i] = hex.EncodeToString(p)
		case int64:
			texts[i] = strconv.FormatInt(p, 10)
		}
	}
	return strings.Join(texts, ".")
}

var exports = map[store.Class]export{
	store.ClassSettings: {
		[]placePart{bytesPart}, `SELECT name, value FROM sentinel.settings WHERE name > $1 AND name <> '` + store.MoveMark + `' ORDER BY name`,
		func(rows pgx.Rows, chunk *store.Chunk) (string, error) {
			var name, value []byte
			err := rows.Scan(&name, &value)
			if store.IsMoved(string(name)) {
				chunk.Settings = append(chunk.Settings, store.Setting{Name: string(name), Value: value})
			}
			return placeOf(name), err
		},
	},
	store.ClassDocuments: {
		[]placePart{bytesPart, bytesPart}, `SELECT kind, id, revision, body FROM sentinel.documents WHERE (kind, id) > ($1, $2) ORDER BY kind, id`,
		func(rows pgx.Rows, chunk *store.Chunk) (string, error) {
			d, err := scanDocument(rows)
			chunk.Documents = append(chunk.Documents, d)
			return placeOf([]byte(d.Kind), []byte(d.ID)), err
		},
	},
	store.ClassBindings: {
		[]placePart{bytesPart},
		`SELECT ` + bindingColumns + `, ` + usageColumns + ` FROM sentinel.bindings JOIN sentinel.usage USING (hash) WHERE hash > $1 ORDER BY hash`,
		func(rows pgx.Rows, chunk *store.Chunk) (string, error) {
			var b bindingScan
			var u usageScan
			if err := rows.Scan(append(b.fields(), u.fields()...)...); err != nil {
				return "", err
			}
			usage, err := u.usage()
			chunk.Bindings = append(chunk.Bindings, store.BindingRow{Binding: b.binding(), Usage: usage})
			return placeOf(b.hash), err
		},
	},
	store.ClassArchive: {
		[]placePart{bytesPart}, `SELECT ` + archiveColumns + ` FROM sentinel.archive WHERE hash > $1 ORDER BY hash`,
		func(rows pgx.Rows, chunk *store.Chunk) (string, error) {
			a, err := scanArchived(rows)
			chunk.Archived = append(chunk.Archived, a)
			return placeOf(a.Binding.Hash[:]), err
		},
	},
	store.ClassIntercepts: {
		[]placePart{numberPart}, `SELECT id, ` + interceptColumns + ` FROM sentinel.intercepts WHERE id > $1 ORDER BY id`,
		func(rows pgx.Rows, chunk *store.Chunk) (string, error) {
			i, err := scanIntercept(rows)
			chunk.Intercepts = append(chunk.Intercepts, i)
			return placeOf(number(i.ID)), err
		},
	},
	store.ClassCounters: {
		[]placePart{numberPart, bytesPart}, `SELECT hour, name, n FROM sentinel.counters WHERE (hour, name) > ($1, $2) ORDER BY hour, name`,
		func(rows pgx.Rows, chunk *store.Chunk) (string, error) {
			var hour, n int64
			var name []byte
			err := rows.Scan(&hour, &name, &n)
			chunk.Counters = append(chunk.Counters, store.Counter{Hour: timeOf(hour * 1000), Name: string(name), N: uint64(n)}) // #nosec G115 -- not negative
			return placeOf(hour, name), err
		},
	},
	store.ClassAudit: {
		[]placePart{numberPart},
		`SELECT id, at, actor, client_ip, action, target, before, after, request_id FROM sentinel.audit WHERE id > $1 ORDER BY id`,
		func(rows pgx.Rows, chunk *store.Chunk) (string, error) {
			e, err := scanAudit(rows)
			chunk.Audit = append(chunk.Audit, e)
			return placeOf(number(e.ID)), err
		},
	},
}

// NodeConnections returns how many connections of nodes the database has now, those of this store
// left out if it has another name. A connection pooler may keep some for a while.
func (s *Store) NodeConnections(ctx context.Context) (n int, err error) {
	const sql = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()`
	err = s.viewOne(ctx, sql, []any{NodeName}, func(rows pgx.Rows) error { return rows.Scan(&n) })
	return n, err
}
