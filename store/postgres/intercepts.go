package postgres

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// interceptColumns are those of an intercept, in the order of interceptRows.
const interceptColumns = `at, last, count, reason, observed, basis_kind, basis_name, hash, hint, client_ip, peer_ip,
method, host, path, user_agent, request_id`

// interceptRows are intercepts on their way to the server, by column.
type interceptRows struct {
	at, last, count                                     []int64
	reason, basisKind, basisName, hash, hint            [][]byte
	observed                                            []bool
	clientIP, peerIP                                    []*string
	method, host, path, userAgent, requestID, lowerPath [][]byte
}

func (r *interceptRows) add(i store.Intercept) {
	r.at, r.last, r.count = append(r.at, i.At.UnixMilli()), append(r.last, i.Last.UnixMilli()), append(r.count, number(i.Count))
	r.reason, r.observed = append(r.reason, []byte(i.Reason)), append(r.observed, i.Observed)
	r.basisKind, r.basisName = append(r.basisKind, []byte(i.Basis.Kind)), append(r.basisName, []byte(i.Basis.Name))
	r.hash, r.hint = append(r.hash, i.Hash[:]), append(r.hint, []byte(i.Hint))
	r.clientIP, r.peerIP = append(r.clientIP, addrText(i.ClientIP)), append(r.peerIP, addrText(i.PeerIP))
	r.method, r.host = append(r.method, []byte(i.Method)), append(r.host, []byte(i.Host))
	r.path, r.lowerPath = append(r.path, []byte(i.Path)), append(r.lowerPath, folded(i.Path))
	r.userAgent, r.requestID = append(r.userAgent, []byte(i.UserAgent)), append(r.requestID, []byte(i.RequestID))
}

// args are the parameters of givenIntercepts, with the IDs, or their offsets, first.
func (r *interceptRows) args(ids []int64) []any {
	return []any{
		ids, r.at, r.last, r.count, r.reason, r.observed, r.basisKind, r.basisName, r.hash, r.hint, r.clientIP, r.peerIP,
		r.method, r.host, r.path, r.userAgent, r.requestID, r.lowerPath,
	}
}

const givenIntercepts = `
unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::boolean[], $7::bytea[], $8::bytea[], $9::bytea[],
       $10::bytea[], $11::text[], $12::text[], $13::bytea[], $14::bytea[], $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[])
AS g(id, at, last, count, reason, observed, basis_kind, basis_name, hash, hint, client_ip, peer_ip,
     method, host, path, user_agent, request_id, path_folded)`

// sqlTakeIDs is a statement of its own: the lock on the row orders the writers, and
// who waits for it must hold none on the partitions.
const sqlTakeIDs = `UPDATE sentinel.sequences SET last = last + $1 WHERE name = 'intercepts' RETURNING last`

const sqlPutIntercepts = `
INSERT INTO sentinel.intercepts (id, at, last, count, reason, observed, basis_kind, basis_name, hash, hint, client_ip, peer_ip,
    method, host, path, user_agent, request_id, path_folded)
SELECT (SELECT last FROM sentinel.sequences WHERE name = 'intercepts') - g.id, g.at, g.last, g.count, g.reason, g.observed,
    g.basis_kind, g.basis_name, g.hash, g.hint, g.client_ip::inet, g.peer_ip::inet,
    g.method, g.host, g.path, g.user_agent, g.request_id, g.path_folded
FROM ` + givenIntercepts

const sqlGrowIntercepts = `
UPDATE sentinel.intercepts i SET at = g.at, last = g.last, count = g.count, reason = g.reason, observed = g.observed,
    basis_kind = g.basis_kind, basis_name = g.basis_name, hash = g.hash, hint = g.hint, client_ip = g.client_ip::inet,
    peer_ip = g.peer_ip::inet, method = g.method, host = g.host, path = g.path, user_agent = g.user_agent,
    request_id = g.request_id, path_folded = g.path_folded
FROM ` + givenIntercepts + `
WHERE i.id = g.id`

// putTries is how often records are written whose partition somebody drops meanwhile.
const putTries = 3

// PutIntercepts is part of store.Intercepts.
func (s *Store) PutIntercepts(ctx context.Context, recs []store.Intercept) error {
	if len(recs) == 0 {
		return ctx.Err()
	}
	step := newInterceptStep(recs)
	last, err := s.putIntercepts(ctx, step)
	for try := 1; try < putTries && hasCode(err, codeNoPartition); try++ {
		s.months.forget() // it was dropped since it was seen
		last, err = s.putIntercepts(ctx, step)
	}
	if err != nil {
		return err
	}
	next := last - int64(len(step.offsets))
	for i := range recs {
		if recs[i].ID == 0 {
			next++
			recs[i].ID = uint64(next) // #nosec G115 -- not negative
		}
	}
	return nil
}

// interceptStep is what one PutIntercepts writes.
type interceptStep struct {
	fresh, grown interceptRows
	offsets      []int64 // of fresh ones: how far before the last ID of the step
	ids          []int64 // of grown ones
}

