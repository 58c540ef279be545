package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// sqlDelivered takes the next sequence of a node, unless it was delivered already. The
// row is locked until the batch is in: of two who deliver the same, the second one finds
// that it was.
const sqlDelivered = `
INSERT INTO sentinel.deliveries AS d (node, sequence, at)
VALUES ($1, $2, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence, at = excluded.at WHERE d.sequence < excluded.sequence`

const sqlDeliverIntercepts = `
INSERT INTO sentinel.intercepts (id, at, last, count, reason, observed, basis_kind, basis_name, hash, hint, client_ip, peer_ip,
    method, host, path, user_agent, request_id, path_folded, node, sequence)
SELECT (SELECT last FROM sentinel.sequences WHERE name = 'intercepts') - g.id, g.at, g.last, g.count, g.reason, g.observed,
    g.basis_kind, g.basis_name, g.hash, g.hint, g.client_ip::inet, g.peer_ip::inet,
    g.method, g.host, g.path, g.user_agent, g.request_id, g.path_folded, $19::text, n.sequence
FROM ` + givenIntercepts + ` JOIN unnest($1::bigint[], $20::bigint[]) AS n(id, sequence) ON n.id = g.id
ON CONFLICT DO NOTHING -- a name that the node has given twice must not hold up all that comes after it`

const sqlDeliverGrown = sqlGrowOf + `
WHERE i.node = $19 AND i.sequence = g.id`

// delivery is one batch on its way.
type delivery struct {
	node     string
	sequence uint64
	usage    *usageStep
	step     interceptStep
	names    []int64 // by which the node knows the fresh intercepts
	audit    []store.AuditEntry
}

// Deliver is part of store.Delivery. Its transaction locks rows in the order of AddUsage
// and PutIntercepts, after the one of the node.
func (s *Store) Deliver(ctx context.Context, node string, sequence uint64, batch store.Batch) error {
	if err := batch.Usage.Validate(); err != nil {
		return err
	}
	d := newDelivery(node, sequence, batch)
	err := s.deliver(ctx, d)
	for try := 1; try < putTries && hasCode(err, codeNoPartition); try++ {
		s.months.forget() // it was dropped since it was seen
		err = s.deliver(ctx, d)
	}
	return err
}

func newDelivery(node string, sequence uint64, batch store.Batch) *delivery {
	d := &delivery{node: node, sequence: sequence, audit: batch.Audit}
	d.usage = newUsageStep(batch.Usage.Touches, batch.Usage.Counters)
	latest := map[uint64]int{}
	for i, r := range batch.Intercepts {
		latest[r.ID] = i
	}
	for i, r := range batch.Intercepts {
		switch {
		case !slices.Contains(batch.Grown, i):
			d.step.fresh.add(r)
			d.step.offsets = append(d.step.offsets, int64(len(d.step.offsets)))
			d.names = append(d.names, number(r.ID))
		case latest[r.ID] == i:
			d.step.grown.add(r)
			d.step.ids = append(d.step.ids, number(r.ID))
		}
	}
	slices.Reverse(d.step.offsets)
	return d
}

func (s *Store) deliver(ctx context.Context, d *delivery) error {
	if err := s.ensureMonths(ctx, slices.Concat(d.step.fresh.at, d.step.grown.at)); err != nil {
		return err
	}
	return s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		isNew := false
		b := beginBatch()
		b.Queue(sqlDelivered, d.node, number(d.sequence)).Exec(func(tag pgTag) error {
			isNew = tag.RowsAffected() > 0
			return nil
		})
		d.usage.queueLock(b)
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		end := &pgx.Batch{}
		if isNew {
			if err := d.queue(end); err != nil {
				return err
			}
		}
		end.Queue(`commit`)
		return conn.SendBatch(ctx, end).Close()
	})
}

// queue queues what stores the batch.
func (d *delivery) queue(b *pgx.Batch) error {
	if err := d.usage.queue(b); err != nil {
		return err
	}
	if len(d.step.offsets)+len(d.step.ids) > 0 {
		b.Queue(sqlTakeIDs, len(d.step.offsets))
	}
	if len(d.step.offsets) > 0 {
		b.Queue(sqlDeliverIntercepts, append(d.step.fresh.args(d.step.offsets), d.node, d.names)...)
	}
	if len(d.step.ids) > 0 {
		b.Queue(sqlDeliverGrown, append(d.step.grown.args(d.step.ids), d.node)...)
	}
	for _, e := range d.audit {
		queueAudit(b, e)
	}
	return nil
}