func newInterceptStep(recs []store.Intercept) *interceptStep {
	step := &interceptStep{}
	latest := map[uint64]int{}
	for i, r := range recs {
		latest[r.ID] = i
	}
	for i, r := range recs {
		switch {
		case r.ID == 0:
			step.fresh.add(r)
			step.offsets = append(step.offsets, int64(len(step.offsets)))
		case latest[r.ID] == i:
			step.grown.add(r)
			step.ids = append(step.ids, number(r.ID))
		}
	}
	slices.Reverse(step.offsets)
	return step
}

// putIntercepts writes a step, and returns the last ID that it has given.
func (s *Store) putIntercepts(ctx context.Context, step *interceptStep) (last int64, err error) {
	if err := s.ensureMonths(ctx, slices.Concat(step.fresh.at, step.grown.at)); err != nil {
		return 0, err
	}
	err = s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginBatch()
		// Also where all have grown: who changes several rows meets nobody else who does.
		b.Queue(sqlTakeIDs, len(step.offsets)).QueryRow(func(row pgx.Row) error { return row.Scan(&last) })
		if len(step.offsets) > 0 {
			b.Queue(sqlPutIntercepts, step.fresh.args(step.offsets)...)
		}
		if len(step.ids) > 0 {
			b.Queue(sqlGrowIntercepts, step.grown.args(step.ids)...)
		}
		b.Queue(`commit`)
		return conn.SendBatch(ctx, b).Close()
	})
	return last, err
}

// ListIntercepts is part of store.Intercepts.
func (s *Store) ListIntercepts(ctx context.Context, f store.InterceptFilter) (page store.InterceptPage, err error) {
	c := interceptConditions(f)
	limit := pageSize(f.Limit)
	sql := `SELECT id, ` + interceptColumns + ` FROM sentinel.intercepts` + c.where() + ` ORDER BY id DESC LIMIT ` + c.arg(limit+1)
	err = s.view(ctx, sql, c.args, func(rows pgx.Rows) error {
		r, err := scanIntercept(rows)
		page.Records = append(page.Records, r)
		return err
	})
	if err != nil {
		return store.InterceptPage{}, err
	}
	if len(page.Records) > limit {
		page.Records = page.Records[:limit]
		page.Next = page.Records[limit-1].ID
	}
	return page, nil
}

// interceptConditions are what store.InterceptFilter.Matches says.
func interceptConditions(f store.InterceptFilter) (c conditions) {
	if f.Before > 0 {
		c.add(`id < ?`, number(f.Before))
	}
	if f.After > 0 {
		c.add(`id > ?`, number(f.After))
	}
	c.times("at", f.Time)
	if !f.Hash.IsZero() {
		c.add(`hash = ?`, f.Hash[:])
	}
	if f.Network.IsValid() {
		c.add(`client_ip <<= ?::text::inet`, f.Network.Masked().String())
	}
	if f.Reason != "" {
		c.add(`reason = ?`, []byte(f.Reason))
	}
	if f.Path != "" {
		c.add(`position(?::bytea IN path_folded) > 0`, folded(f.Path))
	}
	return c
}

func scanIntercept(rows pgx.Rows) (store.Intercept, error) {
	var id, at, last, count int64
	var reason, basisKind, basisName, hash, hint, method, host, path, userAgent, requestID []byte
	var observed bool
	var clientIP, peerIP netip.Addr
	err := rows.Scan(&id, &at, &last, &count, &reason, &observed, &basisKind, &basisName, &hash, &hint, &clientIP, &peerIP,
		&method, &host, &path, &userAgent, &requestID)
	if err != nil {
		return store.Intercept{}, err
	}
	return store.Intercept{
		ID: uint64(id), At: timeOf(at), Last: timeOf(last), Count: uint64(count), Reason: store.Reason(reason), // #nosec G115 -- not negative
		Observed: observed, Basis: store.Basis{Kind: store.BasisKind(basisKind), Name: string(basisName)},
		Hash: store.KeyHash(hash), Hint: string(hint), ClientIP: clientIP, PeerIP: peerIP,
		Method: string(method), Host: string(host), Path: string(path), UserAgent: string(userAgent), RequestID: string(requestID),
	}, nil
}

// DeleteIntercepts is part of store.Intercepts. Months that are old as a whole are
// dropped first, whatever the limit is: that costs no more than to remove a few rows.
func (s *Store) DeleteIntercepts(ctx context.Context, before time.Time, limit int) (int, error) {
	if limit <= 0 {
		return 0, ctx.Err()
	}
	dropped, err := s.dropMonths(ctx, ceilMs(before))
	if err != nil || dropped >= limit {
		return dropped, err
	}
	const sql = `
DELETE FROM sentinel.intercepts WHERE (id, at) IN (
    SELECT id, at FROM sentinel.intercepts WHERE at < $1 ORDER BY id LIMIT $2 FOR UPDATE
)`
	n, err := s.remove(ctx, sql, ceilMs(before), limit-dropped)
	return dropped + n, err
}
